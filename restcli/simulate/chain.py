"""The recording chain: reference, hum, filters, noise, lost electrodes and the converter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from scipy import signal

from restcli.simulate.head import ELECTRODES_21, INDEX, electrode_map
from restcli.simulate.profiles import Profile
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, Wave, WaveGenerator, overlap, scaled

_NEIGHBOURS = (("FP1", "FP2"), ("O1", "O2"), ("FP1", "F7"), ("FP2", "F8"), ("C3", "P3"), ("C4", "P4"), ("FZ", "CZ"))


@dataclass(frozen=True)
class Chain:
    """How a recording was made; corner frequencies of 0 mean no filter."""

    reference: str  # ears, average, ideal, an electrode, or two joined by +
    high_pass: float  # Hz
    high_order: int  # Butterworth
    low_pass: float  # Hz
    low_order: int  # Butterworth
    notch: float  # Hz
    notch_quality: float  # centre frequency over bandwidth
    noise: float  # white, µV RMS
    mains: float  # hum at the electrodes, µV
    mains_frequency: float  # 50 or 60 Hz
    missing: tuple[str, ...]  # electrodes that were not recorded
    step: float  # of the converter, µV
    limit: float  # of the converter, µV
    gain: float  # of all channels: a calibration error or a wrong unit
    mismatch: float = 0.0  # spread (ln) of the gains of single channels
    drift: float = 0.0  # slow noise of each electrode by itself, µV RMS
    tone: tuple[float, float] = (0.0, 0.0)  # Hz and µV of a disturbance by a pump, a screen or a telephone
    bridge: tuple[str, ...] = ()  # two neighbours joined by smeared paste: both show their mean


def draw_chain(rng: WaveGenerator) -> Chain:
    """Draw a recording chain from what hospitals use."""
    # Sinha et al., ACNS Guideline 1, J Clin Neurophysiol 2016, asks for .5-1 and 70 Hz and noise under 1.5 µV. A
    # high-pass of .1-1.6 Hz is a time constant of 1.6-.1 s; readers often store a low-pass of 30-70 Hz and a notch.
    low_pass = rng.pick({"0": 0.35, "70": 0.25, "50": 0.08, "45": 0.08, "40": 0.08, "35": 0.08, "30": 0.08})
    high_pass = rng.pick({"0": 0.1, "0.1": 0.2, "0.3": 0.2, "0.5": 0.25, "1": 0.15, "1.6": 0.1})
    country = 50.0 if rng.random() < 0.5 else 60.0
    reference = rng.pick({"ears": 0.35, "CZ": 0.15, "average": 0.15, "single": 0.1, "C3+C4": 0.1, "ideal": 0.15})
    if reference == "single":
        reference = rng.choose(ELECTRODES_21)
    missing: tuple[str, ...] = ()
    if rng.random() < 0.25:
        lost = rng.choice(19, size=int(rng.integers(1, 4)), replace=False)
        missing = tuple(ELECTRODES_21[i] for i in sorted(lost))
    return Chain(
        reference=reference,
        high_pass=float(high_pass),
        high_order=int(rng.integers(1, 4)),
        low_pass=float(low_pass),
        low_order=int(rng.integers(1, 9)),
        notch=country if rng.random() < 0.4 else 0.0,
        notch_quality=rng.uniform(5, 35),
        noise=rng.log_uniform(0.05, 1.5),
        mains=rng.log_uniform(0.1, 20) if rng.random() < 0.5 else 0.0,
        mains_frequency=country,
        missing=missing,
        step=rng.log_uniform(0.02, 0.5),
        limit=float(rng.choice([800.0, 1600.0, 3200.0, 8000.0, 16000.0])),
        gain=rng.log_uniform(0.5, 2) if rng.random() < 0.15 else 1.0,
        mismatch=rng.log_uniform(0.01, 0.15),  # gain tolerance and unequal scalp contact
        drift=rng.log_uniform(0.3, 6),  # half-cell noise of paste electrodes: under 10 µV
        tone=(rng.log_uniform(4, 90), rng.log_uniform(0.3, 12)) if rng.random() < 0.08 else (0.0, 0.0),
        bridge=rng.choose(_NEIGHBOURS) if rng.random() < 0.06 else (),
    )


class Switchboard:
    """What the machine does to a recording: it disconnects the head and adds signals after the reference."""

    def __init__(self, n: int) -> None:
        self.head: Float32Array = np.ones(n, dtype=np.float32)  # fraction of the head's signal that is left
        self.signal: Float32Array = np.zeros((len(ELECTRODES_21), n), dtype=np.float32)  # µV

    def insert(self, start: float, gains: Float32Array, wave: Wave, size: float = 1.0, *, head: float = 1.0) -> None:
        """Add `wave` (m,) times `size` and `gains` (21,) from `start` s on; a fraction `head` of the head is left."""
        inside, part = overlap(start, len(wave), len(self.head))
        self.head[inside] *= np.float32(head)
        self.signal[:, inside] += gains[:, None] * scaled(wave, size)[None, part]


def operate(scene: Scene, chain: Chain, profile: Profile) -> Switchboard:
    """Draw what technologist and machine do: calibration, impedance check, disconnection, shock, interference."""
    # Calibration: square waves of 20-200 µV at .5-2 Hz or sines of about 10 Hz; impedances: 1-63 Hz; a shock saturates
    # every channel, which recovers exponentially (ACNS Guideline 1, 2016; Tatum et al. 2011).
    board, rng = Switchboard(scene.n), scene.rng("machine")
    acts: dict[str, Callable[[Scene, Switchboard, WaveGenerator], None]] = {
        "calibration": _calibrate,
        "impedance_check": _check_impedances,
        "disconnection": partial(_disconnect, mains=chain.mains_frequency),
        "shock": _shock,
        "interference": _interfere,
    }
    for name, act in acts.items():
        for _ in range(rng.poisson(profile.machine[name] * scene.seconds / 3600)):
            act(scene, board, rng)
    return board


def _machine_span(scene: Scene, rng: WaveGenerator, shortest: float, longest: float) -> tuple[float, int]:
    duration = rng.log_uniform(shortest, longest)
    onset = rng.uniform(-duration / 2, scene.seconds - min(1.0, scene.seconds / 2))
    return onset, round(duration * SFREQ)


def _even_or_uneven(rng: WaveGenerator) -> Float32Array:
    """Draw the gains of a test signal: equal (it vanishes between electrodes), or unequal as in bipolar inputs."""
    even = rng.random() < 0.4
    return np.where(even, 1.0, rng.choice([-1, 1], 21) * np.exp(rng.normal(0, 0.7, 21))).astype(np.float32)


def _calibrate(scene: Scene, board: Switchboard, rng: WaveGenerator) -> None:
    onset, n = _machine_span(scene, rng, 4, 40)
    turn = np.arange(n) / SFREQ * rng.log_uniform(0.4, 2.5)
    if rng.random() < 0.7:
        wave = np.where(turn % 1 < 0.5, 1.0, -1.0 if rng.random() < 0.5 else 0.0)
    else:
        wave = np.sin(2 * np.pi * turn * rng.uniform(3, 12))
    amplitude = rng.log_uniform(20, 300)
    board.insert(onset, _even_or_uneven(rng), wave, amplitude, head=0.0)
    scene.log("machine", "calibration", onset, n, amplitude=amplitude)


def _check_impedances(scene: Scene, board: Switchboard, rng: WaveGenerator) -> None:
    onset, n = _machine_span(scene, rng, 3, 60)
    frequency = float(rng.choice([1, 2, 5, 7.8, 10, 12.5, 20, 30, 31.2, 62.5]))
    wave = np.sin(2 * np.pi * frequency * np.arange(n) / SFREQ)
    wave = np.sign(wave) if rng.random() < 0.4 else wave
    amplitude, left = rng.log_uniform(15, 1500), float(rng.choice([0.0, 1.0]))
    if rng.random() < 0.5:
        board.insert(onset, _even_or_uneven(rng), wave, amplitude, head=left)
    else:  # one electrode after the other
        for index, electrode in enumerate(rng.permutation(21)):
            gains = electrode_map(electrode) * np.float32(np.exp(rng.normal(0, 0.5)))
            part = wave[: n // 21]
            board.insert(onset + index * len(part) / SFREQ, gains, part, amplitude, head=left)
    scene.log("machine", "impedance_check", onset, n, frequency=frequency, amplitude=amplitude)


def _disconnect(scene: Scene, board: Switchboard, rng: WaveGenerator, mains: float) -> None:
    onset, n = _machine_span(scene, rng, 2, 100)
    board.insert(onset, np.ones(21, dtype=np.float32), np.zeros(n, dtype=np.float32), head=0.0)
    kind = rng.pick({"silence": 0.4, "hum": 0.3, "drift": 0.3})
    for electrode in range(21):
        gains = electrode_map(electrode) * np.float32(np.exp(rng.normal(0, 0.7)))
        if kind == "hum":
            turn = 2 * np.pi * (mains * np.arange(n) / SFREQ + rng.uniform())
            board.insert(onset, gains, np.sin(turn), rng.log_uniform(5, 200))
        elif kind == "drift":
            wave = rng.coloured_noise(n, np.array([rng.uniform(0.5, 2.2)]), np.array([0.3]))[0]
            board.insert(onset, gains, wave, rng.log_uniform(3, 60))
    scene.log("machine", "disconnected", onset, n, leaves=kind)


def _shock(scene: Scene, board: Switchboard, rng: WaveGenerator) -> None:
    for onset in rng.uniform(0, scene.seconds, int(rng.integers(1, 4))).tolist():
        n = rng.samples(1, 12)
        decay = np.exp(-np.arange(n) / (n / 6))
        gains = (rng.choice([-1, 1], 21) * np.exp(rng.normal(0, 0.6, 21))).astype(np.float32)
        amplitude = rng.log_uniform(200, 5000)
        board.insert(onset, gains, decay, amplitude)
        scene.mark("machine", onset, n / SFREQ)
        scene.note("shock", onset=onset, amplitude=amplitude)


def _interfere(scene: Scene, board: Switchboard, rng: WaveGenerator) -> None:
    """Add a regular disturbance by a pump, a telephone or a warmer: .5-40 Hz, 3-80 µV, 2-60 s."""
    onset, n = _machine_span(scene, rng, 2, 60)
    turn = np.arange(n) / SFREQ * rng.log_uniform(0.5, 40)
    wave = np.sin(2 * np.pi * turn) if rng.random() < 0.5 else np.exp(-(turn % 1) / rng.uniform(0.02, 0.2)) - 0.1
    amplitude = rng.log_uniform(3, 80)
    gains = np.exp(rng.normal(0, 0.8, 21)).astype(np.float32)
    board.insert(onset, gains, wave, amplitude)
    scene.log("machine", "interference", onset, n, amplitude=amplitude)


class Recorder:
    """Run potentials through a chain segment by segment; filters keep their state in between."""

    def __init__(self, chain: Chain, rng: WaveGenerator) -> None:
        self.chain = chain
        self._rng = rng
        self._sections = _sections(chain)
        self._state: FloatArray | None = None
        self._time = 0
        self._hum = (rng.normal(0, 1, (2, len(ELECTRODES_21))) * chain.mains / np.sqrt(2)).astype(np.float32)
        self._tone = (chain.tone[1] * np.exp(rng.normal(0, 0.6, 21))).astype(np.float32)
        self._drift = (chain.drift * np.exp(rng.normal(0, 0.7, 21))).astype(np.float32)
        self._gains = (chain.gain * np.exp(rng.normal(0, chain.mismatch, (21, 1)))).astype(np.float32)
        self.labels = tuple(name for name in ELECTRODES_21 if name not in chain.missing)
        self._keep = [INDEX[name] for name in self.labels]

    def record(self, potentials: Float32Array, board: Switchboard) -> Float32Array:
        """Record the next stretch: (21, n) µV against infinity -> (C, n) µV as stored."""
        chain, n = self.chain, potentials.shape[1]
        if chain.drift > 0:
            own = self._rng.coloured_noise(n, self._rng.uniform(1.0, 2.2, 21), np.full(21, 0.2), high=30.0)
            potentials = potentials + own * self._drift[:, None]
        data = refer(potentials, chain.reference)
        if chain.bridge:
            joined = [INDEX[name] for name in chain.bridge]
            data[joined] = data[joined].mean(axis=0)
        data = data * board.head[:n] + board.signal[:, :n]
        if chain.mains > 0:
            turn = 2 * np.pi * chain.mains_frequency * (np.arange(n) + self._time) / SFREQ
            for gains, wave in zip(self._hum, (np.sin(turn), np.cos(turn)), strict=True):
                data += gains[:, None] * wave.astype(np.float32)
        if chain.tone[1] > 0:
            turn = 2 * np.pi * chain.tone[0] * (np.arange(n) + self._time) / SFREQ
            data += self._tone[:, None] * np.sin(turn).astype(np.float32)
        data += chain.noise * self._rng.standard_normal(data.shape, dtype=np.float32)
        self._time += n
        data = self._filtered(data[self._keep])
        data = np.clip(data * self._gains[self._keep], -chain.limit, chain.limit)
        return np.asarray(np.round(data / np.float32(chain.step)) * np.float32(chain.step), dtype=np.float32)

    def _filtered(self, data: Float32Array) -> Float32Array:
        if self._sections is None:
            return data
        if self._state is None:
            # As if the first sample had always been there: no transient.
            start = signal.sosfilt_zi(self._sections)[:, None]
            self._state = start * data[None, :, :1].mean(axis=2)[..., None]
        # In double precision: the poles of a .1-Hz high-pass are too close to 1 for single.
        filtered, self._state = signal.sosfilt(self._sections, data.astype(np.float64), axis=1, zi=self._state)
        return cast("Float32Array", filtered.astype(np.float32))


def refer(potentials: Float32Array, reference: str) -> Float32Array:
    """Subtract the reference, which records body and brain like any electrode; return a copy."""
    if reference == "ideal":
        return potentials.copy()
    if reference == "average":
        return cast("Float32Array", potentials - potentials[:19].mean(axis=0))
    names = ("A1", "A2") if reference == "ears" else tuple(reference.split("+"))
    return cast("Float32Array", potentials - potentials[[INDEX[name] for name in names]].mean(axis=0))


def _sections(chain: Chain) -> FloatArray | None:
    """Return the second-order sections of all filters, (S, 6)."""
    parts = []
    if chain.high_pass > 0:
        parts.append(signal.butter(chain.high_order, chain.high_pass, "highpass", fs=SFREQ, output="sos"))
    if chain.low_pass > 0:
        parts.append(signal.butter(chain.low_order, chain.low_pass, "lowpass", fs=SFREQ, output="sos"))
    if chain.notch > 0:
        parts.append(signal.tf2sos(*signal.iirnotch(chain.notch, chain.notch_quality, fs=SFREQ)))
    return np.concatenate(parts) if parts else None
