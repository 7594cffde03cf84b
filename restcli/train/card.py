"""The card of a weights file: what it is, what it was trained on, what it reaches and its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from restcli.nn.network import NEVER
from restcli.nn.weights import Weights
from restcli.signal.features import REFERENCE_RMS
from restcli.text import markdown_table

_LIMITS = (
    "For research and for a clinician's second look; not a medical device, and no substitute for reading the EEG.",
    "Neonatal EEG, intracranial EEG and seizures shorter than the rule's minimum duration are out of scope.",
    "Probabilities are calibrated on the validation data named above, where seizures are commoner than in a ward.",
    "A second that was not scored is not a second without seizure: read the fraction scored with every result.",
)


def card_text(weights: Weights) -> str:
    """Return the card of weights, with provenance and metrics, in Markdown."""
    provenance, metrics = weights.provenance, weights.metrics
    parts = [
        f"# {weights.name}",
        "\n".join(f"**Warning: {line}.**" for line in metrics["warnings"]),
        _what(weights),
        "## Data and split",
        _data(provenance),
        "## What it reaches on validation",
        markdown_table(["measure", "value"], [[k.replace("_", " "), v] for k, v in metrics["validation"].items()]),
        _types(metrics["types"]) if "types" in metrics else "",
        _reliability(weights),
        _uncertainty(metrics["intervals"]) if "intervals" in metrics else "",
        "## How it is used",
        _use(weights),
        _points(weights),
        "## Limits",
        "\n".join(f"- {line}" for line in _LIMITS),
        "## Settings",
        f"```json\n{json.dumps(provenance['settings'], indent=1, sort_keys=True)}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(weights: Weights) -> str:
    config, features = weights.config, weights.features
    bands = ", ".join(f"{low}-{high} Hz" for low, high in features.bands)
    shape = f"{config.members} of width {config.hidden}, logits averaged, " if config.members > 1 else ""
    amplitudes = f", and ln(RMS / {REFERENCE_RMS:g} µV)" if features.amplitude else ""
    amplitudes += ", and the amplitude relative to the node's usual one" if features.relative else ""
    return (
        f"REST ({config.variant}; {shape}{weights.n_parameters} parameters) on {len(weights.nodes)} nodes "
        f"({weights.nodes[0]} ... {weights.nodes[-1]}). Inputs of a node and second: log spectrum {bands}, each band "
        f"z-scored apart{amplitudes}. Random update mask in training "
        f"(p = {config.fire_rate}, per {config.mask_per}); the full update, without a mask, in use."
    )


def _data(provenance: Mapping[str, Any]) -> str:
    counts = ("recordings", "patients", "hours", "seizures", "ictal_seconds")
    rows = [
        [side, source, *(row[name] for name in counts)]
        for side in ("training", "validation")
        for source, row in provenance[side].items()
    ]
    head = ["side", "source", "recordings", "patients", "hours", "seizures", "ictal s"]
    settings = provenance["settings"]
    return (
        f"Split by {settings['split']}: fold {settings['fold']} of {settings['folds']} validates; patients never stand "
        f"on both sides. Seed {settings['seed']}.\n\n{markdown_table(head, rows)}\n\n"
        "Parameters, scale and bias come from these data alone, thresholds from what is named with them below; the "
        "event rule and the number of false alarms asked for are settings."
    )


def _types(types: Mapping[str, Any]) -> str:
    names = types["names"]
    rows = [[name, *counts] for name, counts in zip(names, types["seizures"], strict=True)]
    return "Seizures of known type by the type read out (rows: true):\n\n" + markdown_table(["", *names], rows)


def _reliability(weights: Weights) -> str:
    head = ["mean probability", "fraction ictal", "seconds"]
    body = [[row["probability"], row["ictal"], row["n"]] for row in weights.metrics["reliability"]]
    picture = f"![Reliability of {weights.name}]({weights.name}_reliability.png)"
    return f"Reliability (seconds of validation):\n\n{markdown_table(head, body)}\n\n{picture}"


def _uncertainty(found: Mapping[str, float]) -> str:
    return (
        f"Uncertainty (`--passes {found['passes']}`: the 5th to 95th percentile of masked passes, around the full "
        f"update): the interval is {found['mean_width']:.3f} wide on average over {found['seconds']} seconds of "
        f"validation. Where it holds the threshold ({100 * found['straddling']:.1f} % of seconds) "
        f"{100 * found['wrong_where_straddling']:.1f} % of seconds lie on the wrong side of it, elsewhere "
        f"{100 * found['wrong_elsewhere']:.1f} %. It speaks of the network's own update, not of what another patient "
        "or another recording would change."
    )


def _use(weights: Weights) -> str:
    calibration = weights.calibration
    forgets = "does not forget" if weights.memory >= NEVER else f"forgets within {weights.memory} s"
    return (
        f"The state is carried through a recording and {forgets}; a score judges the second "
        f"{weights.look_ahead} s before the newest one it has seen. A second needs {weights.min_nodes} good nodes. "
        f"Probability: logistic of {calibration.scale:.3f} x logit {calibration.bias:+.3f}. Event: "
        f"{weights.rule.describe()}."
    )


def _points(weights: Weights) -> str:
    """Table the operating points and say what they rest on."""
    samples = "; ".join(
        f"{row['sample']}, {row['hours']:.1f} h with {row['seizures']} seizures" for row in weights.metrics["chosen_on"]
    )
    if not weights.points:
        return "There are no operating points: there was no background to choose thresholds on."
    head = ["`--sensitivity`", "threshold", "seizures found", "false alarms a day", "asked for, at most"]
    rows = [
        [point.name, point.threshold, point.sensitivity, point.false_alarms_per_day, point.asked]
        for point in weights.points
    ]
    rests = (
        f"Operating points, chosen on: {samples}. Each threshold is the lowest that keeps to the false alarms asked "
        "for on every sample long enough to tell; what to expect of it is what the first sample gave. Simulated "
        "seizures and wards are not real ones: see the evaluation on recordings."
    )
    return f"{rests}\n\n{markdown_table(head, rows)}"
