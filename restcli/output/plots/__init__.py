"""Pictures of recordings, events and training, always drawn with Agg."""

import os
from contextlib import suppress

# Notebooks set MPLBACKEND for every process they start; importing matplotlib fails where that backend is missing.
_backend = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402

if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend
