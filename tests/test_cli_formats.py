"""``restcli formats`` says what the registries hold."""

from __future__ import annotations

import importlib.util
import json

from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.io.registry import READERS
from restcli.marks.layouts import LAYOUTS
from restcli.marks.registry import FORMATS, WRITABLE


def test_every_format_is_listed() -> None:
    done = CliRunner().invoke(app, ["formats", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [row["name"] for row in found["recordings"]] == [reader.name for reader in READERS]
    assert [row["name"] for row in found["events"]] == [form.name for form in FORMATS]
    assert [row["name"] for row in found["events"] if row["written"]] == list(WRITABLE)
    assert [row["name"] for row in found["layouts"]] == [layout.name for layout in LAYOUTS]
    assert all(row["tried_on"] for row in found["recordings"])


def test_tables_show_endings_and_packages() -> None:
    done = CliRunner().invoke(app, ["formats"])
    assert done.exit_code == 0
    for text in (".vhdr", "mne", "Nihon Kohden", "csv_bi", "TUSZ", "SeizeIT1", "edfio", "one recording"):
        assert text in done.stdout, text


def test_packages_exist() -> None:
    for package in {item.package for item in (*READERS, *FORMATS)} - {"", "antio", "eeg2edf"}:
        assert importlib.util.find_spec(package), package
