"""DLC: how hard examples are for a model and for pruned copies of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.encoding import encoded
from labelcast.selection.labelled import contents, language_model
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.encoding import Encoded
    from labelcast.models.protocols import Progress
    from labelcast.selection.signals import Arrays


class Dlc:
    """Draw at random from the easier or the harder half of the pool, by the budget (FlexRand).

    An example's hardness is the mean, over the model and copies of it that are pruned by magnitude,
    of the mean negative log probability of its answer's tokens. Each cut removes the smallest 20%
    of the weights that are left in each linear layer, as published: sparsity 0, 20 and 36%.

    A budget below `switch` of the pool is drawn from the easier half, a larger one from the harder
    half, and what that half lacks from the other one. The published switch was not available.

    Source: Jiang et al. 2025 (arXiv 2402.05356).
    """

    name = "dlc"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL})

    def __init__(
        self,
        *,
        cuts: int = 2,
        cut: float = 0.2,
        switch: float = 0.2,
        batch_size: int | None = None,
    ) -> None:
        """Settings.

        Args:
            cuts: how often weights are removed; each time gives one more copy.
            cut: the part of the remaining weights that a cut removes, in (0, 1).
            switch: budgets of at least this share of the pool draw from the harder half.
            batch_size: texts at once; None chooses a number for the device.

        Raises:
            InputError: `cuts` is below 0, or `cut` is not in (0, 1).
        """
        if cuts < 0 or not 0 < cut < 1:
            raise InputError(f"dlc: {cuts} cuts of {cut}; at least 0 cuts, each in (0, 1).")
        self.cuts, self.cut, self.switch, self.batch_size = cuts, cut, switch, batch_size

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are the hardness."""
        hardness = self.hardness(pool)
        order = np.argsort(hardness, kind="stable")
        if n >= self.switch * pool.size:
            order = order[::-1]
        half = -(-pool.size // 2)
        rng = np.random.default_rng(seed)
        chosen = np.concatenate([rng.permutation(order[:half]), rng.permutation(order[half:])])[:n]
        return Selection(chosen.astype(np.int64), hardness[chosen])

    def hardness(self, pool: Pool) -> NDArray[np.float64]:
        """The hardness of each example, [N], natural logarithms.

        Raises:
            InputError: the model is an encoder or quantised, or an example is too long.
        """
        lm = language_model(pool, self.name)
        _check_weights(lm)
        pairs = encoded(lm, pool.examples)
        found = []
        for cuts in range(self.cuts + 1):

            def compute(rows: Sequence[int], progress: Progress, cuts: int = cuts) -> Arrays:
                with pruned(lm, cuts, self.cut):
                    own = [pairs[row] for row in rows]
                    return {"losses": _mean_losses(lm, own, self.batch_size, progress)}

            about = pool.about(*contents(pool.examples), f"{cuts} {self.cut}")
            signal = pool.store.rows(f"dlc-{cuts}", about, pool.size, compute)
            found.append(signal["losses"])
        mean: NDArray[np.float64] = np.mean(found, axis=0)
        return mean


def _mean_losses(
    lm: LanguageModel, pairs: Sequence[Encoded], batch_size: int | None, progress: Progress
) -> NDArray[np.float64]:
    from labelcast.models.likelihood import token_losses

    losses = token_losses(lm, pairs, batch_size=batch_size, progress=progress)
    return np.array([one.mean() for one in losses])


def _check_weights(lm: LanguageModel) -> None:
    for name, weight in _matrices(lm):
        if not weight.is_floating_point() or weight.device.type == "meta":
            raise InputError(
                f"--method dlc: model {lm.name} has quantised or offloaded weights ({name}), which "
                "cannot be pruned. Use the unquantised model, or a smaller one."
            )


def _matrices(lm: LanguageModel) -> list[tuple[str, Any]]:
    """The weights of the linear layers, each once."""
    from labelcast.models.layers import linear_layers

    modules = {id(layer.module): layer.module for layer in linear_layers(lm).values()}
    return [
        (name, weight)
        for module in modules.values()
        for name, weight in module.named_parameters(recurse=False)
        if weight.dim() > 1
    ]


@contextmanager
def pruned(lm: LanguageModel, cuts: int, cut: float) -> Iterator[None]:
    """Context manager: set the smallest weights of each linear layer to 0.

    Args:
        lm: the model.
        cuts: how often a part of the remaining weights is removed.
        cut: that part, rounded down to whole weights.
    """
    before: list[tuple[Any, Any]] = []
    try:
        for _, weight in _matrices(lm) if cuts else ():
            values = weight.data
            before.append((weight, values.clone()))
            left = values.numel()
            for _ in range(cuts):
                left -= int(cut * left)
            removed = values.numel() - left
            smallest = values.abs().flatten().topk(removed, largest=False, sorted=False).indices
            values.view(-1)[smallest] = 0
        yield
    finally:
        for weight, values in before:
            weight.data.copy_(values)
