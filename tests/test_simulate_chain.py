"""The recording chain acts on everything: reference, filters, converter, lost electrodes, a pulled headbox."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from simulator import plain_chain

from restcli.simulate.chain import Recorder, Switchboard, refer
from restcli.simulate.draw import SimulateOptions, draw
from restcli.simulate.head import ELECTRODES_21, INDEX
from restcli.simulate.waves import generator


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
    whole = Recorder(chain, generator(1)).record(potentials, Switchboard(4000))
    recorder = Recorder(chain, generator(1))
    parts = np.concatenate(
        [recorder.record(potentials[:, a:b], Switchboard(b - a)) for a, b in ((0, 900), (900, 4000))], axis=1
    )
    assert np.abs(whole - parts).max() <= chain.step * 1.01


def test_a_constant_does_not_ring_at_the_start() -> None:
    chain = replace(plain_chain(), high_pass=1.0, high_order=3)
    out = Recorder(chain, generator(1)).record(np.full((21, 2000), 500.0, dtype=np.float32), Switchboard(2000))
    assert np.abs(out).max() < 0.1


def test_the_converter_clips_and_steps() -> None:
    chain = replace(plain_chain(), step=0.5, limit=100.0)
    potentials = generator(0).normal(0, 100, (21, 500)).astype(np.float32)
    out = Recorder(chain, generator(1)).record(potentials, Switchboard(500))
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
