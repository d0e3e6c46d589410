"""DELIFT against its formulas, one forward pass per pair."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled_pools import WORDS, labelled, pool_of
from small_encoders import save_encoder

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.loading import LanguageModel, load_encoder
from labelcast.selection.greedy import lazy_greedy
from labelcast.selection.methods import delift
from labelcast.selection.methods.delift import Delift
from labelcast.selection.methods.delift_continual import DeliftContinual
from labelcast.selection.methods.delift_targeted import DeliftTargeted
from labelcast.selection.selector import select
from labelcast.tasks.prompts import Example

TARGET = labelled(["cd", "the dog"], ["yes", "no"])


def distance(lm: LanguageModel, example: Example, context: Example | None) -> float:
    """By a forward pass of one sequence."""

    def ids(text: str) -> list[int]:
        return list(lm.tokenizer.encode(text, add_special_tokens=False))

    end = [lm.tokenizer.eos_token_id]
    answer = ids(str(example.answer))
    before = []
    if context is not None:
        before = ids(context.prompt) + end + ids(str(context.answer)) + end
    tokens = before + ids(example.prompt) + end + answer
    with torch.inference_mode():
        logits = lm.model(torch.tensor([tokens])).logits[0].double()
    p = logits.softmax(-1)[torch.arange(-len(answer) - 1, -1), torch.tensor(answer)]
    return float(torch.linalg.norm(1 - p) / len(answer) ** 0.5)


def utilities(lm: LanguageModel, examples: list[Example], contexts: list[Example]) -> Any:
    return np.array(
        [[max(distance(lm, i, None) - distance(lm, i, j), 0) for j in contexts] for i in examples]
    )


def greedy(score: Any, n: int, size: int) -> list[int]:
    """Plain greedy on a set function."""
    taken: list[int] = []
    for _ in range(n):
        rest = [j for j in range(size) if j not in taken]
        taken.append(max(rest, key=lambda j: (round(score([*taken, j]), 9), -j)))
    return taken


@pytest.mark.parametrize("batch", [1, 4])
def test_general_is_greedy_facility_location_on_the_utilities(
    tiny: LanguageModel, batch: int
) -> None:
    examples = labelled(WORDS[:6])
    u = utilities(tiny, examples, examples)
    assert u.max() > 1e-3
    wanted = greedy(lambda a: u[:, a].max(1).sum(), 4, 6)
    found = select(Delift(batch_size=batch), pool_of(tiny, examples), 4)
    assert found.positions.tolist() == wanted
    totals = np.cumsum(found.values)
    assert np.allclose(totals, [u[:, wanted[: k + 1]].max(1).sum() for k in range(4)], atol=1e-4)


def test_targeted_and_continual_follow_their_formulas(tiny: LanguageModel) -> None:
    """min(max over taken, eta max over target); max(max over taken - nu max over earlier, 0)."""
    examples = labelled(WORDS[:6])
    u, q = utilities(tiny, examples, examples), utilities(tiny, examples, TARGET).max(1)
    pool = pool_of(tiny, examples, target=TARGET)
    for eta in (0.5, 1.0):
        found = select(DeliftTargeted(eta=eta), pool, 3)
        taken = found.positions.tolist()
        scores = [np.minimum(u[:, taken[: k + 1]].max(1), eta * q).sum() for k in range(3)]
        assert np.allclose(np.cumsum(found.values), scores, atol=1e-4)
        wanted = greedy(lambda a, eta=eta: np.minimum(u[:, a].max(1), eta * q).sum(), 3, 6)
        assert np.isclose(found.values.sum(), np.minimum(u[:, wanted].max(1), eta * q).sum())
    for nu in (0.3, 1.0):
        found = select(DeliftContinual(nu=nu), pool, 3)
        taken = found.positions.tolist()
        scores = [np.maximum(u[:, taken[: k + 1]].max(1) - nu * q, 0).sum() for k in range(3)]
        assert np.allclose(np.cumsum(found.values), scores, atol=1e-4)


def test_the_order_of_the_pool_changes_nothing(tiny: LanguageModel) -> None:
    examples = labelled(WORDS[:6])
    one = select(Delift(), pool_of(tiny, examples), 3).positions
    back = select(Delift(), pool_of(tiny, examples[::-1]), 3).positions
    assert one.tolist() == (5 - back).tolist()


@given(st.integers(0, 100), st.integers(1, 5))
def test_lazy_greedy_is_greedy(seed: int, n: int) -> None:
    """With a floor and a cap; and within 1 - 1/e of the best set."""
    rng = np.random.default_rng(seed)
    u, low = rng.random((6, 5)), rng.random(6) / 2
    high = low + rng.random(6)

    def score(a: Any) -> float:
        kept = np.minimum(u[:, list(a)].max(1), high)
        return float(np.maximum(kept, low).sum() - low.sum())

    found = lazy_greedy(np.minimum(u, high[:, None]), n, low)
    assert np.isclose(found.values.sum(), score(found.positions))
    assert (np.diff(found.values) <= 1e-12).all()
    assert np.isclose(score(found.positions), score(greedy(score, n, 5)))
    best = max(score(a) for a in itertools.combinations(range(5), n))
    assert found.values.sum() >= (1 - 1 / np.e) * best - 1e-12


def test_utilities_may_be_scaled_to_0_1(tiny: LanguageModel) -> None:
    """As in the published code: the gains are divided by the largest utility."""
    pool = pool_of(tiny, labelled(WORDS[:5]))
    plain, scaled = select(Delift(), pool, 2), select(Delift(scaled=True), pool, 2)
    assert plain.positions.tolist() == scaled.positions.tolist()
    ratio = plain.values / scaled.values
    assert np.isclose(ratio[0], ratio[1])


def test_a_context_that_does_not_fit_helps_nothing(tiny: LanguageModel) -> None:
    """The two together are longer than the model's 256 tokens."""
    examples = labelled(["xyz" * 60, "uvw" * 60, "ab"])
    pool = pool_of(tiny, examples)
    found = select(Delift(), pool, 3)
    assert np.isfinite(found.values).all()


def test_a_signal_resumes_after_a_kill(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delift, "PART", 2)
    plain, calls = Delift._after, []

    def after(self: Any, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, *given)

    monkeypatch.setattr(Delift, "_after", after)
    examples = labelled(WORDS[:6])
    with pytest.raises(KeyboardInterrupt):
        select(Delift(), pool_of(tiny, examples, tmp_path), 2)
    again = select(Delift(), pool_of(tiny, examples, tmp_path), 2)
    assert len(calls) == 4 + 4
    assert np.array_equal(again.positions, select(Delift(), pool_of(tiny, examples), 2).positions)


def test_duplicates_and_one_row(tiny: LanguageModel) -> None:
    """Once one duplicate is taken, the others add nothing."""
    twice = select(Delift(), pool_of(tiny, labelled(["ab"] * 3, ["yes"] * 3)), 2)
    assert twice.positions[0] == 0
    assert abs(twice.values[1]) < 1e-6
    assert select(Delift(), pool_of(tiny, labelled(["ab"])), 1).positions.tolist() == [0]


def test_what_is_missing_or_too_large_is_refused_at_once(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    texts = labelled(WORDS)
    with pytest.raises(InputError, match="delift-targeted needs a target set"):
        select(DeliftTargeted(), pool_of(tiny, texts), 1)
    bare = [*texts[:-1], *labelled(["z"], [None])]  # type: ignore[list-item]
    with pytest.raises(InputError, match="delift needs answers"):
        select(Delift(), pool_of(tiny, bare), 1)
    encoder = load_encoder(str(save_encoder(tmp_path)), device="cpu")
    with pytest.raises(InputError, match="delift needs a language model"):
        select(Delift(), pool_of(encoder, texts), 1)
    with pytest.raises(InputError, match="9 examples, but it runs the model once for each pair"):
        select(Delift(limit=8), pool_of(tiny, texts), 1)


def test_a_long_computation_says_how_long(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first context's time."""
    monkeypatch.setattr(delift, "_SHORT", 0.0)
    with pytest.warns(LabelcastWarning, match="9 forward passes take about 0 minutes"):
        select(Delift(), pool_of(tiny, labelled(WORDS[:3])), 1)
