"""SzCORE's event types and their tags in HED-SCORE (Hermes et al., Scientific Data 2025), paired as SzCORE does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

HED_VERSION = "score_1.1.0"  # the last version with the types of seizure that SzCORE names

_FOCAL = {
    "sz_foc_a": "Aware-focal-onset-epileptic-seizure",
    "sz_foc_ia": "Impaired-awareness-focal-onset-epileptic-seizure, Episode-consciousness-affected",
    "sz_foc_ua": "Awareness-unknown-focal-onset-epileptic-seizure",
}
_GENERALIZED = "Generalized-onset-epileptic-seizure"
_UNKNOWN = "Unknown-onset-epileptic-seizure"
_SPASMS = {"spasms": "Epileptic-spasm-episode"}
_TONIC_CLONIC = {"tonicClonic": "Tonic-clonic-motor-seizure"}
_TONUS = {
    "atonic": "Atonic-motor-seizure",
    "clonic": "Clonic-motor-seizure",
    "tonic": "Tonic-motor-seizure",
} | _SPASMS
_FOCAL_MOTOR = _TONUS | {
    "automatisms": "Automatism-motor-seizure",
    "hyperkinetic": "Hyperkinetic-motor-seizure",
    "myoclonic": "Myoclonic-motor-seizure",
}
_GENERALIZED_MOTOR = (_TONUS | _TONIC_CLONIC) | {
    "myoTC": "Myoclonic-tonic-clonic-motor-seizure",
    "myoAtonic": "Myoclonic-atonic-motor-seizure",
}
_BEHAVIOR = {"behavior": "Behavior-arrest-nonmotor-seizure"}
_NONMOTOR = _BEHAVIOR | {
    "autonomic": "Autonomic-nonmotor-seizure",
    "cognitive": "Cognitive-nonmotor-seizure",
    "emotional": "Emotional-nonmotor-seizure",
    "sensory": "Sensory-nonmotor-seizure",
}
_ABSENCES = {
    "typical": "Typical-absence-seizure",
    "atypical": "Atypical-absence-seizure",
    "myoclonic": "Myoclonic-absence-seizure",
    "eyelidMyio": "Eyelid-myoclonia-absence-seizure",
}


def _below(name: str, onset: str, kind: str, finer: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield a type that adds a kind of manifestation to an onset, and the finer types below it."""
    yield name, f"{onset}, {kind}"
    for ending, tag in finer.items():
        yield f"{name}_{ending}", f"{onset}, {tag}"


def _tags() -> Iterator[tuple[str, str]]:
    yield "bckg", "Continuous-background-activity"
    yield "sz", "Unclassified-epileptic-seizure"
    yield "sz_foc", _FOCAL["sz_foc_ua"]
    for name, onset in _FOCAL.items():
        yield name, onset
        yield f"{name}_um", onset
        yield from _below(f"{name}_m", onset, "Motor-seizure", _FOCAL_MOTOR)
        yield from _below(f"{name}_nm", onset, "Nonmotor-seizure", _NONMOTOR)
    yield "sz_foc_f2b", "Focal-to-bilateral-tonic-clonic-focal-onset-epileptic-seizure, Tonic-clonic-motor-seizure"
    yield "sz_gen", _GENERALIZED
    yield from _below("sz_gen_m", _GENERALIZED, "Motor-seizure", _GENERALIZED_MOTOR)
    yield from _below("sz_gen_nm", _GENERALIZED, "Absence-seizure", _ABSENCES)
    yield "sz_uo", _UNKNOWN
    yield from _below("sz_uo_m", _UNKNOWN, "Motor-seizure", _SPASMS | _TONIC_CLONIC)
    yield from _below("sz_uo_nm", _UNKNOWN, "Nonmotor-seizure", _BEHAVIOR)


HED_TAGS = dict(_tags())
"""The tags of each event type that SzCORE knows."""
