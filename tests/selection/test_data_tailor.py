from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from selection.small_selection import vectors
from small_encoders import save_encoder

from labelcast.errors import InputError
from labelcast.models.causal import LanguageModel
from labelcast.models.loading import AnyModel, load_encoder
from labelcast.selection import clusters
from labelcast.selection.methods import data_tailor
from labelcast.selection.methods.data_tailor import DataTailor
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select

TEXTS = ["one two three", "a", "two two two two", "the cat and the dog"]


def clustered(size: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    rows = vectors(6, seed=seed)[rng.integers(6, size=size)] + rng.normal(0, 0.03, (size, 5))
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32)


def naive(rows: NDArray[np.float32], entropy: NDArray[np.float64]) -> NDArray[np.float64]:
    merges = linkage(rows.astype(float), "ward")
    labels = fcluster(merges, 0.1 * merges[-1, 2], "distance")
    names = sorted(set(labels.tolist()))
    centres = {name: rows[labels == name].mean(axis=0) for name in names}
    unique, represents = np.zeros(len(rows)), np.zeros(len(rows))
    for i in range(len(rows)):
        own = np.flatnonzero(labels == labels[i])
        d = np.linalg.norm(rows[own][:, None].astype(float) - rows[own], axis=2)
        here = int(np.flatnonzero(own == i)[0])
        if len(own) > 1:
            unique[i] = (d[here] * entropy[own]).sum() / d.sum(axis=1).mean()
        c = centres[labels[i]]
        others = [centres[name] for name in names if name != labels[i]]
        cosines = [c @ o / np.linalg.norm(c) / np.linalg.norm(o) for o in others]
        represents[i] = np.mean(np.exp(cosines)) * entropy[i]

    def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.argsort(np.argsort(values, kind="stable")) / len(values)

    return (ranks(entropy) + ranks(unique) + ranks(represents)) / 3


@pytest.mark.parametrize("block", [10**6, 50])
def test_the_value_is_the_published_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_BLOCK", block)
    rows, entropy = clustered(60), np.random.default_rng(1).random(60)
    method = DataTailor(entropy=entropy, largest=np.full(60, 0.5))
    found = select(method, Pool(embeddings=rows), 60)
    expected = naive(rows, entropy)
    np.testing.assert_allclose(found.values, expected[found.positions], atol=1e-9)
    assert (np.diff(found.values) <= 0).all()


def test_a_tasks_quota_is_its_size_times_its_squared_share() -> None:
    """20 x 0.2^2 : 40 x 0.4^2 is 1 : 8."""
    names = ["a"] * 20 + ["b"] * 40
    largest = np.repeat([0.2, 0.4], [20, 40])
    method = DataTailor(entropy=np.arange(60.0), largest=largest)
    found = select(method, Pool(embeddings=clustered(60), task_ids=names), 9)
    assert (found.positions < 20).sum() == 1


def test_given_values_belong_to_the_complete_pool() -> None:
    """After some were chosen, the rest has the values that it has as a pool of its own."""
    rows, entropy = clustered(30), np.random.default_rng(1).random(30)
    rest = np.setdiff1d(np.arange(30), [0, 1, 7])
    own = DataTailor(entropy=entropy[rest], largest=entropy[rest])
    expected = select(own, Pool(embeddings=rows[rest]), 5)
    method = DataTailor(entropy=entropy, largest=entropy)
    found = select(method, Pool(embeddings=rows, chosen=[0, 1, 7]), 5)
    assert found.positions.tolist() == rest[expected.positions].tolist()
    inner = Pool(embeddings=rows).part([*range(1, 30)]).part((rest[1:] - 1).tolist())
    assert inner.origin.tolist() == rest[1:].tolist()
    for wrong in (entropy[:29], entropy[:, None]):
        with pytest.raises(InputError, match=r"entropy has the shape .* pool's 30 examples"):
            select(DataTailor(entropy=wrong, largest=entropy), Pool(embeddings=rows), 5)


def test_the_order_of_the_pool_changes_nothing() -> None:
    rows, entropy = clustered(50), np.random.default_rng(1).random(50)
    order = np.random.default_rng(2).permutation(50)
    first = select(DataTailor(entropy=entropy, largest=entropy), Pool(embeddings=rows), 50)
    mixed = DataTailor(entropy=entropy[order], largest=entropy[order])
    second = select(mixed, Pool(embeddings=rows[order]), 50)
    by_row = dict(zip(first.positions.tolist(), first.values.tolist(), strict=True))
    for position, value in zip(order[second.positions].tolist(), second.values, strict=True):
        assert abs(by_row[position] - value) < 1e-9


def test_more_rows_than_ward_takes_join_the_nearest_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six tight clusters are found from a part of the rows as from all."""
    rows = clustered(300)
    whole = data_tailor.ward_clusters(rows, np.random.default_rng(0))[0]
    monkeypatch.setattr(data_tailor, "WARD", 100)
    part = data_tailor.ward_clusters(rows, np.random.default_rng(0))[0]
    assert len(part) == 300
    same = (whole[:, None] == whole) == (part[:, None] == part)
    assert same.mean() > 0.8


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_the_two_numbers_are_of_the_last_hidden_states(
    kind: str, tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm: AnyModel = tiny if kind == "causal" else load_encoder(str(save_encoder(tmp_path)))
    expected = []
    for text in TEXTS:
        if isinstance(lm, LanguageModel):
            ids = lm.tokenizer.encode(text, add_special_tokens=False)
            run = lm.model.get_decoder()
        else:
            ids, run = lm.tokens([text])[0], lm.model
        with torch.inference_mode():
            states = run(input_ids=torch.tensor([ids])).last_hidden_state[0]
        values = np.linalg.svd(states.numpy().astype(float), compute_uv=False)
        share = values / values.sum()
        expected.append((-(share * np.log(share)).sum(), share.max()))
    for batch in (1, 16):
        monkeypatch.setattr(data_tailor, "_BATCH", batch)
        found = data_tailor.of_texts(lm, TEXTS, lambda done: None)
        pairs = np.stack([found["entropy"], found["largest"]], axis=1)
        np.testing.assert_allclose(pairs, expected, atol=2e-3)
