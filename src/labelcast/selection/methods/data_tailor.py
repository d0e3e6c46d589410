"""DataTailor: informative, unique and representative examples, by singular values and clusters.

Shapes: N prompts, S tokens, H features of a token, F of an embedding, K clusters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from labelcast.errors import InputError
from labelcast.models.causal import LanguageModel
from labelcast.models.encoder import padded
from labelcast.models.encoding import by_length, encode_prompt
from labelcast.models.loading import AnyModel
from labelcast.models.memory import Halving
from labelcast.models.protocols import Progress
from labelcast.selection.clusters import Vectors, assign, blocks, divide, members
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection
from labelcast.selection.signals import Arrays
from labelcast.tasks.conversations import Turn

Values = NDArray[np.float64]
WARD = 10_000
"""Most rows that Ward clustering takes: it needs 4 N^2 bytes, 400 MB here."""
CLUSTER = 20_000
"""Most rows of a cluster whose distances are all computed."""
_CUT = 0.1
_BATCH = 16
"""Prompts at once for their hidden states."""


class DataTailor:
    """The mean of the ranks of informativeness, uniqueness and representativeness.

    I is the entropy (nats) of the L1-normalised singular values of the prompt's last hidden states
    [S,H]. Ward clusters of the embeddings are cut at 0.1 of the last merge's height, within each
    task. U is sum_j d_ij I_j over the example's cluster, divided by the mean row sum of d
    (Euclidean). R is I times the mean over the task's other clusters of exp(cosine of the centres).

    The value is (turns rank(I) + rank(U) + rank(R)) / (turns + 2), in [0, 1), from ranks within the
    task over its size, the mean rank for ties; turns are those of the user, 1 without a
    conversation. In a cluster of one U is 0 / 0 by the formula; here it is 0, the lowest. A task's
    part of n is proportional to its size times the square of its mean largest singular share.
    Without task ids all examples are one task.

    Of more than 10,000 rows of a task, 10,000 are drawn and clustered, and the others join the
    cluster of the nearest centre. In a cluster of more than 20,000, U sums over 20,000 drawn rows,
    scaled up. The published method clusters raw states; here vectors have length 1.

    Args:
        entropy: I of each example, [N]; None computes it with the model. For a part of a pool too,
            N are the examples of the complete pool.
        largest: the largest singular share of each example, [N] in (0, 1]; given with `entropy`.

    Source: DataTailor (repository Yuqifan1117/DataTailor).
    """

    name = "data-tailor"
    uses: frozenset[Need] = frozenset({Need.TASK_IDS})

    def __init__(
        self, *, entropy: ArrayLike | None = None, largest: ArrayLike | None = None
    ) -> None:
        if (entropy is None) != (largest is None):
            raise InputError("data-tailor: give both entropy and largest, or neither.")
        self.entropy, self.largest = entropy, largest
        self.needs = frozenset(
            {Need.EMBEDDINGS} if entropy is not None else {Need.EMBEDDINGS, Need.MODEL}
        )

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`.

        Raises:
            InputError: `entropy` or `largest` has another length than the pool.
        """
        if self.entropy is None or self.largest is None:
            found = spectra(pool)
            entropy, largest = found["entropy"], found["largest"]
        else:
            entropy = _given("entropy", self.entropy, pool)
            largest = _given("largest", self.largest, pool)
        entropy = entropy.astype(np.float64)
        turns = np.ones(pool.size)
        if pool.examples:
            turns[:] = [_user_turns(example.turns) for example in pool.examples]
        tasks, rng = pool.tasks, np.random.default_rng(seed)
        sizes = np.array([len(rows) for rows in tasks])
        shares = np.array([float(np.mean(largest[rows])) for rows in tasks])
        quotas = divide(n, sizes * shares**2, sizes)

        def compute(positions: Sequence[int], progress: Progress) -> Arrays:
            values = np.empty(pool.size)
            for rows in tasks:
                vectors = pool.embeddings if len(tasks) == 1 else pool.embeddings[rows]
                values[rows] = tailored(vectors, entropy[rows], turns[rows], rng)
                progress(len(rows))
            return {"values": values}

        if self.entropy is None:
            # Large tasks are sampled, by the seed.
            drawn = seed if max(sizes) > WARD else ""
            vectors = hashlib.sha256(np.ascontiguousarray(pool.embeddings).data).hexdigest()
            about = pool.about(str(drawn), vectors, *(pool.task_ids or ()))
            values = pool.store.rows("data-tailor", about, pool.size, compute, pool.size)["values"]
        else:
            values = compute((), lambda done: None)["values"]
        chosen = [
            rows[np.argsort(-values[rows], kind="stable")[:quota]]
            for rows, quota in zip(tasks, quotas, strict=True)
        ]
        found_rows = np.concatenate(chosen)
        best = found_rows[np.argsort(-values[found_rows], kind="stable")]
        return Selection(best, values[best])


def _given(name: str, values: ArrayLike, pool: Pool) -> NDArray[np.float64]:
    """The given values of the pool's examples, [N].

    Raises:
        InputError: there is not one for each example of the complete pool.
    """
    found = np.asarray(values, np.float64)
    if found.shape != (pool.origin_size,):
        raise InputError(
            f"data-tailor: {name} has the shape {found.shape}, but one value for each of the "
            f"pool's {pool.origin_size} examples is needed."
        )
    return found[pool.origin]


