"""What cannot be done: status 1, one clear line with the path, and nothing half written."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Models, check_message, fill, in_process, labelcast, snapshot

UNWRITABLE = [
    ("score pool.jsonl --task task.yaml --model TINY --n-label 8 --out BAD/run", "run"),
    ("init pool.jsonl --answer label --input text --out BAD/task.yaml", "task.yaml"),
    ("label run --export BAD/a.csv", "a.csv"),
]


def status_one(command: str, bad: Path, models: Models, says: tuple[str, ...]) -> None:
    names = {"TINY": str(models.tiny)}
    args = [names.get(word, word).replace("BAD", str(bad)) for word in command.split()]
    check_message(labelcast(*args), 1, says)


@pytest.mark.parametrize(("command", "name"), UNWRITABLE)
def test_a_path_below_a_file(
    command: str, name: str, place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be created: status 1, with the path."""
    monkeypatch.chdir(place)
    before = snapshot(place)
    status_one(command, place / "pool.jsonl", models, (name, "not a folder"))
    assert snapshot(place) == before


def test_labels_survive_a_failed_write(place: Path) -> None:
    """If the labels cannot be written (a limit on file size), the old ones stay."""
    path = fill(place, dict.fromkeys(range(3), "yes"))
    assert labelcast("label", place / "run", "--import", path).status == 0
    before = snapshot(place / "run")
    path = fill(place, dict.fromkeys(range(8), "yes"))
    size = (place / "run/labels.jsonl").stat().st_size
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    done = in_process(["label", place / "run", "--import", path], code=limit)
    check_message(done, 1, ("labels.jsonl", "could not be written"))
    assert snapshot(place / "run") == before
