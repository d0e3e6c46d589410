"""How should a known ceiling bound the curves of a frozen model?

    python -m evidence.own_curves.ceilings [--model minilm] [--seeds 3]

Forecasts with `--frozen` and a known ceiling: the best measured score of the task, which is known
only afterwards, or a score a third or half of the way from there to 1, as human agreement may be.
Curves that would end above the ceiling are clipped there, or clipped and given less weight the
further they go. Figures are as in `frozen`. It takes ten minutes on one core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, lru_cache

from evidence.own_curves.curves import CHOSEN_ON, Own, above_zero_shot, best_known, curves_of
from evidence.own_curves.frozen import compare
from evidence.own_curves.rows import ROWS
from evidence.transport import Case, errors, predicted_by, question_of
from labelcast.forecast.families import Prior, ScoreFamily
from labelcast.forecast.particles import FEW_IN_ORDER, PriorDraws, condition
from labelcast.forecast.posterior import Part
from labelcast.forecast.prior_draws import score_draws
from labelcast.forecast.question import FROZEN

RAISED = {"best known score": 0.0, "raised by a third": 1 / 3, "raised by half": 0.5}
"""Ceilings, and how far they lie from the best known score to 1."""

SDS = {"clipped": math.inf, "sd 0.03": 0.03, "sd 0.1": 0.1, "sd 0.2": 0.2}
"""Ways to bound the curves; sd is that of `ScoreFamily.passed_sd`."""


@cache
def best() -> dict[str, float]:
    """The best known score of each task."""
    return best_known([own for file in sorted(ROWS.glob("*.jsonl")) for own in curves_of(file)])


@lru_cache(len(RAISED) * len(SDS))
def prior_of(ceiling: float, sd: float) -> tuple[ScoreFamily, PriorDraws]:
    """The draws before the scores."""
    family = ScoreFamily(None, ceiling, True, sd)
    return family, PriorDraws.of(family, *score_draws(Prior.load(), frozen=True))


def ways(own: Own, case: Case) -> Iterator[tuple[str, dict[str, float]]]:
    """The errors of each way on a case."""
    for name, share in RAISED.items():
        ceiling = best()[own.task] + share * (1 - best()[own.task])
        question = question_of(case, ceiling=ceiling, recipe=FROZEN)
        for bound, sd in SDS.items():
            family, prior = prior_of(ceiling, sd)
            before, given = condition(family, prior, question.scores, FEW_IN_ORDER)
            parts = [Part(given, before, 1.0)]
            found = errors(case, predicted_by(parts, question, case), above_zero_shot(case))
            yield f"{name}, {bound}", found


def main() -> None:
    """Run the command."""
    chosen = {True: "the bound was chosen on them", False: "nothing chosen on them"}
    compare(__doc__ or " ", ways, lambda task: chosen[task in CHOSEN_ON])


if __name__ == "__main__":
    main()
