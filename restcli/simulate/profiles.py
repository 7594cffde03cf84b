"""How often what occurs: the training diet, which is full of what is hard, and the prevalence on a hospital ward.

Each table has a column for both. The diet was chosen by hand. Sources of the prevalence are given beside it: shares of
recordings count as half an hour each, shares of the time are divided by the mean length of a spell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_Columns = Mapping[str, tuple[float, ...]]

# Share of people. Obeid and Picone, Front Neurosci 2016: a hospital's whole archive, adults mostly; rounded.
_AGES: _Columns = {
    "infant": (0.10, 0.05),
    "child": (0.20, 0.15),
    "young": (0.12, 0.10),
    "adult": (0.38, 0.40),
    "old": (0.20, 0.30),
}
# Share in intensive care or encephalopathic, from 18 months on and before. No source: a third of the hours on a ward.
_SICK: _Columns = {"older": (0.22, 0.33), "younger": (0.10, 0.20)}
# State of the others at the beginning of a recording. Ohayon et al., Sleep 2004: of 7 h of sleep 5 % N1, 50 % N2,
# 20 % N3 and 22 % REM, which is drawn as drowsiness.
_VIGILANCE: _Columns = {"awake": (0.52, 0.63), "drowsy": (0.20, 0.12), "n2": (0.18, 0.18), "n3": (0.10, 0.07)}
# Share of people by the kind of their seizures. Hauser, Annegers and Kurland, Epilepsia 1993: focal 57 %, tonic-clonic
# 23 % (half of it focal to bilateral), absences 6 %, others 8 %. Westover et al., Clin Neurophysiol 2015: 27 % of 625
# adults in intensive care have seizures. The diet has compact ones in place of those of a ward, see `compact`.
_SEIZURES: _Columns = {
    "focal": (0.0, 0.28),
    "temporal": (0.0, 0.30),
    "compact_focal": (0.29, 0.0),
    "compact_temporal": (0.21, 0.0),
    "compact_nonconvulsive": (0.13, 0.0),
    "absence": (0.11, 0.06),
    "tonic_clonic": (0.07, 0.12),
    "nonconvulsive": (0.0, 0.14),
    "slow_spike_wave": (0.04, 0.02),
    "polymorphic": (0.05, 0.02),
    "spasms": (0.04, 0.02),
    "tonic": (0.03, 0.02),
    "clonic": (0.03, 0.02),
}
# Artefacts that go on: share of scenes with it in people awake. Tatum et al., J Clin Neurophysiol 2011: in virtually
# every recording of special care units; where no source is named the share is a guess.
_TRAITS: _Columns = {
    "blinks": (0.6, 0.95),  # Bentivoglio et al., Mov Disord 1997: 17 a minute at rest, 26 while talking
    "flutter": (0.12, 0.03),
    "saccades": (0.4, 0.7),
    "muscle": (0.5, 0.4),
    "pops": (0.2, 0.08),
    "bad_electrode": (0.14, 0.08),
    "movement": (0.25, 0.15),
    "rhythmic_movement": (0.14, 0.02),
    "heart": (0.28, 0.3),
    "sweat": (0.18, 0.08),
    "pulse": (0.08, 0.03),
    "breath": (0.08, 0.03),
    "rolling_eyes": (0.06, 0.05),
}
# Artefacts that come and go: spells in an hour of people awake.
_SPELLS: _Columns = {
    "restlessness": (3.2, 3.0),  # Skarpsno et al., Nat Sci Sleep 2017: 1.6 changes of position in an hour of sleep
    "chewing": (3.2, 12.0),  # American Time Use Survey 2019: 1.2 h of eating and drinking a day, 14 s a spell
    "talk": (3.2, 20.0),  # Mehl et al., Science 2007: 16,000 words a day, 19 s a spell
    "percussion": (2.5, 0.3),  # a guess: two or three sessions a day in intensive care, infants patted to sleep
    "strain": (4.2, 2.0),  # a guess
    "nystagmus": (0.8, 0.1),  # a guess
    "tremor": (1.0, 0.2),  # Louis and Ferreira, Mov Disord 2010: 0.9 % of people
}
# Patterns: spells an hour in people who can show them; on the ward in the others, and in those with encephalopathy.
_MIMICS: _Columns = {
    # Altindag et al., Arch Neuropsychiatry 2017: periodic discharges in 33 % of 57 in intensive care; on routine EEG
    # periodic or rhythmic patterns in 12 % of 371 (Clin Neurophysiol 2016;127:1176). So 20 %, a third of the time.
    "periodic": (8.5, 0.0, 4.0),
    # Rodriguez Ruiz et al., JAMA Neurol 2017 (4,772 people): as common as periodic ones; a tenth of the time.
    "rhythmic_delta": (8.0, 0.1, 2.5),
    # Swisher et al., J Clin Neurophysiol 2015: 14 % of 243 in intensive care. Basiri et al., Epilepsy Res 2019: 83 % of
    # people with focal epilepsy within days, who are half of the others; here a third of the time.
    "spikes": (7.0, 4.0, 4.3),
    "hyperventilation": (4.5, 0.1, 0.0),  # once in a routine EEG of half an hour; 5 % of the hours (a guess)
    "photic": (2.3, 0.1, 0.0),  # the same
    "bursts": (4.5, 0.1, 0.3),  # a guess
    "brief_spike_wave": (4.0, 0.2, 0.0),  # a guess: 5 % have a generalised epilepsy
    # Wustenhagen et al., Clin Neurophysiol Pract 2022 (3,050 recordings): temporal theta of drowsiness 6 %, sharp
    # transients with wickets 19 %, 14 and 6 Hz 1.8 %; Santoshkumar et al., Clin Neurophysiol 2009 (35,249 people): .1,
    # .03 and .5 %.
    "temporal_theta": (5.0, 0.5, 0.0),
    "wicket": (3.0, 0.5, 0.0),
    "fourteen_six": (1.6, 0.15, 0.0),
    "occipital_sharp": (3.0, 4.0, 0.0),  # Niedermeyer: in most healthy sleepers
    "hypersynchrony": (8.0, 4.0, 0.0),  # Niedermeyer: in most children
    "arousal": (7.0, 5.0, 0.0),  # Bonnet and Arand, J Clin Sleep Med 2007: 11-22 in an hour, about three a spell
    "midline_theta": (2.5, 0.05, 0.0),  # a guess
    "waxing_delta": (10.0, 0.0, 2.0),  # as rhythmic delta
    "lambda_waves": (4.0, 2.0, 0.0),  # a guess
}
# What technologist and machine do: acts in an hour. A guess: on a ward impedances are checked four times a day, the
# headbox is disconnected six times and calibrated once.
_MACHINE: _Columns = {
    "calibration": (1.5, 0.04),
    "impedance_check": (1.5, 0.17),
    "disconnection": (1.5, 0.25),
    "shock": (1.5, 0.002),
    "interference": (1.2, 0.3),
}
_BREACH = (0.06, 0.0125)  # share of people; Wustenhagen et al. 2022


@dataclass(frozen=True)
class Profile:
    """How often people, states, artefacts and patterns occur; see the tables of this module."""

    name: str
    ages: Mapping[str, float]
    sick: Mapping[str, float]
    vigilance: Mapping[str, float]
    seizures: Mapping[str, float]
    traits: Mapping[str, float]
    spells: Mapping[str, float]
    mimics: Mapping[str, float]
    mimics_of_sick: Mapping[str, float]
    machine: Mapping[str, float]
    breach: float


def _profile(name: str, column: int) -> Profile:
    tables = {"ages": _AGES, "sick": _SICK, "vigilance": _VIGILANCE, "seizures": _SEIZURES, "traits": _TRAITS}
    tables |= {"spells": _SPELLS, "mimics": _MIMICS, "machine": _MACHINE}
    shares = {field: {key: row[column] for key, row in table.items()} for field, table in tables.items()}
    mimics_of_sick = {key: row[2 * column] for key, row in _MIMICS.items()}  # the diet makes no difference
    return Profile(name, breach=_BREACH[column], mimics_of_sick=mimics_of_sick, **shares)


TRAINING, WARD = _profile("training", 0), _profile("ward", 1)
PROFILES = {profile.name: profile for profile in (TRAINING, WARD)}
