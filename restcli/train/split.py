"""Training and validation: no patient is ever on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from restcli.errors import UsageError
from restcli.train.settings import TrainSettings
from restcli.train.store import BACKGROUND, SEIZURE, Examples, Task, content_key

Side = Literal["train", "validation", "neither"]
_USED: tuple[Side, ...] = ("train", "validation")
_OFFICIAL: dict[str, Side] = {"train": "train", "dev": "validation", "eval": "neither"}


def sides_of(tasks: Sequence[Task], settings: TrainSettings) -> dict[str, Side]:
    """Return the side of each patient; those of an official evaluation set are on neither."""
    # Patients are assigned to folds by a hash of their name, or by the split that the data set comes with.
    if settings.split == "official":
        return _official_sides(tasks)
    held_out = {task.patient for task in tasks if task.split == "eval"}
    sides: dict[str, Side] = {}
    for patient in {task.patient for task in tasks}:
        fold = int(content_key("fold", 0, patient), 16) % settings.folds
        sides[patient] = "validation" if fold == (settings.fold or 0) else "train"
    return sides | dict.fromkeys(held_out, "neither")


def _official_sides(tasks: Sequence[Task]) -> dict[str, Side]:
    without = [task for task in tasks if task.split not in _OFFICIAL]
    if without:
        raise UsageError(
            "--split official",
            f"{len(without)} of {len(tasks)} recordings have no official split, such as {without[0].path or 'sim:'}",
            "train, dev and eval folders as in TUSZ",
            "Pass --split patient",
        )
    sides = {task.patient: _OFFICIAL[task.split] for task in tasks}
    both = {task.patient for task in tasks if sides[task.patient] != _OFFICIAL[task.split]}
    if both:
        what = f"{len(both)} patients are in two of train, dev and eval"
        raise UsageError("--split official", what, "each patient on one side", "Pass --split patient")
    return sides


def with_fold(tasks: Sequence[Task], settings: TrainSettings) -> TrainSettings:
    """Return the settings with a fold: the one asked for, else the first that would do, by real ones."""
    if settings.fold is not None:
        return settings
    real = [task for task in tasks if task.seed is None]
    usable = _usable_folds(real, settings) or _usable_folds(tasks, settings)
    return replace(settings, fold=usable[0] if usable else 0)


def _usable_folds(tasks: Sequence[Task], settings: TrainSettings) -> list[int]:
    """Return the folds that leave seizures and background on both sides."""
    folds = range(settings.folds if settings.split == "patient" else 0)
    return [fold for fold in folds if not _fault(tasks, sides_of(tasks, replace(settings, fold=fold)))]


def check_split(tasks: Sequence[Task], settings: TrainSettings) -> dict[str, Side]:
    """Return the sides after checking, before anything is computed, that both can have seizures and background."""
    sides = sides_of(tasks, settings)
    fault = _fault(tasks, sides)
    if fault:
        raise _one_sided(*fault, _usable_folds(tasks, settings))
    return sides


def _fault(tasks: Sequence[Task], sides: Mapping[str, Side]) -> tuple[Side, str] | None:
    """Return a side that lacks something, and what."""
    for side in _USED:
        lacks = _lacks([task for task in tasks if sides[task.patient] == side])
        if lacks:
            return side, lacks
    return None


def _lacks(tasks: Sequence[Task]) -> str:
    """Say what the recordings of one side lack; nothing is known of simulated ones before they are drawn."""
    if any(task.seed is not None for task in tasks):
        return ""
    marks = [task.events for task in tasks if task.events is not None]
    labelled = [sum(event.duration for event in events if not event.label.startswith("bckg")) for events in marks]
    if not any(labelled):
        return "seizure"
    return "" if any(s < events.duration for s, events in zip(labelled, marks, strict=True)) else "background"


def _one_sided(side: str, lacks: str, folds: Sequence[int]) -> UsageError:
    remedy = "Give recordings of more patients, or fewer --folds"
    if folds:
        remedy = f"Pass --fold {folds[0]} (all that would do: {', '.join(map(str, folds))})"
    name = "training" if side == "train" else side
    return UsageError("DATA", f"the {name} side has no {lacks}", "seizures and background on both sides", remedy)


def split_examples(examples: Examples, sides: Mapping[str, Side]) -> tuple[Examples, Examples]:
    """Return the training and the validation side."""
    parts = {side: examples.subset(lambda task, side=side: sides[task.patient] == side) for side in _USED}  # type: ignore[misc]
    for side, part in parts.items():
        labels = part.labels()
        if not (labels >= SEIZURE).any() or not (labels == BACKGROUND).any():
            raise _one_sided(side, "background" if (labels >= SEIZURE).any() else "seizure", ())
    return parts["train"], parts["validation"]
