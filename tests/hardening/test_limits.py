"""What the machine lacks: memory, room, the right to write, somebody who reads the output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import SOURCE
from fault_bench import COMMANDS, Bench, Command, each, state, words
from mounts import mounted

MIB = 2**20
ENVIRONMENT = os.environ | {"PYTHONPATH": str(SOURCE)}


@each(quick=("report",), names=("score", "coslow", "tune", "calibrate", "report"))
def test_too_little_memory(bench: Bench, name: str) -> None:
    """With ever more memory a command fails in one line, or does its work; nothing is half done."""
    command = COMMANDS[name]
    ends = []
    for room in (MIB, 8 * MIB, 40 * MIB):
        folder = bench.copy(command.start)
        done = bench.run(command, folder, memory=room)
        ends.append(done.status)
        # The C library ends a process in which a thread of a library finds no room for its data.
        ended = done.status == 127 and done.err.endswith("thread-local data: ABORT\n")
        assert ended or done.status in (0, 1), (room, done.err)
        if done.status == 1:
            told = [line for line in done.err.splitlines() if "labelcast: " in line]
            assert "Traceback" not in done.err, (room, done.err)
            assert len(told) == 1 and "memory" in told[0], (room, done.err)
        bench.check_recovers(command, folder)
        shutil.rmtree(folder)
    assert {1, 127} & set(ends)


@each(quick=("score", "label --import"))
def test_a_folder_turned_read_only(bench: Bench, name: str) -> None:
    """A folder that takes no writes any more: one line with the reason, and nothing is changed."""
    command = COMMANDS[name]
    folder = bench.copy(command.start)
    before = state(folder)
    with mounted("--bind", str(folder), str(folder)), read_only(folder):
        done = bench.run(command, folder)
    assert done.status == 1, done.err
    told = [line for line in done.err.splitlines() if "labelcast: " in line]
    assert len(told) == 1 and "read-only" in told[0].lower(), done.err
    assert state(folder) == before


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A mounted folder made read-only; it is writable again afterwards."""
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,bind,rw", str(folder)], check=True)


def test_a_read_only_run_can_be_looked_at(bench: Bench, tmp_path: Path) -> None:
    """Progress, export, and the report to another place need no lock and no writing."""
    folder = bench.copy("answered")
    before = state(folder)
    looks = (
        "label run --json",
        f"label run --export {tmp_path}/o.csv",
        f"report run --out {tmp_path}/r.html",
    )
    with mounted("--bind", str(folder), str(folder)), read_only(folder):
        for text in looks:
            done = bench.run(Command("look", words(text), "answered"), folder)
            assert done.status == 0, done.err
    assert state(folder) == before


@each(quick=("score", "label --import"))
def test_a_disk_with_little_room(bench: Bench, name: str, tmp_path: Path) -> None:
    """On a disk that is all but full: one line; with room again the same command does its work."""
    command = COMMANDS[name]
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)):
        folder = bench.copy(command.start, disk)
        for room in (0, 6000):
            with (disk / "ballast").open("wb") as ballast:
                free = shutil.disk_usage(disk).free
                ballast.write(bytes(max(free - room, 0)))
            done = bench.run(command, folder)
            assert done.status in (0, 1), done.err
            if done.status:
                told = [line for line in done.err.splitlines() if "labelcast: " in line]
                assert len(told) == 1 and "disk is full" in told[0], done.err
            assert "Traceback" not in done.err
            assert not list(disk.rglob("*.part"))
            (disk / "ballast").unlink()
        bench.check_recovers(command, folder)


FORECAST = "forecast --coslow 0.42 --calibration pooled"


def shell(text: str, **environment: str) -> tuple[int, str]:
    """A command in a shell, with `labelcast` as users have it; exit status and stderr."""
    program = f"{sys.executable} -m labelcast"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {text.replace('LC', program)}"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | environment,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (f"LC {FORECAST} --json | head -c 0", 1, ""),
        (f"LC {FORECAST} > /dev/full", 1, "No space left"),
        (f"LC {FORECAST} --json >&-", 0, ""),
        (f"LC {FORECAST} 2>&-", 0, ""),
        (f"LC {FORECAST} <&- >&- 2>&-", 0, ""),
    ],
)
def test_nobody_reads_the_output(text: str, status: int, says: str) -> None:
    """A pipe that is closed, a full disk behind it, no stream at all: no traceback."""
    found, told = shell(text)
    assert found == status, told
    assert "Traceback" not in told and "Exception ignored" not in told
    assert says in told


@pytest.mark.parametrize("limit", ["-n 12", "-n 40", "-f 8"])
def test_few_open_files_and_short_ones(bench: Bench, limit: str) -> None:
    """A report that may open few files, or write no long one, is not written, and then it is."""
    command = COMMANDS["report"]
    folder = bench.copy(command.start)
    status, told = shell(f"cd {folder}; ulimit {limit}; LC {' '.join(command.argv)}")
    assert status == 1
    assert len([line for line in told.splitlines() if line.startswith("labelcast: ")]) == 1, told
    assert "Traceback" not in told and "bug in labelcast" not in told
    bench.check_recovers(command, folder)


def test_without_docstrings() -> None:
    """Python may be told to drop docstrings and assertions."""
    assert shell(f"PYTHONOPTIMIZE=2 LC {FORECAST}") == shell(f"LC {FORECAST}")


def test_no_home(tmp_path: Path) -> None:
    """Without a home folder to keep the embedded model in, it is said what to set."""
    code = (
        "import os, pwd; from labelcast.models.embedded import cache_folder;"
        "from labelcast.errors import RunError; os.setuid(54321);"
        "[os.environ.pop(n, None) for n in ('HOME', 'XDG_CACHE_HOME', 'LABELCAST_CACHE')]\n"
        "try: cache_folder()\nexcept RunError as error: print(error)"
    )
    if os.getuid() != 0:
        pytest.skip("needs a user without an entry")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert "LABELCAST_CACHE" in done.stdout, done.stderr
