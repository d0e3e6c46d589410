"""LESS: training examples whose gradients point like those of a target set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.gradient_vectors import SIZE, Projection
from labelcast.selection.clusters import unit
from labelcast.selection.labelled import contents
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection
from labelcast.selection.subjects import Subject, subject
from labelcast.selection.warm_up import Checkpoint, WarmUp, load_checkpoint, warm_up

if TYPE_CHECKING:
    from labelcast.models.protocols import Progress
    from labelcast.selection.signals import Arrays

PART = 32


class Less:
    """Take the examples whose AdamW update would lower the target's loss most.

    Adapters are trained on a random share of the pool. At the checkpoint of each epoch, with its
    mean learning rate w normalised to a sum of 1, an example's value for a target example is w
    times the cosine of two projected gradients of the adapters: AdamW's direction
    (0.9 m + 0.1 g) / (sqrt(0.999 v + 0.001 g^2) + 1e-8) of the example, without bias correction,
    and the plain gradient of the target example. Values add up over checkpoints; an example's is
    the mean over the examples of a target subtask, then the maximum over subtasks.

    The adapters sit on the projections of attention; of an encoder on every linear layer, and its
    head is trained too. Published: rank 128, alpha 512 and a learning rate of 2e-5, for LLaMA 7B.
    Here the rate is 2e-4, at least 32 examples are trained on, and the rest follows the size of the
    model and the pool; see `WarmUp`.

    Source: Xia et al. 2024 (arXiv 2402.04333), sections 3 and 4; repository princeton-nlp/LESS,
    whose code has sqrt(v + 1e-8) in place of sqrt(v) + 1e-8.
    """

    name = "less"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.TARGET, Need.MODEL})
    uses: frozenset[Need] = frozenset({Need.TASK_IDS})

    def __init__(
        self,
        *,
        training: WarmUp | None = None,
        size: int | None = SIZE,
        batch_size: int | None = None,
    ) -> None:
        """Settings.

        Args:
            training: training of the adapters.
            size: numbers of a projected gradient; None does not project, for small models.
            batch_size: examples at once for gradients; None chooses a number for the device.

        Raises:
            InputError: the training has no examples or no epochs.
        """
        self.training = training or WarmUp()
        if not 0 < self.training.share <= 1 or self.training.epochs < 1:
            raise InputError("less: training needs a share in (0, 1] and at least 1 epoch.")
        self.size, self.batch_size = size, batch_size

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. `seed` draws adapters, warm-up and projection."""
        values = self.values(pool, seed)
        chosen = np.argsort(-values, kind="stable")[:n]
        return Selection(chosen.astype(np.int64), values[chosen])

    def values(self, pool: Pool, seed: int) -> NDArray[np.float64]:
        """The value of each example, [N] in [-1, 1].

        Raises:
            InputError: an example is too long, or its answer is not one of an encoder's.
        """
        examples = [*pool.examples, *pool.target]
        count = pool.size
        tasks = pool.target_ids or [""] * len(pool.target)
        names = sorted(set(tasks))
        member = np.array([[task == name for task in tasks] for name in names], np.float64)
        member /= member.sum(1, keepdims=True)  # [T,targets]
        trained = subject(pool.lm, examples, pool.allowed, self.training, seed)
        drawn = np.random.default_rng(seed).permutation(count)[: self.training.count(count)]

        @cache  # trained only if a part is missing
        def checkpoints() -> list[Checkpoint]:
            rows = sorted(drawn.tolist())
            return warm_up(trained, rows, self.training, seed, pool.store.on_signal)

        @cache
        def targets(epoch: int) -> NDArray[np.float32]:
            """The mean gradient of each target subtask at a checkpoint, [T,D]."""
            load_checkpoint(trained, checkpoints()[epoch])
            ids = range(count, len(examples))
            found = self._unit(trained, ids, None, seed, lambda done: None)
            return (member @ found).astype(np.float32)

        def compute(epoch: int, rows: Sequence[int], progress: Progress) -> Arrays:
            wanted, checkpoint = targets(epoch), checkpoints()[epoch]
            load_checkpoint(trained, checkpoint)
            found = self._unit(trained, rows, checkpoint, seed, progress)
            rate = np.full(len(rows), checkpoint.rate)
            return {"values": (found @ wanted.T).astype(np.float64), "rate": rate}

        about = pool.about(
            *contents(examples),
            *tasks,
            *pool.allowed,
            str(asdict(self.training)),
            f"{self.size} {seed}",
        )
        total = np.zeros((count, len(names)))
        rates = np.zeros(self.training.epochs)
        for epoch in range(self.training.epochs):
            name, of_epoch = f"less-{epoch + 1}", partial(compute, epoch)
            signal = pool.store.rows(name, about, count, of_epoch, part=PART)
            rates[epoch] = signal["rate"][0]
            total += rates[epoch] * signal["values"]
        values: NDArray[np.float64] = (total / rates.sum()).max(1)
        return values

    def _unit(
        self,
        trained: Subject,
        rows: Sequence[int],
        checkpoint: Checkpoint | None,
        seed: int,
        progress: Progress,
    ) -> NDArray[np.float32]:
        """Projected gradients of length 1, [n,D]; AdamW's direction with a checkpoint."""
        direction = None if checkpoint is None else checkpoint.adam
        how = Projection(self.size, seed, self.batch_size, direction, progress)
        return unit(trained.vectors(rows, how).values)
