"""The head: electrodes, dipoles below them and the fields that they make."""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np

from restcli.signal.montage import ELECTRODES_19, electrode_position, opposite
from restcli.simulate.waves import BoolArray, Float32Array, FloatArray, WaveGenerator

ELECTRODES_21 = (*ELECTRODES_19, "A1", "A2")
INDEX = {name: i for i, name in enumerate(ELECTRODES_21)}
# A field seen from the other half of the head is ``field[MIRROR]``.
MIRROR = np.array([INDEX[opposite(name)] for name in ELECTRODES_21])


@cache
def positions() -> FloatArray:
    """Return the 21 electrodes (19 and both ears) on the unit sphere, (21, 3)."""
    points = np.array([electrode_position(name) for name in ELECTRODES_21])
    points.setflags(write=False)
    return points


def direction(name: str) -> FloatArray:
    """Return the position of an electrode, (3,), or the middle of several joined by ``+``."""
    point = np.sum([electrode_position(part) for part in name.split("+")], axis=0)
    return np.asarray(point / np.linalg.norm(point))


def nearest_electrodes(place: FloatArray, chord: float) -> tuple[str, ...]:
    """Name the scalp electrodes within a chord of a place, the nearest first and at least that one."""
    distance = np.linalg.norm(positions()[:19] - place, axis=1)
    order = np.argsort(distance, kind="stable")
    return tuple(ELECTRODES_21[i] for rank, i in enumerate(order) if rank == 0 or distance[i] <= chord)


def any_electrode(rng: WaveGenerator, count: int = 19) -> FloatArray:
    """Draw the position of one of the first `count` electrodes."""
    return direction(ELECTRODES_21[int(rng.integers(0, count))])


def random_direction(rng: WaveGenerator, lowest: float = -0.1) -> FloatArray:
    """Draw a position on the scalp, uniform over the sphere above height `lowest`."""
    height = rng.uniform(lowest, 1.0)
    angle = rng.uniform(0, 2 * np.pi)
    radius = np.sqrt(1 - height**2)
    return np.array([radius * np.cos(angle), radius * np.sin(angle), height])


def mirrored(place: FloatArray) -> FloatArray:
    """Return the same position on the other side of the head."""
    return cast("FloatArray", place * np.array([-1.0, 1.0, 1.0]))


def dipole_maps(
    rng: WaveGenerator, directions: FloatArray, *, depth: tuple[float, float] = (0.45, 0.80), radial: float = 0.7
) -> Float32Array:
    """Draw one cortical dipole under each of K directions; return their potentials, (21, K), with a peak of 1."""
    # In an unbounded homogeneous medium (Nunez and Srinivasan, Electric Fields of the Brain, 2006).
    # Cortex lies at .80-.87 of the scalp's radius; deeper dipoles stand for extended patches.
    count = len(directions)
    radius = rng.uniform(*depth, size=(count, 1))
    # Most dipoles are nearly radial: gyral crowns dominate the scalp EEG.
    outward = directions + rng.normal(0, 0.3, (count, 3))
    moment = np.where(rng.random((count, 1)) < radial, outward, rng.normal(size=(count, 3)))
    moment /= np.linalg.norm(moment, axis=1, keepdims=True)
    away = positions()[:, None] - (directions * radius)[None]  # (21, K, 3)
    potential = (away * moment).sum(-1) / np.linalg.norm(away, axis=-1) ** 3
    return cast("Float32Array", (potential / np.abs(potential[:19]).max(axis=0)).astype(np.float32))


def dipole_map(
    rng: WaveGenerator,
    place: FloatArray,
    *,
    spread: float = 0.15,
    depth: tuple[float, float] = (0.5, 0.8),
    radial: float = 0.7,
) -> Float32Array:
    """Draw one dipole near `place` (jitter `spread`, head radii) and return its potential, (21,)."""
    near = place + rng.normal(0, spread, 3)
    return dipole_maps(rng, (near / np.linalg.norm(near))[None], depth=depth, radial=radial)[:, 0]


def local_map(place: FloatArray, width: float) -> Float32Array:
    """Return a field that falls off as a Gaussian of the chord distance: muscle, or a force on the electrodes."""
    distance = np.linalg.norm(positions() - place, axis=1)
    return cast("Float32Array", np.exp(-0.5 * (distance / width) ** 2).astype(np.float32))


def electrode_map(electrode: int) -> Float32Array:
    """Return the field of what only one electrode records, (21,)."""
    field_map = np.zeros(len(ELECTRODES_21), dtype=np.float32)
    field_map[electrode] = 1
    return field_map


def patch_maps(
    rng: WaveGenerator,
    centre: FloatArray,
    fall: float,
    *,
    across: float = 0.0,
    depth: tuple[float, float] | None = None,
) -> tuple[Float32Array, FloatArray, BoolArray]:
    """Draw sources under all 19 electrodes that join one discharge.

    Strength falls to 1/e over the chord `fall`: .3 one lobe, 2 a hemisphere and part of the other, 8 uniform; it starts
    again at a fraction `across` on the other side. Returns fields (21, 19), distances (19,), and which belong there.
    """
    # The source area decides which ictal patterns the scalp shows (Tao et al., Epilepsia 2007).
    spots = positions()[:19] + rng.normal(0, 0.15, (19, 3))
    spots /= np.linalg.norm(spots, axis=1, keepdims=True)
    near, far = (np.linalg.norm(spots - place, axis=1) for place in (centre, mirrored(centre)))
    beyond = across * np.exp(-far / fall) > np.exp(-near / fall)
    strength = np.where(beyond, across * np.exp(-far / fall), np.exp(-near / fall)) * np.exp(rng.normal(0, 0.3, 19))
    if depth is None:
        shallow = rng.uniform(0.05, 0.55)  # deep dipoles stand for wide patches
        depth = (shallow, shallow + 0.2)
    maps = dipole_maps(rng, spots, depth=depth) * strength.astype(np.float32)
    # The crowns of the folds point outwards everywhere, so neighbours have one sign.
    maps *= np.sign(maps[np.arange(19), np.arange(19)])
    maps /= np.sqrt((maps[:19] ** 2).sum(axis=1)).max()
    return maps, near, beyond


def mix(maps: Float32Array, sources: Float32Array) -> Float32Array:
    """Return ``maps @ sources``, (21, K) by (K, n), with the same bytes whatever the number of threads."""
    # A product that BLAS shares among threads adds up in another order; narrow slices are not shared.
    mixed = np.empty((len(maps), sources.shape[1]), dtype=np.float32)
    width = max(1, 200_000 // maps.size)  # OpenBLAS starts threads above 2^18 multiplications
    for start in range(0, sources.shape[1], width):
        mixed[:, start : start + width] = maps @ sources[:, start : start + width]
    return mixed
