"""The simulator: same seed, same bytes; labels that are true; a chain after the mixing; files that others can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import mne
import numpy as np
import pyedflib
import pytest

from restcli.errors import OutputError, UsageError
from restcli.io.registry import open_recording
from restcli.marks.registry import read_events
from restcli.output.plots.simulated import save_pages
from restcli.output.plots.traces import read_traces
from restcli.signal.montage import DOUBLE_BANANA, derive, parse_label
from restcli.simulate.background import draw_brain, posterior_frequency
from restcli.simulate.bids import DatasetSettings, _resampled, write_dataset
from restcli.simulate.chain import Recorder, Switchboard, draw_chain, refer
from restcli.simulate.discharge import Seizure
from restcli.simulate.draw import SEGMENT, SimulateOptions, draw, draw_long
from restcli.simulate.head import ELECTRODES_21, INDEX, MIRROR, dipole_maps, direction, positions
from restcli.simulate.mimics import Maker, _add_periodic, _add_rhythmic_delta
from restcli.simulate.realism import Background, describe, realism
from restcli.simulate.scene import Scene, derivation_rms
from restcli.simulate.seizure_kinds import KINDS
from restcli.simulate.seizures import add_seizure, draw_seizures, onset_electrodes
from restcli.simulate.waves import (
    band_noise,
    coloured_noise,
    cycle_table,
    edges,
    fft_length,
    generator,
    gliding_phase,
    play,
    rhythm,
)

SZCORE_TYPES = {
    "sz_foc",
    "sz_foc_ia",
    "sz_foc_ua_m",
    "sz_foc_f2b",
    "sz_gen_nm",
    "sz_gen_nm_typical",
    "sz_gen_nm_atypical",
    "sz_gen_m_tonicClonic",
    "sz_gen_m_tonic",
    "sz_gen_m_clonic",
    "sz_gen_m_spasms",
}


# --- waves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [20, 199, 4000, 4001, 24000])
def test_noise_has_unit_power_and_the_wanted_length(n: int) -> None:
    noise = coloured_noise(generator(0), n, np.full(8, 1.0), np.full(8, 2.0))
    assert noise.shape == (8, n) and noise.dtype == np.float32
    assert fft_length(n) >= n and fft_length(n) % 2 == 0
    if n >= 4000:
        assert 0.85 < np.sqrt((noise**2).mean()) < 1.15


def test_a_rhythm_peaks_at_its_frequency() -> None:
    spectrum = np.abs(np.fft.rfft(rhythm(generator(0), 20000, 10.0, 0.5)))
    assert abs(np.fft.rfftfreq(20000, 1 / 200)[spectrum.argmax()] - 10) < 1.5


def test_band_noise_keeps_to_its_band() -> None:
    power = np.abs(np.fft.rfft(band_noise(generator(0), 20000, 20, 60))) ** 2
    hertz = np.fft.rfftfreq(20000, 1 / 200)
    assert power[(hertz > 20) & (hertz < 60)].sum() > 0.8 * power.sum()
    assert power[hertz < 10].sum() < 0.02 * power.sum()


@pytest.mark.parametrize("kind", ["sine", "sharp", "spike_wave", "triangle", "pulse"])
def test_every_waveform_is_periodic_without_offset(kind: str) -> None:
    table = cycle_table(generator(3), kind)
    assert np.abs(table).max() == pytest.approx(1, abs=1e-6)
    assert abs(float(table.mean())) < 1e-6
    phase = np.arange(0, 3, 0.01)
    assert np.array_equal(play(table, phase), play(table, phase + 1))


def test_a_phase_follows_its_frequencies() -> None:
    phase = gliding_phase(generator(0), 20000, (8.0, 2.0), jitter=0.0)
    rate = np.diff(phase) * 200
    assert rate[0] == pytest.approx(8, rel=1e-3) and rate[-1] == pytest.approx(2, rel=1e-3)
    assert np.all(np.diff(rate) <= 1e-9)


def test_edges_are_smooth_and_end_near_nothing() -> None:
    window = edges(1000, 1.0, 2.0)
    assert window[0] < 0.01 and window[-1] < 0.01 and window[500] == 1


def test_a_dipole_is_seen_best_above_it() -> None:
    radial = dipole_maps(generator(0), np.repeat(direction("C3")[None], 200, axis=0), depth=(0.75, 0.8))
    assert np.abs(radial[:19]).max(axis=0) == pytest.approx(1)
    best = np.argmax(np.abs(radial[:19]), axis=0)
    assert np.mean(best == INDEX["C3"]) > 0.7


def test_the_mirror_swaps_left_and_right() -> None:
    assert np.allclose(positions()[MIRROR], positions() * [-1, 1, 1])


def test_components_draw_from_their_own_chance() -> None:
    scene = Scene((1,), 200)
    assert scene.rng("a").random() != scene.rng("b").random()
    assert scene.rng("a").random() == Scene((1,), 400).rng("a").random()


def test_what_lies_outside_the_scene_is_cut() -> None:
    scene = Scene((1,), 200)
    ones = np.ones(21, dtype=np.float32)
    for start in (-0.5, 0.5, -5.0, 5.0):
        scene.add(ones, start, np.ones(200, dtype=np.float32))
    assert np.array_equal(scene.data[0], np.ones(200))
    scene.mark("x", -3, 0.2)
    scene.mark("x", 0.9, 40)
    assert scene.states["x"].tolist() == [True]


@pytest.mark.parametrize("wanted", [0.5, 3.0])
def test_a_layer_stands_out_as_wanted_while_it_lasts(wanted: float) -> None:
    scene = Scene((1,), 4000)
    scene.data += (20 * generator(1).standard_normal(scene.data.shape)).astype(np.float32)
    scene.data[:, :1000] *= 10  # what lies before does not count
    before = scene.data.copy()
    with scene.layer():
        scene.data[:, 1000:3000] += (5 * generator(2).standard_normal((21, 2000))).astype(np.float32)
        scene.data *= scene.layer_gain(5.0, 10.0, wanted)
    parts = (part[:, 1000:3000] for part in (scene.data - before, before))
    own, under = (float(np.median(derivation_rms(part))) for part in parts)
    assert own / under == pytest.approx(wanted, rel=1e-3)


def test_a_layer_stands_out_by_no_more_than_an_electrode_may_have() -> None:
    scene = Scene((1,), 4000)
    scene.data += (300 * generator(1).standard_normal(scene.data.shape)).astype(np.float32)
    with scene.layer():
        scene.data += (5 * generator(2).standard_normal(scene.data.shape)).astype(np.float32)
        factor = scene.layer_gain(0.0, 20.0, 50.0)
        assert float(np.abs(scene.data[:19]).max() * factor) == pytest.approx(900, rel=1e-4)
    with pytest.raises(ValueError, match="no layer"):
        scene.layer_gain(0.0, 20.0, 1.0)


# --- recordings ------------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_other_seed_others() -> None:
    first, again, other = draw(11, seconds=30), draw(11, seconds=30), draw(12, seconds=30)
    assert first.data.tobytes() == again.data.tobytes()
    assert json.dumps(first.drawn) == json.dumps(again.drawn)
    assert first.events == again.events
    assert first.data.tobytes() != other.data.tobytes()


def test_bytes_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import hashlib; from restcli.simulate.draw import draw;"
        "print(hashlib.sha256(b''.join(draw(s, seconds=60).data.tobytes() for s in range(3))).hexdigest())"
    )
    sums = set()
    for threads in ("1", "2"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        sums.add(result.stdout)
    assert len(sums) == 1


def test_recordings_are_sound() -> None:
    shares, levels = [], []
    for seed in range(16):
        made = draw(seed, seconds=60)
        assert made.data.dtype == np.float32 and made.data.shape == (len(made.labels), 12000)
        assert np.isfinite(made.data).all()
        assert set(made.labels) <= set(ELECTRODES_21) and len(made.labels) >= 18
        assert all(len(mask) == 60 for mask in made.states.values())
        assert {event.label for event in made.events} <= SZCORE_TYPES
        assert all(set(event.channels) <= {*ELECTRODES_21, "all"} and event.channels for event in made.events)
        assert json.loads(json.dumps(made.drawn, allow_nan=False))["seed"] == seed
        shares.append(made.events.mask(np.arange(60) + 0.5).mean())
        levels.append(np.median(made.data.std(axis=1)))
    assert 0.05 < np.mean(shares) < 0.6
    # Electrodes of people show 5-100 uV, not mV and not nV.
    assert 8 < np.median(levels) < 80


def test_options_are_obeyed() -> None:
    options = SimulateOptions(0.0, ages=(1.5, 8), state="awake", healthy=True)
    for seed in range(5):
        made = draw(seed, seconds=20, options=options)
        background = next(row for row in made.drawn["scene"] if row["what"] == "background")
        assert 1.5 <= background["age"] <= 8 and background["state"] == "awake"
        assert not made.events.events and "mimic" not in made.states
    assert len(draw(0, seconds=60, options=SimulateOptions(1.0)).events) > 0


def test_senseless_options_are_refused() -> None:
    with pytest.raises(UsageError):
        SimulateOptions(1.5)
    with pytest.raises(UsageError):
        draw(0, seconds=10, options=SimulateOptions(state="infant"))


def test_the_posterior_rhythm_grows_up() -> None:
    assert (
        posterior_frequency(0.4)
        < 5
        < posterior_frequency(1.0)
        < 7
        < posterior_frequency(4)
        < 9
        < posterior_frequency(25)
    )
    young = [b.base for b in (draw_brain(generator(i)) for i in range(300)) if b.age < 12]
    old = [b.base for b in (draw_brain(generator(i)) for i in range(300)) if b.age > 20]
    assert np.median(young) > 1.5 * np.median(old)


# --- seizures --------------------------------------------------------------------------------------------------------


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
    for seed in range(40):
        made = draw(seed, seconds=60)
        montage = derive(made.labels, DOUBLE_BANANA)
        nodes = (montage.matrix @ made.data[list(montage.channels)]).reshape(len(montage.nodes), 60, 200)
        level = np.median(nodes.std(axis=2), axis=0)
        label = made.events.mask(np.arange(60) + 0.5)
        hard = (made.states.get("mimic", ~label) | made.states.get("movement", ~label)) & ~label
        ictal.append(level[label])
        mimicking.append(level[hard])
    low, middle, high = np.percentile(np.concatenate(mimicking), [10, 50, 90])
    values = np.concatenate(ictal)
    assert 0.15 < np.mean(values > middle) < 0.85
    assert np.mean((values > low) & (values < high)) > 0.5


# --- the chain -------------------------------------------------------------------------------------------------------


def plain_chain():
    drawn = draw_chain(generator(0))
    return replace(
        drawn,
        reference="ideal",
        high_pass=0.0,
        low_pass=0.0,
        notch=0.0,
        mains=0.0,
        noise=0.0,
        missing=(),
        step=0.01,
        gain=1.0,
        mismatch=0.0,
        drift=0.0,
        tone=(0.0, 0.0),
        bridge=(),
    )


def test_references_subtract_what_they_say() -> None:
    potentials = generator(0).normal(0, 10, (21, 50)).astype(np.float32)
    assert np.allclose(refer(potentials, "average")[:19].mean(axis=0), 0, atol=1e-4)
    assert np.allclose(refer(potentials, "CZ")[INDEX["CZ"]], 0)
    assert np.allclose(refer(potentials, "ears"), potentials - potentials[19:].mean(axis=0), atol=1e-4)
    assert refer(potentials, "ideal") is not potentials


def test_filters_act_on_everything() -> None:
    """After a 30-Hz low-pass nothing above it is left: no muscle, hum or noise slipped in behind the filter."""
    chain = replace(plain_chain(), low_pass=30.0, low_order=8, mains=20.0, mains_frequency=50.0, noise=1.0)
    made = draw(3, seconds=60, options=SimulateOptions(1.0, chain=chain))
    power = (np.abs(np.fft.rfft(made.data * np.hanning(12000), axis=1)) ** 2).mean(axis=0)
    hertz = np.fft.rfftfreq(12000, 1 / 200)
    assert power[(hertz > 55) | ((hertz > 46) & (hertz < 49.5))].max() < 1e-3 * np.median(
        power[(hertz > 2) & (hertz < 25)]
    )


def test_recording_in_pieces_is_recording_at_once() -> None:
    chain = replace(plain_chain(), high_pass=0.5, low_pass=40.0, notch=50.0, mains=5.0)
    potentials = generator(0).normal(0, 30, (21, 4000)).astype(np.float32)
    whole = Recorder(chain, generator(1)).record(potentials)
    recorder = Recorder(chain, generator(1))
    parts = np.concatenate([recorder.record(potentials[:, a:b]) for a, b in ((0, 900), (900, 4000))], axis=1)
    assert np.abs(whole - parts).max() <= chain.step * 1.01


def test_a_constant_does_not_ring_at_the_start() -> None:
    chain = replace(plain_chain(), high_pass=1.0, high_order=3)
    out = Recorder(chain, generator(1)).record(np.full((21, 2000), 500.0, dtype=np.float32))
    assert np.abs(out).max() < 0.1


def test_the_converter_clips_and_steps() -> None:
    chain = replace(plain_chain(), step=0.5, limit=100.0)
    out = Recorder(chain, generator(1)).record(generator(0).normal(0, 100, (21, 500)).astype(np.float32))
    assert out.max() == 100 and out.min() == -100
    assert np.allclose(out / 0.5, np.round(out / 0.5))


def test_missing_electrodes_are_missing() -> None:
    made = draw(0, seconds=10, options=SimulateOptions(chain=replace(plain_chain(), missing=("T3", "O2"))))
    assert set(ELECTRODES_21) - set(made.labels) == {"T3", "O2"}


def test_a_pulled_headbox_silences_the_head() -> None:
    board = Switchboard(1000)
    board.insert(1.0, np.ones(21, dtype=np.float32), np.zeros(400, dtype=np.float32), head=0.0)
    out = Recorder(plain_chain(), generator(1)).record(np.full((21, 1000), 50.0, dtype=np.float32), board)
    assert np.allclose(out[:, 200:600], 0) and np.allclose(out[:, 700:], 50)


# --- long recordings and files ---------------------------------------------------------------------------------------


def test_a_long_recording_comes_in_pieces_without_seams() -> None:
    seconds = 2 * SEGMENT + 100
    pieces = list(draw_long(8, seconds=seconds, seizures_per_day=300))
    assert [piece.data.shape[1] / 200 for piece in pieces] == [SEGMENT, SEGMENT, 100]
    assert len({piece.labels for piece in pieces}) == 1
    assert len({json.dumps(piece.drawn["chain"]) for piece in pieces}) == 1
    for before, after in pairwise(pieces):
        step = np.abs(after.data[:, 0] - before.data[:, -1])
        usual = np.abs(np.diff(before.data[:, -600:], axis=1)).max(axis=1)
        assert np.all(step <= 2 * usual + 2)


def test_seizures_a_day_are_kept_on_average() -> None:
    counts = [sum(bool(p.events.events) for p in draw_long(s, seconds=600, seizures_per_day=288)) for s in range(8)]
    assert 0.8 < np.mean(counts) < 3.2  # 2 episodes expected in each
    assert not any(len(p.events) for p in draw_long(1, seconds=400, seizures_per_day=0))


@pytest.mark.parametrize("rate", [100, 200, 256, 500])
def test_resampling_in_pieces_is_resampling_at_once(rate: int) -> None:
    pieces = list(draw_long(8, seconds=SEGMENT + 100, seizures_per_day=0))
    parts = [data for _, data in _resampled(pieces, rate)]
    joined = replace(pieces[0], data=np.concatenate([piece.data for piece in pieces], axis=1))
    (whole,) = [data for _, data in _resampled([joined], rate)]
    assert whole.shape[1] == 400 * rate
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 0.02


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, ...]]:
    root = tmp_path_factory.mktemp("simulated") / "out"
    return root, write_dataset(root, DatasetSettings(4, 0.05, 400.0, seed=5))


def test_a_dataset_is_bids(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    root, paths = dataset
    assert json.loads((root / "dataset_description.json").read_text())["BIDSVersion"] == "1.8.0"
    people = (root / "participants.tsv").read_text().splitlines()
    assert people[0].split("\t")[0] == "participant_id" and len(people) == 5
    for index, path in enumerate(paths):
        name = f"sub-{index + 1:03d}"
        assert path == root / name / "ses-01" / "eeg" / f"{name}_ses-01_task-szMonitoring_run-00_eeg.edf"
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert {"TaskName", "EEGReference", "SamplingFrequency", "PowerLineFrequency", "SoftwareFilters"} <= set(
            sidecar
        )
        assert sidecar["RecordingDuration"] == 180
        assert json.loads((root / "sourcedata" / path.name.replace("_eeg.edf", "_drawn.json")).read_text())["pieces"]
    assert not list(root.rglob("*.part"))


def test_others_read_the_files(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    for path in dataset[1]:
        sidecar = json.loads(path.with_suffix(".json").read_text())
        raw = mne.io.read_raw_edf(path, preload=True, verbose="ERROR")
        with pyedflib.EdfReader(str(path)) as reader:
            assert reader.getFileDuration() == 180
            assert reader.signals_in_file == len(raw.ch_names) == sidecar["EEGChannelCount"]
            assert reader.getSampleFrequency(0) == raw.info["sfreq"] == sidecar["SamplingFrequency"]
            one = reader.readSignal(2)
        assert np.allclose(raw.get_data()[2] * 1e6, one, atol=0.05)
        assert 1 < np.median(raw.get_data().std(axis=1)) * 1e6 < 500
        assert len(derive(raw.ch_names, DOUBLE_BANANA).nodes) >= 9
        assert all(parse_label(label) for label in raw.ch_names)


def test_the_files_hold_what_was_drawn(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    """Back from the file at 200 Hz: the samples are those of `draw_long`, and the table holds its seizures."""
    root, paths = dataset
    drawn = json.loads((root / "sourcedata" / paths[0].name.replace("_eeg.edf", "_drawn.json")).read_text())
    (piece,) = draw_long(drawn["seed"], seconds=180.0, seizures_per_day=400.0)
    table = read_events(str(paths[0]).replace("_eeg.edf", "_events.tsv"), duration=180)
    assert [event.label for event in table] == [event.label for event in piece.events]
    for read, made in zip(table, piece.events, strict=True):
        assert read.onset == pytest.approx(made.onset, abs=0.51) and read.channels == made.channels
    _, data = next(iter(_resampled([piece], drawn["stored"]["rate"])))
    with pyedflib.EdfReader(str(paths[0])) as reader:
        if drawn["stored"]["style"] != "chbmit":
            limit = reader.getPhysicalMaximum(0)
            assert np.abs(np.clip(data[0], -limit, limit) - reader.readSignal(0)).max() <= 1.1 * limit / 32767


def test_headers_name_nobody(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    for path in dataset[1]:
        head = path.read_bytes()[:256].decode("ascii")
        assert head[8:88].split() == ["X", "X", "X", "X"]
        assert head[88:168].split() == ["Startdate", "01-JAN-2000", "X", "X", "X"]


def test_the_same_plan_writes_the_same_bytes(dataset: tuple[Path, tuple[Path, ...]], tmp_path: Path) -> None:
    root, paths = dataset
    again = write_dataset(tmp_path / "again", DatasetSettings(2, 0.05, 400.0, seed=5))
    for path, other in zip(paths, again, strict=False):
        assert path.read_bytes() == other.read_bytes()
        assert path.with_suffix(".json").read_bytes() == other.with_suffix(".json").read_bytes()
    name = paths[1].name.replace("_eeg.edf", "_drawn.json")
    assert (root / "sourcedata" / name).read_bytes() == (tmp_path / "again" / "sourcedata" / name).read_bytes()


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not empty"):
        write_dataset(tmp_path, DatasetSettings(1, 0.05))
    with pytest.raises(UsageError):
        DatasetSettings(0, 1.0)
    with pytest.raises(UsageError):
        DatasetSettings(1, 0.001)


# --- realism and pictures --------------------------------------------------------------------------------------------


def made_backgrounds(first: int, gain: float = 1.0) -> list[Background]:
    options = SimulateOptions(0.0, healthy=True, state="awake", chain=plain_chain())
    made = (draw(seed, seconds=20, options=options) for seed in range(first, first + 8))
    return [Background(one.labels[:19], one.data[:19] * np.float32(gain)) for one in made]


def test_realism_tells_like_from_unlike() -> None:
    names, table = describe(made_backgrounds(100)[0])
    assert table.shape == (20, len(names)) and np.isfinite(table).all()
    alike = realism(made_backgrounds(100), made_backgrounds(200))
    louder = realism(made_backgrounds(100), made_backgrounds(100, gain=20.0))
    assert alike.auroc["logistic_shape"] < 0.8
    assert louder.auroc["boosting"] > 0.85 and louder.single[0][0] == "ln_rms" and louder.single[0][1] > 0.9
    assert alike.seconds == {"real": 160, "simulated": 160}


def test_pages_are_those_of_the_written_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_dataset(tmp_path / "data", DatasetSettings(2, 0.05, seizures_per_day=1500, seed=3))
    shown = []
    monkeypatch.setattr(
        "restcli.output.plots.simulated.plot_traces", lambda *page, **words: shown.append((page, words))
    )
    monkeypatch.setattr("restcli.output.plots.simulated.save_figure", lambda _, path: path)
    pages = save_pages(written, tmp_path / "pages", count=3)
    assert [page.name for page in pages] == ["page01.png", "page02.png", "page03.png"]
    assert [words["title"] for _, words in shown] == [written[0].name, written[1].name, written[0].name]
    for (traces, events), words in shown[:2]:
        path = next(path for path in written if path.name == words["title"])
        marks = read_events(path.with_name(path.name.replace("_eeg.edf", "_events.tsv")))
        assert events[0] == marks.events[0] and traces.limits[0] <= events[0].onset < traces.limits[1]
        recording = open_recording(path)
        np.testing.assert_array_equal(traces.data, read_traces(recording, *traces.limits).data)
