"""Write one result whole or not at all: tables, scores, pictures and the run report; knows no command line."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from restcli import __version__
from restcli.detect.settings import Settings, usable_labels, workshop_prefix
from restcli.errors import OutputError, RestError, UsageError
from restcli.events import Event, Scores
from restcli.io.recording import Recording
from restcli.marks.json import event_to_dict
from restcli.marks.registry import WRITABLE, write_events
from restcli.profiling import StageClock
from restcli.signal.montage import DOUBLE_BANANA, derive

if TYPE_CHECKING:
    from restcli.detect.detector import Result
    from restcli.output.plots.pages import EventTraces

PLOTS = ("png", "pdf", "none")
MOST_EVENT_PICTURES = 6
DISCLAIMER = "Not a medical device: for research; every event must be judged by a person who reads EEG."

_PAGE_BEFORE, _PAGE_AFTER = 10.0, 20.0
_DISPLAY_BAND = (0.5, 40.0)
_MARGIN = 5.0
_LONGEST_STEM = 255 - len("_overview.png.part")
_NOTHING_KEPT = "nothing of this run was kept"
# Usual 1-40 Hz RMS of bipolar derivations, µV: below and above, a wrong unit or gain is likelier than an odd brain.
_USUAL_RANGE = (2.5, 100.0)
_CSV_ROWS = 2000
_LEAST_BAND = 30  # Hz
_LEAST_BAD = 10  # seconds
_SHOWN_BINS = np.arange(1, 41)


def output_stem(path: str | Path) -> str:
    """Return the name that all outputs of a recording begin with: its file name without the suffix.

    Examples
    --------
    >>> output_stem("ward/patient 7.edf")
    'patient 7'
    """
    return Path(path).stem


def write_outputs(
    result: Result,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("tsv",),
    plot: str = "png",
    stem: str | None = None,
    overwrite: bool = False,
    clock: StageClock | None = None,
) -> tuple[Path, ...]:
    """Write everything that one annotated recording leaves behind.

    Parameters
    ----------
    result : Result
        From `restcli.annotate`.
    folder : str or Path
        Where to; made when it does not exist.
    formats : sequence of str
        Event tables beside the SzCORE ``tsv``, which is always written: csv_bi, edf, xml, csv, json.
    plot : str
        ``png``, ``pdf`` or ``none``.
    stem : str, optional
        What the names begin with; by default the recording's file name without suffix.
    overwrite : bool
        Replace files of the same names even when they are not outputs of an earlier run.
    clock : StageClock, optional
        Collects the time spent on tables and on pictures.

    Returns
    -------
    tuple of Path
        The files, the run report last.

    Raises
    ------
    UsageError
        If a format is unknown.
    OutputError
        If something cannot be written; then nothing of this result is left behind, and earlier outputs stay.

    Notes
    -----
    Files are made in a hidden folder beside their places and moved there at the end, the run report last: a run report
    vouches for the files that it lists. Files that an earlier report of the same recording lists and that this run does
    not write again are removed, so that tables and pictures never contradict each other.
    """
    check_formats(formats, plot)
    folder = Path(folder)
    stem = output_stem(result.recording.path) if stem is None else stem
    check_place(folder, stem, formats=formats, plot=plot, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=workshop_prefix(stem), suffix=".part", dir=folder))
    except OSError as error:
        raise OutputError(str(folder), f"cannot be written to ({error.strerror})", "a writable folder") from error
    try:
        clock = clock or StageClock()
        names = _make_all(result, workshop, stem, formats=formats, plot=plot, clock=clock)
        if not overwrite:
            _check_ours(folder, stem, names)
        return _move_all(workshop, folder, stem, names)
    except OutputError as error:
        if not error.where.startswith(str(workshop)):
            raise
        raise OutputError(str(folder), f"{stem}: {error.what}", "room on the disk", _NOTHING_KEPT) from error
    except OSError as error:
        raise OutputError(
            str(folder), f"{stem}: writing failed ({error.strerror})", "room on the disk", _NOTHING_KEPT
        ) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def check_formats(formats: Sequence[str], plot: str) -> None:
    """Raise UsageError when a format or a kind of picture is unknown."""
    for name in formats:
        if name not in WRITABLE:
            raise UsageError("--format", repr(name), f"one or more of {', '.join(WRITABLE)}")
    if plot not in PLOTS:
        raise UsageError("--plot", repr(plot), f"one of {', '.join(PLOTS)}")


def check_place(folder: Path, stem: str, *, formats: Sequence[str], plot: str, overwrite: bool = False) -> None:
    """Refuse, before anything is computed, to write where a user's own files would be lost or names do not fit.

    Parameters
    ----------
    folder : Path
        Where outputs will go; it need not exist.
    stem : str
        What their names begin with.
    formats, plot
        As in `write_outputs`.
    overwrite : bool
        The user allows files to be replaced.

    Raises
    ------
    OutputError
        If a file of the same name is there that no earlier run wrote, or that was changed since.
    """
    if len(os.fsencode(stem)) > _LONGEST_STEM:
        raise OutputError(
            str(folder),
            f"names beginning with {stem[:30]}... ({len(os.fsencode(stem))} bytes) would be too long",
            f"a file name of at most {_LONGEST_STEM} bytes",
            "copy or link the recording under a shorter name",
        )
    try:
        stem.encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(
            str(folder),
            "the name of the recording holds bytes that are no UTF-8",
            "a name that tables can hold",
            "copy or link the recording under another name",
        ) from None
    if overwrite:
        return
    names = [f"{stem}_events.{kind}" for kind in ("tsv", *formats)] + [f"{stem}_scores.csv", f"{stem}_run.json"]
    if plot != "none":
        names += [f"{stem}_overview.{plot}", f"{stem}_event01.{plot}"]
    _check_ours(folder, stem, names)


def _check_ours(folder: Path, stem: str, names: Sequence[str]) -> None:
    """Raise when a file that would be replaced is not an unchanged output of an earlier run."""
    listed = _listed_outputs(folder / f"{stem}_run.json")
    for name in names:
        path = folder / name
        if not path.exists() or (name in listed and path.is_file() and _sha256(path) == listed[name]):
            continue
        if name == f"{stem}_run.json" and listed:
            continue
        raise OutputError(
            str(path),
            "is there already and is not an unchanged output of restcli",
            "a free name",
            "choose another folder with --out, or allow it to be replaced with --overwrite",
        )


def _make_all(
    result: Result, workshop: Path, stem: str, *, formats: Sequence[str], plot: str, clock: StageClock
) -> list[str]:
    """Make every file in the workshop; returns names, the run report last."""
    names = []
    with clock("tables"):
        for kind in dict.fromkeys(("tsv", *formats)):
            name = f"{stem}_events.{kind}"
            write_events(result.events, workshop / name, kind)
            names.append(name)
        names.append(f"{stem}_scores.csv")
        with (workshop / names[-1]).open("w", encoding="utf-8", newline="") as file:
            file.writelines(scores_csv(result.scores))
    if plot != "none":
        with clock("pictures"):
            names += _draw_all(result, workshop, stem, plot)
    report = run_report(result, formats=formats, plot=plot)
    report["outputs"] = {name: _sha256(workshop / name) for name in names}
    names.append(f"{stem}_run.json")
    (workshop / names[-1]).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return names


def _move_all(workshop: Path, folder: Path, stem: str, names: Sequence[str]) -> tuple[Path, ...]:
    """Move finished files to their places and remove outputs of an earlier run that were not made again."""
    stale = set(_listed_outputs(folder / f"{stem}_run.json")) - set(names)
    (folder / f"{stem}_run.json").unlink(missing_ok=True)
    for name in names:
        (workshop / name).replace(folder / name)
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    return tuple(folder / name for name in names)


def _listed_outputs(report: Path) -> dict[str, str]:
    """Names and hashes that an earlier run report lists, when they are plain names in the same folder."""
    try:
        listed = json.loads(report.read_text(encoding="utf-8"))["outputs"]
        return {str(name): str(digest) for name, digest in listed.items() if Path(str(name)).name == str(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def scores_csv(scores: Scores) -> Iterator[str]:
    """Give the scores as CSV: time, probability, its interval where there is one, then one column a node.

    Parameters
    ----------
    scores : Scores
        B scores, N nodes.

    Yields
    ------
    str
        Pieces of a text of B + 1 lines; a field is empty where nothing was scored, so that it cannot be taken for a
        low probability.
    """
    tables = {"probability": scores.probability[:, None]}
    if scores.interval is not None:
        tables["probability_low,probability_high"] = scores.interval
    if scores.by_type is not None:
        tables[",".join(f"type_{name}" for name in scores.types)] = scores.by_type
    tables[",".join(scores.nodes)] = scores.by_node
    yield ",".join(["time", *tables]) + "\n"
    words = np.array([f"{i / 10000:.4f}" for i in range(10001)] + [""])
    for begin in range(0, len(scores.time), _CSV_ROWS):
        part = slice(begin, begin + _CSV_ROWS)
        values = np.concatenate([table[part] for table in tables.values()], axis=1)
        codes = np.where(np.isfinite(values), np.rint(np.nan_to_num(values) * 10000), 10001).astype(int)
        rows = zip(scores.time[part].tolist(), words[codes].tolist(), strict=True)
        yield "".join(f"{time:.2f},{','.join(row)}\n" for time, row in rows)


def run_report(result: Result, *, formats: Sequence[str] = (), plot: str = "none") -> dict[str, Any]:
    """Describe a run: what was read, mended, used, scored and found.

    Parameters
    ----------
    result : Result
        From `restcli.annotate`.
    formats, plot
        What was written.

    Returns
    -------
    dict
        Plain values for JSON; holds nothing about the patient.
    """
    scores, montage = result.scores, result.montage
    return {
        "restcli": __version__,
        "python": platform.python_version(),
        "packages": _versions(),
        "disclaimer": DISCLAIMER,
        "recording": describe_recording(result.recording),
        "weights": describe_weights(result),
        "device": result.device,
        "settings": asdict(result.settings) | {"formats": list(formats), "plot": plot},
        "rule": asdict(result.rule),
        "montage": {
            "kind": montage.kind,
            "nodes": list(montage.nodes),
            "missing": list(montage.missing),
            "channels": [result.recording.channels[i].label for i in montage.channels],
            "duplicates_left_out": [result.recording.channels[i].label for i in montage.duplicates],
        },
        "quality": {
            "band_limit_hz": result.band_limit,
            "usual_amplitude_uv": _rounded(usual_amplitude(result)),
            "warnings": quality_warnings(result),
            "seconds_left_out_by_node": {node: dict(counts) for node, counts in result.bad_seconds.items()},
        },
        "scored": {
            "fraction": round(scores.scored, 6),
            "n_scores": scores.n_scored,
            "not_scored": [
                {"start": round(s.start, 3), "stop": round(s.stop, 3), "reason": s.reason} for s in scores.unscored
            ],
        },
        "events": [event_to_dict(event) for event in result.events],
        "runtime_s": {stage: round(seconds, 4) for stage, seconds in result.stages.items()},
    }


def usual_amplitude(result: Result) -> float:
    """Return the median over time of the nodes' median RMS in 1-40 Hz, µV; NaN when nothing was good."""
    known = result.trend.amplitude[np.isfinite(result.trend.amplitude)]
    return float(np.median(known)) if known.size else math.nan


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def quality_warnings(result: Result) -> list[str]:
    """Say what makes the result doubtful although it was scored.

    Parameters
    ----------
    result : Result
        From `restcli.annotate`.

    Returns
    -------
    list of str
        Sentences for a user: nodes left out for long, a strange amplitude, a cut-off spectrum, repeated channels.
    """
    found = []
    usual, n_seconds = usual_amplitude(result), max(1, len(result.trend.time))
    low, high = _USUAL_RANGE
    if not math.isnan(usual) and not low <= usual <= high:
        found.append(
            f"usual amplitude {usual:.3g} µV, outside the {low:g} to {high:g} µV of scalp EEG: check unit and gain"
        )
    if result.band_limit is not None:
        doubt = "; these weights were not made for so little" if result.band_limit < _LEAST_BAND else ""
        found.append(f"the recording holds little above about {result.band_limit} Hz (low-passed){doubt}")
    missing = set(result.montage.missing)
    by_reason: dict[str, dict[str, int]] = {}
    for node, counts in result.bad_seconds.items():
        for reason, seconds in counts.items():
            if node not in missing and seconds >= max(_LEAST_BAD, 0.01 * n_seconds):
                by_reason.setdefault(reason, {})[node] = seconds
    for reason, nodes in by_reason.items():
        worst = sorted(nodes, key=lambda node: -nodes[node])
        others = f" and {len(worst) - 4} more" if len(worst) > 4 else ""
        up_to = "up to " if len(worst) > 1 else ""
        found.append(f"{', '.join(worst[:4])}{others} left out for {up_to}{nodes[worst[0]]} s: {reason}")
    if result.montage.duplicates:
        labels = ", ".join(result.recording.channels[i].label for i in result.montage.duplicates)
        found.append(f"repeated channels left out, the first of each kept: {labels}")
    return found


