"""Writes docs/licences.md from what the installed packages declare: `make licences`."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
# Packages whose metadata name no licence, or quote a whole text, and what their licence files say.
BY_HAND = {
    "colorama": "BSD-3-Clause",
    "matplotlib": "PSF-based (matplotlib)",
    "tzdata": "Apache-2.0",
}
HEAD = """# Licences of what restcli uses

The licences are those that the packages declare (`make licences` reads them). *Needed* says whether a package is needed
to run restcli ("yes", `requirements.lock`) or only for an optional part, tests or building (`constraints.txt`). None is
shipped in restcli's wheel. CUDA packages come with PyTorch on Linux and are not needed on a CPU.

Each release has a software bill of materials (SBOM, CycloneDX) with the version and the hashes of everything that
restcli needs to run; `make sbom` writes it to `build/rest-eeg.cdx.json`.

| package | licence | needed |
|---|---|---|
"""


def main() -> None:
    """Write the page; a package that is not installed here keeps its row."""
    PAGE.write_text(HEAD + "".join(f"{row}\n" for row in rows(known_rows())), encoding="utf-8")


def rows(known: dict[str, str]) -> list[str]:
    """Return a row for every pinned package."""
    needed = pinned("requirements.lock")
    found = []
    for name in sorted(needed.keys() | pinned("constraints.txt").keys()):
        licence = licence_of(name) or known.get(name, "not known")
        found.append(f"| {name} | {licence} | {'yes' if name in needed else 'tests and building'} |")
    return found


def known_rows() -> dict[str, str]:
    """Return the licence of each package on the page."""
    return dict(re.findall(r"^\| (\S+) \| (.+?) \| (?!needed)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))


def pinned(name: str) -> dict[str, str]:
    """Return the version of each package of a file of requirements."""
    found = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def licence_of(name: str) -> str | None:
    """Return the licence of an installed package in its own words, None where it is not installed."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return BY_HAND.get(name)
    return BY_HAND.get(name) or _stated(package)


def _stated(package: Distribution) -> str | None:
    """Return the SPDX expression of a package; else its one line; else its classifiers."""
    about = package.metadata
    line = str(about.get("License-Expression") or about.get("License") or "").strip()
    if line and "\n" not in line and len(line) < 120 and line != "UNKNOWN":
        return line.replace("|", "/")
    classifiers = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or [] if "License ::" in each]
    return ", ".join(classifiers) or None


if __name__ == "__main__":
    main()
