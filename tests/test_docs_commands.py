"""Commands and files in README, docs and workflows are such as the software takes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
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


def code_lines(page: Path) -> Iterator[str]:
    """Yield the lines of the code blocks of a page, fenced or indented."""
    is_fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            is_fenced = not is_fenced
        elif is_fenced or line.startswith("    "):
            yield line.strip()


def command_lines() -> list[tuple[str, str]]:
    """Return file and text of every call of restcli in a code block, without a comment behind it."""
    found = []
    for page in PAGES:
        for line in code_lines(page):
            called = re.search(r"(?:^|[\s=/|])restcli ([a-z-].*)", line)
            if called and not line.startswith("#"):
                found.append((page.name, re.split(r"\s+# ", called[1])[0]))
    return found


def mentions() -> list[tuple[str, str]]:
    """Return file and text of every command that a sentence mentions."""
    texts = ((page.name, re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)) for page in PAGES)
    return [
        (name, " ".join(found.split())) for name, text in texts for found in re.findall(r"`restcli\s([^`]+)`", text)
    ]


def words_of(text: str) -> list[str]:
    """Return the words of a shell command, up to a pipe; names that stand for files and folders stay."""
    words = shlex.split(text, comments=True)
    return words[: words.index("|")] if "|" in words else words


@pytest.mark.parametrize(("page", "text"), command_lines())
def test_commands_of_the_pages_can_be_typed(page: str, text: str, tmp_path: Path) -> None:
    command = get_command(app)
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"```toml\n(.*?)```", operations, flags=re.DOTALL)
    (tmp_path / "restcli.toml").write_text(settings)
    filled = text.replace("$SLURM_ARRAY_TASK_ID", "1").replace("/etc/restcli.toml", str(tmp_path / "restcli.toml"))
    words = words_of(filled)
    if words[0].startswith("--"):
        assert any(words[0] in option.opts for option in command.params) or words[0] == "--install-completion"
        return
    find_command(words).make_context("restcli", words)


def find_command(words: list[str]) -> Any:
    """Return the command that words begin with, and take its name from them."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        default = "run" if "run" in command.commands else "open"
        command = command.commands[words.pop(0) if words and words[0] in command.commands else default]
    return command


@pytest.mark.parametrize(("page", "text"), sorted(set(mentions())))
def test_commands_that_sentences_mention_exist_with_their_options(page: str, text: str) -> None:
    words = words_of(text)
    if words[0].startswith("--"):
        assert any(words[0] in option.opts for option in get_command(app).params), page
        return
    command = find_command(words)
    try:
        command.make_context("restcli", words)
    except Exception as error:
        assert type(error).__name__ == "MissingParameter", error  # a sentence need not name a recording


def test_there_are_commands_on_the_pages() -> None:
    pages = {page for page, _ in command_lines()}
    assert {"README.md", "archives.md", "data.md", "live.md", "operations.md", "review.md"} <= pages
    texts = [text for _, text in command_lines()]
    assert "batch /data /output --workers 4" in texts and "live --stdin" in texts and not any("#" in t for t in texts)


def test_wheels_on_the_pages_have_the_name_that_is_built() -> None:
    wheels = [(page.name, name) for page in PAGES for name in re.findall(r"\S*\w\S*\.whl", page.read_text("utf-8"))]
    assert wheels and all(name.startswith("rest_eeg-") for _, name in wheels), wheels


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


def test_pages_that_show_a_file_of_the_source_have_its_text() -> None:
    for name, words in (
        ("expectations.md", "| absences in a routine EEG, child |"),
        ("evaluation.md", "| balanced"),
        ("model-card.md", "rest-default"),
        ("architecture.md", "-> signal"),
    ):
        text = made_page(name)
        assert words in text and not re.search(r"<!-- \S+\.md|!\[", text) and len(text) > 1000, name


def test_every_page_has_a_place_on_the_site() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    placed = set(re.findall(r"[\w-]+\.md", settings))
    assert placed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_every_picture_of_the_pages_is_made_by_a_command() -> None:
    pictures = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    recipe = (ROOT / "Makefile").read_text().partition("\npictures:")[2].partition("\n\n")[0]
    assert pictures and all(picture.is_file() for picture in pictures)
    assert {picture.relative_to(ROOT).as_posix() for picture in pictures} == set(re.findall(r"docs/\S+", recipe))
    for line in recipe.splitlines()[1:]:
        if words := line.partition("restcli ")[2].split():
            find_command(words).make_context("restcli", words)


def test_workflows_run_what_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        steps = [step for job in jobs.values() for step in job["steps"]]
        assert steps and all(("run" in step) != ("uses" in step) for step in steps), path
        called = {target for step in steps for target in re.findall(r"^make (\S+)", step.get("run", ""))}
        assert called <= targets, path
