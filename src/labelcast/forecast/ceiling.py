"""Which zero-shot and ceiling a task may have, where they are not known.

Knows the published curves' own, as quantiles, and what observed scores rule out. How well each
explains the scores is the business of the conditioning.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from labelcast.forecast.efficiency import Array
from labelcast.forecast.observed import Scores

QUANTILES = 33

_LEAST_SPAN = 1e-3
_THINNED = 3
_BELOW_FIRST = 0.05


class Ends(NamedTuple):
    """Zero-shot scores and ceilings of other tasks: quantiles at equal steps, each [q]."""

    zero_shot: Array
    ceiling: Array


class Hypotheses(NamedTuple):
    """Pairs of zero-shot and ceiling.

    Attributes:
        zero_shot, ceiling: scores, [g]; every ceiling lies above its zero-shot.
        log_weight: before the scores are looked at, [g].
    """

    zero_shot: Array
    ceiling: Array
    log_weight: Array

    @property
    def span(self) -> Array:
        """What can be gained, [g]."""
        return self.ceiling - self.zero_shot


def equal_quantiles(values: Array, weights: Array) -> Array:
    """Return 33 quantiles at equal steps, between the values where they fall there, [33]."""
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(np.interp(at, middle / weights.sum(), values[order]))


def hypotheses(
    ends: Ends, scores: Scores, zero_shot: float | None, ceiling: float | None
) -> Hypotheses:
    """List the zero-shots and ceilings to reckon with.

    Args:
        ends: of other tasks.
        scores: observed; a ceiling below the best and a zero-shot above the worst are ruled out,
            two sds of noise allowed.
        zero_shot: None where unknown.
        ceiling: likewise.
    """
    zeros, zero_share = (
        (np.array([zero_shot]), np.ones(1))
        if zero_shot is not None
        else _zero_shots(ends, min(scores.most_worst, np.inf if ceiling is None else ceiling))
    )
    found = [_with_ceilings(ends, zero, scores.least_best, ceiling) for zero in zeros.tolist()]
    return Hypotheses(
        zero_shot=np.concatenate(
            [np.full(len(c), zero) for zero, (c, _) in zip(zeros, found, strict=True)]
        ),
        ceiling=np.concatenate([c for c, _ in found]),
        log_weight=np.log(
            np.concatenate([share * w for share, (_, w) in zip(zero_share, found, strict=True)])
        ),
    )


def _counted(values: Array) -> tuple[Array, Array]:
    """Return the distinct values, rising, and how often each stands there."""
    counts = Counter(values.tolist())
    distinct = sorted(counts)
    return np.array(distinct), np.array([float(counts[value]) for value in distinct])


def _zero_shots(ends: Ends, bound: float) -> tuple[Array, Array]:
    """Return zero-shots below a bound and their shares."""
    values, counts = _counted(ends.zero_shot[_THINNED // 2 :: _THINNED])
    below = values < bound - _LEAST_SPAN
    if not below.any():
        return np.array([max(bound - _BELOW_FIRST, 0.0)]), np.ones(1)
    return values[below], counts[below] / counts[below].sum()


def _with_ceilings(
    ends: Ends, zero_shot: float, best: float, ceiling: float | None
) -> tuple[Array, Array]:
    """Return the ceilings for one zero-shot and their shares."""
    if ceiling is not None:
        return np.array([ceiling]), np.ones(1)
    least = max(best, zero_shot + _LEAST_SPAN)
    values, counts = _counted(ends.ceiling)
    above = values >= least - 1e-9
    if not above.any():
        return np.array([max(least, 1.0)]), np.ones(1)
    return values[above], counts[above] / counts[above].sum()