def describe_recording(recording: Recording) -> dict[str, Any]:
    """Describe a recording without anything about the patient."""
    rates: dict[str, int] = {}
    for channel in recording.channels:
        key = f"{channel.sfreq:g}"
        rates[key] = rates.get(key, 0) + 1
    return {
        "path": str(recording.path),
        "format": recording.format,
        "start": None if recording.start is None else recording.start.isoformat(sep=" "),
        "duration_s": recording.duration,
        "n_channels": len(recording.channels),
        "channels_by_sfreq_hz": rates,
        "segments": [{"start": s.start, "stop": s.stop} for s in recording.segments],
        "repairs": list(recording.repairs),
    }


def describe_weights(result: Result) -> dict[str, Any]:
    """Name the weights in force: name, hash, size, what they see."""
    weights = result.weights
    return {
        "name": weights.name,
        "sha256": weights.sha256,
        "n_parameters": weights.n_parameters,
        "window_s": weights.window,
        "look_ahead_s": weights.look_ahead,
        "nodes": len(weights.nodes),
        "features": asdict(weights.features),
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "numpy", "scipy", "mne", "matplotlib"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def rule_text(result: Result) -> str:
    """Say in one line which rule made the events, with which weights, and how much was scored.

    Returns
    -------
    str
        For footers and terminals.
    """
    rule, scores = result.rule, result.scores
    return (
        f"weights {result.weights.name} ({result.weights.sha256[:8]}) · probability ≥ {rule.threshold:.2f}, "
        f"lasting while ≥ {rule.release:.2f}, at least {rule.min_duration:g} s, {rule.smooth:g}-s mean · "
        f"{percent(scores.scored)} of {clock_text(scores.duration)} scored"
    )


def percent(fraction: float) -> str:
    """Return a fraction as a percentage that never rounds up to 100.

    Examples
    --------
    >>> percent(0.9999), percent(1.0)
    ('99.9 %', '100 %')
    """
    return "100 %" if fraction >= 1 else f"{math.floor(fraction * 1000) / 10:.1f} %"


def clock_text(seconds: float) -> str:
    """Return seconds as ``h:mm:ss``.

    Examples
    --------
    >>> clock_text(3725.4)
    '1:02:05'
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def _draw_all(result: Result, workshop: Path, stem: str, plot: str) -> list[str]:
    """Draw the overview and one page an event; returns names."""
    from restcli.output.plots.pages import EventSheet, OverviewTrend, begin_save, plot_overview

    title, footer = _plain_name(stem), f"{rule_text(result)} · {DISCLAIMER}"
    trend = OverviewTrend(
        result.trend.time, result.trend.amplitude, result.trend.spectrum[:, _SHOWN_BINS] * 10, _SHOWN_BINS * 1.0
    )
    names = [f"{stem}_overview.{plot}"]
    sheet: EventSheet | None = None
    with ThreadPoolExecutor(1) as pool:  # packs and writes one page while the next is drawn
        figure = plot_overview(
            result.scores,
            result.events,
            result.rule,
            trend=trend,
            title=title,
            footer=footer,
            repairs=result.recording.repairs,
        )
        writing = [pool.submit(begin_save(figure, workshop / names[0]))]
        for number, event in pictured_events(result):
            traces = event_traces(result.recording, event, result.settings)
            if traces is None:
                continue
            sheet = sheet or EventSheet(
                traces.names, result.scores, title=title, footer=footer, rule=result.rule, start=result.recording.start
            )
            names.append(f"{stem}_event{number:02d}.{plot}")
            writing.append(pool.submit(begin_save(sheet.draw(traces, event, number), workshop / names[-1])))
    for page in writing:
        page.result()
    return names


def expect_pictures(plot: str) -> Callable[[], None]:
    """Import what drawing needs in a thread of its own, while a recording is scored: that takes longer than a page.

    Returns
    -------
    callable
        Waits until that is done; call it before pictures are drawn.
    """
    if plot == "none":
        return lambda: None
    thread = Thread(target=_import_plots, name="restcli-plots", daemon=True)
    thread.start()
    return thread.join


def _import_plots() -> None:
    with suppress(Exception):  # whatever is wrong is told when pictures are drawn
        import restcli.output.plots.pages  # noqa: F401


def pictured_events(result: Result) -> list[tuple[int, Event]]:
    """Return the events that get a page, with their numbers: all, or the most confident ones when there are many."""
    numbered = list(enumerate(result.events, start=1))
    ranked = sorted(numbered, key=lambda pair: -np.nan_to_num(pair[1].confidence))
    return sorted(ranked[:MOST_EVENT_PICTURES])


def _plain_name(stem: str) -> str:
    """Keep a file name printable on one line."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", stem)


