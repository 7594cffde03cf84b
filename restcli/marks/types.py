"""Names of seizure types in the wild, and what they are in SzCORE."""

from __future__ import annotations

import re
import unicodedata

from restcli.marks.hed import HED_TAGS

BACKGROUND = "bckg"
OTHER = "other"  # a row about something other than seizures
SZCORE_TYPE = re.compile(r"sz(_[A-Za-z0-9]+)*")

_OFFICIAL = {name.lower(): name for name in HED_TAGS}
# Mapping of epilepsy2bids 0.0.7 (load_annotations/tuh.py). NEDC's own binary tables count nesz as seiz.
TUSZ_TYPES = {
    "seiz": "sz",
    "fnsz": "sz_foc",
    "gnsz": "sz_gen",
    "spsz": "sz_foc_a",
    "cpsz": "sz_foc_ia",
    "absz": "sz_gen_nm",
    "tnsz": "sz_gen_m_tonic",
    "cnsz": "sz_gen_m_clonic",
    "tcsz": "sz_gen_m_tonicClonic",
    "atsz": "sz_gen_m_atonic",
    "mysz": "sz_gen_nm_myoclonic",
    "nesz": "sz",
}
_CLINICAL = {  # SeizeIT, Siena and common abbreviations
    **dict.fromkeys(("seizure", "seizures", "szr"), "sz"),
    **dict.fromkeys(("fia", "fias", "ias"), "sz_foc_ia"),
    **dict.fromkeys(("fa", "fas", "wias"), "sz_foc_a"),
    **dict.fromkeys(("f_btc", "fbtc", "fbtcs"), "sz_foc_f2b"),
    **dict.fromkeys(("gtc", "gtcs", "tcs"), "sz_gen_m_tonicClonic"),
    **dict.fromkeys(("ncse", "status epilepticus", "esz"), "sz"),
    "cps": "sz_foc_ia",
    "sps": "sz_foc_a",
}
_KNOWN = {**_OFFICIAL, **TUSZ_TYPES, **_CLINICAL, BACKGROUND: BACKGROUND, "background": BACKGROUND}
_NAMED = re.compile(
    r"(?<![a-z])("
    r"sz|s(ei|ie|e|i)(z[iu]{0,2}|su?)r|seiz|siez|sezi?u|sez\b|esz\b|"
    r"f ?btcs?\b|gtcs?\b|b?tcs\b|n?cse\b|(?<!\d)(?<!\d )(cps|sps)\b|status epilep)",
    re.IGNORECASE,
)
_SUSPECT = re.compile(
    r"(?<![a-z])(i[ck]ta[al]|ictus|(non)?convuls|konvuls|ab[sc]{1,2}[ae]n[csz]|spasm|(petit|grand) mal)"
    r"|(?<![a-z])((myo)?[ck]lon(i[aceskq]|us)|a?t[oóô]ni[cskq]|atta(ck|que)|focal (status|motor|(impaired |un)?aware))"
    r"|(?<![a-z])(gelastic|dacrystic|hyperkinetic|hypermotor|automotor|psychomotor|dyscognitive|[scz]e{0,2}i?e?[szx]ur)"
    r"|(?<![a-z])(epileptic (event|fit|episode)|epilepsia partialis|[sp2] ?gtc)"
    r"|(?<![a-z])(f[no]c?|ge?n|[ces]p|ab|[ct]n|tc|at|my|e[cls]|cl|ne)sz(?![a-z])"
    r"|anfal[ld](?!s? ?frei)|(?<![a-z])(krampf|krämpf|aanval|napad|drgawk|z[áa]chvat|kohtaus|roham)"
    r"|(?<![a-z])(nöbet|cris[ei]|criz[aăe]|ataque|priepuol|lēkme|krambi|flogakast|kejang|co giật|động kinh)"
    r"|发作|發作|癫痫|癲癇|抽搐|惊厥|驚厥|痙攣|けいれん|てんかん|발작|경련|приступ|припад|судо[рм]|нап[аі]д|конвульс|грч"
    r"|κρίση|σπασμ|نوبة|صرع|تشنج|حمله|התקף|פרכוס|दौर"
    r"|[\x80-\xff]{3}"  # letters of another alphabet than the one that they were read in
    r"|^\W*(is|tc|es|se|ncs|epc|fits?|aura|status|epileptic|electrographic|subclinical|focal|generali[sz]ed|f?t?btcs?)\W*$",
    re.IGNORECASE,
)
# Denials right before a word for a seizure or after it; "no motor signs" beside a seizure denies nothing.
_DENIED = re.compile(
    r"\b(((no|not|without|absence of)"
    r"( an?\b| any| further| more| other| definite| epileptic| electrographic| clinical)*"
    r"|inter|pre|post|pseudo|history of|panic|((psychogenic|non ?epileptic|dissociative) ?)+) *"
    rf"({_NAMED.pattern}|i[ck]tal|convuls|absence|spasm|attack)\w*"
    rf"|non ({_NAMED.pattern}|i[ck]tal)\w*"
    rf"|{_NAMED.pattern}[a-z]* free)\b(?! *(onset|offset|start|begin|end|stop))",
    re.IGNORECASE,
)


def known_type(text: str) -> str | None:
    """Return the SzCORE type or `BACKGROUND` for a type's name in any common spelling, None if it is unknown.

    >>> [known_type(name) for name in ("sz-foc-ia", "SZ", "F-BTC", "sz_gen_m_tonicclonic", "impd")]
    ['sz_foc_ia', 'sz', 'sz_foc_f2b', 'sz_gen_m_tonicClonic', None]
    """
    name = _plain(text).strip().replace("-", "_")
    found = _KNOWN.get(name.lower())
    return name if found is None and SZCORE_TYPE.fullmatch(name) else found


def names_seizure(text: str) -> bool:
    """Whether a free text speaks of a seizure, as 'sezure 2' does and 'post-seizure slowing' does not."""
    return bool(_NAMED.search(_affirmed(text)))


def resembles_seizure(text: str) -> bool:
    """Whether an unknown name of an event type may mean a seizure."""
    words = _affirmed(text)
    return bool(_NAMED.search(words) or _SUSPECT.search(words))


def _affirmed(text: str) -> str:
    """Return a text without the seizures that it denies."""
    return _DENIED.sub("; ", " ".join(re.sub(r"[_-]", " ", _plain(text)).split()))


def _plain(text: str) -> str:
    """Return a text without letters of full width and characters that cannot be seen."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
