"""Commands and files in README, docs and workflows are such as the software takes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import restcli
from restcli.cli.app import app
from restcli.cli.settings_file import every_option

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def command_lines() -> list[tuple[str, str]]:
    """Return file and text of every line of a code block that calls restcli."""
    found = []
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            called = re.match(
                r"(?:    |ExecStart=|\S* ?\| )?(?:/\S*/)?(?:.*\| )?restcli ((?!is |finds |annotate`).*)", line
            )
            indented = line.startswith(("    ", "restcli ", "ExecStart=", "/opt/restcli/bin/restcli"))
            if called and indented and "`" not in line:
                found.append((page.name, called[1].partition("   #")[0].strip()))
    return found


def words_of(text: str) -> list[str]:
    """Return the words of a shell command, up to a pipe; names that stand for files and folders stay."""
    words = shlex.split(text, comments=True)
    return words[: words.index("|")] if "|" in words else words


@pytest.mark.parametrize(("page", "text"), command_lines())
def test_commands_of_the_pages_can_be_typed(page: str, text: str, tmp_path: Path) -> None:
    command: Any = get_command(app)
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"```toml\n(.*?)```", operations, flags=re.DOTALL)
    (tmp_path / "restcli.toml").write_text(settings)
    filled = text.replace("$SLURM_ARRAY_TASK_ID", "1").replace("/etc/restcli.toml", str(tmp_path / "restcli.toml"))
    words = words_of(filled)
    if words[0].startswith("--"):
        assert any(words[0] in option.opts for option in command.params) or words[0] == "--install-completion"
        return
    while hasattr(command, "commands"):
        default = "run" if words[0] not in command.commands and "run" in command.commands else "open"
        command = command.commands[words.pop(0) if words[0] in command.commands else default]
    command.make_context("restcli", words)


def test_there_are_commands_on_the_pages() -> None:
    pages = {page for page, _ in command_lines()}
    assert {"README.md", "archives.md", "data.md", "live.md", "operations.md", "review.md"} <= pages


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_units_are_accepted_by_systemd(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    service, timer = re.findall(r"```ini\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "restcli.service").write_text(service.replace("/opt/restcli/bin/restcli", "/bin/true"))
    (tmp_path / "restcli.timer").write_text(timer)
    (tmp_path / "restcli-mail.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    units = [str(tmp_path / name) for name in ("restcli.service", "restcli.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "restcli" in line]
    assert not ours, ours


def made_page(name: str) -> str:
    """Return a page of the site with what comes from the code."""
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    reference = module_from_spec(spec)
    spec.loader.exec_module(reference)
    return str(reference.on_page_markdown((ROOT / "docs" / name).read_text(encoding="utf-8")))


def test_the_page_of_python_has_every_public_name_with_its_docstring() -> None:
    places = dict(re.findall(r"::: (\S+)\n    options:\n      heading: restcli\.(\S+)", made_page("api.md")))
    assert sorted([*places.values(), "__version__"]) == sorted(restcli.__all__)
    for place, name in places.items():
        module, _, attribute = place.rpartition(".")
        found = getattr(import_module(module), attribute)
        assert found is getattr(restcli, name) and len(found.__doc__) > 40


def test_the_reference_names_every_command_and_option() -> None:
    text = made_page("commands.md")
    assert text.count("\n## restcli ") == len(every_option())
    names = {name for options in every_option().values() for name in options}
    assert not {name for name in names if f"`--{name}`" not in text}


def test_every_page_has_a_place_on_the_site() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    placed = set(re.findall(r"[\w-]+\.md", settings))
    assert placed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_workflows_run_what_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        steps = [step for job in jobs.values() for step in job["steps"]]
        assert steps and all(("run" in step) != ("uses" in step) for step in steps), path
        called = {target for step in steps for target in re.findall(r"^make (\S+)", step.get("run", ""))}
        assert called <= targets, path
