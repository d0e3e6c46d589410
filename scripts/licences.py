"""Print the licences of the declared dependencies, from the metadata of the installed packages.

A Markdown table: each declared package with its version, its licence and where it is declared.
`--all` adds indirect dependencies. Exits with status 1 if a licence is not known.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_CLASSIFIER = "License :: OSI Approved :: "


def declared() -> dict[str, str]:
    """Each declared package, and where: always, or in which extra."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    found = dict.fromkeys(map(name_of, project["dependencies"]), "always")
    for extra, entries in project.get("optional-dependencies", {}).items():
        for entry in entries:
            found.setdefault(name_of(entry), extra)
    found.pop("labelcast", None)
    return found


def name_of(requirement: str) -> str:
    """The normalised package name of a requirement."""
    match = _NAME.match(requirement)
    if match is None:
        raise ValueError(f"no name in {requirement!r}")
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def with_what_they_bring(names: dict[str, str]) -> dict[str, str]:
    """The same, with their installed dependencies."""
    found, left = dict(names), list(names)
    while left:
        try:
            needed = metadata.requires(left.pop()) or []
        except metadata.PackageNotFoundError:
            continue
        for entry in needed:
            name = name_of(entry)
            if "extra ==" not in entry and name not in found and is_installed(name):
                found[name] = "indirect"
                left.append(name)
    return found


def is_installed(name: str) -> bool:
    """Whether a package is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def licence(name: str) -> str:
    """The licence that the package declares; empty if it declares none."""
    about = metadata.metadata(name)
    if about["License-Expression"]:
        return str(about["License-Expression"])
    found = [
        entry.removeprefix(_CLASSIFIER)
        for entry in about.get_all("Classifier") or []
        if entry.startswith(_CLASSIFIER)
    ]
    text = " ".join((about["License"] or "").split())
    return ", ".join(found) or text[:60]


def main() -> int:
    """Print the table."""
    names = declared()
    if "--all" in sys.argv[1:]:
        names = with_what_they_bring(names)
    print("| package | version | licence | declared |\n|---|---|---|---|")
    unknown = 0
    for name, where in sorted(names.items()):
        if not is_installed(name):
            print(f"| {name} | not installed | | {where} |")
            continue
        text = licence(name)
        unknown += not text
        print(f"| {name} | {metadata.version(name)} | {text or 'not stated'} | {where} |")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
