"""The tasks of the curves, and the rows of scores that are committed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labelcast.files.atomic import make_folder
from labelcast.files.json_files import JsonLines, read_json
from labelcast.runs.records import parse_rows
from labelcast.sweeps.records import ScoreKey, ScoreRow
from labelcast.tasks.task import Task

HERE = Path(__file__).parent
ROWS = HERE / "rows"
OUTSIDE = HERE / "outside"
"""Tasks on which nothing of the forecast was chosen: their files, rows and summary."""

SELECTED = HERE.parent / "selection" / "rows"
"""Of labels that a selection method chose: a folder for each model and recipe, see `RowsByTask`."""

FROM_POOLS = SELECTED.parent / "pool_rows"
"""Of labels that methods chose from small pools, and of random ones from the same pools."""

FACTS = ROWS / "test_sets.json"
"""The share of the most frequent answer in each test set, its digest, and the other examples."""


def tasks_in(folder: Path) -> dict[str, Task]:
    """The tasks of a folder of YAML files, by name."""
    return {file.stem: Task.load(file) for file in sorted(folder.glob("*.yaml"))}


TASKS = tasks_in(HERE / "tasks")
"""By name. The data is a file of JSON Lines with that name."""

GENERATED = (
    *("post_room", "web_of_lies", "hyperbaton", "boolean_expressions", "object_counting"),
    *("temporal_sequences", "reasoning_about_colored_objects", "tracking_shuffled_objects"),
)
"""Generated tasks. A frozen minilm learns little of them besides post_room."""

_KEPT = {
    *("task", "model", "budget", "seed", "metric", "score", "test_size"),
    *("steps", "best_step", "seconds", "recipe_digest", "fingerprint", "test_digest", "decoding"),
    *("selector", "selection_seconds"),
}


def facts_beside(rows: Path) -> dict[str, dict[str, Any]]:
    """What is known of the test sets of a file of rows."""
    facts: dict[str, dict[str, Any]] = read_json(rows.parent / FACTS.name)
    return facts


def file_name(model: str) -> str:
    """A model's name as a part of a file's name."""
    return model.replace("/", "-")


def short(row: ScoreRow) -> dict[str, Any]:
    """A row as it is kept: without what has its default value, and with rounded numbers."""
    kept = row.model_dump(include=_KEPT, exclude_defaults=True)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in kept.items()}


class Rows(JsonLines):
    """A file of rows of one model and recipe."""

    @classmethod
    def of(cls, model: str, recipe: str) -> Rows:
        """The file of a model and recipe among the committed ones."""
        return cls(ROWS / f"{model}-{recipe}.jsonl")

    def rows(self) -> list[ScoreRow]:
        """The rows, in the order in which they were measured; none without the file."""
        return parse_rows(ScoreRow, self.read(), self.path)

    def keys(self) -> set[ScoreKey]:
        """Task, budget and seed of the rows."""
        return {row.key for row in self.rows()}

    def extend(self, rows: Iterable[ScoreRow]) -> None:
        """Append the rows that are not yet there and did not fail; scores only, no text."""
        make_folder(self.path.parent)
        known = self.keys()
        for row in rows:
            if row.key not in known and not row.error:
                self.add(short(row))


class RowsByTask(Rows):
    """A folder of rows of one model and recipe, with a file for each task."""

    def rows(self) -> list[ScoreRow]:
        """The rows by task; none without the folder."""
        return [row for file in sorted(self.path.glob("*.jsonl")) for row in Rows(file).rows()]

    def extend(self, rows: Iterable[ScoreRow]) -> None:
        """Append the rows that are not yet there and did not fail, each to its task's file."""
        for row in rows:
            Rows(self.path / f"{row.task}.jsonl").extend([row])
