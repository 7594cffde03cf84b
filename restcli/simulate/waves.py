"""Waves, noise, a head and the scene they are mixed in; knows nothing of what any of them means clinically."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, electrode_position

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

SFREQ = 200.0
ELECTRODES_21 = (*ELECTRODES_19, "A1", "A2")
INDEX = {name: i for i, name in enumerate(ELECTRODES_21)}
_OTHER_SIDE = str.maketrans("12345678", "21436587")
# Where each electrode's mirror image stands: a field seen from the other half of the head is ``field[MIRROR]``.
MIRROR = np.array([INDEX[name.translate(_OTHER_SIDE)] for name in ELECTRODES_21])
_TABLE = 1024  # points in one cycle of a tabulated waveform: a spike of .05 cycle still has 50 points


# --- chance ----------------------------------------------------------------------------------------------------------


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from a range whose ends differ by a factor, every factor alike."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw one key; weights need not add up to one."""
    names = list(weights)
    cumulated = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(cumulated, rng.uniform(0, cumulated[-1]), side="right").clip(0, len(names) - 1))]


# --- the head --------------------------------------------------------------------------------------------------------


@cache
def positions() -> NDArray[np.float64]:
    """Return the 21 electrodes (19 and both ears) on the unit sphere, shape (21, 3)."""
    points = np.array([electrode_position(name) for name in ELECTRODES_21])
    points.setflags(write=False)
    return points


def direction(name: str) -> NDArray[np.float64]:
    """Return the place of an electrode, shape (3,), or the middle of several joined by ``+``."""
    point = np.sum([electrode_position(part) for part in name.split("+")], axis=0)
    return np.asarray(point / np.linalg.norm(point))


def dipole_maps(
    rng: np.random.Generator, directions: NDArray[np.float64], *, depth: tuple[float, float] = (0.45, 0.80)
) -> Float32Array:
    """Draw one cortical dipole under each direction and return what the electrodes see of it.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    directions : ndarray, shape (K, 3)
        Places on the unit sphere.
    depth : tuple of float
        Range of the dipoles' distance from the centre, in head radii. Cortex lies at .80-.87 of the scalp's radius;
        deeper equivalent dipoles stand for extended patches, whose fields are as wide as those of a deeper point.

    Returns
    -------
    ndarray of float32, shape (21, K)
        Potential of each dipole, scaled so that its largest absolute value over the 19 scalp electrodes is 1.

    Notes
    -----
    ``p . (r - r0) / |r - r0|^3``, the potential in an unbounded homogeneous medium. A layered sphere would smear it
    a little more; the random depth covers that. 70 % of dipoles are mostly radial (gyral crowns dominate the scalp
    EEG), the others point anywhere (sulcal walls).

    References
    ----------
    Nunez and Srinivasan, *Electric Fields of the Brain*, 2nd ed., Oxford University Press 2006.
    """
    count = len(directions)
    radius = rng.uniform(*depth, size=(count, 1))
    radial = directions + rng.normal(0, 0.3, (count, 3))
    moment = np.where(rng.random((count, 1)) < 0.7, radial, rng.normal(size=(count, 3)))
    moment /= np.linalg.norm(moment, axis=1, keepdims=True)
    away = positions()[:, None] - (directions * radius)[None]  # (21, K, 3)
    potential = (away * moment).sum(-1) / np.linalg.norm(away, axis=-1) ** 3
    return cast("Float32Array", (potential / np.abs(potential[:19]).max(axis=0)).astype(np.float32))


def dipole_map(
    rng: np.random.Generator,
    place: NDArray[np.float64],
    *,
    spread: float = 0.15,
    depth: tuple[float, float] = (0.5, 0.8),
) -> Float32Array:
    """Draw one dipole near `place` (jitter `spread`, head radii); see `dipole_maps`. Shape (21,)."""
    near = place + rng.normal(0, spread, 3)
    return dipole_maps(rng, (near / np.linalg.norm(near))[None], depth=depth)[:, 0]


