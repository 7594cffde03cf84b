"""Seizures: in their seconds, at their place, no louder than what is not one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulator import SZCORE_TYPES

from restcli.signal.montage import DOUBLE_BANANA, derive
from restcli.simulate.background import draw_brain
from restcli.simulate.discharge import Seizure
from restcli.simulate.draw import draw
from restcli.simulate.head import INDEX
from restcli.simulate.mimics import Maker, _add_periodic, _add_rhythmic_delta
from restcli.simulate.scene import Scene, derivation_rms
from restcli.simulate.seizure_kinds import KINDS
from restcli.simulate.seizures import add_seizure, draw_seizures, onset_electrodes
from restcli.simulate.waves import generator


def silence(kind: str, *, seed: int = 4) -> tuple[Scene, Seizure]:
    """Return a silent minute with one seizure of a kind from 20.3 s on, so that all that is there is ictal."""
    scene = Scene((seed,), 12000)
    duration = {"spasms": 1.6, "absence": 8.0}.get(kind, 15.0)
    brain = draw_brain(generator(seed))
    seizure = Seizure(kind, 20.3, duration, seed)
    event = add_seizure(scene, brain, seizure)
    assert (event.onset, event.duration) == (20.3, duration)
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
    peak = np.abs(scene.data[:19]).max()
    assert peak > 0.8 * draw_brain(generator(4)).base  # visible in the background
    tail = 1 if kind == "spasms" else 0  # the slow wave of a spasm dies away within a second
    assert np.all(level[:20] == 0)
    assert np.all(
        level[int(np.ceil(seizure.onset + seizure.duration)) + tail :][
            ~after[int(np.ceil(seizure.onset + seizure.duration)) + tail :]
        ]
        == 0
    )
    assert np.array_equal(scene.states["seizure"], inside)


def test_what_lifted_a_discharge_is_noted() -> None:
    noted = []
    for seed in range(12):
        scene = Scene((seed,), 12000)
        brain = draw_brain(generator(seed))
        add_seizure(scene, brain, Seizure("temporal", 20.3, 15.0, seed))
        noted.append(next(row for row in scene.drawn if row["what"] == "seizure")["stand_out"])
    drawn = [wanted for wanted in noted if wanted is not None]
    assert 0 < len(drawn) < len(noted)  # a quarter is left as drawn
    assert len(set(drawn)) == len(drawn) and 1 <= min(drawn) <= max(drawn) <= 7


@pytest.mark.parametrize("add", [_add_periodic, _add_rhythmic_delta])
def test_the_size_noted_of_a_mimic_is_the_one_asked_for(add: Maker) -> None:
    wide = 0
    for seed in range(12):
        scene = Scene((seed,), 24000)
        scene.data += (20 * generator(seed).standard_normal(scene.data.shape)).astype(np.float32)
        before = scene.data.copy()
        add(scene, draw_brain(generator(seed)), generator(seed))
        (row,) = scene.drawn
        assert ("stand_out" in row) != ("amplitude" in row)
        if "stand_out" in row:
            wide += 1
            span = slice(max(0, round(row["onset"] * 200)), round((row["onset"] + row["duration"]) * 200))
            own, under = (float(np.median(derivation_rms(part[:, span]))) for part in (scene.data - before, before))
            capped = np.abs(scene.data - before)[:19].max() > 899
            assert own / under <= 1.02 * row["stand_out"]
            assert capped or own / under == pytest.approx(row["stand_out"], rel=0.02)
    assert 0 < wide < 12


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


def test_onset_electrodes_are_the_strongest() -> None:
    seen = np.zeros(21, dtype=np.float32)
    seen[[INDEX["T3"], INDEX["F7"], INDEX["CZ"]]] = [1.0, -0.7, 0.3]
    assert onset_electrodes(seen) == ("T3", "F7")
    assert onset_electrodes(None) == ("all",)
    assert onset_electrodes(np.ones(21, dtype=np.float32)) == ("all",)


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
