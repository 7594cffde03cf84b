"""What reviewers said about the recordings of an archive, as ``restcli review apply`` wrote it beside their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from restcli.archive.ledger import DONE
from restcli.archive.walk import is_output_of
from restcli.files import sha256_of
from restcli.marks.reviewed import COUNTED, read_reviewed
from restcli.output.run_report import REPORT_END
from restcli.output.shown import REVIEWED

OUTDATED = "on an earlier result"


@dataclass(frozen=True, eq=False)
class Reviews:
    """The reviews of an archive, read when they are asked for."""

    folder: Path  # of outputs

    def report(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the report after review of a row of recordings or events; None when there is none."""
        stem = row.get("made_stem")
        if not stem or row.get("state", DONE) != DONE or not is_output_of(row["path"], f"{stem}{REPORT_END}"):
            return None
        path = self.folder / f"{stem}_run{REVIEWED}.json"
        return _read(path, path.stat().st_mtime_ns) if path.is_file() else None

    def is_current(self, row: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
        """Tell whether a review is about the current result."""
        run = self.folder / f"{row['made_stem']}{REPORT_END}"
        return run.is_file() and bool(report["review"]["of"]["report"] == sha256_of(run))

    def columns(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a table of recordings says about a review; nothing where there is none."""
        if (report := self.report(row)) is None:
            return {}
        counts = report["review"]["agreement"]
        named = {f"n_{name}": counts[name] for name in COUNTED}
        reviewers = ",".join(report["review"]["reviewers"])
        return {"reviewers": reviewers, "review": "current" if self.is_current(row, report) else OUTDATED} | named

    def outputs(self, row: Mapping[str, Any]) -> list[str]:
        """Return the names of what applying verdicts wrote beside the outputs of a recording."""
        if (report := self.report(row)) is None:
            return []
        folder, slash, stem = row["made_stem"].rpartition("/")
        names = [*report["outputs"], f"{stem}_run{REVIEWED}.json"]
        return [folder + slash + name for name in names if name.startswith(f"{stem}_") and "/" not in name]

    def verdict(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the verdict on a row of events; nothing where there is none on this result."""
        report = self.report(row)
        if report is None or not self.is_current(row, report):
            return {}
        name = f"e{row['number']}"
        found = next((each for each in report["review"]["verdicts"] if each["event"] == name), None)
        return {} if found is None else {"verdict": found["verdict"], "reviewer": found["reviewer"]}

    def events(self, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the events of a recording after review."""
        if (report := self.report(row)) is None:
            return
        common = {"path": row["path"], "reviewers": ",".join(report["review"]["reviewers"])}
        common["review"] = "current" if self.is_current(row, report) else OUTDATED
        for number, event in enumerate(report["events"], start=1):
            own = {"number": number, "label": event["eventType"], "channels": ",".join(event["channels"])}
            yield event | own | common


@lru_cache(maxsize=2)
def _read(path: Path, modified: int) -> Mapping[str, Any]:  # noqa: ARG001
    """Read a report after review once for all events of its recording, and again when it has changed."""
    return read_reviewed(path)
