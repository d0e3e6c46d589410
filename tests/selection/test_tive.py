"""TIVE: quotas by gradient norms, values by cosines within a task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from labelled_pools import WORDS, gradients, labelled, pool_of
from small_encoders import save_encoder

from labelcast.errors import InputError
from labelcast.models.loading import LanguageModel, load_encoder
from labelcast.selection.methods.tive import Tive, _equal_shares
from labelcast.selection.selector import select
from labelcast.selection.subjects import subject
from labelcast.selection.warm_up import WarmUp, warm_up

TRAINING = WarmUp(epochs=1, rank=2, learning_rate=1e-2, batch_size=4)
TASKS = ["b", "a", "b", "a", "a", "b", "b", "a", "a"]


def naive(lm: Any, pool: Any, seed: int) -> tuple[Any, Any]:
    """Values [N] and norms [N] from complete gradients by autograd."""
    trained = subject(lm, pool.examples, pool.allowed, TRAINING, seed)
    warm_up(trained, _equal_shares(pool.tasks, TRAINING.count(pool.size), seed), TRAINING, seed)
    weights = [layer.module.weight for layer in trained.layers().values()]
    each = gradients(trained, range(pool.size), weights)
    vectors = np.stack([np.concatenate([g.flatten().numpy() for g in one]) for one in each])
    norms = np.linalg.norm(vectors, axis=1)
    cosines = (vectors / norms[:, None]) @ (vectors / norms[:, None]).T
    tasks = np.array(pool.task_ids)
    values = [cosines[i][tasks == tasks[i]].mean() for i in range(pool.size)]
    return np.array(values), norms


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_values_and_quotas_are_those_of_the_formula(
    kind: str, tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The whole pool gives every value; a small n the quota of each task."""
    lm: Any = tiny
    if kind == "encoder":
        folder = save_encoder(tmp_path_factory.mktemp("encoder"), sentence=True)
        lm = load_encoder(str(folder), device="cpu")
    pool = pool_of(lm, labelled(WORDS), task_ids=TASKS)
    values, norms = naive(lm, pool, seed=1)
    method = Tive(training=TRAINING, size=None, batch_size=4)
    everything = select(method, pool, pool.size, seed=1)
    assert np.allclose(everything.values, values[everything.positions], atol=1e-3)
    tasks = np.array(TASKS)
    means = np.array([norms[tasks == task].mean() for task in ("a", "b")])
    share = 4 * means[0] / means.sum()
    chosen = select(method, pool, 4, seed=1)
    taken = int((tasks[chosen.positions] == "a").sum())
    assert abs(taken - share) <= 0.5 + 1e-6


def test_a_low_temperature_takes_the_largest_values(tiny: LanguageModel) -> None:
    """Within each task; the published 0.001 times the value is temperature 1000."""
    pool = pool_of(tiny, labelled(WORDS), task_ids=["t"] * len(WORDS))
    cold = select(Tive(temperature=1e-6, training=TRAINING, size=None), pool, 4, seed=2)
    everything = select(Tive(training=TRAINING, size=None), pool, len(WORDS), seed=2)
    assert np.allclose(cold.values, np.sort(everything.values)[::-1][:4])
    hot = [
        tuple(select(Tive(temperature=1000, training=TRAINING), pool, 4, seed=2).positions)
        for _ in range(2)
    ]
    assert hot[0] == hot[1]


def test_without_a_warm_up_the_gradients_are_those_of_fresh_adapters(tiny: LanguageModel) -> None:
    pool = pool_of(tiny, labelled(WORDS), task_ids=TASKS)
    chosen = select(Tive(training=WarmUp(share=0)), pool, 3)
    assert np.isfinite(chosen.values).all()


def test_duplicates_and_one_row(tiny: LanguageModel) -> None:
    """Duplicates have the value 1; one row is taken."""
    twice = pool_of(tiny, labelled(["ab"] * 4, ["yes"] * 4), task_ids=["t"] * 4)
    chosen = select(Tive(training=TRAINING, size=64), twice, 3)
    assert np.allclose(chosen.values, 1, atol=1e-3)
    one = pool_of(tiny, labelled(["ab"]), task_ids=["t"])
    assert select(Tive(training=TRAINING), one, 1).positions.tolist() == [0]


def test_what_is_missing_is_refused_at_once(tiny: LanguageModel) -> None:
    with pytest.raises(InputError, match="tive needs task ids"):
        select(Tive(), pool_of(tiny, labelled(WORDS)), 1)
    with pytest.raises(InputError, match="above 0"):
        Tive(temperature=0)
