"""What a folder of recordings and expert marks holds, and what is wrong with it, without training."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError, RestError
from restcli.io.registry import open_recording
from restcli.marks.layouts import Item, look_for_items, passed_over, unknown_tables
from restcli.signal.montage import DOUBLE_BANANA
from restcli.train.sources import montage_of


@dataclass(frozen=True)
class CheckedRecording:
    """One recording that can be used."""

    path: Path
    layout: str
    patient: str
    split: str  # empty where the data set has none
    seconds: float
    seizures: tuple[tuple[str, float], ...]  # type and seconds of each
    unscored: float  # seconds of which the marks claim nothing
    ignored: tuple[str, ...]  # types of rows that are not about seizures


@dataclass
class Inventory:
    """What a folder holds."""

    folder: Path
    found: list[CheckedRecording] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # file, line where there is one, what is wrong
    left_out: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """Say what makes training or evaluation impossible although every file can be read."""
        with_seizures = {each.patient for each in self.found if each.seizures}
        said = []
        if not with_seizures:
            said.append("no recording has a seizure: sensitivity cannot be measured, and training is not possible")
        elif len(with_seizures) == 1:
            said.append("only one patient has seizures: training needs two, one of them for validation")
        return said

    def rows(self) -> list[tuple[str, int, int, int, float]]:
        """Return layout and split with recordings, patients, seizures and hours."""
        keys = sorted({(each.layout, each.split) for each in self.found})
        rows = []
        for layout, split in keys:
            chosen = [each for each in self.found if (each.layout, each.split) == (layout, split)]
            seizures = sum(len(each.seizures) for each in chosen)
            hours = sum(each.seconds for each in chosen) / 3600
            name = f"{layout} ({split})" if split else layout
            rows.append((name, len(chosen), len({each.patient for each in chosen}), seizures, hours))
        return rows

    def types(self) -> list[tuple[str, int, float]]:
        """Return the types of seizures with their number and seconds, most frequent first."""
        pairs = [pair for each in self.found for pair in each.seizures]
        return [
            (kind, number, sum(seconds for name, seconds in pairs if name == kind))
            for kind, number in Counter(kind for kind, _ in pairs).most_common()
        ]

    def ignored(self) -> dict[str, int]:
        """Return the types of rows that are not about seizures, with the number of recordings that have them."""
        return dict(Counter(kind for each in self.found for kind in each.ignored).most_common())

    def to_dict(self) -> dict[str, Any]:
        """Return everything in plain values."""
        found = [asdict(each) | {"path": str(each.path)} for each in self.found]
        return {
            "folder": str(self.folder),
            "usable": not self.problems and bool(self.found),
            "recordings": found,
            "ignored": self.ignored(),
            "problems": self.problems,
            "left_out": self.left_out,
            "remarks": self.remarks,
        }


def take_inventory(folder: str | Path) -> Inventory:
    """Read all headers and marks of a folder; a problem with one recording does not hide those of the next."""
    inventory = Inventory(Path(folder), left_out=list(passed_over(folder)))
    for path, item in look_for_items(folder).items():
        try:
            inventory.found.append(_examine(path, item))
            unread = {table: lacks for table, lacks in unknown_tables(path).items() if table.stem == path.stem}
            inventory.left_out += [f"left out: {table} {lacks}" for table, lacks in unread.items()]
        except RestError as error:
            inventory.problems.append(str(error))
    return inventory


def _examine(path: Path, item: Item | None) -> CheckedRecording:
    if item is None:
        what = "".join(f"; {table.name} {lacks}" for table, lacks in unknown_tables(path).items())
        raise AnnotationError(str(path), f"has no marks{what}", f"{path.stem}_events.tsv beside it, or a known layout")
    recording = open_recording(path)
    montage_of(recording, DOUBLE_BANANA)
    events = item.marks.read(recording)
    return CheckedRecording(
        path,
        item.source,
        item.patient,
        item.split or "",
        recording.duration,
        tuple((event.label, event.duration) for event in events),
        sum(span.stop - span.start for span in events.unscored),
        events.ignored,
    )
