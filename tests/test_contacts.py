"""What is not scalp EEG is told by its labels as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from edf_writer import noise, write_edf

from restcli.detect.settings import Settings, fit_montage
from restcli.errors import RecordingError
from restcli.io.registry import open_recording
from restcli.nn.weights import Weights, load_weights
from restcli.signal.contacts import contact_families
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, derive

SCALP = list(ELECTRODES_19)
TEN_TEN = (
    "FP1 FPZ FP2 AF7 AF3 AFZ AF4 AF8 F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10 FT9 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10 "
    "T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10 TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10 P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10 "
    "PO9 PO7 PO3 POZ PO4 PO8 PO10 O1 OZ O2 O9 O10 IZ"
).split()


def electrodes(families: str, n: int, form: str = "{}{}") -> list[str]:
    return [form.format(family, k) for family in families.split() for k in range(1, n + 1)]


def bipolar(families: str, n: int) -> list[str]:
    return [f"{family}{k}-{family}{k + 1}" for family in families.split() for k in range(1, n)]


INTRACRANIAL = {
    "depth": electrodes("A C F O P T", 12),
    "long depth": electrodes("A B C D F O P T", 18),
    "leading zeros": electrodes("A C F O P T", 12, "{}{:02d}"),
    "primes": electrodes("A A' C' F' O P' T", 10),
    "trailing reference": electrodes("A C F O P T", 12, "EEG {}{}-Ref"),
    "SEEG before": electrodes("A C F O P T", 12, "SEEG {}{}"),
    "POL before": electrodes("A C F O P T", 12, "POL {}{}"),
    "bipolar": bipolar("A C F O P T", 12),
    "pairs": [f"{family}{k}-{family}{k + 1}" for family in "ACFOPT" for k in range(1, 12, 2)],
    "four contacts": electrodes("A B C F O P T", 4),
    "ends of electrodes alone": [f"{family}{k}" for family in "ACFOPT" for k in (1, 2, 3, 10, 11, 12)],
    "a grid and strips": [*electrodes("G", 64), *electrodes("F P T", 6)],
    "lower case": [label.lower() for label in electrodes("A C F O P T", 12)],
    "within the numbers of the scalp": [*electrodes("F P", 10), *electrodes("T", 10), *electrodes("C", 6), "O1", "O2"],
    "beside other families": [*electrodes("LA RH B", 8), *SCALP[2:16]],
    "with an ECG and DC channels": [*electrodes("A C F O P T", 12), "ECG", *electrodes("DC", 8)],
    "with three scalp electrodes": [*electrodes("A C F O P T", 12), "FZ", "CZ", "PZ"],
    "with two scalp electrodes": [*electrodes("A C F O P T", 12), "FP1", "FP2"],
    "every other contact": [f"{family}{k}" for family in "ACFOPT" for k in range(1, 16, 2)],
    "against a contact": [f"{label}-B7" for label in electrodes("A C F O P T", 12)],
    "BioSemi 64": electrodes("A B", 32),
    "BioSemi 128": [*electrodes("A B C D", 32), *electrodes("EXG", 8), "Status"],
    "BioSemi 256": electrodes("A B C D E F G H", 32),
}

SCALP_SETS = {
    "10-20": SCALP,
    "10-20 without midline": SCALP[:16],
    "10-10": TEN_TEN,
    "10-5": [*TEN_TEN, *(f"{family}{k}h" for family in ("FFC", "CCP", "FTT", "PPO") for k in range(1, 7))],
    "with ears, T1 and T2": [*SCALP, "A1", "A2", "T1", "T2", "SP1", "SP2"],
    "with a depth electrode": [*SCALP, *electrodes("LA", 10)],
    "with two depth electrodes": [*SCALP, *electrodes("LA RH", 10)],
    "10-10 with depth electrodes": [*TEN_TEN, *electrodes("LA RH", 10)],
    "with DC, X and EMG channels": [*SCALP, *electrodes("DC X EMG", 8)],
    "without midline, with DC and X channels": [*SCALP[:16], *electrodes("DC X", 8)],
    "with names of the 10-10 system": "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 FZ CZ PZ M1 M2".split(),
    "with unused inputs": [*SCALP, "A1", "A2", "T1", "T2", *(f"C{k}" for k in range(25, 60))],
    "with unused inputs against a reference": [f"EEG {x}-Ref" for x in (*SCALP, *(f"C{k}" for k in range(33, 129)))],
    "without midline, with unused inputs": [*SCALP[:16], *(f"{family}{k}" for family in "CF" for k in (27, 29, 30))],
    "against CS2": [f"{label}-CS2" for label in (*SCALP, "C2", "C6", "CP2", "CP4", "CP6")],
    "against a contact": [f"{label}-LA3" for label in (*SCALP, *electrodes("LA", 10))],
    "128 electrodes": [*TEN_TEN, "F11", "F12", "FT11", "FT12", "P11", "P12", "CB1", "CB2"],
}


@pytest.mark.parametrize("kind", INTRACRANIAL)
def test_contacts_become_no_nodes(kind: str) -> None:
    assert len(derive(INTRACRANIAL[kind], DOUBLE_BANANA).nodes) < 3


@pytest.mark.parametrize("kind", SCALP_SETS)
def test_scalp_electrodes_stay(kind: str) -> None:
    labels = SCALP_SETS[kind]
    montage = derive(labels, DOUBLE_BANANA)
    assert montage.contacts == ()
    assert len(montage.nodes) == (16 if "without midline" in kind else 18)


def test_a_grid_named_like_unused_inputs_is_left_out_with_its_family() -> None:
    for contacts in (electrodes("C", 64), [f"C{k}" for k in (3, 4, 9, 10, *range(25, 60))]):
        montage = derive([*(x for x in SCALP if x not in {"C3", "C4"}), *contacts], DOUBLE_BANANA)
        assert not any("C3" in node or "C4" in node for node in montage.nodes)


def test_what_was_computed_from_several_electrodes_is_no_common_reference() -> None:
    assert derive([f"{label}-CSD" for label in SCALP], DOUBLE_BANANA).nodes == ()
    assert derive([f"{label}-X" for label in SCALP[:5]], DOUBLE_BANANA).nodes == ()


def test_the_scalp_electrodes_of_an_implanted_patient_stay_and_what_is_left_out_is_known() -> None:
    labels = [*SCALP, *electrodes("A B H", 10)]
    montage = derive(labels, DOUBLE_BANANA)
    assert montage.nodes == DOUBLE_BANANA
    assert [labels[i] for i in montage.contacts] == ["A1", "A2"]
    # C3 may be either: the family is left out.
    mixed = derive([*(label for label in SCALP if label[0] != "C"), *electrodes("C B H", 10)], DOUBLE_BANANA)
    assert not any("C3" in node or "C4" in node for node in mixed.nodes)


def test_a_map_names_channels_in_spite_of_their_labels() -> None:
    labels = electrodes("A B", 32)
    names = dict(zip(labels, ELECTRODES_19, strict=False))
    assert derive(labels, DOUBLE_BANANA, channel_map=names).nodes == DOUBLE_BANANA
    assert derive(INTRACRANIAL["depth"], DOUBLE_BANANA, channel_map={"C3": "C3", "F3": "F3"}).nodes == ("F3-C3",)


def test_real_label_sets_are_no_contacts_but_for_that_of_another_cap(shared_eeg: Path) -> None:
    judged = 0
    for path in sorted(shared_eeg.rglob("*")):
        if path.suffix.lower() not in {".edf", ".bdf"}:
            continue
        try:
            labels = [channel.label for channel in open_recording(path).channels]
        except RecordingError:
            continue
        judged += 1
        assert bool(contact_families(labels)) == (labels[:3] == ["A1", "A2", "A3"]), labels
    assert judged > 200


@pytest.fixture(scope="module")
def weights(toy_weights: Path) -> Weights:
    return load_weights(toy_weights)


def refusal(folder: Path, weights: Weights, labels: Sequence[str], name: str = "x.edf", units: str = "uV") -> str:
    path = write_edf(folder / name, noise(len(labels), 20, 200), 200, labels=labels, units=units)
    with pytest.raises(RecordingError) as caught:
        fit_montage(open_recording(path), weights, Settings())
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_the_refusal_says_what_the_labels_name(tmp_path: Path, weights: Weights) -> None:
    text = refusal(tmp_path, weights, INTRACRANIAL["depth"])
    assert "labels such as A1 to A12, C1 to C12 (and 4 more families) name contacts of depth electrodes" in text
    assert "Name the channels with --channel-map." in text
    assert "--allow-missing" not in text
    for labels in (
        "FP1 FP2 C3 C4 T3 T4 O1 O2 CZ".split(),
        "FP1-C3 C3-O1 FP1-T3 T3-O1 FP2-C4 C4-O2 FP2-T4 T4-O2 FZ-CZ".split(),
    ):
        assert "neonatal montage" in refusal(tmp_path, weights, labels)
    assert "as in animals" in refusal(tmp_path, weights, ["ECoG left", "LFP HPC", "EMG"])
    assert "numbers, which name no place" in refusal(tmp_path, weights, ["EEG1", "EEG 2", "EEG 3"])
    assert "numbers, which name no place" in refusal(tmp_path, weights, [*electrodes("E", 32), "stim"])


def test_a_bids_name_of_intracranial_eeg_is_believed(tmp_path: Path, weights: Weights) -> None:
    name = "sub-01_task-x_ieeg.edf"
    assert "intracranial EEG by its BIDS name" in refusal(tmp_path, weights, SCALP, name)
    chosen = tuple((label, label) for label in SCALP)
    montage = fit_montage(open_recording(tmp_path / name), weights, Settings(channel_map=chosen))
    assert montage.nodes == DOUBLE_BANANA


def test_remedies_that_cannot_help_are_left_out(tmp_path: Path, weights: Weights) -> None:
    few = refusal(tmp_path, weights, SCALP[:8])
    assert "Accept fewer with --allow-missing." in few
    assert "--channel-map" not in few
    unknown = refusal(tmp_path, weights, ["left", "right"])
    assert "--channel-map" in unknown
    assert "--allow-missing" not in unknown
    warm = refusal(tmp_path, weights, SCALP, units="degC")
    assert "unit 'degC' is not a voltage" in warm
    assert "--" not in warm
