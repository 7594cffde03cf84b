"""``restcli formats``: what restcli reads and writes."""

from __future__ import annotations

from typing import Any

import typer

from restcli.cli import options
from restcli.cli.display import in_words, print_json, print_table
from restcli.cli.exits import say

app = typer.Typer()


@app.command(epilog="Example: restcli formats --json")
def formats(as_json: options.Json = False) -> None:
    """List the formats of recordings and of event tables that are read and written, and the layouts of data sets."""
    found = list_formats()
    if as_json:
        print_json(found)
        return
    headings = {
        "recordings": "read",
        "events": "event tables",
        "layouts": "data sets with expert marks",
    }
    for kind, rows in found.items():
        cells = [[in_words(value) for value in row.values()] for row in rows]
        print_table([name.replace("_", " ") for name in rows[0]], cells, title=headings[kind])
    say("From Python: also arrays, and Raw objects of any format that MNE reads. Others: export as EDF+.", indent=0)
    say("The package eeg2edf comes with pip install 'rest-eeg[vendor]', antio with 'rest-eeg[ant]'.", indent=0)


def list_formats() -> dict[str, list[dict[str, Any]]]:
    """Return the registries of formats in plain values."""
    from restcli.io.registry import READERS
    from restcli.marks.layouts import LAYOUTS
    from restcli.marks.registry import FORMATS

    return {
        "recordings": [
            {
                "name": reader.name,
                "endings": list(reader.endings),
                "read_with": reader.package or "restcli",
                "tried_on": reader.tried,
            }
            for reader in READERS
        ],
        "events": [
            {
                "name": form.name,
                "content": form.title,
                "endings": list(form.endings),
                "written": form.write is not None,
                "with": form.package or "restcli",
            }
            for form in FORMATS
        ],
        "layouts": [{"name": layout.name, "content": layout.title} for layout in LAYOUTS],
    }
