"""Shared options: which commands take them, and that they mean the same everywhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from test_cli import restcli

from restcli.cli import annotate, batch, evaluate, info
from restcli.cli.live import SettingOptions
from restcli.detect.settings import Settings

_DETECTION = {"step", "threshold", "sensitivity", "allow_missing", "channel_map", "device", "threads"}
_ANNOTATION = _DETECTION | {"weights", "types", "passes", "seed"}
SETTINGS = {
    "annotate": _ANNOTATION,
    "batch": _ANNOTATION,
    "evaluate": _DETECTION | {"weights"},
    "info": {"weights", "allow_missing", "channel_map"},
}
OUTPUTS = {"annotate": {"formats", "plot", "as_json"}, "batch": {"formats", "plot"}}
FUNCTIONS = {"annotate": annotate.annotate, "batch": batch.run, "evaluate": evaluate.evaluate, "info": info.info}


def parameters(command: str) -> dict[str, Any]:
    import inspect

    found = inspect.signature(FUNCTIONS[command], eval_str=True).parameters
    return {name: parameter.annotation for name, parameter in found.items()}


def test_annotate_and_batch_take_every_setting() -> None:
    assert SETTINGS["annotate"] == SETTINGS["batch"] == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize("command", FUNCTIONS)
def test_shared_options_are_the_same_objects(command: str) -> None:
    own, shared = parameters(command), parameters("annotate")
    wanted = SETTINGS[command] | OUTPUTS.get(command, set())
    assert wanted <= set(own)
    if command == "evaluate":  # without --weights it reads DETECTED; its seed is that of the bootstrap
        wanted = wanted - {"weights"}
    assert {name: own[name] for name in wanted} == {name: shared[name] for name in wanted}


@pytest.mark.parametrize("command", ["annotate", "batch", "evaluate"])
def test_every_setting_reaches_the_work(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "map.toml").write_text('"chan 1" = "F3"')
    given = {
        "--weights": "rest-paper",
        "--step": 2,
        "--threshold": 0.25,
        "--passes": 7,
        "--seed": 3,
        "--allow-missing": 4,
        "--channel-map": tmp_path / "map.toml",
        "--device": "cpu",
        "--sensitivity": "specific",
        "--threads": 2,
    }
    chosen = {"threads": 2, "sensitivity": "specific", "types": command != "evaluate"}
    wanted = Settings("rest-paper", 2, 0.25, 4, (("chan 1", "F3"),), "cpu", 7, 3, **chosen)
    if command == "evaluate":
        del given["--passes"], given["--seed"]
        wanted = replace(wanted, passes=0, seed=0)
    seen: list[Settings] = []
    monkeypatch.setattr("restcli.cli.options.read_settings", _spy(seen))
    words = [word for pair in given.items() for word in pair] + ["--types"] * (command != "evaluate")
    restcli(command, tmp_path / "absent.edf", *([tmp_path / "out"] if command == "batch" else []), *words)
    assert seen == [wanted]


@pytest.mark.parametrize("command", ["annotate", "batch"])
@pytest.mark.parametrize(
    "words",
    [
        ["--types"],
        ["--step", "20"],
        ["--weights", "rest-paper", "--passes", "5"],
        ["--weights", "rest-paper", "--sensitivity", "specific"],
    ],
)
def test_what_the_weights_cannot_do_is_refused_before_any_recording(
    command: str, words: list[str], example: Path, tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    shutil.copy(example, tmp_path / "archive")
    places = [tmp_path / "archive" / example.name, "--out"] if command == "annotate" else [tmp_path / "archive"]
    done = restcli(command, *places, tmp_path / "out", "--plot", "none", *words)
    assert (done.returncode, words[-2 if len(words) > 1 else 0] in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "out").exists()


def test_live_takes_the_options_of_annotate() -> None:
    hints, shared = get_type_hints(SettingOptions, include_extras=True), parameters("annotate")
    assert set(hints) == {"weights", "threshold", "sensitivity", "allow_missing", "channel_map"}
    assert all(hints[name] == shared[name] for name in hints)


def _spy(seen: list[Settings]) -> Any:
    from restcli.cli.options import read_settings

    def spy(**chosen: Any) -> Settings:
        seen.append(read_settings(**chosen))
        return seen[-1]

    return spy


def test_sizes_of_memory() -> None:
    from restcli.cli.batch import parse_memory

    sizes = {
        "4GiB": 4 * 2**30,
        "512 MB": 512 * 10**6,
        "1.5G": 1.5 * 10**9,
        "300000000": 300_000_000,
        "1048576kiB": 2**30,
    }
    assert {text: parse_memory(text) for text in sizes} == sizes
