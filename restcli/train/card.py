"""The card of a weights file: architecture, training data, results and limitations (``card.md.j2``)."""

from __future__ import annotations

import json
import re
from dataclasses import astuple

from restcli.nn.network import NEVER
from restcli.nn.weights import Weights
from restcli.signal.features import REFERENCE_RMS
from restcli.text import markdown_table

_COUNTS = ("recordings", "patients", "hours", "seizures", "ictal_seconds")


def card_text(weights: Weights) -> str:
    """Return the card of weights, with provenance and metrics, in Markdown."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("restcli.train", "."), trim_blocks=True, lstrip_blocks=True)
    environment.globals["table"] = markdown_table
    environment.filters["line"] = lambda text: " ".join(text.split()) + "\n"
    provenance, metrics = weights.provenance, weights.metrics
    types = metrics.get("types", {"names": [], "seizures": []})
    text = environment.get_template("card.md.j2").render(
        vars(weights),
        n_parameters=weights.n_parameters,
        settings=provenance["settings"],
        json=json.dumps(provenance["settings"], indent=1, sort_keys=True),
        sources=[
            [side, source, *(row[name] for name in _COUNTS)]
            for side in ("training", "validation")
            for source, row in sorted(provenance[side].items())
        ],
        measures=[[_title(name), value] for name, value in sorted(metrics["validation"].items())],
        types=[[name, *counts] for name, counts in zip(types["names"], types["seizures"], strict=True)],
        reliability=[[row["probability"], row["ictal"], row["n"]] for row in metrics["reliability"]],
        point_rows=[astuple(point) for point in weights.points],
        never=NEVER,
        reference_rms=REFERENCE_RMS,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _title(name: str) -> str:
    """Return the name of a measure for people; older weights call a baseline a floor."""
    words = name.replace("_", " ").replace("floor", "baseline")
    return words.replace("auroc", "AUROC of").replace("brier", "Brier score")
