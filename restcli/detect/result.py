"""What is known after one recording was annotated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import to_events
from restcli.detect.settings import Settings, rule_in_force
from restcli.errors import UsageError
from restcli.events import Event, EventRule, Events, Scores
from restcli.io.recording import Recording
from restcli.marks.szcore import NOT_SCORED
from restcli.nn.weights import Weights
from restcli.signal.montage import Montage

if TYPE_CHECKING:
    import mne
    import pandas as pd

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trend:
    """Second by second summary of the signals, for pictures; NaN where no node was good."""

    time: NDArray[np.float64]  # (T,), centres of the seconds, from the start of the recording
    amplitude: Float32Array  # (T,), median RMS over the good nodes, µV
    spectrum: Float32Array  # (T, 101), mean log10 power over the good nodes, bins 0..100 Hz


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Everything that is known after one recording was annotated.

    Parameters
    ----------
    recording : Recording
        Metadata, repairs, segments.
    montage : Montage
        How the nodes were derived from the channels.
    weights : Weights
        The network that was used.
    settings : Settings
        What was asked for.
    rule : EventRule
        The rule that turned scores into events.
    scores : Scores
        Probabilities along the recording.
    events : Events
        Seizures found. Without events, ``scores.scored`` says how much of the recording was looked at.
    trend : Trend
        Amplitude and spectrum along the recording.
    bad_seconds : dict of str to dict of str to int
        For each node, how many seconds were left out, by reason.
    band_limit : int or None
        Frequency in Hz above which the recording holds nearly nothing because it was low-passed, or None.
    device : str
        Where the network ran, ``cpu`` or ``cuda``.
    stages : dict of str to float
        Seconds spent in each stage; stages overlap, so their sum may exceed the wall time.
    doubts : tuple of str
        What the amplitudes of single nodes say against the gains of the recording, in words.
    """

    recording: Recording
    montage: Montage
    weights: Weights
    settings: Settings
    rule: EventRule
    scores: Scores
    events: Events
    trend: Trend
    bad_seconds: Mapping[str, Mapping[str, int]]
    band_limit: int | None
    device: str
    stages: Mapping[str, float]
    doubts: tuple[str, ...] = ()

    def rescore(self, threshold: float | None = None) -> Result:
        """Find events again with another threshold, without reading or scoring the recording again.

        Parameters
        ----------
        threshold : float, optional
            Probability that an event must reach; by default that of this result.

        Returns
        -------
        Result
            What `annotate` with this threshold would return; scores and times of stages are those of this result.

        Raises
        ------
        UsageError
            If the threshold is not a probability.
        """
        settings = self.settings if threshold is None else replace(self.settings, threshold=threshold)
        rule = rule_in_force(self.weights, settings)
        events = to_events(self.scores, rule, self.events.start)
        return replace(self, settings=settings, rule=rule, events=events)

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a table; `Scores.to_frame` gives the probabilities.

        Returns
        -------
        pandas.DataFrame
            See `Events.to_frame`. ``attrs["unscored"]`` holds the stretches that were not scored: a table without rows
            means "no seizure found" only outside of them.
        """
        return self.events.to_frame()

    def to_mne(self) -> mne.Annotations:
        """Return the events, and what was not scored, as annotations of MNE.

        Returns
        -------
        mne.Annotations
            Onsets in seconds from the first sample (``orig_time`` is None), ready for ``raw.set_annotations`` of the
            same recording. The description of an event is its SzCORE type, such as ``sz``; ``ch_names`` are the
            channels, as the recording calls them, from which the nodes involved were derived, and empty when it
            involves all or unknown ones. Stretches that were not scored are described as ``not scored: reason``.
        """
        import mne

        spans = self.scores.unscored
        return mne.Annotations(
            [event.onset for event in self.events] + [span.start for span in spans],
            [event.duration for event in self.events] + [span.stop - span.start for span in spans],
            [event.label for event in self.events] + [f"{NOT_SCORED}: {span.reason}" for span in spans],
            ch_names=[self._channels_of(event) for event in self.events] + [()] * len(spans),
        )

    def save(
        self,
        folder: str | Path,
        *,
        formats: str | Iterable[str] = (),
        plot: str = "png",
        name: str | None = None,
        overwrite: bool = False,
    ) -> tuple[Path, ...]:
        """Write tables, scores, pictures and the run report, as ``restcli annotate`` does.

        Parameters
        ----------
        folder : path
            Where to write; made when it does not exist.
        formats : str or iterable of str
            Event tables beside the SzCORE table: ``csv_bi``, ``edf``, ``xml``, ``csv``, ``json``.
        plot : str
            Format of the pictures: ``png``, ``pdf`` or ``none``.
        name : str, optional
            What the names of the files begin with. By default the name of the recording without its ending; ``array``
            for an array.
        overwrite : bool
            Replace files even if they are not unchanged outputs of restcli.

        Returns
        -------
        tuple of Path
            The files, the run report last.

        Raises
        ------
        UsageError
            If a format is unknown, or a name cannot be one or would replace the recording.
        OutputError
            If a file cannot be written, or would replace one that is not an unchanged output of restcli. Nothing is
            written then.
        """
        from restcli.output.bundle import Bundle

        stem, place = name or self.recording.path.stem, Path(folder)
        if Path(stem).name != stem:
            raise UsageError("name", f"{stem!r} is not the beginning of a file name", "a name without folders")
        kinds = (formats,) if isinstance(formats, str) else tuple(formats)
        bundle = Bundle(place, stem, kinds, plot, overwrite)
        if self.recording.path.absolute() in {(place / f"{stem}_events.{kind}").absolute() for kind in kinds}:
            raise UsageError("name", f"the events would be written over the recording {self.recording.path}")
        bundle.check(self.recording.fingerprint)
        return bundle.write(self).files

    def __repr__(self) -> str:
        from restcli.output.notebook import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        from restcli.output.notebook import to_html

        return to_html(self)

    def _channels_of(self, event: Event) -> tuple[str, ...]:
        """Return the labels of the channels that the nodes of an event were derived from; empty for all."""
        rows = [self.montage.nodes.index(node) for node in event.channels if node in self.montage.nodes]
        used = np.flatnonzero((self.montage.matrix[rows] != 0).any(axis=0)).tolist()
        return tuple(self.recording.channels[self.montage.channels[column]].label for column in used)
