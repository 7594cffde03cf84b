"""``restcli annotate``: find seizures in recordings and write the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restcli.cli import common, options
from restcli.cli.display import print_json, print_table, progress_bar
from restcli.cli.exits import DONE, SOME_FAILED, Stopped, caught, check_stdout, note, say
from restcli.errors import UsageError
from restcli.text import elapsed, percent, without_names

if TYPE_CHECKING:
    from restcli.detect.detector import Detector
    from restcli.detect.result import Result
    from restcli.detect.settings import Settings
    from restcli.output.bundle import Written
    from restcli.profiling import StageClock

app = typer.Typer()

_MOST_SHOWN = 20  # events; of more, the most confident are printed
_SHOWN_OF_MANY = 10
_MUCH = 0.95  # scored fraction below which the reasons are printed


@app.command(epilog="Example: restcli annotate ward/*.edf --out results --format csv,edf")
@options.takes(settings=options.AnnotationOptions)
def annotate(
    recordings: Annotated[list[Path], typer.Argument(help="EDF, BDF or other EEG recordings.", show_default=False)],
    out: Annotated[Path, options.output("--out", "-o", help="Folder for the outputs.")] = Path(),
    formats: options.Format = "tsv",
    plot: options.Plot = "png",
    overwrite: Annotated[
        bool, options.output("--overwrite", help="Replace files, also those of another recording.")
    ] = False,
    pseudonyms: options.Pseudonyms = None,
    as_json: options.Json = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print the time spent in each stage.")] = False,
    *,
    settings: options.AnnotationOptions,
) -> None:
    """Find seizures: write event tables, scores, pictures and a run report for each recording.

    Exit code: 0 done; 1 some of several recordings failed; 2 wrong usage; 3 the recording cannot be used.
    """
    from restcli.archive.pseudonyms import read_pseudonyms, shown_path
    from restcli.archive.shards import check_no_batch
    from restcli.output.bundle import check_formats

    kinds = options.split_list(formats)
    check_formats(kinds, plot)
    check_stdout()
    check_no_batch(out)
    named = read_pseudonyms(pseudonyms, recordings)
    shown = {path: shown_path(path, named) for path in recordings}
    _check_names(recordings, shown, out, kinds)
    writing = {"formats": kinds, "plot": plot, "overwrite": overwrite}
    job = Job(options.read_settings(**vars(settings)), out, writing, as_json=as_json, profile=profile, shown=shown)
    raise typer.Exit(job.run(recordings))


def _check_names(recordings: list[Path], shown: Mapping[Path, Path], out: Path, kinds: tuple[str, ...]) -> None:
    """Refuse outputs that would have the same names or be written over a recording, before anything is done."""
    seen: dict[str, Path] = {}
    inputs = {path.resolve() for path in recordings}
    for path in recordings:
        stem = shown[path].stem
        places = {(out / f"{stem}_events.{kind}").resolve() for kind in kinds}
        for place in places & inputs:
            what = f"is one of the recordings, and the events of {path} would be written over it"
            raise UsageError(str(place), what, remedy="Choose another folder with --out, or leave this file out")
        other = seen.setdefault(stem.casefold(), path)
        if other is not path:
            what = f"its outputs in {out} would have the same names as those of {other}"
            raise UsageError(str(path), what, remedy="Annotate them into different folders with --out")


@dataclass
class Job:
    """Annotates recordings one after the other and reports on each."""

    settings: Settings
    out: Path
    writing: dict[str, Any]  # keyword arguments of `Bundle`
    as_json: bool
    profile: bool
    shown: Mapping[Path, Path] = field(default_factory=dict)  # what outputs call a recording
    detector: Detector | None = None

    def run(self, recordings: list[Path]) -> int:
        """Annotate all and return the exit code; a recording that fails does not stop the next."""
        alone, n_failed = len(recordings) == 1, 0
        for number, path in enumerate(recordings, start=1):
            try:
                result, written, clock = self._annotate(path)
            except Stopped:
                note(f"restcli: nothing was written for {path.name}")
                raise
            except Exception as error:
                self._fail(number, path, error, alone=alone)
                n_failed += 1
            else:
                self._show(result, written, clock, alone=alone)
                facts = {"scored": round(result.scores.scored, 4), "n_events": len(result.events)}
                common.log("annotated", recording=number, **facts, seconds=round(clock.wall(), 3))
        if n_failed:
            note(f"restcli: {n_failed} of {len(recordings)} recordings failed")
        return SOME_FAILED if n_failed else DONE

    def _annotate(self, path: Path) -> tuple[Result, Written, StageClock]:
        from restcli.profiling import StageClock

        clock = StageClock()
        with progress_bar(path.name) as on_progress:
            # A file or weights that cannot be used are refused before the rest is imported.
            with clock("open"):
                from restcli.io.registry import open_recording

                recording = open_recording(path)
            with clock("weights"):
                from restcli.nn.weights import load_weights

                weights = load_weights(self.settings.weights) if self.detector is None else self.detector.weights
            with clock("import"):
                from restcli.detect.detector import Detector
                from restcli.output.bundle import Bundle
                from restcli.output.pictures import expect_pictures
            called = self.shown.get(path, path)
            bundle = Bundle(self.out, called.stem, **self.writing)
            bundle.check(recording.fingerprint)
            if self.detector is None:
                with clock("weights"):
                    self.detector = Detector(weights, self.settings.device)
            wait_for_plots = expect_pictures(self.writing["plot"])
            result = self.detector.annotate(recording, self.settings, clock=clock, on_progress=on_progress)
        wait_for_plots()
        if called is not path:
            result = replace(result, recording=replace(recording, path=called))
        return result, bundle.write(result, clock=clock), clock

    def _fail(self, number: int, path: Path, error: Exception, *, alone: bool) -> None:
        """Report a failure; raises it when it ends the command."""
        from restcli.output.run_report import REPORT_END, failure_report

        problem = caught(str(path), error)
        what = without_names(problem.what, str(path))
        common.log("failed", recording=number, error=type(problem).__name__, reason=what)
        called = self.shown.get(path, path)
        with suppress(OSError):  # a name too long to be there
            if (self.out / f"{called.stem}{REPORT_END}").exists():
                note(f"restcli: the files {called.stem}_* in {self.out} are from an earlier run and were not updated")
        if self.as_json:
            print_json(failure_report(called, problem))
        if alone or isinstance(problem, UsageError):
            raise problem
        note(f"restcli: {problem}")

    def _show(self, result: Result, written: Written, clock: StageClock, *, alone: bool) -> None:
        if self.as_json:
            print_json(written.report)
        else:
            if not common.is_quiet():
                _print_events(result, written)
            _print_notes(result, written, alone=alone)
        if self.profile:
            _print_stages(clock, result.recording.duration)


def _print_events(result: Result, written: Written) -> None:
    """Print the answer on stdout: how many events in how much of the recording, then a table of them."""
    from restcli.output.text import answer_text, event_table

    events = result.events.events
    say(f"{result.recording.path.name}: {answer_text(result)}", indent=0)
    shown = sorted(range(len(events)), key=lambda index: -events[index].confidence)
    shown = sorted(shown[: len(events) if len(events) <= _MOST_SHOWN else _SHOWN_OF_MANY])
    if shown:
        print_table(*event_table(result.events, shown))
    if len(shown) < len(events):
        tables = [path.name for path in written.files if "_events." in path.name]
        say(f"showing the {len(shown)} most confident; {tables[0] if tables else 'the scores'} holds all", indent=0)


def _print_notes(result: Result, written: Written, *, alone: bool) -> None:
    """Print on stderr what makes the result doubtful, and one line about what was scored and written."""
    from restcli.output.pictures import count_pictured
    from restcli.output.text import quality_warnings, scored_text

    begin = "" if alone else f"{result.recording.path.name}: "
    doubts = quality_warnings(result)
    if result.montage.missing:
        doubts.insert(0, f"nodes that cannot be derived and were left out: {', '.join(result.montage.missing)}")
    doubts += [f"repaired: {repair}" for repair in result.recording.repairs]
    doubts += written.report["remarks"]
    pictures = written.report["pictures_failed"].items()
    doubts += [f"the picture '{picture}' could not be drawn ({reason})" for picture, reason in pictures]
    if earlier := written.report["earlier_outputs"]:
        doubts.append(f"left from an earlier run: {', '.join(earlier)}")
    for line in doubts:
        note(f"{begin}{line}")
    say_more = common.inform if result.scores.scored < _MUCH else common.detail
    say_more(f"{begin}{scored_text(result)}")
    n_without = len(result.events) - count_pictured(path.name for path in written.files)
    if 0 < n_without < len(result.events):
        common.detail(f"{begin}pages were drawn for the most confident events; {n_without} have none")
    common.inform(
        f"{begin}{percent(result.scores.scored)} of {elapsed(result.scores.announced)} scored on {result.device}; "
        f"written: {written.files[-1].parent}/{result.recording.path.stem}_* ({len(written.files)} files)"
    )


def _print_stages(clock: StageClock, duration: float) -> None:
    """Print the time of each stage and the wall time, which is less than their sum because stages overlap."""
    stages = {**clock.seconds, "wall": clock.wall()}
    rows = [(stage, f"{seconds:.3f}", f"{duration / max(seconds, 1e-9):,.0f}") for stage, seconds in stages.items()]
    print_table(("stage", "seconds", "times real time"), rows, title="time by stage; stages overlap", err=True)