def event_traces(recording: Recording, event: Event, settings: Settings) -> EventTraces | None:
    """Read the page around an event's onset in the longitudinal bipolar montage.

    Parameters
    ----------
    recording : Recording
        Where the event is.
    event : Event
        Its onset comes 10 s into the page.
    settings : Settings
        Its channel map counts.

    Returns
    -------
    EventTraces or None
        None when not one derivation can be shown.
    """
    from restcli.output.plots.pages import EventTraces

    montage = derive(usable_labels(recording), DOUBLE_BANANA, channel_map=dict(settings.channel_map))
    if not montage.nodes:
        return None
    start = max(0.0, event.onset - _PAGE_BEFORE)
    stop = min(recording.duration, start + _PAGE_BEFORE + _PAGE_AFTER)
    begin, end = max(0.0, start - _MARGIN), min(recording.duration, stop + _MARGIN)
    sfreq = 200.0
    stored = recording.read(montage.channels, begin, end, sfreq=sfreq)
    data = np.einsum("nc,ct->nt", montage.matrix, stored)  # too small for a product that waits for several threads
    first = round((start - begin) * sfreq)
    shown = _band_pass(data, sfreq)[:, first : first + round((stop - start) * sfreq)]
    low, high = _DISPLAY_BAND
    words = f"{low:g}-{high:g} Hz, longitudinal bipolar"
    return EventTraces(start + np.arange(shown.shape[1]) / sfreq, shown, montage.nodes, sfreq, words)


