"""Whether selection saves labels: the arithmetic, and the committed rows."""

from __future__ import annotations

import numpy as np
import pytest

from evidence.own_curves.rows import FACTS, FROM_POOLS, SELECTED, Rows
from evidence.selection import pools
from evidence.selection.trial import (
    BUDGETS,
    later,
    learned,
    lines,
    read,
    share_of_labels,
    shipped,
)
from labelcast.files.json_files import read_json
from labelcast.selection.measured import measured

N = np.array(BUDGETS, float)


def test_a_curve_that_needs_half_the_labels() -> None:
    """Scores that are linear in log2(n), one with half as many labels."""
    slow = np.log2(N) / 20
    assert later(N, np.log2(2 * N) / 20, slow) == pytest.approx(-1, abs=1e-9)
    assert later(N, slow, slow) == 0


def test_a_target_that_is_not_reached_counts_as_twice_the_largest_budget() -> None:
    """It understates how much worse the method is."""
    flat, rising = np.full(len(N), 0.1), np.log2(N) / 20
    assert later(N, flat, rising) == pytest.approx(
        np.mean(np.log2(2000 / np.array([100, 200, 500])))
    )


def test_committed_rows() -> None:
    """Every row is of a selected set with a random partner, and the tables can be made of them."""
    rows = [row for file in SELECTED.glob("*/*.jsonl") for row in Rows(file).rows()]
    keys = [(row.recipe_digest, row.key) for row in rows]
    assert rows and len(set(keys)) == len(keys)
    assert not any(row.selector == "random" or row.budget == 0 for row in rows)
    scores = read("linear")
    assert {row.test_digest for row in rows} <= {
        row.test_digest
        for row in Rows(SELECTED.parents[1] / "own_curves/rows/minilm-linear.jsonl").rows()
    }
    shares = [share_of_labels(scores, task, "k-centre") for task in learned(scores)]
    assert any(share is not None for share in shares)
    assert sum(line.startswith("| k-centre") for line in lines(scores)) == 3
    # Warnings quote these.
    assert measured() == shipped(scores)


@pytest.mark.parametrize(("recipe", "least"), [("linear", 20), ("full", 5)])
def test_the_page_shows_what_the_command_prints(recipe: str, least: int) -> None:
    """Of the committed rows."""
    page = (SELECTED.parents[2] / "docs/does-selection-save-labels.md").read_text("utf-8")
    rows = [line for line in lines(read(recipe)) if line.startswith("|")]
    assert len(rows) >= least
    assert [line for line in rows if line not in page] == []


def test_rows_of_small_pools() -> None:
    """Of the usual test sets, each with a random partner; the page has their tables."""
    page = (SELECTED.parents[2] / "docs/does-selection-save-labels.md").read_text("utf-8")
    facts = read_json(FACTS)
    for name, table in pools.tables().items():
        files = FROM_POOLS.glob(f"{name}*.jsonl")
        rows = [row for file in files for row in Rows(file).rows()]
        drawn = {row.key[:3] for row in rows if row.selector == "random"}
        assert {row.key[:3] for row in rows} == drawn
        assert {row.test_digest for row in rows} <= {of["test_digest"] for of in facts.values()}
        assert [line for line in table if line not in page] == []
