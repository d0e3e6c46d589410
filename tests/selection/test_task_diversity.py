from __future__ import annotations

import math
from collections import Counter

import numpy as np

from labelcast.selection.methods.task_diversity import TaskDiversity
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import select

TASKS = ["a"] * 40 + ["b"] * 40 + ["c"] * 40


def test_quotas_are_inverse_to_the_mean_confidence() -> None:
    """Means 0.8, 0.4, 0.2 give 1 : 2 : 4; NaN does not count."""
    confidence = np.repeat([0.8, 0.4, 0.2], 40)
    confidence[0] = math.nan
    found = select(TaskDiversity(), Pool(task_ids=TASKS, confidence=confidence), 35)
    chosen = Counter(TASKS[i] for i in found.positions)
    assert chosen == {"a": 5, "b": 10, "c": 20}
    means = dict(zip("abc", [0.8, 0.4, 0.2], strict=True))
    np.testing.assert_allclose(found.values, [means[TASKS[i]] for i in found.positions])


def test_tasks_take_turns() -> None:
    """Among the first examples chosen each task appears before any appears again."""
    pool = Pool(task_ids=TASKS, confidence=np.repeat([0.8, 0.4, 0.2], 40))
    first = [TASKS[i] for i in select(TaskDiversity(), pool, 35).positions[:6]]
    assert sorted(first) == ["a", "a", "b", "b", "c", "c"]


def test_uniform_quotas_need_no_confidence() -> None:
    method = TaskDiversity(weighting="uniform")
    assert method.needs == {Need.TASK_IDS}
    found = select(method, Pool(task_ids=TASKS), 9)
    assert Counter(TASKS[i] for i in found.positions) == {"a": 3, "b": 3, "c": 3}


def test_a_task_without_confidence_counts_as_the_mean_of_the_others() -> None:
    confidence = np.repeat([0.3, math.nan, 0.3], 40)
    found = select(TaskDiversity(), Pool(task_ids=TASKS, confidence=confidence), 9)
    assert Counter(TASKS[i] for i in found.positions) == {"a": 3, "b": 3, "c": 3}
