"""Labels that look like scalp electrodes but are not: depth electrodes, grids, other caps, animals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

# The highest number that positions of a family have, in the 10-10 system and its caps with 128 electrodes.
_HIGHEST = {"FP": 2, "A": 2, "M": 2, "O": 2, "I": 2, "OI": 2, "SP": 2, "PG": 2, "CB": 2}
_HIGHEST |= {"C": 6, "FC": 6, "CP": 6} | dict.fromkeys("AF F FT FTT T TP TTP P PO POO PPO".split(), 12)
# Families in which scalp recordings have O9 and O10 beyond that.
_OUTLYING = frozenset({("O", 9), ("O", 10), ("I", 9), ("I", 10)})
# Channels of the heart.
ECG = re.compile(r"\b(ECG|EKG)\d*\b|\bECG", re.IGNORECASE)
# Contacts of the longest depth electrode. Amplifiers name unused inputs by higher numbers: C25 to C59.
_LONGEST_ELECTRODE = 18
# Scalp recordings have T1 to T6, and a few lone positions may follow each other elsewhere.
_SCALP_RUN = {"T": 6}
_SHORT_RUN = 4
# Numbered channels of any amplifier.
_AUXILIARY = frozenset(
    "X DC EMG EOG ECG EKG EEG EXG EX AUX MISC CH CHAN CHANNEL RESP E ACC GSR MARK BIO PR EVENT STI SPO TRIG".split()
)
_MIDLINE = frozenset({"FZ", "CZ", "PZ"})
_NEONATAL = frozenset("C3 C4 T3 T4 O1 O2".split())
_LARGER = frozenset("F3 F4 F7 F8 P3 P4 T5 T6 P7 P8".split())
_NAMES_OF_ANIMALS = re.compile(r"\b(ECOG|LFP|RAT|MOUSE|MICE|HIPPOCAMPUS|HPC|CORTEX|CTX)\b")


def contact_families(labels: Sequence[str]) -> dict[str, list[int]]:
    """Return the families of labels that number contacts instead of scalp positions, with their numbers."""
    # A family is what stands before the number: A in A1 to A12, LA in LA1 to LA10. It numbers contacts if it has
    # numbers that no scalp position has, or runs from 1 without a gap where the rest of the recording shows that it is
    # no cap. All families are contacts if several are and there is neither a midline electrode nor FP1 with FP2.
    families: dict[str, set[int]] = {}
    names = set()
    for label in labels:
        for name, family, number in _parts(label):
            names.add(name)
            if family and family.rstrip("'") not in _AUXILIARY:
                families.setdefault(family, set()).add(number)
    frontal = {"FP1", "FP2"} <= names
    if frontal or names & _MIDLINE:
        families = {family: _without_inputs(family, numbers) for family, numbers in families.items()}
    sure = {family for family, numbers in families.items() if _beyond_scalp(family, numbers)}
    runs = {family for family, numbers in families.items() if _is_run(family, numbers)}
    foreign = {family for family in runs if family not in _HIGHEST}
    on_scalp = bool(names & _MIDLINE) or (frontal and "FP" not in sure | runs)
    dense_cap = on_scalp and bool({"FC", "CP", "AF"} & families.keys())
    if not on_scalp and (sure or len(foreign) >= 2 or len(runs) >= 3):
        found = set(families)
    elif sure or (len(foreign) >= 2 and not dense_cap):
        found = sure if dense_cap else sure | (runs - foreign)
    else:
        found = set()
    return {family: sorted(families[family]) for family in sorted(found)}


def is_contact(label: str, families: Mapping[str, Sequence[int]]) -> bool:
    """Tell whether a label, or an end of it, belongs to one of the families."""
    return any(family in families for _, family, _ in _parts(label))


def families_in_words(families: Mapping[str, Sequence[int]]) -> str:
    """Name the families with the most contacts.

    >>> families_in_words({"A": [1, 2, 3], "B": [1, 2], "C": [4, 5]})
    'A1 to A3, B1 to B2 (and 1 more family)'
    """
    worst = sorted(families, key=lambda family: -len(families[family]))
    shown = ", ".join(f"{family}{min(families[family])} to {family}{max(families[family])}" for family in worst[:2])
    n_more = len(worst) - 2
    return shown + (f" (and {n_more} more famil{'y' if n_more == 1 else 'ies'})" if n_more > 0 else "")


def other_kind(labels: Sequence[str]) -> str:
    """Say what labels belong to if not to a 10-20 recording: a clause, or nothing."""
    parts = [part for label in labels for part in _parts(label)]
    names = {name for name, _, _ in parts}
    if names >= _NEONATAL and not names & _LARGER:
        return "its electrodes are those of a neonatal montage"
    text = " ".join(labels).upper().replace("_", " ")
    if _NAMES_OF_ANIMALS.search(text):
        return "its labels name intracranial sites, as in animals"
    numbered = [re.fullmatch(r"(EEG|CH|CHAN|CHANNEL|E)?[ ._-]*\d+", label.strip().upper()) for label in labels]
    if sum(map(bool, numbered)) > 0.8 * len(labels):
        return "its labels are numbers, which name no place on the head"
    return ""


def _parts(label: str) -> Iterator[tuple[str, str, int]]:
    """Yield name, family and number of each end of a label; the family is empty where the end has no number."""
    text = re.sub(r"[\x00\s]+", " ", label).strip().upper()
    text = re.sub(r"^(?:S?EEG|POL|IEEG)(?:[ _:.]+|(?=[A-Z]))", "", text)
    for end in re.split(r"\s*[-–/_]\s*|\s+", text):
        found = re.fullmatch(r"([A-Z]{1,4})('?)0*(\d{1,3})('?)", end.rstrip("."))
        if found:
            family = found[1] + (found[2] or found[4])
            yield f"{family}{int(found[3])}", family, int(found[3])
        elif end:
            yield end, "", 0


def _without_inputs(family: str, numbers: set[int]) -> set[int]:
    """Leave out unused inputs of an amplifier, which a wide hole separates from the electrodes of the family."""
    electrodes = {number for number in numbers if number <= _LONGEST_ELECTRODE}
    return electrodes if electrodes and max(electrodes) <= _HIGHEST.get(family, 0) else numbers


def _beyond_scalp(family: str, numbers: set[int]) -> bool:
    highest = _HIGHEST.get(family)
    if highest is None:
        return False
    beyond = [number for number in numbers if number > highest and (family, number) not in _OUTLYING]
    return len(beyond) >= 2


def _is_run(family: str, numbers: set[int]) -> bool:
    return max(numbers) == len(numbers) and min(numbers) == 1 and len(numbers) > _SCALP_RUN.get(family, _SHORT_RUN)
