"""``restcli info``: what a recording or a weights file is, and whether it can be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restcli.cli import options
from restcli.cli.display import in_words, print_json
from restcli.cli.exits import say
from restcli.errors import RestError, UsageError

if TYPE_CHECKING:
    from restcli.detect.settings import Settings

app = typer.Typer()


@app.command(epilog="Example: restcli info patient.edf")
def info(
    file: Annotated[
        str, typer.Argument(help="A recording, a weights file, or the name of shipped weights.", show_default=False)
    ] = "",
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    channel_map: options.ChannelMap = None,
    allow_missing: options.AllowMissing = None,
    as_json: options.Json = False,
    settings_file: Annotated[
        bool, typer.Option("--settings", help="Print every option as a settings file, with the values that are set.")
    ] = False,
    *,
    context: typer.Context,
) -> None:
    """Describe a recording or a weights file: whether it can be used, why not, and what would be repaired.

    Exit code 3 when the recording or the weights cannot be used.
    """
    if settings_file:
        from restcli.cli.settings_file import settings_lines

        for line in settings_lines(context.params["config"]):
            say(line)
        return
    if not file:
        raise UsageError("info", "needs a FILE", "a recording or weights, or --settings")
    from restcli.nn.weights import list_weights

    if file.endswith(".safetensors") or file in list_weights():
        facts = weights_facts(file)
        shown = facts if as_json else _without_long_lists(facts)
    else:
        settings = options.read_settings(weights=weights, channel_map=channel_map, allow_missing=allow_missing)
        shown = facts = recording_facts(Path(file), settings)
    if as_json:
        print_json(shown)
    else:
        _print_facts(shown)
    if not facts["usable"]:
        raise typer.Exit(RestError.exit_code)


def weights_facts(name: str) -> dict[str, Any]:
    """Describe a weights file in plain values."""
    from dataclasses import asdict

    from restcli.nn.weights import load_weights

    weights = load_weights(name)
    facts = asdict(weights)
    for left_out in ("tensors", "golden"):
        facts.pop(left_out)
    return {"kind": "weights", "usable": True, "n_parameters": weights.n_parameters, **facts}


def _without_long_lists(facts: dict[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in facts.items() if key not in ("provenance", "metrics")}
    data = facts["provenance"].get("data")
    short["points"] = [
        f"{p.pop('name')}: threshold {p['threshold']:g}, {100 * p['sensitivity']:.0f} % of seizures, "
        f"{p['false_alarms_per_day']:.3g} false alarms a day"
        for p in facts["points"]
    ]
    return short | {
        "trained_on": data,
        "validation": facts["metrics"].get("validation"),
        "points_chosen_on": facts["metrics"].get("chosen_on"),
        "more": "--json and the model card",
    }


def recording_facts(path: Path, settings: Settings) -> dict[str, Any]:
    """Describe a recording in plain values: its content, whether the weights can use it, what would be repaired."""
    from restcli.detect.settings import fit_montage, needed_nodes
    from restcli.io.registry import open_recording
    from restcli.nn.weights import load_weights
    from restcli.output.run_report import describe_recording

    recording = open_recording(path)
    weights = load_weights(settings.weights)
    facts = {"kind": "recording", "usable": False, **describe_recording(recording), "weights": weights.name}
    facts["labels"] = [channel.label for channel in recording.channels]
    try:
        montage = fit_montage(recording, weights, settings)
    except UsageError:
        raise
    except RestError as error:
        return facts | {"why_not": str(error)}
    return facts | {
        "usable": True,
        "montage": montage.kind,
        "nodes": f"{len(montage.nodes)} of {len(weights.nodes)} ({needed_nodes(weights, settings)} needed)",
        "missing": list(montage.missing),
        "duplicates_left_out": [recording.channels[i].label for i in montage.duplicates],
    }


def _print_facts(facts: dict[str, Any]) -> None:
    """Print first whether a file can be used, and why not."""
    usable = "usable: nodes {nodes}" if facts["kind"] == "recording" else "usable"
    say((usable if facts["usable"] else "not usable: {why_not}").format_map(facts), indent=0)
    shown = {key.replace("_", " "): value for key, value in facts.items() if key not in ("usable", "why_not")}
    width = max(map(len, shown))
    for name, value in shown.items():
        say(f"{name:{width}}  {in_words(value)}", indent=width + 2)
