"""Data efficiency (AUC): the logarithmic axis, measured curves, predictions, and the power law."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from labelcast.errors import InputError

Array = npt.NDArray[np.float64]

GRID = (0, 50, 100, 200, 500, 1000, 2500, 5000)
"""The budgets of the published curves, in labels."""

LARGEST_BUDGET = 5000
"""The right end of the axis, in labels."""

AUC_LOW, AUC_HIGH = 0.05, 0.95
"""The range in which a predicted AUC is used."""


def log_position(n: npt.ArrayLike) -> Array:
    """Place budgets on the logarithmic axis: 0 at zero-shot, 1 at 5,000 labels.

    Args:
        n: budgets in labels, any shape.

    Returns:
        log2(max(n, 1)) / log2(5000), of the same shape.

    Source: Je and Raffel (2025), the axis of the data-efficiency curve.

    Examples:
        >>> [round(float(x), 3) for x in log_position([0, 50, 5000])]
        [0.0, 0.459, 1.0]
    """
    budgets = np.maximum(np.asarray(n, dtype=np.float64), 1.0)
    return np.asarray(np.log2(budgets) / math.log2(LARGEST_BUDGET), dtype=np.float64)


def budget_at(x: npt.ArrayLike) -> Array:
    """Turn positions on the logarithmic axis back into budgets, in labels (at least 1).

    >>> round(float(budget_at(log_position(200))), 6)
    200.0
    """
    exponent = np.asarray(x, dtype=np.float64) * math.log2(LARGEST_BUDGET)
    return np.asarray(np.exp2(exponent), dtype=np.float64)


def area(x: Array, gains: Array) -> float:
    """Return the trapezoidal area under gains over positions x, both [k]."""
    return float(np.sum(np.diff(x) * (gains[1:] + gains[:-1])) / 2)


def power_law_exponent(auc: float) -> float:
    """Return the exponent p of the paper's one-shot curve, gain = x^p over the axis.

    Args:
        auc: strictly between 0 and 1.

    Source: Je and Raffel (2025); the area of x^p from 0 to 1 is 1 / (p + 1).

    >>> power_law_exponent(0.5)
    1.0
    """
    return (1 - auc) / auc


def power_law_labels(fraction: float, auc: float) -> float:
    """Return the labels, 1 to 5,000, at which the power law reaches a fraction of the gain.

    Args:
        fraction: above 0, at most 1.
        auc: strictly between 0 and 1.

    Source: Je and Raffel (2025), inverse of the fitted curve.

    >>> round(power_law_labels(0.9, 0.54 * 0.65 + 0.31))
    1028
    """
    return float(2 ** (math.log2(LARGEST_BUDGET) * fraction ** (1 / power_law_exponent(auc))))


@dataclass(frozen=True)
class AucEstimate:
    """A predicted AUC: a t distribution, clipped to 0.05 to 0.95.

    Attributes:
        mean: predicted AUC, after clipping.
        sd: scale of the prediction error.
        df: degrees of freedom of the t distribution.
        level: level of the interval.
        low, high: prediction interval at that level, clipped too.
        clipped: whether the mean was clipped.
        warnings: in words, for the user.
    """

    mean: float
    sd: float
    df: float
    level: float
    low: float
    high: float
    clipped: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class EfficiencyCurve:
    """A measured curve of one model on one task.

    Attributes:
        budgets: labels, rising, at most 5,000, [k].
        scores: scores after the running maximum, [k].
        gains: scores as a fraction of the way from zero-shot to the ceiling, 0 to 1, [k].
        zero_shot: the score at gain 0.
        ceiling: the score at gain 1: the larger of the ceiling given and the best score.
        auc: data efficiency: trapezoidal area of the gains from position 0 to 1.
        censored: whether the largest budget falls short of 5,000; its score is then carried on.

    Source: Je and Raffel (2025), definition of data efficiency.
    """

    budgets: tuple[int, ...]
    scores: tuple[float, ...]
    gains: tuple[float, ...]
    zero_shot: float
    ceiling: float
    auc: float
    censored: bool

    @classmethod
    def from_scores(
        cls, scores: Mapping[int, float], ceiling: float | None = None
    ) -> "EfficiencyCurve":
        """Clean and normalise raw scores by budget.

        Args:
            scores: score at each budget (labels). Where budget 0 is missing, the curve starts at
                its smallest budget and its lowest score is its zero. Budgets above 5,000 only
                help to interpolate the score at 5,000.
            ceiling: the best possible score (for example a person's); None takes the best score.

        Raises:
            InputError: fewer than two budgets, a budget that is not a whole number of 0 or more, a
                score that is not a finite number, or nothing to gain above zero-shot.

        Examples:
            >>> scores = {0: 0.4, 50: 0.6, 100: 0.5, 5000: 0.9}
            >>> curve = EfficiencyCurve.from_scores(scores, ceiling=1)
            >>> curve.scores, round(curve.auc, 3), curve.censored
            ((0.4, 0.6, 0.6, 0.9), 0.372, False)
        """
        raw = _checked(scores)
        best_so_far = np.maximum.accumulate(np.array(list(raw.values())))
        budgets, cleaned = _within_axis(list(raw), best_so_far)
        zero_shot, top = float(cleaned[0]), float(cleaned[-1])
        if ceiling is not None:
            if not math.isfinite(ceiling):
                raise InputError(f"ceiling: expected a finite number, not {ceiling!r}")
            top = max(float(ceiling), top)
        if top <= zero_shot:
            raise InputError(
                f"nothing to gain: the ceiling ({top:g}) is not above the zero-shot score "
                f"({zero_shot:g}); give a higher ceiling or scores that rise"
            )
        gains = (cleaned - zero_shot) / (top - zero_shot)
        x = log_position(budgets)
        carried = np.append(x, 1.0), np.append(gains, gains[-1])
        return cls(
            budgets=tuple(budgets),
            scores=tuple(cleaned.tolist()),
            gains=tuple(gains.tolist()),
            zero_shot=zero_shot,
            ceiling=top,
            auc=area(*carried),
            censored=budgets[-1] < LARGEST_BUDGET,
        )

    def gain_at(self, n: npt.ArrayLike) -> Array:
        """Interpolate the gain at budgets n on the logarithmic axis; flat beyond both ends.

        >>> float(EfficiencyCurve.from_scores({0: 0.0, 5000: 1.0}).gain_at(5000))
        1.0
        """
        return np.asarray(np.interp(log_position(n), log_position(self.budgets), self.gains))

    def labels_for_gain(self, fraction: float) -> float | None:
        """Return the labels at which a fraction of the gain is first reached, None if never.

        Raises:
            InputError: fraction outside 0 to 1.

        >>> curve = EfficiencyCurve.from_scores({0: 0.0, 50: 0.5, 5000: 0.9}, ceiling=1.0)
        >>> round(curve.labels_for_gain(0.5)), curve.labels_for_gain(0.95)
        (50, None)
        """
        if not 0 <= fraction <= 1:
            raise InputError(f"a fraction of the gain lies between 0 and 1, not {fraction}")
        x, gains = log_position(self.budgets), np.asarray(self.gains)
        reached = np.flatnonzero(gains >= fraction)
        if not len(reached):
            return None
        right = int(reached[0])
        if right == 0:
            return float(budget_at(x[0])) if x[0] > 0 else 0.0
        share = (fraction - gains[right - 1]) / (gains[right] - gains[right - 1])
        return float(budget_at(x[right - 1] + share * (x[right] - x[right - 1])))


def _checked(scores: Mapping[Any, Any]) -> dict[int, float]:
    """Return the scores by rising budget; raise for the first wrong entry."""
    for budget, score in scores.items():
        if isinstance(budget, bool) or not isinstance(budget, Integral) or int(budget) < 0:
            raise InputError(f"budget {budget!r}: a budget is a whole number of labels, 0 or more")
        if isinstance(score, bool) or not isinstance(score, Real) or not math.isfinite(score):
            raise InputError(f"score at budget {budget}: expected a finite number, not {score!r}")
    if len(scores) < 2:
        raise InputError(
            f"a curve needs scores at two budgets or more, but {len(scores)} given; "
            "add zero-shot (budget 0) or another budget"
        )
    return {int(budget): float(scores[budget]) for budget in sorted(scores)}


def _within_axis(budgets: list[int], scores: Array) -> tuple[list[int], Array]:
    """Cut the curve at 5,000 labels, with the score there interpolated where it is missing."""
    if budgets[-1] <= LARGEST_BUDGET:
        return budgets, scores
    kept = [n for n in budgets if n < LARGEST_BUDGET]
    at_end = np.interp(1.0, log_position(budgets), scores)
    return [*kept, LARGEST_BUDGET], np.append(scores[: len(kept)], at_end)
