"""restcli: find seizures in EEG recordings with REST.

Annotate one recording::

    import restcli
    result = restcli.annotate("recording.edf")
    for event in result.events:
        print(event.onset, event.duration, event.confidence)
    result.save("out")

Annotate a Raw object of MNE, or an array in microvolts::

    raw.set_annotations(restcli.annotate(raw, threshold=0.8).to_mne())
    result = restcli.annotate(data, sfreq=256, ch_names=["Fp1", "F7", ...])

Annotate several with the same weights::

    detector = restcli.Detector(restcli.load_weights("rest-default"))
    results = [detector.annotate(restcli.open_recording(path)) for path in paths]

A score that is NaN and a stretch in ``result.scores.unscored`` were *not scored*: nothing is known of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from restcli.detect.detector import Detector, annotate
    from restcli.detect.result import Result
    from restcli.detect.rule import rescore
    from restcli.detect.settings import Settings
    from restcli.evaluation.files import evaluate
    from restcli.events import Event, Events, Scores
    from restcli.io.registry import open_recording
    from restcli.nn.weights import load_weights

_MODULES = {
    "Detector": "detect.detector",
    "Event": "events",
    "Events": "events",
    "Result": "detect.result",
    "Scores": "events",
    "Settings": "detect.settings",
    "annotate": "detect.detector",
    "evaluate": "evaluation.files",
    "load_weights": "nn.weights",
    "open_recording": "io.registry",
    "rescore": "detect.rule",
}

__all__ = [
    "Detector",
    "Event",
    "Events",
    "Result",
    "Scores",
    "Settings",
    "__version__",
    "annotate",
    "evaluate",
    "load_weights",
    "open_recording",
    "rescore",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import restcli`` is fast."""
    if name not in _MODULES:
        raise AttributeError(f"module 'restcli' has no attribute {name!r}")
    return getattr(import_module(f"restcli.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
