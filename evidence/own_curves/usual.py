"""Would the score of always giving the most frequent answer make the forecast better?

    python -m evidence.own_curves.usual [--model minilm] [--seeds 3]

A frozen model that does not learn a task scores about that, and so does one that will learn it
later. So the flat curves of the prior, and those that sleep and then jump, begin there, with
several shares of flat ones, beside the shipped forecast, which does not know it. Each sees the
first one, two and three scores of a curve, from 50 labels, and forecasts the later ones. Figures
are means over tasks of means over seeds. "rises" is the Brier score of the chance that the last
score is `MARGIN` above the most frequent answer. It takes some twenty minutes on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from evidence.own_curves.curves import Own, above_zero_shot
from evidence.own_curves.frozen import compare
from evidence.own_curves.rows import GENERATED
from evidence.transport import Case, errors, predicted_by, question_of
from labelcast.forecast.families import (
    ETA,
    ZERO_SHOT,
    Prior,
    ScoreFamily,
    logit,
)
from labelcast.forecast.particles import FEW_IN_ORDER, PriorDraws, condition
from labelcast.forecast.posterior import Part, given_scores, joined
from labelcast.forecast.prior_draws import SLEEPING, score_draws
from labelcast.forecast.question import FROZEN

SHARES = (0.05, 0.1, 0.15)
MARGIN = 0.05
_SD = 0.1
"""Of where such curves begin, in logits."""


def known_usual(usual: float, share: float, case: Case) -> list[Part]:
    """The draws given the scores, where flat and sleeping curves begin at the usual answer."""
    drawn, weights = score_draws(replace(Prior.load(), never_learned=share), frozen=True)
    first = round(len(drawn) * (1 - share) * (1 - SLEEPING))
    begin = drawn[first:, ETA].copy()
    # A normal number of each draw, the same for all shares.
    ranks = np.argsort(np.argsort(begin)) + 0.5
    drawn[first:, ETA] = logit(np.array(usual)) + _SD * logit(ranks / len(begin)) / 1.7
    drawn[first:, ZERO_SHOT] += drawn[first:, ETA] - begin
    family = ScoreFamily(None, None, True)
    prior = PriorDraws.of(family, drawn, weights)
    before, given = condition(family, prior, question_of(case, recipe=FROZEN).scores, FEW_IN_ORDER)
    return [Part(given, before, 1.0)]


def measured(parts: Sequence[Part], usual: float, case: Case) -> dict[str, float]:
    """The errors of a forecast, and of its chance that the curve rises."""
    draws, aim = joined(parts), usual + MARGIN
    chance = float(draws.weights[draws.at(case.later_budgets[-1]) >= aim].sum())
    rises = float(case.later_scores[-1] >= aim)
    predicted = predicted_by(parts, question_of(case, recipe=FROZEN), case)
    return errors(case, predicted, above_zero_shot(case)) | {"rises": (chance - rises) ** 2}


def ways(own: Own, case: Case) -> Iterator[tuple[str, dict[str, float]]]:
    """The errors of each way on a case."""
    shipped = given_scores(Prior.load(), question_of(case, recipe=FROZEN), published=False)
    yield "shipped", measured(shipped, own.majority, case)
    for share in SHARES:
        parts = known_usual(own.majority, share, case)
        yield f"known, {share:.2f} flat", measured(parts, own.majority, case)


def main() -> None:
    """Run the command."""
    compare(__doc__ or " ", ways, lambda task: "generated" if task in GENERATED else "public")


if __name__ == "__main__":
    main()
