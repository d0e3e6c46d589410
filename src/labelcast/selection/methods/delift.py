"""DELIFT: examples that help the model answer the others when it reads them first.

Shapes: N examples, Q examples of the target set, C contexts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.encoding import Encoded, encoded
from labelcast.selection.greedy import lazy_greedy
from labelcast.selection.labelled import contents, language_model
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.protocols import Progress
    from labelcast.selection.signals import Arrays

Bound = float | NDArray[np.float64]

LIMIT = 1000
PART = 8
# Less than this many seconds of forward passes need no warning.
_SHORT = 60.0


class Delift:
    """Cover the pool with examples that help as in-context examples (general).

    The distance of example i in a context is d = |1 - p| / sqrt(T), with the probabilities p of its
    T answer tokens. The utility of j for i is u_ij = max(d(i alone) - d(i after j), 0), and n
    examples are taken greedily to maximise sum_i max_{j taken} u_ij. An example and its context are
    read as prompt, end-of-sequence token, answer; the context ends with that token too.

    It takes N^2 forward passes: pools above `limit` are refused, and if the first ones show that
    the rest takes more than a minute, a warning says how long.

    Source: Agarwal et al. 2025 (arXiv 2411.04425), section 3; repository agarwalishika/DELIFT,
    whose code also counts the token after the answer and scales the utilities to [0, 1].
    """

    name = "delift"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL})

    def __init__(
        self, *, limit: int = LIMIT, scaled: bool = False, batch_size: int | None = None
    ) -> None:
        """Settings.

        Args:
            limit: the largest pool.
            scaled: scale the utilities to [0, 1] before they are used, as the published code does.
            batch_size: texts at once; None chooses a number for the device.
        """
        self.limit, self.scaled, self.batch_size = limit, scaled, batch_size

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are the gains; `seed` is not used.

        Raises:
            InputError: the pool is larger than `limit`, or an example is too long.
        """
        if pool.size > self.limit:
            raise InputError(
                f"--method {self.name}: {pool.size:,} examples, but it runs the model once for "
                f"each pair, so {self.limit:,} are the most. Draw a random part of the pool first, "
                "or use --method less or facility-location."
            )
        utilities = self.utilities(pool, target=False)
        covered, most = self.bounds(pool)
        return lazy_greedy(np.minimum(utilities, most), n, np.full(pool.size, covered))

    def bounds(self, pool: Pool) -> tuple[Bound, Bound]:
        """What is covered at the beginning, [N] or a number, and the most that counts, [N,1]."""
        return 0.0, np.inf

    def utilities(self, pool: Pool, *, target: bool) -> NDArray[np.float64]:
        """U [N,C] of each example of the pool, or of the target set, for each of the pool."""
        lm = language_model(pool, self.name)
        end = [] if lm.tokenizer.eos_token_id is None else [int(lm.tokenizer.eos_token_id)]
        pairs = encoded(lm, pool.examples, between=end)
        given = pool.target if target else pool.examples
        contexts = [pair.tokens + end for pair in encoded(lm, given, between=end)]

        def alone(rows: Sequence[int], progress: Progress) -> Arrays:
            own = [pairs[row] for row in rows]
            return {"distances": distances(lm, own, self.batch_size, progress)}

        def after(rows: Sequence[int], progress: Progress) -> Arrays:
            found = np.full((len(rows), len(pairs)), np.nan)
            for place, row in enumerate(rows):
                begin = time.perf_counter()
                found[place] = self._after(lm, contexts[row], pairs)
                if row == 0:
                    self._warn(time.perf_counter() - begin, len(contexts), len(pairs))
                progress(1)
            return {"distances": found}

        about = pool.about(*contents(pool.examples))
        base = pool.store.rows("delift-alone", about, len(pairs), alone)["distances"]
        name = "delift-target" if target else "delift"
        about = pool.about(*contents(pool.examples), "contexts", *contents(given))
        helped = pool.store.rows(name, about, len(contexts), after, part=PART)["distances"].T
        utilities = np.maximum(base[:, None] - helped, 0)
        utilities = np.where(np.isnan(helped), 0, utilities)
        if self.scaled and utilities.max() > utilities.min():
            utilities = (utilities - utilities.min()) / (utilities.max() - utilities.min())
        found: NDArray[np.float64] = utilities
        return found

    def _after(
        self, lm: LanguageModel, context: list[int], pairs: Sequence[Encoded]
    ) -> NDArray[np.float64]:
        """Distances [N] of the pairs after a context; NaN where the two are too long together."""
        found = np.full(len(pairs), np.nan)
        fits = [i for i, p in enumerate(pairs) if len(context) + len(p.tokens) <= lm.context]
        longer = [Encoded(context + pairs[i].tokens, pairs[i].answer_length) for i in fits]
        if fits:
            found[fits] = distances(lm, longer, self.batch_size, lambda done: None)
        return found

    def _warn(self, seconds: float, contexts: int, pairs: int) -> None:
        total = seconds * contexts
        if total > _SHORT:
            warnings.warn(
                f"--method {self.name}: {contexts * pairs:,} forward passes take about "
                f"{total / 60:,.0f} minutes here. If they are interrupted, the same command "
                "resumes; a smaller pool takes less.",
                LabelcastWarning,
                stacklevel=2,
            )


def distances(
    lm: LanguageModel, pairs: Sequence[Encoded], batch_size: int | None, progress: Progress
) -> NDArray[np.float64]:
    """|1 - p| / sqrt(T) of each pair's answer, [N] in [0, 1]."""
    from labelcast.models.likelihood import token_losses

    losses = token_losses(lm, pairs, batch_size=batch_size, progress=progress)
    return np.array([np.sqrt(np.mean((1 - np.exp(-one)) ** 2)) for one in losses])
