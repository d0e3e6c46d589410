"""DELIFT: examples that help the model answer the others when it reads them first.

Shapes: N examples, Q examples of the target set, C contexts.
"""

from __future__ import annotations

import heapq
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.encoding import Encoded, encoded
from labelcast.selection.labelled import contents, language_model
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.protocols import Progress
    from labelcast.selection.signals import Arrays

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
        lm = language_model(pool, self.name)
        floor, cap = self._bounds(pool, lm)
        return cover(self._utilities(pool, lm, target=False), n, floor=floor, cap=cap)

    def _bounds(self, pool: Pool, lm: LanguageModel) -> tuple[ArrayLike, ArrayLike]:
        """What is covered before anything is taken, and the most that counts; [N] or a number."""
        return 0.0, np.inf

    def _utilities(self, pool: Pool, lm: LanguageModel, *, target: bool) -> NDArray[np.float64]:
        """U [N,C] of each example of the pool, or of the target set, for each of the pool."""
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


class DeliftTargeted(Delift):
    """`Delift` for a target set: what the target's examples do not help with does not count.

    Maximises sum_i min(max_{j taken} u_ij, eta max_q u_iq), with the utilities u_iq of the target's
    examples q as contexts of the pool's.

    Source: as `Delift`; facility location mutual information.
    """

    name = "delift-targeted"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL, Need.TARGET})

    def __init__(
        self,
        *,
        eta: float = 1.0,
        limit: int = LIMIT,
        scaled: bool = False,
        batch_size: int | None = None,
    ) -> None:
        """Settings: those of `Delift`, and `eta`, the weight of the target."""
        super().__init__(limit=limit, scaled=scaled, batch_size=batch_size)
        self.eta = eta

    def _bounds(self, pool: Pool, lm: LanguageModel) -> tuple[ArrayLike, ArrayLike]:
        return 0.0, self.eta * self._utilities(pool, lm, target=True).max(1)


class DeliftContinual(Delift):
    """`Delift` beside data that the model was trained on: only what that does not cover counts.

    The target set is that data. Maximises sum_i max(max_{j taken} u_ij - nu max_e u_ie, 0), with
    the utilities u_ie of its examples e as contexts of the pool's.

    Source: as `Delift`; facility location conditional gain.
    """

    name = "delift-continual"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL, Need.TARGET})

    def __init__(
        self,
        *,
        nu: float = 1.0,
        limit: int = LIMIT,
        scaled: bool = False,
        batch_size: int | None = None,
    ) -> None:
        """Settings: those of `Delift`, and `nu`, the weight of the earlier data."""
        super().__init__(limit=limit, scaled=scaled, batch_size=batch_size)
        self.nu = nu

    def _bounds(self, pool: Pool, lm: LanguageModel) -> tuple[ArrayLike, ArrayLike]:
        return self.nu * self._utilities(pool, lm, target=True).max(1), np.inf


def distances(
    lm: LanguageModel, pairs: Sequence[Encoded], batch_size: int | None, progress: Progress
) -> NDArray[np.float64]:
    """|1 - p| / sqrt(T) of each pair's answer, [N] in [0, 1]."""
    from labelcast.models.likelihood import token_losses

    losses = token_losses(lm, pairs, batch_size=batch_size, progress=progress)
    return np.array([np.sqrt(np.mean((1 - np.exp(-one)) ** 2)) for one in losses])


def cover(
    utilities: NDArray[np.float64], n: int, *, floor: ArrayLike = 0.0, cap: ArrayLike = np.inf
) -> Selection:
    """Take n columns to maximise sum_i max_{j taken} u_ij, each u_ij kept in [floor_i, cap_i].

    Lazy greedy: a column's gain only falls, so it is computed again only if it may be the largest.
    Of equal gains the first column is taken.

    Args:
        utilities: u, [N,C].
        n: at most C.
        floor: what is covered at the beginning, [N] or a number.
        cap: the most that counts, [N] or a number.

    Returns:
        The columns in the order taken, with their gains.
    """
    count, columns = utilities.shape
    low, high = (np.broadcast_to(np.asarray(b, np.float64), count) for b in (floor, cap))
    bounded = np.maximum(np.minimum(utilities, high[:, None]), low[:, None])
    best = low.copy()
    waiting = [(-float((bounded[:, j] - best).sum()), j, 0) for j in range(columns)]
    heapq.heapify(waiting)
    chosen: list[int] = []
    gains: list[float] = []
    while len(chosen) < n:
        gain, j, known = heapq.heappop(waiting)
        if known == len(chosen):
            chosen.append(j)
            gains.append(-gain)
            best = np.maximum(best, bounded[:, j])
        else:
            gain = -float(np.maximum(bounded[:, j] - best, 0).sum())
            heapq.heappush(waiting, (gain, j, len(chosen)))
    return Selection(np.array(chosen, np.int64), np.array(gains))
