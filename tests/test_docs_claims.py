"""What README promises of the weights is what models/EVALUATION.md measured."""

from __future__ import annotations

import re
from pathlib import Path

from restcli.text import markdown_table

ROOT = Path(__file__).resolve().parent.parent
HEADING = ("on what", "patients", "seizures found", "false alarms")


def rows_of(text: str, first: str) -> dict[str, dict[str, str]]:
    """Return the rows, by their first word, of the table whose first heading is `first`."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(f"| {first} |")]
    assert starts, f"models/EVALUATION.md lacks the table that begins with '| {first} |', which README rests on"
    found = {}
    heading, _, *rows = (cells_of(line) for line in lines[starts[0] :] if line.startswith("|") or not line.strip())
    for row in rows:
        if len(row) != len(heading):
            break
        found[row[0].split()[0]] = dict(zip(heading, row, strict=True))
    return found


def cells_of(line: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def expected_table(evaluation: str) -> str:
    """Return the table that README must have, from the tables of the evaluation."""
    point = rows_of(evaluation, "point")["balanced"]
    events = rows_of(evaluation, "weights")["rest-default"]
    chb = [tuple(map(int, point[name].split(" of "))) for name in ("chb01", "chb02", "chb03")]
    found, of = (sum(numbers) for numbers in zip(*chb, strict=True))
    ward = re.fullmatch(r"([\d.]+ %) of seizures, (\d+) false alarms a day|([\d.]+ %), (\d+) a day", point[WARD])
    assert ward, f"models/EVALUATION.md says '{point[WARD]}' of the simulated ward; expected '63 %, 76 a day'"
    share, alarms = (each for each in ward.groups() if each)
    rows = [
        ("absences in a routine EEG, child", "1", point["absences"], events["false alarms: absence"]),
        ("CHB-MIT, children, 10 s before each seizure and part of it", "3", f"{found} of {of}", "not measured"),
        (
            "intensive care, clips of 10 and 50 s",
            "3",
            point["IIIC"],
            f"{events['false alarms: mimics']} of periodic patterns",
        ),
        ("healthy adults at rest and counting (EEGMAT)", "18", "there are none", events["false alarms: EEGMAT 0-17"]),
        ("simulated wards, most seizures quiet", "simulated", share, f"{alarms} a day"),
        ("adults with focal seizures, newborns, real nights", "none", "not known", "not known"),
    ]
    return markdown_table(HEADING, rows)


WARD = "expected on the simulated ward"


def test_what_to_expect_is_what_was_measured() -> None:
    evaluation = (ROOT / "models" / "EVALUATION.md").read_text(encoding="utf-8")
    expected = expected_table(evaluation)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert expected in readme, f"replace the table below 'What to expect' in README.md by\n{expected}"


def test_the_table_follows_the_evaluation() -> None:
    evaluation = (ROOT / "models" / "EVALUATION.md").read_text(encoding="utf-8")
    balanced = next(line for line in evaluation.splitlines() if line.startswith("| balanced"))
    changed = balanced.replace(cells_of(balanced)[-1], "99 %, 12 a day").replace("| 7 of 7 |", "| 2 of 7 |")
    table = expected_table(evaluation.replace(balanced, changed))
    assert "| 99 % | 12 a day |" in table and table != expected_table(evaluation)