def mix(maps: Float32Array, sources: Float32Array) -> Float32Array:
    """Return ``maps @ sources``, (21, K) by (K, n), with the same bytes whatever the number of threads.

    A matrix product that the library shares among threads adds up in another order; narrow slices are not shared.
    """
    mixed = np.empty((len(maps), sources.shape[1]), dtype=np.float32)
    width = max(1, 200_000 // maps.size)  # OpenBLAS starts threads above 2^18 multiplications
    for start in range(0, sources.shape[1], width):
        mixed[:, start : start + width] = maps @ sources[:, start : start + width]
    return mixed


def local_map(place: NDArray[np.float64], width: float) -> Float32Array:
    """Return a field that falls off as a Gaussian of the chord distance: muscle, or what moves an electrode."""
    distance = np.linalg.norm(positions() - place, axis=1)
    return cast("Float32Array", np.exp(-0.5 * (distance / width) ** 2).astype(np.float32))


def patch_maps(
    rng: np.random.Generator, centre: NDArray[np.float64], fall: float
) -> tuple[Float32Array, NDArray[np.float64]]:
    """Draw the cortex under every electrode taking part in one discharge, the less the farther from its centre.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    centre : ndarray, shape (3,)
        Where the discharge is strongest.
    fall : float
        Distance (chords of the unit sphere) over which the strength falls to 1/e: .3 one lobe, 2 a hemisphere and
        part of the other, 8 everywhere alike.

    Returns
    -------
    maps : ndarray of float32, shape (21, 19)
        Fields of 19 sources; the electrode that sees most sees a root sum of squares of 1.
    distance : ndarray, shape (19,)
        Of each source from the centre.

    References
    ----------
    Tao et al., *The impact of cerebral source area and synchrony on recording scalp electroencephalography ictal
    patterns*, Epilepsia 2007.
    """
    spots = positions()[:19] + rng.normal(0, 0.15, (19, 3))
    spots /= np.linalg.norm(spots, axis=1, keepdims=True)
    distance = np.linalg.norm(spots - centre, axis=1)
    strength = np.exp(-distance / fall + rng.normal(0, 0.4, 19)).astype(np.float32)
    maps = dipole_maps(rng, spots, depth=(0.5, 0.75)) * strength
    # In front and behind alike the crowns of the folds point outwards: neighbours have one sign.
    maps *= np.sign(maps[np.arange(19), np.arange(19)])
    maps /= np.sqrt((maps[:19] ** 2).sum(axis=1)).max()
    return maps, distance


_ENDS = np.array([[INDEX[end] for end in node.split("-")] for node in DOUBLE_BANANA])


def derivation_rms(potentials: Float32Array) -> Float32Array:
    """Return the root mean square between 1 and 40 Hz of the longitudinal bipolar derivations, (21, n) -> (18,), µV."""
    waves = potentials[_ENDS[:, 0]] - potentials[_ENDS[:, 1]]
    n = waves.shape[1]
    frequency = fft.rfftfreq(n, 1 / SFREQ)
    power = np.abs(fft.rfft(waves, axis=1)[:, (frequency >= 1) & (frequency <= 40)]) ** 2
    return cast("Float32Array", np.sqrt(2 * power.sum(axis=1)) / n)


def random_direction(rng: np.random.Generator, lowest: float = -0.1) -> NDArray[np.float64]:
    """Draw a place on the scalp, evenly over the sphere above height `lowest`."""
    height = rng.uniform(lowest, 1.0)
    angle = rng.uniform(0, 2 * np.pi)
    radius = np.sqrt(1 - height**2)
    return np.array([radius * np.cos(angle), radius * np.sin(angle), height])


def mirrored(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same place on the other side of the head."""
    return cast("NDArray[np.float64]", place * np.array([-1.0, 1.0, 1.0]))


def poisson_times(rng: np.random.Generator, rate: float, seconds: float) -> list[float]:
    """Draw the onsets (s) of events that come independently at `rate` a second."""
    return sorted(rng.uniform(0, seconds, int(rng.poisson(rate * seconds))).tolist())


# --- noise and envelopes ---------------------------------------------------------------------------------------------


def shaped_noise(rng: np.random.Generator, gain: Float32Array, n: int, *, low: int = 0) -> Float32Array:
    """Make Gaussian noise with given spectra and unit root mean square.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    gain : ndarray, shape (K, F)
        Amplitude of F neighbouring bins of the real FFT of length ``fft_length(n)``, the first being bin `low`.
    n : int
        Samples wanted.
    low : int
        First bin that `gain` speaks of; all others are empty.

    Returns
    -------
    ndarray of float32, shape (K, n)
    """
    count, width = gain.shape
    length = fft_length(n)
    spectrum = np.zeros((count, length // 2 + 1), dtype=np.complex64)
    parts = rng.standard_normal((count, width, 2), dtype=np.float32)
    spectrum[:, low : low + width] = parts.view(np.complex64)[..., 0] * gain
    spectrum[:, 0] = 0
    norm = length / np.sqrt(2 * 2 * np.maximum((gain.astype(np.float64) ** 2).sum(axis=1, keepdims=True), 1e-30))
    wave: Float32Array = fft.irfft(spectrum * norm.astype(np.float32), n=length, axis=1)[:, :n]
    return wave


def fft_length(n: int) -> int:
    """Return the FFT length used for `n` samples: fast, even and never shorter."""
    length = int(fft.next_fast_len(n, real=True))
    return length if length % 2 == 0 else int(fft.next_fast_len(n + n % 2 + 2, real=True)) // 2 * 2


def bin_frequencies(n: int) -> Float32Array:
    """Return the frequencies (Hz) of the real FFT that `shaped_noise` uses for `n` samples."""
    return np.asarray(fft.rfftfreq(fft_length(n), 1 / SFREQ), dtype=np.float32)


def coloured_noise(
    rng: np.random.Generator, n: int, slope: NDArray[np.float64], knee: NDArray[np.float64]
) -> Float32Array:
    """Make noise of power ``1 / (f + knee)^slope`` above .05 Hz, unit root mean square; slope, knee (K,) -> (K, n)."""
    frequency = bin_frequencies(n)
    corner = np.log(frequency[None] + knee.astype(np.float32)[:, None] + 1e-6)
    gain = np.exp(corner * (-0.5 * slope.astype(np.float32))[:, None])
    gain[:, frequency < 0.05] = 0
    return shaped_noise(rng, gain, n)


def rhythm(rng: np.random.Generator, n: int, frequency: float, width: float) -> Float32Array:
    """Make a narrow-band Gaussian rhythm, (n,), unit root mean square; it waxes and wanes over about 1/width s."""
    frequencies = bin_frequencies(n)
    low, high = np.searchsorted(frequencies, [max(0.05, frequency - 4 * width), frequency + 4 * width])
    high = max(high, low + 2)
    gain = np.exp(-0.5 * ((frequencies[low:high] - frequency) / width) ** 2)
    return cast("Float32Array", shaped_noise(rng, gain[None].astype(np.float32), n, low=int(low))[0])


def band_noise(rng: np.random.Generator, n: int, low: float, high: float) -> Float32Array:
    """Make noise between two frequencies (Hz) with soft edges, (n,), unit root mean square."""
    frequency = bin_frequencies(n).astype(np.float64)
    gain = 1 / np.sqrt(1 + (low / np.maximum(frequency, 1e-3)) ** 6) / np.sqrt(1 + (frequency / high) ** 8)
    return cast("Float32Array", shaped_noise(rng, gain[None].astype(np.float32), n)[0])


def slow_curve(rng: np.random.Generator, n: int, sigma: float, period: float) -> Float32Array:
    """Draw a positive curve that wanders about 1: exp of normal knots (`sigma`) every `period` s, joined by lines."""
    knots = int(np.ceil(n / SFREQ / period)) + 2
    values = rng.normal(0, sigma, knots) - 0.5 * sigma**2
    time = np.arange(n, dtype=np.float64) / SFREQ + rng.uniform(0, period)
    return np.exp(np.interp(time, np.arange(knots) * period, values)).astype(np.float32)


def edges(n: int, rise: float, fall: float) -> Float32Array:
    """Return a plateau of 1 with raised-cosine edges of `rise` and `fall` seconds, shape (n,)."""
    window = np.ones(n, dtype=np.float32)
    first, last = (min(n, max(1, round(seconds * SFREQ))) for seconds in (rise, fall))
    window[:first] *= (0.5 - 0.5 * np.cos(np.pi * (np.arange(first) + 0.5) / first)).astype(np.float32)
    window[n - last :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(last) + 0.5) / last)).astype(np.float32)
    return window


# --- oscillations ----------------------------------------------------------------------------------------------------


def phase_track(
    rng: np.random.Generator, n: int, frequencies: tuple[float, ...], *, jitter: float, knot: float = 0.5
) -> NDArray[np.float64]:
    """Draw the phase (cycles) of an oscillation that glides through `frequencies` (Hz, evenly in time), shape (n,).

    The frequency follows the points geometrically and wanders by the fraction `jitter` from knot to knot.
    """
    knots = max(2, int(np.ceil(n / SFREQ / knot)) + 1)
    path = np.interp(np.linspace(0, 1, knots), np.linspace(0, 1, len(frequencies)), np.log(frequencies))
    path = path + rng.normal(0, jitter, knots)
    frequency = np.exp(np.interp(np.linspace(0, knots - 1, n), np.arange(knots), path))
    return np.cumsum(frequency) / SFREQ + rng.uniform(0, 1)


def cycle_table(rng: np.random.Generator, kind: str) -> Float32Array:
    """Draw one cycle of a waveform, peak 1, shape (1024,).

    Kinds: ``sine``; ``sharp`` (four harmonics with drawn phases: arched, notched or saw-like); ``spike_wave`` (a spike
    of .04-.12 cycle before a slow wave, at times double); ``triangle``; ``pulse`` (a lone spike or sharp wave).
    """
    phase = np.arange(_TABLE) / _TABLE
    if kind == "sine":
        wave = np.sin(2 * np.pi * phase)
    elif kind == "sharp":
        weights = np.array([1.0, rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.2)])
        lags = rng.uniform(0, 1) + rng.normal(0, 0.12, 4)
        wave = sum(
            w * np.cos(2 * np.pi * (k + 1) * (phase - lag))
            for k, (w, lag) in enumerate(zip(weights, lags, strict=True))
        )
    elif kind == "triangle":
        turn = rng.uniform(0.2, 0.8)
        wave = np.interp(phase, [0, turn, 1], [-1, 1, -1])
    elif kind in ("spike_wave", "pulse"):
        width = rng.uniform(0.04, 0.12)
        wave = np.exp(-0.5 * ((phase - 0.2) / (0.4 * width)) ** 2)
        if rng.random() < 0.3:
            wave = wave + rng.uniform(0.4, 0.9) * np.exp(-0.5 * ((phase - 0.2 - 1.5 * width) / (0.4 * width)) ** 2)
        depth = rng.uniform(0.4, 1.2) if kind == "spike_wave" else rng.uniform(0.1, 0.5)
        start, stop = 0.2 + width, rng.uniform(0.75, 1.0)
        inside = (phase > start) & (phase < stop)
        wave = wave - depth * np.where(inside, np.sin(np.pi * (phase - start) / (stop - start)), 0.0)
    else:
        raise ValueError(f"no waveform {kind!r}")
    wave = np.asarray(wave, dtype=np.float64)
    wave = wave - wave.mean()
    return cast("Float32Array", (wave / np.abs(wave).max()).astype(np.float32))


def play(table: Float32Array, phase: NDArray[np.float64]) -> Float32Array:
    """Read a cycle table along a phase in cycles."""
    return cast("Float32Array", table[((phase % 1.0) * _TABLE).astype(np.int32) & (_TABLE - 1)])


def per_cycle(rng: np.random.Generator, phase: NDArray[np.float64], sigma: float) -> Float32Array:
    """Draw an amplitude for each cycle (log-normal, `sigma`), held over the cycle, shape (n,)."""
    cycle = np.floor(phase - phase[0]).astype(np.int32)
    return cast("Float32Array", np.exp(rng.normal(0, sigma, int(cycle[-1]) + 1)).astype(np.float32)[cycle])


# --- the scene -------------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """A stretch of potentials in the making: components add themselves, mark their seconds and say what they drew.

    Parameters
    ----------
    seed : tuple of int
        Identity of this stretch; every component draws from its own generator, so that switching one off leaves the
        others as they were.
    n : int
        Samples at 200 Hz.
    components : frozenset of str
        Optional components that are switched on.
    """

    seed: tuple[int, ...]
    n: int
    components: frozenset[str] = frozenset()
    data: Float32Array = field(init=False)
    under: Float32Array | None = field(init=False, default=None)
    states: dict[str, BoolArray] = field(init=False, default_factory=dict)
    drawn: list[dict[str, Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.data = np.zeros((len(ELECTRODES_21), self.n), dtype=np.float32)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n / SFREQ

    def rng(self, name: str) -> np.random.Generator:
        """Return the generator of the component `name`."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([*self.seed, zlib.crc32(name.encode())])))

    def add(self, field_map: Float32Array, start: float, wave: Float32Array) -> None:
        """Add a source: `field_map` (21,) times `wave` (m,) in µV from `start` s on; what lies outside is cut."""
        first = round(start * SFREQ)
        low, high = max(0, first), min(self.n, first + len(wave))
        if high > low:
            self.data[:, low:high] += field_map[:, None] * wave[None, low - first : high - first]

    def add_all(self, maps: Float32Array, start: float, waves: Float32Array) -> None:
        """Add several sources at once: `maps` (21, K), `waves` (K, m) in µV from `start` s on."""
        first = round(start * SFREQ)
        low, high = max(0, first), min(self.n, first + waves.shape[1])
        if high > low:
            self.data[:, low:high] += mix(maps, waves[:, low - first : high - first])

    def scale(self, start: float, gain: Float32Array) -> None:
        """Multiply what is already there by `gain` (m,) or (21, m) from `start` s on."""
        first = round(start * SFREQ)
        low, high = max(0, first), min(self.n, first + gain.shape[-1])
        if high > low:
            for layer in (self.data, self.under):
                if layer is not None:
                    layer[:, low:high] *= gain[..., low - first : high - first]

    @contextmanager
    def layer(self) -> Iterator[None]:
        """Collect in `data` what is added meanwhile, with what lies `under` it apart; at the end both are one again.

        The layer may be changed as a whole before that; `scale` reaches what lies under it, too.
        """
        self.under, self.data = self.data, np.zeros_like(self.data)
        yield
        self.data += self.under
        self.under = None

    def mark(self, state: str, start: float, stop: float) -> None:
        """Mark the seconds that ``start .. stop`` touches as being in `state`."""
        seconds = self.states.setdefault(state, np.zeros(int(np.ceil(self.seconds)), dtype=bool))
        seconds[max(0, int(np.floor(start))) : max(0, int(np.ceil(stop)))] = True

    def note(self, what: str, **values: Any) -> None:
        """Record what was drawn, rounded to 4 digits, ready for JSON."""
        self.drawn.append({"what": what, **{key: _plain(value) for key, value in values.items()}})


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.4g}")
    return [_plain(item) for item in value]


def stand_out(scene: Scene, onset: float, duration: float, wanted: float) -> np.float32:
    """Return the factor on an open `Scene.layer` that lifts it to `wanted` times what lies under it.

    The median over derivations of the root mean square from `onset` on for `duration` s is compared; no electrode
    gets more than 900 µV.
    """
    if scene.under is None:
        raise ValueError("no layer is open")
    span = slice(max(0, round(onset * SFREQ)), max(1, round((onset + duration) * SFREQ)))
    own, under = (float(np.median(derivation_rms(part[:, span]))) for part in (scene.data, scene.under))
    peak = float(np.abs(scene.data[:19, span]).max(initial=1e-6))
    return np.float32(min(wanted * under / max(own, 1e-6), 900.0 / peak))


# --- the person, and shapes that several rooms draw -------------------------------------------------------------------


@dataclass(frozen=True)
class Brain:
    """What stays the same in one person: sources, spectrum, rhythms, amplitude.

    Parameters
    ----------
    age : float
        Years; NaN for the first simulator's ageless people.
    base : float
        Median over electrodes of the waking background's root mean square, µV.
    state : str
        The state that the person starts in.
    maps : ndarray, shape (21, K)
        Fields of the K background sources.
    slope, knee : ndarray, shape (K,)
        Power spectrum ``1 / (f + knee)^slope`` of each source.
    alpha : float
        Frequency of the posterior rhythm, Hz.
    alpha_amplitude : float
        Its amplitude at the occiput in units of `base`.
    unrest : float
        Spread (natural logarithm) of the whole background's amplitude from second to second.
    """

    age: float
    base: float
    state: str
    maps: Float32Array
    slope: NDArray[np.float64]
    knee: NDArray[np.float64]
    alpha: float
    alpha_amplitude: float
    unrest: float


def k_complex(rng: np.random.Generator, amplitude: float) -> Float32Array:
    """Draw a sharp wave followed by a slower one of the other sign, .3-1.2 s in all."""
    length = rng.uniform(0.3, 1.2)
    time = np.arange(round(length * 200)) / 200 / length
    slow = rng.uniform(0.4, 0.9) * np.exp(-0.5 * ((time - 0.6) / 0.16) ** 2)
    return np.asarray(amplitude * (slow - np.exp(-0.5 * ((time - 0.25) / 0.09) ** 2)), dtype=np.float32)


MUSCLE_SITES = ("T3", "T4", "F7", "F8", "FP1", "FP2", "T5", "T6", "O1", "O2", "A1", "A2", "C3", "C4", "F3", "F4")
_MUSCLE_WEIGHTS = np.array([4, 4, 4, 4, 3, 3, 2, 2, 1.5, 1.5, 1.5, 1.5, 0.5, 0.5, 1, 1])


def muscle_sites(rng: np.random.Generator, count: int) -> list[str]:
    """Draw where muscle is picked up: temporalis and frontalis first, neck next, the vertex hardly ever.

    References
    ----------
    Goncharova et al., *EMG contamination of EEG: spectral and topographical characteristics*, Clin Neurophysiol 2003.
    """
    chosen = rng.choice(len(MUSCLE_SITES), size=count, replace=False, p=_MUSCLE_WEIGHTS / _MUSCLE_WEIGHTS.sum())
    return [MUSCLE_SITES[i] for i in chosen]


def muscle_burst(scene: Scene, rng: np.random.Generator, onset: float, envelope: Float32Array, *, level: float) -> None:
    """Add muscle activity of `level` µV RMS under an envelope at 1-6 sites, 12-30 to 95 Hz."""
    n = len(envelope)
    for site in muscle_sites(rng, int(rng.integers(1, 7))):
        wave = band_noise(rng, n, rng.uniform(12, 30), rng.uniform(60, 95)) * envelope
        wave *= slow_curve(rng, n, 0.4, 0.7)
        scene.add(
            local_map(direction(site), rng.uniform(0.2, 0.45)), onset, wave * np.float32(level * rng.uniform(0.4, 1))
        )


def movement_wave(scene: Scene, rng: np.random.Generator, onset: float, envelope: Float32Array) -> None:
    """Add slow irregular waves under an envelope (µV) that reach electrodes unevenly."""
    n = len(envelope)
    for _ in range(int(rng.integers(1, 5))):
        wave = rhythm(rng, n, rng.uniform(0.5, 3), rng.uniform(0.5, 1.5)) * slow_curve(rng, n, 0.5, 1)
        field_map = local_map(direction(ELECTRODES_21[int(rng.integers(0, 19))]), rng.uniform(0.3, 1.5))
        uneven = np.exp(rng.normal(0, 0.5, len(field_map))).astype(np.float32)
        scene.add(field_map * uneven, onset, wave * envelope * np.float32(rng.uniform(0.3, 1)))
