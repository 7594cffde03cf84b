"""A folder of outputs as a BIDS derivatives dataset (BIDS 1.10: ``DatasetType`` and ``GeneratedBy`` are required)."""

from __future__ import annotations

import json
from pathlib import Path

from restcli import __version__
from restcli.archive.audit import PATTERN as TRAIL_PATTERN
from restcli.archive.walk import LEDGER_PATTERN
from restcli.errors import UsageError
from restcli.files import make_folder, write_atomically
from restcli.marks.hed import HED_VERSION
from restcli.marks.registry import WRITABLE
from restcli.marks.szcore import COLUMNS
from restcli.output.pictures import PICTURES, PLOTS

_README = f"""Seizures detected automatically by restcli {__version__}.
Not a medical device. Every event must be judged by a person who reads EEG.

For each recording, *_events.tsv lists the events in SzCORE format (events.json describes the columns). Scores, pictures
and run reports are not part of BIDS and are listed in .bidsignore. index.html shows all results.
"""
# What BIDS has no place for: beside tables, and in the root when the ledger is kept there.
_NOT_BIDS = [
    *("*_scores.csv", "*_burden.tsv", "*_reviewed.*", "*_review.jsonl", "*_run.json"),
    *(f"*_{picture}*.{kind}" for picture in PICTURES for kind in PLOTS if kind != "none"),
    *(f"*_events.{name}" for name in WRITABLE if name != "tsv"),
    *("!/events.json", "/index.html", "/ledger*", "/audit*.jsonl", "/export", "/.restcli"),
]


DESCRIPTIONS = ("dataset_description.json", "events.json", "README", ".bidsignore")


def check_ours(out: Path, dataset: Path | None) -> None:
    """Refuse folders with files that a batch would write over, unless an earlier batch wrote them.

    `dataset` is the folder of a BIDS derivatives dataset, if there is to be one.
    """
    if any(out.glob(LEDGER_PATTERN)) or any(out.glob(TRAIL_PATTERN)):
        return
    names = () if dataset is None else (dataset / name for name in DESCRIPTIONS)
    for path in (out / "index.html", *names):
        if path.exists():
            what = "was not written by a batch, and this one would overwrite it"
            raise UsageError(str(path), what, "a folder only for results", "Choose another folder")


def describe_derivatives(folder: str | Path) -> None:
    """Describe the dataset, what its columns mean, and what in it is not BIDS."""
    root = make_folder(folder)
    description = {
        "Name": "Seizures found by restcli",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "HEDVersion": HED_VERSION,
        "GeneratedBy": [{"Name": "restcli", "Version": __version__, "Description": "Automatic; not a medical device"}],
    }
    write_atomically(root / "dataset_description.json", json.dumps(description, indent=1) + "\n")
    write_atomically(root / "events.json", json.dumps(COLUMNS, indent=1) + "\n")
    write_atomically(root / "README", _README)
    write_atomically(root / ".bidsignore", "".join(f"{line}\n" for line in _NOT_BIDS))
