"""The ways to spend labels, tried out on raw scores."""

import math

import numpy as np
import pytest
from published_folder import write_folder

from evidence.reproduce.labelcast_method import prior_without
from evidence.reproduce.policy import (
    DOUBLING,
    FIXED_GRID,
    given_seen,
    in_turn,
    one_shot,
    search_on,
    simulate,
    with_forecast,
)
from evidence.reproduce.policy_table import policy_table
from evidence.reproduce.published import PublishedCurve, read_published
from evidence.reproduce.scoring import TARGETS, TaskBootstrap
from labelcast.forecast.efficiency import EfficiencyCurve
from labelcast.forecast.families import Prior

DIPPING = {0: 0.2, 50: 0.5, 100: 0.45, 200: 0.6, 500: 0.55, 1000: 0.8, 2500: 0.7, 5000: 0.75}


def shipped_scores(task: str) -> Prior:
    """Stand in for a fit of the score curves: made-up tasks are in no fit."""
    return Prior.load()


def _curve(raw: dict[int, float]) -> PublishedCurve:
    curve = EfficiencyCurve.from_scores(raw, 1.0)
    return PublishedCurve("m", "t", raw, 1.0, curve, None)


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> tuple[PublishedCurve, ...]:
    """Six made-up curves of six tasks."""
    folder = tmp_path_factory.mktemp("published") / "results"
    return read_published(write_folder(folder, models=("ada",)))


def test_a_run_gives_the_raw_score() -> None:
    """A training run returns the raw score, dips and all; the need is its first success."""
    search = search_on(_curve(DIPPING), 0.5)
    assert search.score == pytest.approx(0.6)
    assert [search.run(n) for n in (50, 100, 2500)] == pytest.approx([0.5, 0.45, 0.7])
    assert search.need() == pytest.approx(200)
    assert search.succeeds(200)
    assert not search.succeeds(500)
    assert search_on(_curve(DIPPING), 0.9).need() == math.inf
    assert search_on(_curve(DIPPING), 0.1).need() == 50


def test_fixed_budgets_stop_at_the_first_success() -> None:
    """Runs are counted one by one; a target that is never met costs all of them."""
    met = in_turn(search_on(_curve(DIPPING), 0.5), FIXED_GRID)
    assert (met.labels, met.runs, met.met) == (200, 3, True)
    never = in_turn(search_on(_curve(DIPPING), 0.9), DOUBLING)
    assert (never.labels, never.runs, never.met) == (5000, 8, False)


def test_one_shot_buys_once() -> None:
    """The power law's labels are bought, at least 50, and one run made."""
    spent = one_shot(search_on(_curve(DIPPING), 0.7, auc=0.5))
    assert spent.runs == 1
    assert spent.labels == math.ceil(2 ** (math.log2(5000) * 0.7))
    assert one_shot(search_on(_curve(DIPPING), 0.5, auc=0.9)).labels == 50


@pytest.mark.parametrize("ceiling_known", [True, False])
def test_the_forecast_ends_and_never_buys_twice(
    curves: tuple[PublishedCurve, ...], ceiling_known: bool
) -> None:
    """A search ends met or given up, at 5,000 labels at most, and success is a raw success."""
    prior = prior_without(curves[-1].task, curves[:-1], shipped_scores)
    given = given_seen(prior, curves[-1], ceiling_known, auc_known=True)
    for target in TARGETS:
        search = search_on(curves[-1], target, auc=0.4)
        spent = with_forecast(search, given)
        assert 0 <= spent.labels <= 5000
        assert spent.runs <= 29
        assert spent.met == (spent.runs > 0 and search.succeeds(spent.labels))


def test_the_table_counts_what_was_bought(curves: tuple[PublishedCurve, ...]) -> None:
    """Every way has a row a target; labels, runs and misses are those of the searches."""
    done: list[int] = []
    simulated = simulate(curves, shipped_scores, progress=done.append)
    assert done == [1] * 6
    bootstrap = TaskBootstrap.of([c.task for c in curves], resamples=50)
    table = policy_table(curves, simulated, bootstrap)
    assert len(table) == 7 * 4
    grid = table[0]
    assert (grid["way"], grid["target"]) == ("fixed grid", "all")
    assert grid["saved"]["value"] == 0
    needs = np.array([[search_on(c, t).need() for t in TARGETS] for c in curves])
    assert grid["reach"] == np.isfinite(needs).sum()
    assert grid["labels_needed"] == pytest.approx(needs[np.isfinite(needs)].mean())
    for row in table:
        assert row["missed"]["value"] is None or 0 <= row["missed"]["value"] <= 1
        assert (row["runs"]["value"] == 1) or row["way"] != "one shot"
