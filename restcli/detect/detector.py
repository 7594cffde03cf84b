"""From a file to scores and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from restcli.detect.backends import engine_on
from restcli.detect.result import Result, Trend
from restcli.detect.rule import to_events
from restcli.detect.scoring import Progress, Scorer
from restcli.detect.settings import Settings, check_settings, fit_montage, needed_nodes, rule_in_force
from restcli.detect.timeline import Timeline, band_limit, count_bad, to_scores
from restcli.errors import RecordingError, RestError, UsageError, first_line
from restcli.events import Scores
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.nn.golden import check_golden
from restcli.nn.weights import Weights, load_weights
from restcli.profiling import StageClock
from restcli.signal.quality import Quality, gain_doubts
from restcli.signal.sequences import true_runs


def annotate(
    recording: Any,
    settings: Settings | None = None,
    *,
    sfreq: float | None = None,
    ch_names: Sequence[str] | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Find seizures in a recording.

    Parameters
    ----------
    recording : path, Recording, mne.io.BaseRaw or array_like, shape (n_channels, n_samples)
        A file in any format that restcli reads (``restcli formats`` lists them), what `open_recording` returned, a Raw
        object of MNE, or samples in microvolts, NaN where nothing is known.
    settings : Settings, optional
        Weights, step, threshold and so on.
    sfreq : float, optional
        Sampling rate of an array, Hz.
    ch_names : sequence of str, optional
        Channel names of an array.
    on_progress : callable, optional
        Called with seconds done and seconds in all.
    **options
        Fields of `Settings` instead of `settings`: ``threshold=0.8``, ``weights="rest-paper"``. ``channel_map`` may be
        a mapping.

    Returns
    -------
    Result
        Scores, events, and how they were made.

    Raises
    ------
    RecordingError
        If the recording cannot be used, with the reason.
    WeightsError
        If the weights cannot be used.
    UsageError
        If the arguments do not fit together, an array has the wrong shape or unit, or the settings do not fit the
        weights or the recording.

    See Also
    --------
    Detector : Annotates several recordings with weights that are loaded once.
    open_recording : Says how arrays and Raw objects are read.

    Notes
    -----
    Samples in memory are scored as those in a file are: the probabilities differ only by the rounding of samples.
    Where a file clips is known from its header only, so that clipped seconds of an array are scored.

    Examples
    --------
    >>> import restcli
    >>> result = restcli.annotate("examples/absence.edf", threshold=0.6)  # doctest: +SKIP
    >>> [round(event.onset) for event in result.events]  # doctest: +SKIP
    """
    if settings is None:
        settings = Settings.of(**options)
    elif options:
        raise UsageError("settings", f"given together with {', '.join(options)}", "one or the other")
    if not isinstance(settings, Settings):
        raise UsageError(
            "settings", f"given as {type(settings).__name__}", "Settings, or keywords such as threshold=0.8"
        )
    clock = StageClock()
    if not isinstance(recording, Recording):
        with clock("open"):
            recording = open_recording(recording, sfreq=sfreq, ch_names=ch_names)
    elif sfreq is not None or ch_names is not None:
        raise UsageError("sfreq, ch_names", "a Recording has its own", remedy="Leave them out")
    with clock("weights"):
        detector = Detector(load_weights(settings.weights), settings.device)
    return detector.annotate(recording, settings, clock=clock, on_progress=on_progress)


class Detector:
    """Weights ready to score recordings on one device.

    Parameters
    ----------
    weights : Weights
        From `load_weights`.
    device : str
        ``cpu``, which is the faster one for so small a network (``benchmarks/RESULTS.md``), or ``cuda``.

    Raises
    ------
    UsageError
        If the device is unknown or ``cuda`` cannot be used.
    WeightsError
        If this version computes something other than the weights were trained on.

    Notes
    -----
    A GPU is tried on drawn inputs first: one that fails, or gives other values than the CPU, is refused.
    """

    def __init__(self, weights: Weights, device: str = "cpu") -> None:
        self.weights = weights
        check_golden(weights)
        self.engine = engine_on(weights, device)

    def annotate(
        self,
        recording: Recording,
        settings: Settings | None = None,
        *,
        clock: StageClock | None = None,
        on_progress: Progress | None = None,
    ) -> Result:
        """Score an opened recording and turn the scores into events.

        Parameters
        ----------
        recording : Recording
            From `open_recording`.
        settings : Settings, optional
            Step, threshold and so on; its `weights` and `device` are ignored here.
        clock : StageClock, optional
            Collects the time spent in each stage.
        on_progress : callable, optional
            Called with seconds done and seconds in all.

        Returns
        -------
        Result
            Scores, events, and how they were made.

        Raises
        ------
        RecordingError
            If too few nodes can be derived, nothing is long enough to score, or the GPU fails.
        UsageError
            If the weights cannot serve the settings.
        """
        settings, clock = settings or Settings(), clock or StageClock()
        weights, needed = self.weights, needed_nodes(self.weights, settings)
        check_settings(weights, settings)
        montage, rule = fit_montage(recording, weights, settings), rule_in_force(weights, settings)
        timeline = self._score(Scorer(self.engine, recording, montage, settings, clock, on_progress))
        with clock("events"):
            scores = to_scores(timeline, weights, needed=needed, step=settings.step)
            if not settings.types:
                scores = replace(scores, types=(), by_type=None)
            events = to_events(scores, rule, recording.clock)
        _check_length(scores, recording, at_least=rule.min_duration, needed=needed)
        return Result(
            recording=recording,
            montage=montage,
            weights=weights,
            settings=settings,
            rule=rule,
            scores=scores,
            events=events,
            trend=Trend(timeline.time, timeline.amplitude(), timeline.spectrum),
            bad_seconds=count_bad(timeline.codes, weights.nodes),
            band_limit=band_limit(timeline.spectrum),
            device=self.engine.device,
            stages=dict(clock.seconds),
            doubts=gain_doubts(timeline.rms, timeline.codes == Quality.GOOD, weights.nodes),
        )

    def _score(self, scorer: Scorer) -> Timeline:
        """Score all segments."""
        try:
            return scorer.score()
        except Exception as error:  # torch and drivers raise errors of many kinds
            if self.engine.on_gpu is None or isinstance(error, RestError):
                raise
            path = str(scorer.recording.path)
            reason = f"the GPU failed: {first_line(error)}"
            raise RecordingError(path, reason, "a GPU with room to work", "Pass --device cpu") from error


def _check_length(scores: Scores, recording: Recording, *, at_least: float, needed: int) -> None:
    """Refuse a recording whose scores are too few in a row for any event."""
    longest = max((stop - start for start, stop in true_runs(np.isfinite(scores.probability))), default=0) * scores.step
    if longest >= at_least:
        return
    found = "nothing could be scored" if longest == 0 else f"only {longest:g} s in a row could be scored"
    spans = [span for span in scores.unscored if span.start < scores.duration]
    reason = max(spans, key=lambda span: span.stop - span.start).reason if spans else "it holds no whole second"
    raise RecordingError(
        str(recording.path),
        f"{found} ({reason}), too little for any event",
        f"at least {at_least:g} s in a row with {needed} good nodes",
        "Run restcli info to see what the file holds" if recording.fingerprint else "",
    )
