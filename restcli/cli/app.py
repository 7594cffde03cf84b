"""What people meet: commands, exit codes, progress. Algorithms live elsewhere and are imported when they are needed."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from restcli import __version__
from restcli.cli import train as cli_learn
from restcli.cli.batch import batch_app
from restcli.cli.display import console, progress_bar
from restcli.errors import RestError, UsageError

if TYPE_CHECKING:
    from restcli.detect.detector import Detector, Result
    from restcli.detect.settings import Settings

app = typer.Typer(
    name="restcli",
    help="Find seizures in EEG recordings with REST. Not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(batch_app)

EXIT_DONE, EXIT_SOME_FAILED, EXIT_STOPPED = 0, 1, 130

WeightsOption = Annotated[str, typer.Option("--weights", "-w", help="Shipped name or path of a weights file.")]
ChannelMapOption = Annotated[
    Path | None, typer.Option("--channel-map", help="TOML file, one line a channel: 'their label' = 'our name'.")
]
AllowMissingOption = Annotated[
    int | None, typer.Option("--allow-missing", help="How many nodes of the weights' graph may be missing.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the machine form on stdout instead of a table.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


class Stopped(BaseException):
    """The user pressed Ctrl-C; not a KeyboardInterrupt, which click would turn into exit code 1."""


def _stop(_number: int, _frame: object) -> NoReturn:
    raise Stopped


def main() -> None:
    """Run the command line; a problem that a user can mend prints one line and sets the exit code."""
    before = signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except Stopped:
        typer.echo("restcli: stopped", err=True)
        sys.exit(EXIT_STOPPED)
    except RestError as error:
        complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(EXIT_DONE)
    finally:
        signal.signal(signal.SIGINT, before)


def complain(error: RestError) -> None:
    """Print an error for people on stderr."""
    typer.echo(f"restcli: {error}", err=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"restcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Find seizures in EEG recordings with REST. Not a medical device."""


@app.command()
def annotate(
    recordings: Annotated[
        list[Path], typer.Argument(help="EDF, BDF or other EEG recordings.", show_default=False, readable=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the outputs.")] = Path(),
    formats: Annotated[
        str, typer.Option("--format", "-f", help="More event tables, comma-separated: csv_bi,edf,xml,csv,json.")
    ] = "tsv",
    plot: Annotated[str, typer.Option("--plot", help="Pictures: png, pdf or none.")] = "png",
    weights: WeightsOption = "rest-default",
    step: Annotated[int, typer.Option("--step", help="Seconds between scores.")] = 1,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Probability an event must reach; default: the weights' own.")
    ] = None,
    passes: Annotated[int, typer.Option("--passes", help="Masked passes for an interval on each probability.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the masked passes.")] = 0,
    allow_missing: AllowMissingOption = None,
    channel_map: ChannelMapOption = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are not outputs of an earlier run.")
    ] = False,
    as_json: JsonOption = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print the time spent by stage.")] = False,
) -> None:
    """Find seizures: write tables, scores, pictures and a run report for each recording.

    Exit code: 0 done; 1 some of several recordings failed; 2 wrong usage; 3 the recording cannot be used.
    """
    from restcli.detect.settings import Settings, read_channel_map
    from restcli.output.bundle import check_formats

    kinds = tuple(part.strip() for part in formats.split(",") if part.strip())
    check_formats(kinds, plot)
    _check_names(recordings, out, kinds)
    settings = Settings(
        weights=weights,
        step=step,
        threshold=threshold,
        passes=passes,
        seed=seed,
        allow_missing=allow_missing,
        channel_map=read_channel_map(channel_map),
        device=device,
    )
    writing = {"formats": kinds, "plot": plot, "overwrite": overwrite}
    job = _AnnotateJob(settings, out, writing, as_json=as_json, profile=profile)
    raise typer.Exit(job.run(recordings))


def _check_names(recordings: list[Path], out: Path, kinds: tuple[str, ...]) -> None:
    """Refuse outputs that would have the same names or be written over a recording, before anything is done."""
    from restcli.output.bundle import output_stem

    seen: dict[str, Path] = {}
    inputs = {path.absolute() for path in recordings}
    for path in recordings:
        for kind in kinds:
            place = out.absolute() / f"{output_stem(path)}_events.{kind}"
            if place in inputs:
                raise UsageError(
                    str(place),
                    f"is to be read, and is where events of {path} would be written",
                    "another folder",
                    "choose it with --out, or leave this file out of the recordings",
                )
        stem = output_stem(path).casefold()
        if stem in seen:
            raise UsageError(
                str(path),
                f"its outputs in {out} would have the same names as those of {seen[stem]}",
                "one recording of each name",
                "annotate them into different folders with --out",
            )
        seen[stem] = path


