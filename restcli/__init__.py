"""restcli: find seizures in EEG recordings with REST."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Result", "Settings", "__version__", "annotate", "open_recording"]

if TYPE_CHECKING:
    from restcli.detect.detector import Result, annotate
    from restcli.detect.settings import Settings
    from restcli.io.registry import open_recording

_MODULES = {
    "Result": "detect.detector",
    "Settings": "detect.settings",
    "annotate": "detect.detector",
    "open_recording": "io.registry",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``restcli --help`` stays quick."""
    if name not in _MODULES:
        raise AttributeError(f"module 'restcli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"restcli.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
