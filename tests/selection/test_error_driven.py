from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from selection.small_selection import vectors
from small_encoders import save_encoder

from labelcast.errors import InputError
from labelcast.models.loading import load_encoder
from labelcast.selection.methods.error_driven import ErrorDriven, near_errors
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select
from labelcast.tasks.prompts import Example


def test_quotas_follow_the_errors_and_rows_are_the_nearest() -> None:
    """Three errors of one kind and one of another: 6 and 2 of 8, nearest first."""
    rows = vectors(60, 4)
    kinds = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]
    found = near_errors(rows, kinds, 8, groups=2, seed=0)
    cosines = rows[:, :2]
    first = found.positions[[0, 2, 4, 5, 6, 7]]
    second = found.positions[[1, 3]]
    assert set(second.tolist()) <= set(np.argsort(-cosines[:, 1])[:4].tolist())
    nearest = [i for i in np.argsort(-cosines[:, 0]).tolist() if i not in set(second.tolist())]
    assert first.tolist() == nearest[:6]
    np.testing.assert_allclose(found.values[[0, 2]], cosines[first[:2], 0], atol=1e-6)


def test_the_order_of_the_pool_changes_nothing() -> None:
    rows, order = vectors(60, 4), np.random.default_rng(0).permutation(60)
    wrong = vectors(9, 4, seed=5)
    first = near_errors(rows, wrong, 20, groups=3, seed=0)
    second = near_errors(rows[order], wrong, 20, groups=3, seed=0)
    assert order[second.positions].tolist() == first.positions.tolist()


def test_every_row_can_be_chosen() -> None:
    found = near_errors(vectors(10, 4), vectors(3, 4, seed=1), 10, groups=2, seed=0)
    assert sorted(found.positions.tolist()) == list(range(10))


def labelled(texts: list[str], answers: list[str]) -> list[Example]:
    return [
        Example(str(n), n, f"record {n}", {"text": text}, text, answer, str(n))
        for n, (text, answer) in enumerate(zip(texts, answers, strict=True))
    ]


def test_the_models_wrong_answers_lead_and_none_is_refused(tmp_path: Path) -> None:
    """The pool's copy of the one wrong target example comes first."""
    lm = load_encoder(str(save_encoder(tmp_path, sentence=True))).for_answers(("one", "two"))
    texts = ["the cat", "a dog and a cat", "two three", "one"]
    given = [one.answer for one in lm.predictor(None)(texts, 1, lambda done: None)]
    wrong = ["two" if given[2] == "one" else "one"]
    pool = labelled(["a", "dog", "two three", "cat cat"], ["one"] * 4)

    def made(answers: list[str]) -> Pool:
        target = labelled(texts, answers)
        return Pool(pool, model=lambda: lm, target=target, allowed=("one", "two"))

    found = select(ErrorDriven(), made([*given[:2], *wrong, given[3]]), 2)
    assert found.positions[0] == 2
    assert found.values[0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="answers all 4 target examples right"):
        select(ErrorDriven(), made(given), 2)
