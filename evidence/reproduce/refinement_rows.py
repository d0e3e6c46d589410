"""The rows of the comparison: what a method knows about a held-out curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.scoring import TARGETS, Prediction, Truth
from labelcast.forecast.efficiency import Array

AUC_ERROR_SD = 0.108
"""Standard deviation of the error added to the AUC."""

NOISY_LOW, NOISY_HIGH = 0.05, 0.9

DRAWS = 20


@dataclass(frozen=True)
class Case:
    """One row: the budgets whose scores are known, and the sd of the error of the AUC.

    Attributes:
        observed: budgets of the grid.
        auc_error_sd: 0 for the true AUC, None where the AUC is not known.
    """

    observed: tuple[int, ...]
    auc_error_sd: float | None


SEVEN_ROWS = (
    Case((), AUC_ERROR_SD),
    Case((50,), None),
    Case((50, 100), None),
    Case((50, 100, 200), None),
    Case((50,), AUC_ERROR_SD),
    Case((50, 100), AUC_ERROR_SD),
    Case((50, 100, 200), AUC_ERROR_SD),
)
"""The rows that use a prior over curves; the methods are compared over these."""

NOTHING = Case((), None)
PRIOR_ROWS = (NOTHING, *SEVEN_ROWS)
POWER_LAW_ROWS = (Case((), 0.0), Case((), AUC_ERROR_SD))


@dataclass(frozen=True, eq=False)
class Clues:
    """What a method sees of a held-out curve.

    Attributes:
        zero_shot: its score without labels.
        ceiling: None if unknown.
        budgets: of the observed scores, rising, at least 50, [k].
        scores: after the running maximum, [k].
        aucs: the AUC with its error, one per draw, [D]; None if unknown.
        auc_error_sd: of that error.
        score_targets: the targets as scores, one for each of `TARGETS`; only if the ceiling is
            unknown. Together they reveal it, so a method must use each separately.
    """

    zero_shot: float
    ceiling: float | None
    budgets: tuple[int, ...]
    scores: tuple[float, ...]
    aucs: Array | None
    auc_error_sd: float
    score_targets: tuple[float, ...] = ()


class Fitted(Protocol):
    """A method, fitted to the curves of the other tasks."""

    def predict(self, clues: Clues) -> Prediction:
        """Predict the AUC, the labels needed and the score at 5,000 labels."""


class Method(Protocol):
    """A way to forecast curves.

    Attributes:
        name: in the results.
    """

    @property
    def name(self) -> str:
        """Name in the results."""

    def fit(self, task: str, curves: Sequence[PublishedCurve]) -> Fitted:
        """Fit to the curves of the tasks other than `task`."""


def noisy_aucs(auc: float, sd: float, draws: int, seed: int, number: int) -> Array:
    """Draw AUCs with a normal error, clipped to [0.05, 0.9], [draws]; a single true one at sd 0.

    Args:
        auc: the measured AUC.
        sd: sd of the error.
        draws: how many.
        seed: seed of all curves' draws.
        number: index of the curve; each has its own draws, the same in every row.
    """
    if sd == 0:
        return np.array([auc])
    noise = np.random.default_rng([seed, number]).standard_normal(draws)
    return np.clip(auc + sd * noise, NOISY_LOW, NOISY_HIGH)


def clues_of(
    curve: PublishedCurve, case: Case, ceiling_known: bool, draws: int, seed: int, number: int
) -> Clues:
    """Return what a method sees of a curve in a row. Arguments as in `noisy_aucs`."""
    measured = curve.curve
    span = measured.ceiling - measured.zero_shot
    scores = measured.zero_shot + span * measured.gain_at(case.observed)
    sd = case.auc_error_sd
    return Clues(
        zero_shot=measured.zero_shot,
        ceiling=measured.ceiling if ceiling_known else None,
        budgets=case.observed,
        scores=tuple(scores.tolist()),
        aucs=None if sd is None else noisy_aucs(measured.auc, sd, draws, seed, number),
        auc_error_sd=sd or 0.0,
        score_targets=()
        if ceiling_known
        else tuple(measured.zero_shot + target * span for target in TARGETS),
    )


def truth_of(curve: PublishedCurve, ceiling_known: bool) -> Truth:
    """Return a curve's truth; its score at 5,000 is a gain, or raw if the ceiling is unknown."""
    measured = curve.curve
    return Truth(
        auc=measured.auc,
        labels=tuple(measured.labels_for_gain(target) for target in TARGETS),
        score_5000=measured.gains[-1] if ceiling_known else measured.scores[-1],
    )
