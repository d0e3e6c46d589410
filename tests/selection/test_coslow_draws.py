import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_data import shared

from labelcast.errors import InputError, LabelcastWarning
from labelcast.selection.coslow_draws import draw_random, pick_low_confidence

POOL = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.5, math.nan])), min_size=1, max_size=200
)


def test_the_32_published_picks_are_eligible() -> None:
    """Every example that the paper drew from circa is in the tenth that our rule draws from."""
    folder = shared() / "paper/results/coslow_data"
    read = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in (
            "task_data_unannotated",
            "task_data_per_sample_model_confidence",
            "low_conf_examples_to_annotate",
        )
    }
    pool = [record["input_text"] for record in read["task_data_unannotated"]]
    table = read["task_data_per_sample_model_confidence"]
    confidence = np.array([table[str(i)]["avg_confidence"] for i in range(len(pool))])
    where: dict[str, list[int]] = {}
    for position, text in enumerate(pool):
        where.setdefault(text, []).append(position)
    lowest = set(pick_low_confidence(confidence, math.ceil(len(pool) / 10)).tolist())
    picked = [record["input_text"] for record in read["low_conf_examples_to_annotate"]]
    assert len(picked) == 32
    assert all(lowest & set(where[text]) for text in picked)


@given(POOL, st.integers(2, 40), st.integers(0, 5), st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_a_pick_is_of_the_lowest_share(pool: list[float], n: int, seed: int, share: float) -> None:
    """n distinct positions, none NaN or above the share's largest value; repeatable by seed."""
    usable = sorted(value for value in pool if not math.isnan(value))
    if len(usable) < n:
        with pytest.raises(InputError, match="--n-label"):
            pick_low_confidence(pool, n, seed=seed, share=share)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelcastWarning)
        picked = pick_low_confidence(pool, n, seed=seed, share=share)
        again = pick_low_confidence(pool, n, seed=seed, share=share)
    assert len(set(picked.tolist())) == n
    assert picked.tolist() == again.tolist()
    cut = usable[max(n, math.ceil(share * len(usable))) - 1]
    assert all(pool[i] <= cut for i in picked)


@pytest.mark.parametrize("wrong", [["a", "b"], [[0.1, 0.2]], 0.5, [None, {}]])
def test_confidences_that_are_not_numbers_are_refused(wrong: object) -> None:
    """With our own message, not numpy's."""
    with pytest.raises(InputError, match="confidence"):
        pick_low_confidence(wrong, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0, -0.1, 1.5, math.nan])
def test_a_share_is_above_0_and_at_most_1(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        pick_low_confidence([0.1] * 10, 2, share=share)


def test_every_example_of_the_share_is_equally_likely() -> None:
    """Over many seeds each of the lowest tenth is drawn about as often."""
    pool = np.linspace(0, 1, 100)
    counts = np.zeros(100)
    for seed in range(400):
        counts[pick_low_confidence(pool, 5, seed=seed)] += 1
    assert (counts[10:] == 0).all()
    assert counts[:10].min() > 150
    assert counts[:10].max() < 250


def test_the_draw_depends_on_the_seed() -> None:
    """Five seeds give five draws."""
    pool = np.linspace(0, 1, 2000)
    draws = {tuple(pick_low_confidence(pool, seed=seed)) for seed in range(5)}
    assert len(draws) == 5


def test_ties_are_broken_by_position() -> None:
    """If all values are equal, the first ones are the lowest tenth."""
    assert max(pick_low_confidence(np.full(100, 0.3), 5)) < 10


def test_a_small_pool_gives_its_lowest_with_a_warning() -> None:
    """If a tenth is fewer than n, the n lowest are taken, with a warning."""
    pool = np.linspace(1, 0, 50)
    with pytest.warns(LabelcastWarning, match="320 or more"):
        picked = pick_low_confidence(pool, 32)
    assert sorted(picked) == list(range(18, 50))


def test_at_least_two_must_be_picked() -> None:
    """CoS-Low compares pairs."""
    with pytest.raises(InputError, match="at least 2"):
        pick_low_confidence([0.1, 0.2], 1)


@given(st.integers(1, 50), st.data())
def test_a_random_draw_avoids_taken_positions(size: int, data: st.DataObject) -> None:
    """Distinct positions, none of them taken; more than are left are refused."""
    taken = data.draw(st.lists(st.integers(0, size - 1), unique=True))
    n = data.draw(st.integers(1, size + 2))
    if n > size - len(taken):
        with pytest.raises(InputError, match="left"):
            draw_random(size, n, taken=taken)
        return
    drawn = draw_random(size, n, taken=taken).tolist()
    assert len(set(drawn)) == n
    assert not set(drawn) & set(taken)
    assert set(drawn) <= set(range(size))


def test_a_random_draw_of_none_is_refused() -> None:
    """At least one example must be asked for."""
    with pytest.raises(InputError, match="at least 1"):
        draw_random(10, 0)
