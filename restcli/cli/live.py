"""``restcli live``: find seizures as the signal arrives."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from restcli.cli import options
from restcli.cli.common import inform, is_quiet
from restcli.cli.display import console, print_json
from restcli.cli.exits import Stopped, note, say
from restcli.errors import UsageError

if TYPE_CHECKING:
    from restcli.detect.alarms import Alarm
    from restcli.live.monitor import Monitor, News
    from restcli.live.source import LiveSource

app = typer.Typer()


@dataclass
class SourceOptions:
    """Where the signal comes from."""

    panel: ClassVar = "Source"

    lsl: Annotated[str | None, typer.Option("--lsl", help="Name of an LSL stream, or a property such as type=EEG.")] = (
        None
    )
    replay: Annotated[Path | None, typer.Option("--replay", help="A recording, read as if it were live.")] = None
    speed: Annotated[float, typer.Option(min=0, help="Speed of the replay, 1 for real time; 0 for no waiting.")] = 1.0
    stdin: Annotated[bool, typer.Option("--stdin", help="Frames as lines of JSON on standard input.")] = False
    labels: Annotated[str, typer.Option(help="Channel names, comma-separated, if the LSL stream has none.")] = ""
    unit: Annotated[str, typer.Option(help="Unit of the samples, if the LSL stream has none: uV, mV or V.")] = ""
    sfreq: Annotated[float | None, typer.Option(min=1, help="Sampling rate in Hz, if the LSL stream has none.")] = None
    clip: Annotated[float | None, typer.Option(min=0, help="Microvolts at which the LSL amplifier clips.")] = None


@dataclass
class SettingOptions:
    """Options that choose weights and rule; each is the field of `Settings` with its name."""

    weights: options.Weights = options.DEFAULT_WEIGHTS
    threshold: options.Threshold = None
    sensitivity: options.Sensitivity = "balanced"
    allow_missing: options.AllowMissing = None
    channel_map: options.ChannelMap = None


@dataclass
class OutputOptions:
    """Where the news goes."""

    panel: ClassVar = options.OUTPUTS

    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the growing tables.")] = Path()
    name: Annotated[str, typer.Option(help="Prefix of their names; by default that of the replayed file.")] = ""
    pseudonyms: options.Pseudonyms = None
    overwrite: options.Overwrite = False
    as_json: options.Json = False
    hook: Annotated[str, typer.Option("--exec", help="Command to run for each alarm; it reads JSON on stdin.")] = ""
    publish: Annotated[str, typer.Option(help="Name of an LSL stream of probabilities; alarms go to NAME-alarms.")] = ""
    marks: Annotated[
        Path | None, typer.Option(help="Expert marks of a replayed recording: report latency and false alarms.")
    ] = None


@app.command(epilog="Example: restcli live --replay patient.edf --speed 60")
@options.takes(source=SourceOptions, settings=SettingOptions, output=OutputOptions)
def live(*, source: SourceOptions, settings: SettingOptions, output: OutputOptions) -> None:
    """Find seizures as the signal arrives, second by second; Ctrl-C ends it, with exit code 0 unless it is a replay.

    Writes X_scores.csv, X_events.tsv and X_live.jsonl, which are valid at any moment. An alarm begins when no later
    signal can undo the event, and ends when none can prolong it. Lost input is an alarm too. Not a medical device.
    """
    from threadpoolctl import threadpool_limits

    from restcli.detect.detector import Detector
    from restcli.live.monitor import Monitor
    from restcli.marks.registry import read_events
    from restcli.nn.weights import load_weights

    chosen = options.read_settings(**vars(settings))
    _check(source, output)
    opened = _open(source, output.pseudonyms)
    if output.marks is not None:  # so that marks that cannot be read end the command now, not after the replay
        read_events(output.marks, duration=opened.end, start=opened.recording.clock)
    with threadpool_limits(1, "blas"):
        monitor = Monitor(Detector(load_weights(chosen.weights), "cpu"), opened, chosen)
        replayed = None if source.replay is None else opened.recording.path.stem
        alarms = _watch(monitor, output, output.name or replayed or "live")
    if output.marks is not None:
        _report(output.marks, monitor, alarms)


def _check(source: SourceOptions, output: OutputOptions) -> None:
    """Refuse options that cannot work, before anything is opened or written."""
    from restcli.archive.shards import check_no_batch
    from restcli.files import check_stem

    for option, path in (("--marks", output.marks), ("--pseudonyms", output.pseudonyms)):
        if path is not None and source.replay is None:
            raise UsageError(option, "needs a recording that is replayed", "--replay FILE")
    for option, number in (("--speed", source.speed), ("--sfreq", source.sfreq), ("--clip", source.clip)):
        if number is not None and not math.isfinite(number):
            raise UsageError(option, f"is {number}", "a finite number")
    if output.name:
        check_stem("--name", output.name)
    check_no_batch(output.out)


def _open(wanted: SourceOptions, pseudonyms: Path | None) -> LiveSource:
    if sum((wanted.lsl is not None, wanted.replay is not None, wanted.stdin)) != 1:
        raise UsageError("restcli live", "needs one source", "one of --lsl, --replay and --stdin")
    if wanted.replay is not None:
        from restcli.archive.pseudonyms import read_pseudonyms, shown_path
        from restcli.io.registry import open_recording
        from restcli.live.replay import Replay

        named = read_pseudonyms(pseudonyms, [wanted.replay])
        recording = open_recording(wanted.replay)
        if named:
            recording = replace(recording, path=shown_path(wanted.replay, named))
        return Replay(recording, wanted.speed)
    if wanted.lsl is not None:
        from restcli.live.lsl import LslSource, StreamFacts

        facts = StreamFacts(options.split_list(wanted.labels), wanted.unit, wanted.sfreq, wanted.clip)
        return LslSource(wanted.lsl, facts)
    from restcli.live.frames import Frames

    try:
        return Frames(open(0, encoding="utf-8", errors="backslashreplace", closefd=False))
    except OSError as error:
        raise UsageError("--stdin", f"cannot be read ({error.strerror})", "lines of JSON on standard input") from None


def _watch(monitor: Monitor, output: OutputOptions, stem: str) -> list[Alarm]:
    """Pass on all news until the source ends or the user stops it; return the alarms."""
    from restcli.live.outputs import Hook, Outputs, Tables

    hook = Hook.of(output.hook, note) if output.hook else None
    publisher = None
    if output.publish:
        from restcli.live.lsl import Publisher

        publisher = Publisher(output.publish, monitor.detector.weights.nodes)
    outputs = Outputs(monitor, Tables(output.out, stem, overwrite=output.overwrite), hook, publisher)
    try:
        with _display(monitor, as_json=output.as_json) as show:
            try:
                for news in monitor.run():
                    outputs.take(news)  # first, for showing it ends the command when nobody reads any more
                    show(news)
            except Stopped as stopped:
                for news in monitor.finish(stopped=True):
                    outputs.take(news)
                if stopped.number != signal.SIGINT or math.isfinite(monitor.source.end):
                    raise  # live signal has no end: Ctrl-C is how it is closed
    finally:
        end = outputs.close()
    if output.as_json:
        print_json(end)
    inform(f"restcli: {monitor.scored} of {monitor.rows} s scored; written: {output.out}/{stem}_*")
    return outputs.alarms


@contextmanager
def _display(monitor: Monitor, *, as_json: bool) -> Iterator[Callable[[News], None]]:
    """Show news: JSON on stdout, a view on a terminal, else a line for each alarm."""
    from restcli.cli.live_view import LiveView, line_of
    from restcli.live.outputs import message_of, opening

    terminal = console(err=True)
    if as_json:
        print_json(opening(monitor))
        yield lambda news: print_json(message_of(news, monitor))
    elif terminal.is_terminal and not is_quiet():
        from rich.live import Live

        view = LiveView(monitor)
        with Live(get_renderable=view.draw, console=terminal, refresh_per_second=2):
            yield view.take
    else:
        yield lambda news: say(line, indent=2) if (line := line_of(news)) else None


def _report(marks: Path, monitor: Monitor, alarms: list[Alarm]) -> None:
    """Compare alarms with expert marks, as `restcli evaluate` does."""
    from restcli.evaluation.scoring import compare_alarms
    from restcli.marks.registry import read_events

    expert = read_events(marks, duration=monitor.until, start=monitor.source.recording.clock)
    begun = [(alarm.at, alarm.event) for alarm in alarms if alarm.state == "begin"]
    for line in compare_alarms(expert, monitor.events(), begun):
        say(line, indent=2)
