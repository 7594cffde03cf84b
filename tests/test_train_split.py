"""No patient on both sides; an official split only where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from train_examples import TINY, made_examples

from restcli.errors import UsageError
from restcli.events import Event, Events
from restcli.train.settings import TrainSettings
from restcli.train.split import check_split, sides_of, split_examples, with_fold
from restcli.train.store import Task


def _task(patient: str, split: str = "", *, seizures: bool = True, key: str = "k") -> Task:
    events = Events((Event(10.0, 5.0),) if seizures else (), 60.0)
    return Task(key, "made", patient, split, path=Path(f"{patient}.edf"), events=events)


def test_patients_never_straddle_the_split_and_each_validates_once() -> None:
    tasks = [_task(f"patient{i % 7}", key=f"k{i}") for i in range(50)]
    found = [sides_of(tasks, TrainSettings(folds=5, fold=fold)) for fold in range(5)]
    for task in tasks:
        assert sorted(sides[task.patient] for sides in found) == ["train"] * 4 + ["validation"]


def test_a_split_does_not_depend_on_the_order_or_on_other_patients() -> None:
    tasks = [_task(f"patient{i}") for i in range(20)]
    sides = sides_of(tasks, TrainSettings())
    assert sides_of(tasks[::-1], TrainSettings()) == sides
    assert sides_of(tasks[:10], TrainSettings()).items() <= sides.items()


def test_an_official_evaluation_set_is_never_touched() -> None:
    tasks = [_task("a", "train"), _task("b", "dev"), _task("c", "eval")]
    official = sides_of(tasks, TrainSettings(split="official"))
    assert official == {"a": "train", "b": "validation", "c": "neither"}
    other = [*tasks, _task("c", "train")]  # a patient who is in the evaluation set with one recording
    assert sides_of(other, TrainSettings())["c"] == "neither"
    with pytest.raises(UsageError, match="1 patients are in two of train, dev and eval"):
        sides_of(other, TrainSettings(split="official"))


def test_an_official_split_is_refused_where_there_is_none() -> None:
    for lacking in (_task("d"), Task("k", "simulated", "sim-0", seed=0, seconds=60.0)):
        with pytest.raises(UsageError, match="1 of 3 recordings have no official split") as raised:
            check_split([_task("a", "train"), _task("b", "dev"), lacking], TrainSettings(split="official"))
        assert raised.value.exit_code == 2 and "--split patient" in str(raised.value)


def test_a_fold_without_seizures_is_refused_with_the_folds_that_have_some() -> None:
    settings = TrainSettings(folds=3)
    patients = [f"p{k}" for k in range(12)]
    fold_of = {p: k for p in patients for k in range(3) if _validates(p, replace(settings, fold=k))}
    tasks = [_task(p, seizures=fold_of[p] > 0) for p in patients]
    with pytest.raises(
        UsageError, match=r"the validation side has no seizure.*Pass --fold 1 \(all that would do: 1, 2"
    ):
        check_split(tasks, settings)
    check_split(tasks, replace(settings, fold=1))
    assert with_fold(tasks, settings).fold == 1
    simulated = [Task(f"k{k}", "simulated", f"sim-{k}", seed=k, seconds=60.0) for k in range(9)]
    assert with_fold(simulated, settings).fold == 0
    assert with_fold([*simulated, *tasks], settings).fold == 1, "real recordings have seizures on both sides"
    assert with_fold(tasks, replace(settings, fold=0)).fold == 0, "asked for"
    with pytest.raises(UsageError, match="Give recordings of more patients"):
        check_split([_task("only")], settings)


def _validates(patient: str, settings: TrainSettings) -> bool:
    return sides_of([_task(patient)], settings)[patient] == "validation"


def test_a_side_without_scored_seizure_is_refused() -> None:
    examples = made_examples(n=8)
    quiet = examples.subset(lambda task: int(task.key.removeprefix("key")) % 2 == 1)
    sides = sides_of([example.task for example in quiet.items], replace(TINY, folds=2))
    with pytest.raises(UsageError, match="has no seizure"):
        split_examples(quiet, sides)
