"""A run or a sweep of a stranger with a link in it reads and writes nothing elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import check_message, snapshot
from fault_bench import COMMANDS, Bench

# In place of what a command locks, adds to, replaces, makes, and of what it does not know.
PLACES = (".lock", "labels.jsonl", "scores.jsonl", "manifests", "jobs", "tuning/x/y")
USERS = [name for name, one in COMMANDS.items() if any(w in one.argv for w in ("run", "sweep"))]


def plant(path: Path, target: Path) -> None:
    """A link in the place of a file or folder, which is put where the link leads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(target)
    elif path.name in ("manifests", "jobs"):
        target.mkdir()
    elif path.name != ".lock":
        target.write_text("not to be\ntouched, nor its end")
    path.symlink_to(target)


@pytest.mark.parametrize("name", USERS)
def test_a_link_out_of_the_folder(name: str, bench: Bench, tmp_path: Path) -> None:
    """Refused with the link's path; what it leads to is as before, or still not there."""
    command = COMMANDS[name]
    for number, place in enumerate(PLACES):
        folder = bench.copy("scored" if name == "score" else command.start)
        run = folder / ("sweep" if "sweep" in command.argv else "run")
        outside = tmp_path / str(number)
        plant(run / place, outside / "target")
        before = snapshot(folder), snapshot(outside)
        check_message(bench.run(command, folder), 2, (run.name, place, "leads out of"))
        assert (snapshot(folder), snapshot(outside)) == before


def test_links_within_the_folder_are_followed(bench: Bench, tmp_path: Path) -> None:
    """A run that is a link itself, with a file of it under another name of the same run."""
    command = COMMANDS["forecast"]
    folder = bench.copy(command.start)
    (folder / "run").rename(tmp_path / "elsewhere")
    (folder / "run").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "draws.jsonl").rename(tmp_path / "elsewhere" / "kept")
    (tmp_path / "elsewhere" / "draws.jsonl").symlink_to("kept")
    done = bench.run(command, folder)
    assert done.status == 0, done.err
