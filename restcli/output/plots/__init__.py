"""Pictures of recordings, events and training, drawn by Agg whatever MPLBACKEND says."""

import os
from contextlib import suppress

# Notebooks set MPLBACKEND for every process they start, and matplotlib cannot be imported where it is not valid.
_backend = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402

if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend
