"""DLC: hardness by pruned copies, and draws by the budget."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_pools import WORDS, labelled, pool_of
from small_encoders import save_encoder

from labelcast.errors import InputError
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_encoder
from labelcast.selection.methods.dlc import Dlc, pruned
from labelcast.selection.selector import select
from labelcast.tasks.prompts import Example


def loss(model: Any, lm: LanguageModel, example: Example) -> float:
    def ids(text: str) -> list[int]:
        return list(lm.tokenizer.encode(text, add_special_tokens=False))

    prompt = ids(example.prompt)
    tokens = torch.tensor(ids(example.prompt + str(example.answer)))
    assert tokens[: len(prompt)].tolist() == prompt
    with torch.inference_mode():
        logits = model(tokens[None]).logits[0].double()
    at = slice(len(prompt) - 1, -1)
    return float(torch.nn.functional.cross_entropy(logits[at], tokens[len(prompt) :]))


def cut_once(model: Any, names: list[str]) -> None:
    """Remove the smallest fifth of the weights of each layer that are not 0 yet."""
    for name in names:
        weight = model.get_submodule(name).weight.data
        left = weight[weight != 0].abs().sort().values
        bound = left[int(0.2 * len(left)) - 1]
        weight[weight.abs() <= bound] = 0


@pytest.mark.parametrize("batch", [1, 4])
def test_hardness_is_the_mean_loss_of_the_model_and_two_pruned_copies(
    tiny: LanguageModel, batch: int
) -> None:
    examples, names = labelled(WORDS), list(linear_layers(tiny))
    model, losses = copy.deepcopy(tiny.model), []
    for _ in range(3):
        losses.append([loss(model, tiny, example) for example in examples])
        cut_once(model, names)
    found = Dlc(batch_size=batch).hardness(pool_of(tiny, examples))
    assert np.allclose(found, np.mean(losses, axis=0), atol=1e-4)
    assert np.abs(np.diff(losses, axis=0)).max() > 1e-3
    back = Dlc(batch_size=batch).hardness(pool_of(tiny, examples[::-1]))
    assert np.allclose(back[::-1], found, atol=1e-4)


def test_the_weights_are_restored(tiny: LanguageModel) -> None:
    """Also after an error; inside, 36% of each layer's weights are 0."""
    before = {name: w.clone() for name, w in tiny.model.state_dict().items()}

    def interrupted() -> None:
        with pruned(tiny, 2, 0.2):
            for layer in linear_layers(tiny).values():
                zeros = (layer.module.get_parameter("weight") == 0).float().mean()
                assert abs(float(zeros) - 0.36) < 1e-3
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert all(torch.equal(before[name], w) for name, w in tiny.model.state_dict().items())


def test_a_small_budget_is_of_the_easier_half_and_a_larger_one_of_the_harder(
    tiny: LanguageModel,
) -> None:
    """At random within it; what the half lacks comes from the other."""
    pool = pool_of(tiny, labelled([a + b for a in "abcdef" for b in "xyz"]))
    order = np.argsort(Dlc().hardness(pool), kind="stable")
    easy = [select(Dlc(), pool, 3, seed=seed) for seed in range(20)]
    assert all(set(one.positions) <= set(order[:9]) for one in easy)
    assert len(set.union(*(set(one.positions) for one in easy))) == 9
    hard = [select(Dlc(), pool, 6, seed=seed).positions for seed in range(20)]
    assert all(set(one) <= set(order[9:]) for one in hard)
    many = select(Dlc(), pool, 12, seed=1)
    assert set(order[9:]) <= set(many.positions)
    assert np.array_equal(many.positions, select(Dlc(), pool, 12, seed=1).positions)
    assert np.allclose(many.values, Dlc().hardness(pool)[many.positions])


def test_duplicates_and_one_row(tiny: LanguageModel) -> None:
    twice = select(Dlc(), pool_of(tiny, labelled(["ab"] * 4, ["yes"] * 4)), 4)
    assert sorted(twice.positions) == [0, 1, 2, 3]
    assert np.allclose(twice.values, twice.values[0], atol=1e-5)
    assert select(Dlc(), pool_of(tiny, labelled(["ab"])), 1).positions.tolist() == [0]


def test_what_is_missing_is_refused_at_once(tiny: LanguageModel, tmp_path: Path) -> None:
    bare = labelled(["z"], [None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="dlc needs answers"):
        select(Dlc(), pool_of(tiny, bare), 1)
    encoder = load_encoder(str(save_encoder(tmp_path)), device="cpu")
    with pytest.raises(InputError, match="dlc needs a language model"):
        select(Dlc(), pool_of(encoder, labelled(WORDS)), 1)
    with pytest.raises(InputError, match="each in"):
        Dlc(cut=1.0)
