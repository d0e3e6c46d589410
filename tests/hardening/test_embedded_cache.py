"""The embedded model's cache folder: killed while it is made, no room for it, two at once."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import SOURCE, check_message, in_process
from mounts import disk

from labelcast.models.embedded import dequantised, gguf_file

LOAD = "from labelcast.models.loading import load_model\nload_model('smollm2', device='cpu')"


def start(cache: Path) -> subprocess.Popen[bytes]:
    """A process that loads the embedded model out of an empty cache."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "LABELCAST_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", LOAD], env=environment)


def weights(folder: Path) -> str:
    """The digest of a folder's weights."""
    with (folder / "model.safetensors").open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@pytest.mark.slow
def test_killed_while_it_is_made(tmp_path: Path) -> None:
    """SIGKILL at random, and two at once at the end: one whole folder, and nothing beside it."""
    usual = dequantised(gguf_file())
    rng = random.Random(0)
    for _ in range(3):
        process = start(tmp_path)
        time.sleep(rng.uniform(8, 25))
        process.kill()
        process.wait()
    both = [start(tmp_path), start(tmp_path)]
    assert [process.wait() for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [usual.name]
    assert weights(tmp_path / usual.name) == weights(usual)


@pytest.mark.slow
def test_no_room_for_it(tmp_path: Path) -> None:
    """Half the room that it takes: one line with the way out, and nothing is left there."""
    command = ("score", tmp_path / "pool.jsonl", "--model", "smollm2", "--out", tmp_path / "run")
    rows = [f'{{"input_text": "Say {number}."}}\n' for number in range(40)]
    (tmp_path / "pool.jsonl").write_text("".join(rows))
    with disk(tmp_path / "cache", "size=200m") as cache:
        done = in_process(command, LABELCAST_CACHE=str(cache))
        check_message(done, 1, ("cache", "disk is full"))
        assert not list(cache.iterdir())