class _AnnotateJob:
    """Annotates recordings one after the other and tells people about it."""

    def __init__(self, settings: Settings, out: Path, writing: dict[str, Any], *, as_json: bool, profile: bool) -> None:
        self.settings, self.out, self.writing = settings, out, writing
        self.as_json, self.profile = as_json, profile
        self.detector: Detector | None = None

    def run(self, recordings: list[Path]) -> int:
        """Annotate all; returns the exit code."""
        n_failed = 0
        for path in recordings:
            try:
                self._one(path, alone=len(recordings) == 1)
            except RestError as error:
                self._warn_of_earlier(path)
                if len(recordings) == 1 or isinstance(error, UsageError):
                    self._machine_error(path, error)
                    raise
                n_failed += 1
                self._machine_error(path, error)
                complain(error)
            except Stopped:
                typer.echo(f"restcli: nothing was written for {path.name}", err=True)
                raise
        if n_failed:
            typer.echo(f"restcli: {n_failed} of {len(recordings)} recordings failed", err=True)
        return EXIT_SOME_FAILED if n_failed else EXIT_DONE

    def _one(self, path: Path, *, alone: bool) -> None:
        from restcli.profiling import StageClock

        clock = StageClock()
        with progress_bar(path.name) as on_progress:
            # Open first: a file that cannot be used is refused before torch is imported.
            with clock("open"):
                from restcli.io.registry import open_recording

                recording = open_recording(path)
            with clock("import"):
                from restcli.detect.detector import Detector
                from restcli.nn.weights import load_weights
                from restcli.output.bundle import check_place, expect_pictures, output_stem, write_outputs
            check_place(self.out, output_stem(path), **self.writing)
            if self.detector is None:
                with clock("weights"):
                    self.detector = Detector(load_weights(self.settings.weights), self.settings.device)
            wait_for_plots = expect_pictures(self.writing["plot"])
            result = self.detector.annotate(recording, self.settings, clock=clock, on_progress=on_progress)
        wait_for_plots()
        written = write_outputs(result, self.out, **self.writing, clock=clock)
        if self.as_json:
            self._machine(result)
        else:
            show_result(result, written, alone=alone)
        if self.profile:
            show_stages(clock.seconds, recording.duration, wall=clock.wall())

    def _warn_of_earlier(self, path: Path) -> None:
        """Say that tables of an earlier run still lie there, so that they are not taken for this one's."""
        report = self.out / f"{path.stem}_run.json"
        with suppress(OSError):  # a name too long to be there
            if not report.exists():
                return
            typer.echo(f"restcli: the outputs of {path.stem} in {self.out} are those of an earlier run", err=True)

    def _machine(self, result: Result) -> None:
        from restcli.output.bundle import run_report

        told = run_report(result, formats=self.writing["formats"], plot=self.writing["plot"])
        typer.echo(json.dumps(told, ensure_ascii=False))

    def _machine_error(self, path: Path, error: RestError) -> None:
        if self.as_json:
            from restcli.output.bundle import unusable

            typer.echo(json.dumps(unusable(path, error), ensure_ascii=False))


def show_result(result: Result, written: tuple[Path, ...], *, alone: bool = True) -> None:
    """Print the events as one table on stdout, and what people should know on stderr."""
    from rich.markup import escape
    from rich.table import Table

    from restcli.output.bundle import clock_text, percent, quality_warnings

    screen, notes = console(), console(err=True)
    name = escape(result.recording.path.name)
    if len(result.events) == 0:
        screen.print(
            f"{name}: no event reached {result.rule.threshold:.2f} in the {percent(result.scores.scored)} "
            "of the recording that was scored"
        )
    else:
        table = Table(title=None if alone else name, title_justify="left")
        clock = "clock" if result.recording.start else "elapsed"
        for heading in ("#", clock, "onset s", "duration s", "type", "confidence", "where"):
            table.add_column(heading, justify="left" if heading in ("type", "where", clock) else "right")
        for number, event in enumerate(result.events, start=1):
            table.add_row(
                str(number),
                _event_clock(result, event.onset),
                f"{event.onset:.1f}",
                f"{event.duration:.1f}",
                event.label,
                f"{event.confidence:.2f}",
                escape(_where(event.channels)),
            )
        screen.print(table)
    if not alone:
        notes.print(f"{name}:")
    notes.print(escape(scored_line(result)))
    if result.montage.missing:
        notes.print(escape(f"not derivable, left out of the graph: {', '.join(result.montage.missing)}"))
    for warning in quality_warnings(result):
        notes.print(escape(warning))
    for repair in result.recording.repairs:
        notes.print(escape(f"mended: {repair}"))
    n_left = len(result.events) - sum("_event" in p.name and p.suffix in (".png", ".pdf") for p in written)
    if 0 < n_left < len(result.events):
        notes.print(f"pages were drawn for the most confident events; {n_left} have none")
    notes.print(escape(f"written: {written[-1].parent}/{result.recording.path.stem}_* ({len(written)} files)"))
    told = f"duration {clock_text(result.scores.duration)}; scored on {result.device}; not a medical device"
    notes.print(escape(told), style="dim")


