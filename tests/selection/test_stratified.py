from __future__ import annotations

from collections import Counter

import numpy as np

from labelcast.selection.methods.stratified import Stratified
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select

TASKS = ["a"] * 50 + ["b"] * 30 + ["c"] * 20 + ["d"] * 2


def counts(found: list[int], names: list[str]) -> Counter[str]:
    return Counter(names[position] for position in found)


def test_equal_quotas_share_what_a_small_task_lacks() -> None:
    chosen = select(Stratified(), Pool(task_ids=TASKS), 14).positions.tolist()
    assert counts(chosen, TASKS) == {"a": 4, "b": 4, "c": 4, "d": 2}


def test_proportional_quotas_follow_the_sizes() -> None:
    names = TASKS[:100]
    chosen = select(Stratified(quota="proportional"), Pool(task_ids=names), 10).positions.tolist()
    assert counts(chosen, names) == {"a": 5, "b": 3, "c": 2}


def test_fewer_examples_than_tasks_come_from_different_ones() -> None:
    for seed in range(5):
        chosen = select(Stratified(), Pool(task_ids=TASKS), 3, seed=seed).positions.tolist()
        assert max(counts(chosen, TASKS).values()) == 1


def test_the_tasks_quotas_do_not_depend_on_the_order_of_the_pool() -> None:
    order = np.random.default_rng(0).permutation(len(TASKS))
    mixed = [TASKS[i] for i in order]
    chosen = select(Stratified(), Pool(task_ids=mixed), 40).positions.tolist()
    assert counts(chosen, mixed) == counts(
        select(Stratified(), Pool(task_ids=TASKS), 40).positions.tolist(), TASKS
    )


def test_without_task_ids_clusters_are_the_groups() -> None:
    """Three far groups of very different sizes get the same quota."""
    rng, centres = np.random.default_rng(0), np.eye(5)[:3]
    names = ["a"] * 60 + ["b"] * 20 + ["c"] * 10
    rows = centres[[ord(n) - ord("a") for n in names]] + rng.normal(0, 0.01, (90, 5))
    chosen = select(Stratified(clusters=3), Pool(embeddings=rows), 15).positions.tolist()
    assert counts(chosen, names) == {"a": 5, "b": 5, "c": 5}
