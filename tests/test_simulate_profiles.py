"""Profiles: every maker has its rate, and a ward shows what its table says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restcli.simulate.artefacts import _ARTEFACTS
from restcli.simulate.background import draw_brain
from restcli.simulate.mimics import _MIMICS, add_mimics
from restcli.simulate.profiles import PROFILES, TRAINING, WARD, Profile
from restcli.simulate.scene import Scene
from restcli.simulate.seizure_kinds import KINDS
from restcli.simulate.waves import generator


def test_every_maker_has_a_rate_in_every_profile() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.mimics.keys() == profile.mimics_of_sick.keys() == _MIMICS.keys()
        assert profile.seizures.keys() == KINDS.keys()
        assert not profile.traits.keys() & profile.spells.keys()
        assert profile.traits.keys() | profile.spells.keys() == _ARTEFACTS.keys()
        for shares in (profile.ages, profile.vigilance, profile.seizures):
            assert abs(sum(shares.values()) - 1) < 0.011


def _share(profile: Profile, state: str) -> float:
    """Return the share of the time that periodic discharges fill, in five hours of one state."""
    covered = np.zeros((60, 300), dtype=bool)
    for seed, seconds in enumerate(covered):
        scene = Scene((seed,), 60_000)
        add_mimics(scene, replace(draw_brain(generator(seed)), state=state), profile)
        for row in scene.drawn:
            if row["kind"] in ("LPD", "GPD"):
                seconds[max(0, round(row["onset"])) : max(0, round(row["onset"] + row["duration"]))] = True
    return float(covered.mean())


def test_a_ward_shows_the_prevalence_of_its_table() -> None:
    assert 0.03 < _share(WARD, "encephalopathic") < 0.11  # 20 % of people, a third of the time
    assert _share(WARD, "awake") == 0
    assert _share(TRAINING, "awake") > 0.1