def _event_clock(result: Result, onset: float) -> str:
    from datetime import timedelta

    from restcli.output.bundle import clock_text

    start = result.recording.start
    return clock_text(onset) if start is None else (start + timedelta(seconds=onset)).strftime("%H:%M:%S")


def _where(channels: tuple[str, ...]) -> str:
    shown = ", ".join(channels[:4])
    return shown + (f" +{len(channels) - 4}" if len(channels) > 4 else "")


def scored_line(result: Result) -> str:
    """Say what was and was not scored, by which rule and weights."""
    from restcli.output.bundle import rule_text

    by_reason: dict[str, float] = {}
    for span in result.scores.unscored:
        by_reason[span.reason] = by_reason.get(span.reason, 0.0) + span.stop - span.start
    worst = sorted(by_reason.items(), key=lambda pair: -pair[1])[:3]
    left_out = "; ".join(f"{seconds:.0f} s not scored ({reason})" for reason, seconds in worst if seconds >= 0.5)
    return rule_text(result) + (f"; {left_out}" if left_out else "")


def show_stages(stages: dict[str, float], duration: float, *, wall: float) -> None:
    """Print the time spent by stage on stderr, and the wall time, which is less than the sum: stages overlap."""
    from rich.table import Table

    table = Table(title="time by stage; stages overlap")
    for heading in ("stage", "seconds", "times real time"):
        table.add_column(heading, justify="right" if heading != "stage" else "left")
    for stage, seconds in stages.items():
        table.add_row(stage, f"{seconds:.3f}", f"{duration / max(seconds, 1e-9):,.0f}")
    table.add_row("wall", f"{wall:.3f}", f"{duration / max(wall, 1e-9):,.0f}")
    console(err=True).print(table)


app.command()(cli_learn.simulate)
app.command()(cli_learn.train)
app.command()(cli_learn.evaluate)


@app.command()
def info(
    file: Annotated[str, typer.Argument(help="A recording, a weights file, or the name of shipped weights.")],
    weights: WeightsOption = "rest-default",
    channel_map: ChannelMapOption = None,
    allow_missing: AllowMissingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a file is, whether it will work, why not, and what would be mended.

    Exit code 3 when the recording or weights cannot be used.
    """
    from restcli.nn.weights import list_weights

    if file.endswith(".safetensors") or file in list_weights():
        facts = weights_facts(file)
        _show_facts(facts if as_json else _for_people(facts), as_json)
        return
    from restcli.detect.settings import Settings, read_channel_map

    settings = Settings(weights=weights, channel_map=read_channel_map(channel_map), allow_missing=allow_missing)
    facts = recording_facts(Path(file), settings)
    _show_facts(facts, as_json)
    if not facts["usable"]:
        raise typer.Exit(RestError.exit_code)


def weights_facts(name: str) -> dict[str, Any]:
    """Describe a weights file in plain values; raises WeightsError when it cannot be used."""
    from dataclasses import asdict

    from restcli.nn.weights import load_weights

    weights = load_weights(name)
    facts = asdict(weights)
    for left_out in ("tensors", "golden"):
        facts.pop(left_out)
    return {"kind": "weights", "usable": True, "n_parameters": weights.n_parameters, **facts}


def _for_people(facts: dict[str, Any]) -> dict[str, Any]:
    """Leave the long lists of a weights file to ``--json`` and to its card."""
    short = {key: value for key, value in facts.items() if key not in ("provenance", "metrics")}
    data = facts["provenance"].get("data")
    return short | {"trained_on": data, "measured": facts["metrics"].get("validation"), "more": "--json, and its card"}


def recording_facts(path: Path, settings: Settings) -> dict[str, Any]:
    """Describe a recording in plain values: what it holds, whether the weights can use it, what would be mended."""
    from restcli.detect.settings import fit_montage, needed_nodes
    from restcli.io.registry import open_recording
    from restcli.nn.weights import load_weights
    from restcli.output.bundle import describe_recording

    recording = open_recording(path)
    weights = load_weights(settings.weights)
    facts = {"kind": "recording", **describe_recording(recording), "weights": weights.name}
    facts["labels"] = [channel.label for channel in recording.channels]
    try:
        montage = fit_montage(recording, weights, settings)
    except UsageError:
        raise
    except RestError as error:
        return facts | {"usable": False, "why_not": str(error)}
    return facts | {
        "usable": True,
        "montage": montage.kind,
        "nodes": f"{len(montage.nodes)} of {len(weights.nodes)} ({needed_nodes(weights, settings)} needed)",
        "missing": list(montage.missing),
        "duplicates_left_out": [recording.channels[i].label for i in montage.duplicates],
    }


def _show_facts(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key.replace("_", " "), escape(_fact_text(value)))
    screen = console()
    screen.soft_wrap = False
    screen.print(table)


def _fact_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_fact_text(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        parts = [_fact_text(part) for part in value]
        return ("; " if any(" " in part for part in parts) else ", ").join(parts) or "none"
    return "unknown" if value is None else str(value)
