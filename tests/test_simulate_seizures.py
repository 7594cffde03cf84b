"""Seizures: in their seconds, at their place, no louder than what is not one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulator import SZCORE_TYPES

from restcli.signal.montage import DOUBLE_BANANA, derive
from restcli.simulate.background import draw_brain
from restcli.simulate.discharge import Seizure, side_and_region
from restcli.simulate.draw import draw
from restcli.simulate.head import INDEX, direction, nearest_electrodes
from restcli.simulate.mimics import Maker, _add_periodic, _add_rhythmic_delta
from restcli.simulate.scene import SMALLEST, Scene, derivation_rms
from restcli.simulate.seizure_kinds import KINDS
from restcli.simulate.seizures import add_seizure, begin_early, draw_seizures
from restcli.simulate.waves import generator


def silence(kind: str, *, seed: int = 4) -> tuple[Scene, Seizure]:
    """Return a silent minute with one seizure of a kind from 20.3 s on, so that all that is there is ictal."""
    scene = Scene((seed,), 12000)
    duration = {"spasms": 1.6, "absence": 8.0}.get(kind, 15.0)
    brain = draw_brain(generator(seed))
    seizure = Seizure(kind, 20.3, duration, seed)
    event = add_seizure(scene, brain, seizure)
    assert event.onset == 20.3 and event.duration == pytest.approx(duration)
    assert event.label in SZCORE_TYPES
    return scene, seizure


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_seizure_lies_in_its_seconds_and_nowhere_else(kind: str) -> None:
    scene, seizure = silence(kind)
    level = np.sqrt((scene.data[:19] ** 2).mean(axis=0)).reshape(60, 200).mean(axis=1)
    inside = np.zeros(60, dtype=bool)
    inside[20 : int(np.ceil(seizure.onset + seizure.duration))] = True
    after = scene.states.get("postictal", np.zeros(60, dtype=bool))
    assert np.all(level[21 : int(seizure.onset + seizure.duration) - 1] > 0)
    assert np.abs(scene.data[:19]).max() > SMALLEST
    tail = 1 if kind == "spasms" else 0  # the slow wave of a spasm dies away within a second
    assert np.all(level[:20] == 0)
    assert np.all(
        level[int(np.ceil(seizure.onset + seizure.duration)) + tail :][
            ~after[int(np.ceil(seizure.onset + seizure.duration)) + tail :]
        ]
        == 0
    )
    assert np.array_equal(scene.states["seizure"], inside)


def noisy(seed: int, n: int) -> Scene:
    """Return a scene of white noise, so that the rise of what is added can be measured."""
    scene = Scene((seed,), n)
    scene.data += (20 * generator(seed).standard_normal(scene.data.shape)).astype(np.float32)
    return scene


def test_the_rise_noted_of_a_seizure_is_the_one_that_it_has() -> None:
    noted = []
    for seed in range(16):
        scene = noisy(seed, 12000)
        before = derivation_rms(scene.data)
        seizure = Seizure("temporal", 20.3, 15.0, seed)
        with pytest.MonkeyPatch.context() as patch:  # muscle comes on top
            patch.setattr("restcli.simulate.seizures._add_body", lambda *_: None)
            add_seizure(scene, draw_brain(generator(seed)), seizure)
        row = next(row for row in scene.drawn if row["what"] == "seizure")
        rises = np.log(derivation_rms(scene.data[:, scene.span(20.3, 15.0)]) / before)
        assert np.median(rises) == pytest.approx(row["rise"], abs=0.05)
        assert np.quantile(rises, 0.75) == pytest.approx(row["rise_of_quarter"], abs=0.05)
        noted.append(row["rise_of_quarter"])
    assert 0 < min(noted) < 0.5 and 1.2 < max(noted) < 2.5  # quiet and loud ones


@pytest.mark.parametrize("add", [_add_periodic, _add_rhythmic_delta])
def test_the_size_noted_of_a_mimic_is_the_one_asked_for(add: Maker) -> None:
    wide = 0
    for seed in range(12):
        scene = noisy(seed, 24000)
        before = scene.data.copy()
        add(scene, draw_brain(generator(seed)), generator(seed))
        (row,) = scene.drawn
        assert ("rise" in row) != ("amplitude" in row)
        if "rise" in row:
            wide += 1
            span = scene.span(row["onset"], row["duration"])
            rises = np.log(derivation_rms(scene.data[:, span]) / derivation_rms(before[:, span]))
            capped = np.abs(scene.data - before)[:19].max() > 899
            assert capped or np.median(rises) == pytest.approx(row["rise"], abs=0.1)
    assert 0 < wide < 12


def test_a_focal_seizure_is_strongest_at_the_focus_that_is_told() -> None:
    """In a silent scene, before it has spread: the nearest derivations show most of a seizure of a temporal lobe."""
    right = 0
    for seed in range(20):
        scene = Scene((seed,), 12000)
        seizure = Seizure("temporal", 20.0, 20.0, seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("restcli.simulate.seizures._add_body", lambda *_: None)
            event = add_seizure(scene, draw_brain(generator(seed)), seizure)
        row = next(row for row in scene.drawn if row["what"] == "seizure")
        assert row["region"] == "temporal" and row["side"] == ("left" if seizure.place[0] < 0 else "right")
        assert set(event.channels) <= {"F7", "T3", "T5", "F8", "T4", "T6"}
        sides = [["FP1", "F7", "T3", "T5", "F3"], ["FP2", "F8", "T4", "T6", "F4"]]
        left, opposite = (np.abs(scene.data[[INDEX[name] for name in side], 4000:5600]).mean() for side in sides)
        right += (left > opposite) == (row["side"] == "left")
    assert right >= 17


def test_some_recordings_begin_in_a_seizure_and_some_hold_little_else() -> None:
    early = full = 0
    for seed in range(400):
        first = begin_early(generator(seed), [Seizure("focal", 30.0, 20.0, seed)], 120.0)[0]
        early += first.onset < 0
        full += first.duration > 80
    assert 10 < full < early < 100
    scene = noisy(0, 12000)
    event = add_seizure(scene, draw_brain(generator(0)), Seizure("focal", -5.0, 30.0, 3))
    assert (event.onset, event.stop) == (0.0, 25.0) and scene.states["seizure"][:25].all()


def test_seizures_are_apart_and_inside() -> None:
    for seed in range(200):
        kind = sorted(KINDS)[seed % len(KINDS)]
        seizures = draw_seizures(generator(seed), 120, kind)
        assert seizures
        stops = [seizure.onset + seizure.duration for seizure in seizures]
        assert seizures[0].onset >= 0 and stops[-1] <= 120
        assert all(after.onset >= stop + 4 - 1e-9 for after, stop in zip(seizures[1:], stops[:-1], strict=True))
        assert kind != "spasms" or max(seizure.duration for seizure in seizures) <= 2.5


def test_seizures_of_one_person_look_alike() -> None:
    seizure = Seizure("temporal", 10, 20, 7)
    assert np.array_equal(seizure.place, replace(seizure, onset=70.0).place)
    assert abs(seizure.place[0]) > 0.7  # over a temple


def test_places_have_names() -> None:
    assert nearest_electrodes(direction("C3"), 0.1) == ("C3",)
    assert set(nearest_electrodes(direction("F7+T3"), 0.6)) == {"F7", "T3"}
    assert side_and_region(direction("F4")) == ("right", "frontal")
    assert side_and_region(direction("O1+O2"))[0] == "midline"


def test_an_absence_has_its_rhythm() -> None:
    scene, _ = silence("absence")
    spectrum = np.abs(np.fft.rfft(scene.data[INDEX["FZ"], 4200:5600] * np.hanning(1400)))
    hertz = np.fft.rfftfreq(1400, 1 / 200)
    assert 2 <= hertz[spectrum.argmax()] <= 4.6


def test_loudness_is_not_the_mark_of_a_seizure() -> None:
    ictal, mimicking = [], []
    for seed in range(24):
        made = draw(seed)
        montage = derive(made.labels, DOUBLE_BANANA)
        nodes = (montage.matrix @ made.data[list(montage.channels)]).reshape(len(montage.nodes), 120, 200)
        level = np.median(nodes.std(axis=2), axis=0)
        label = made.events.mask(np.arange(120) + 0.5)
        hard = (made.states.get("mimic", ~label) | made.states.get("movement", ~label)) & ~label
        ictal.append(level[label])
        mimicking.append(level[hard])
    low, middle, high = np.percentile(np.concatenate(mimicking), [10, 50, 90])
    values = np.concatenate(ictal)
    assert 0.15 < np.mean(values > middle) < 0.85
    assert np.mean((values > low) & (values < high)) > 0.5
