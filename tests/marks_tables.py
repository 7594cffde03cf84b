"""Events and tables that the tests of event formats share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from restcli.events import Event, Events
from restcli.marks.registry import write_events

START = datetime(2016, 11, 6, 13, 43, 4)
FOUND = Events(
    (
        Event(10.0, 60.0, "sz", 0.87, ("all",)),
        Event(3010.5, 42.0, "sz_foc_ia", 0.5, ("T3", "T5"), 0.75),
    ),
    3600.0,
    START,
)
NONE = Events((), 3600.0, START)
HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
TUSZ = (
    "# version = csv_v1.0.0\n# bname = aaaaaaac_s001_t000\n# duration = 301.00 secs\n"
    "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n#\n"
    "channel,start_time,stop_time,label,confidence\n"
)


def written(events: Events, folder: Path, kind: str) -> Path:
    path = folder / f"night_events.{kind}"
    write_events(events, path, kind)
    return path


def table(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path