def _band_pass(data: NDArray[np.float32], sfreq: float) -> NDArray[np.float32]:
    """Filter each gap-free run without shifting it; runs too short to filter only lose their mean."""
    filtered = np.full_like(data, np.nan)
    known = np.isfinite(data).all(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        part = data[:, begin:end]
        if end - begin > 40:
            filtered[:, begin:end] = _butterworth(part, sfreq)
        else:
            filtered[:, begin:end] = part - part.mean(axis=1, keepdims=True)
    return filtered


def _butterworth(part: NDArray[np.float32], sfreq: float) -> NDArray[np.float32]:
    """Pass the displayed band like a second-order Butterworth filter run forwards and backwards, by its spectrum.

    Written out because importing scipy.signal takes longer than drawing a page. Before filtering the run is continued
    by its point reflection at both ends, as scipy.signal.sosfiltfilt does.
    """
    low, high = _DISPLAY_BAND
    margin = min(part.shape[1] - 1, round(_MARGIN * sfreq))
    before = 2 * part[:, :1] - part[:, margin:0:-1]
    after = 2 * part[:, -1:] - part[:, -2 : -margin - 2 : -1]
    whole = np.concatenate([before, part, after], axis=1)
    # Warped as the bilinear transform warps frequencies, so that the response is that of the sampled filter.
    low, high = np.tan(np.pi * low / sfreq), np.tan(np.pi * high / sfreq)
    frequency = np.tan(np.pi * np.fft.rfftfreq(whole.shape[1])[1:])
    gain = np.zeros(len(frequency) + 1, dtype=np.float32)
    gain[1:] = 1 / (1 + ((frequency**2 - low * high) / (frequency * (high - low))) ** 4)
    filtered = scipy.fft.irfft(scipy.fft.rfft(whole, axis=1) * gain, n=whole.shape[1], axis=1)
    return np.asarray(filtered[:, margin : margin + part.shape[1]], dtype=np.float32)


def unusable(path: str | Path, error: RestError) -> dict[str, Any]:
    """Return the machine form of a recording that could not be used: never an empty list of events."""
    return {"restcli": __version__, "recording": {"path": str(path)}, "error": str(error), "events": None}
