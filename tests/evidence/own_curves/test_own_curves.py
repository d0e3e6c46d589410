"""The committed rows, the summary made from them, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence.development import MeasuredCurve
from evidence.own_curves.curves import AT, Own, best_known, curves_of, headline_case
from evidence.own_curves.headline import inside_of, mean_over_tasks, sentences
from evidence.own_curves.methods import CEILING_KNOWN, Ways, tried
from evidence.own_curves.rows import (
    FACTS,
    GENERATED,
    OUTSIDE,
    ROWS,
    TASKS,
    Rows,
    facts_beside,
    tasks_in,
)
from evidence.own_curves.tables import tables
from evidence.own_curves.trial import SUMMARY, digest_of
from evidence.transport import LEVEL, labelcast_way
from labelcast.files.json_files import read_json
from labelcast.forecast.families import Prior
from labelcast.sweeps.records import ScoreRow
from labelcast.training.recipe import FULL_ENCODER, LINEAR, LORA

FILES = sorted(ROWS.glob("*.jsonl"))
OUTSIDE_FILES = sorted((OUTSIDE / "rows").glob("*.jsonl"))
SUMMARIES = {SUMMARY: FILES, OUTSIDE / "trial.json": OUTSIDE_FILES}
RECIPES = {"linear": LINEAR, "full": FULL_ENCODER, "lora": LORA}
PAGE, README = Path("docs/was-it-right.md"), Path("README.md")


@pytest.mark.parametrize("file", [*FILES, *OUTSIDE_FILES], ids=lambda file: file.stem)
def test_rows_are_of_one_model_and_recipe(file: Path) -> None:
    model, _, recipe = file.stem.partition("-")
    rows, facts = Rows(file).rows(), facts_beside(file)
    assert {row.model for row in rows} == {model}
    assert {row.recipe_digest for row in rows} == {RECIPES[recipe].digest}
    assert len({row.fingerprint for row in rows}) == 1
    for row in rows:
        assert row.score is not None and not row.error
        assert row.test_digest == facts[row.task]["test_digest"]


@pytest.mark.parametrize("file", [*FILES, *OUTSIDE_FILES], ids=lambda file: file.stem)
def test_no_score_is_measured_twice(file: Path) -> None:
    keys = [row.key for row in Rows(file).rows()]
    assert len(set(keys)) == len(keys)


def test_only_new_rows_that_did_not_fail_are_appended_and_no_text(tmp_path: Path) -> None:
    row = ScoreRow(
        task="t", model="m", budget=10, seed=0, metric="accuracy", score=0.5, notes=["a text"]
    )
    failed = row.model_copy(update={"budget": 20, "score": None, "error": "it failed"})
    rows = Rows(tmp_path / "rows.jsonl")
    rows.extend([row, failed])
    rows.extend([row])
    assert [found.key for found in rows.rows()] == [row.key]
    assert "text" not in rows.path.read_text("utf-8")


def test_every_task_has_its_facts() -> None:
    assert {*TASKS, *GENERATED} <= read_json(FACTS).keys()
    outside = tasks_in(OUTSIDE / "tasks").keys()
    assert outside == facts_beside(OUTSIDE_FILES[0]).keys() and not outside & TASKS.keys()


@pytest.mark.parametrize(("summary", "files"), SUMMARIES.items(), ids=["own", "outside"])
def test_the_summary_is_of_the_committed_rows(summary: Path, files: list[Path]) -> None:
    found = read_json(summary)["files"]
    assert found.keys() == {file.name for file in files}
    for file in files:
        # Rows that were measured later come after those of the summary.
        assert digest_of(file, found[file.name]["rows"]) == found[file.name]


def test_a_forecast_of_the_summary_comes_from_its_scores() -> None:
    summary = read_json(SUMMARY)
    asked = summary["headline"][0]
    file = ROWS / f"{asked['curves of'].replace(', ', '-')}.jsonl"
    [own] = [
        own for own in curves_of(file) if (own.task, own.seed) == (asked["task"], asked["seed"])
    ]
    case = headline_case(own)
    assert case is not None
    found = labelcast_way(Prior.load(), recipe=own.recipe)(case)
    place = case.later_budgets.tolist().index(AT)
    assert found.intervals is not None
    low, high = found.intervals[LEVEL][place]
    assert found.scores[place] == pytest.approx(asked["forecast"], abs=1e-4)
    assert (low, high) == pytest.approx((asked["low"], asked["high"]), abs=1e-4)
    assert asked["measured"] == case.later_scores[place]


def test_the_page_shows_what_the_command_prints() -> None:
    """Each table of the page has lines of one printed table, of another one than the others."""
    page = PAGE.read_text("utf-8")
    printed: list[set[str]] = []
    for file in SUMMARIES:
        summary = read_json(file)
        for line in summary["sentences"]:
            assert line in page
        printed += in_tables(tables(summary))
    found = [[n for n, one in enumerate(printed) if shown <= one] for shown in in_tables(page)]
    assert len(found) > 5 and all(len(places) == 1 for places in found)
    assert len({place for [place] in found}) == len(found)


def test_the_readme_counts_as_the_summary_does() -> None:
    """It has the forecasts that held of both recipes, and of the tasks above the majority."""
    text, headline = README.read_text("utf-8"), read_json(SUMMARY)["headline"]
    linear = [row for row in headline if row["curves of"] == "minilm, linear"]
    full = [row for row in headline if row["curves of"] == "minilm, full"]
    for rows in (linear, full, [row for row in linear if row["above"]]):
        assert inside_of(rows) in text
    assert inside_of(read_json(OUTSIDE / "trial.json")["headline"]) in text


def in_tables(text: str) -> list[set[str]]:
    """The lines of each Markdown table."""
    found: list[set[str]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            found = found if inside else [*found, set()]
            found[-1].add(line)
        inside = line.startswith("|")
    return found


def test_the_sentences_count_the_forecasts() -> None:
    summary = read_json(SUMMARY)
    groups = dict.fromkeys(row["curves of"] for row in summary["headline"])
    for group in groups:
        assert {*sentences(summary["headline"], group)} <= {*summary["sentences"]}


def test_tasks_count_the_same_whatever_their_seeds() -> None:
    """The share that held is a mean over tasks, and its interval is over tasks too."""
    rows = [{"task": "a", "inside": True}] * 9 + [{"task": "b", "inside": False}]
    share, low, high = mean_over_tasks(rows)
    assert share == 0.5 and low == 0.0 and high == 1.0
    assert mean_over_tasks(rows[:9]) == (1.0, 1.0, 1.0)


def test_a_task_that_scores_nothing_has_no_ceiling() -> None:
    """Its curves are compared without the forecasts that need one."""
    curve = MeasuredCurve("own", "minilm", "hard", ((50, 0.0), (100, 0.0), (200, 0.0)), 0.0, 500)
    own = Own("minilm", "full", 0, curve, 0.5)
    assert best_known([own]) == {"hard": 0.0}
    ways = Ways(None, best_known([own])).of(own)
    assert CEILING_KNOWN not in [way.name for way in ways]
    assert all(tried(own, way) for way in ways if way.name != "power law")