def spectra(pool: Pool) -> Arrays:
    """``entropy`` (nats) and ``largest``, [N] each, of the L1-normalised singular values of [S,H].

    Computed once and kept in the pool's store. A prompt longer than the model's context is cut off.
    """

    def compute(rows: Sequence[int], progress: Progress) -> Arrays:
        texts = [pool.examples[row].prompt for row in rows]
        found: Arrays = of_texts(pool.lm, texts, progress)
        return found

    return pool.store.rows("spectra", pool.about(), pool.size, compute)


@torch.inference_mode()
def of_texts(lm: AnyModel, texts: Sequence[str], progress: Progress) -> Arrays:
    """`spectra` of some texts, [N] each."""
    if isinstance(lm, LanguageModel):
        tokens = [encode_prompt(lm.tokenizer, text)[: lm.context] for text in texts]
        run, device = lm.model.get_decoder(), lm.input_device
    else:
        tokens = lm.tokens(texts)
        run, device = lm.model, torch.device(lm.device.value)
    found = {name: np.zeros(len(texts)) for name in ("entropy", "largest")}

    def states(rows: list[int]) -> list[Tensor]:
        hidden = run(**padded([tokens[row] for row in rows], 0, device)).last_hidden_state
        return [hidden[number, : len(tokens[row])].float() for number, row in enumerate(rows)]

    for batch, hidden in Halving().run(by_length(tokens, _BATCH), states):
        for row, one in zip(batch, hidden, strict=True):
            values = torch.linalg.svdvals(one).double()
            share = values / values.sum()
            found["entropy"][row] = float(torch.special.entr(share).sum())
            found["largest"][row] = float(share.max())
        progress(len(batch))
    return found


def _user_turns(turns: Sequence[Turn]) -> int:
    return max(1, sum(turn["role"] == "user" for turn in turns))


def tailored(vectors: Vectors, entropy: Values, turns: Values, rng: np.random.Generator) -> Values:
    """The value of each example of one task, [N]; see `DataTailor`."""
    labels, centres = ward_clusters(vectors, rng)
    unique = np.zeros(len(vectors))
    for rows in members(labels, len(centres)):
        unique[rows] = _uniqueness(vectors[rows], entropy[rows], rng)
    represents = _closeness(centres)[labels] * entropy
    ranks = [_ranks(entropy), _ranks(unique), _ranks(represents)]
    return (turns * ranks[0] + ranks[1] + ranks[2]) / (turns + 2)


def ward_clusters(vectors: Vectors, rng: np.random.Generator) -> tuple[NDArray[np.int64], Vectors]:
    """The Ward cluster of each vector, [N], and the mean of each cluster, [K,F]."""
    from scipy.cluster.hierarchy import fcluster, linkage

    size = len(vectors)
    drawn = np.arange(size) if size <= WARD else np.sort(rng.choice(size, WARD, replace=False))
    labels = np.zeros(len(drawn), np.int64)
    if len(drawn) > 1:
        merges = linkage(vectors[drawn].astype(np.float64), "ward")
        labels = fcluster(merges, _CUT * merges[-1, 2], "distance").astype(np.int64) - 1
    centres = _means(vectors[drawn], labels)
    if size > WARD:
        labels = np.unique(assign(vectors, centres), return_inverse=True)[1]
        centres = _means(vectors, labels)
    return labels, centres


def _means(vectors: Vectors, labels: NDArray[np.int64]) -> Vectors:
    groups = members(labels, int(labels.max()) + 1)
    return np.stack([vectors[rows].mean(axis=0) for rows in groups])


def _uniqueness(vectors: Vectors, entropy: Values, rng: np.random.Generator) -> Values:
    """sum_j d_ij I_j / mean_i sum_j d_ij within one cluster; 0 where all vectors are equal."""
    size = len(vectors)
    drawn = np.arange(size) if size <= CLUSTER else rng.choice(size, CLUSTER, replace=False)
    others, weights = vectors[drawn], entropy[drawn]
    squares = np.einsum("nf,nf->n", vectors, vectors)
    found, total = np.empty(size), 0.0
    for rows in blocks(size, len(drawn)):
        distance = squares[rows, None] + squares[drawn] - 2 * vectors[rows] @ others.T
        # Rounding makes the distance of duplicates up to about 1e-3.
        distance = np.sqrt(np.where(distance < 1e-6, 0, distance))
        found[rows] = distance @ weights
        total += float(distance.sum(dtype=np.float64))
    return found * (size / total) if total > 0 else np.zeros(size)


def _closeness(centres: Vectors) -> Values:
    """The mean over the other clusters of exp(cosine of the centres), [K]; 1 for one cluster."""
    count = len(centres)
    if count == 1:
        return np.ones(1)
    units = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    found = np.empty(count)
    for rows in blocks(count, count):
        found[rows] = np.exp(units[rows] @ units.T).sum(axis=1, dtype=np.float64)
    own = np.exp(np.einsum("kf,kf->k", units, units))
    mean: Values = (found - own) / (count - 1)
    return mean


def _ranks(values: Values) -> Values:
    """Rank of each value over their number, in [0, 1), the mean rank for ties; the least has 0."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Values = (np.cumsum(counts) - (counts + 1) / 2)[place] / len(values)
    return ranks
