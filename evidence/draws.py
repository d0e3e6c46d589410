"""How close the chance is to that of very many draws, and how steady, with four or more scores.

`python -m evidence.draws` asks questions whose scores few of the first draws explain, in two ways:
those draws are replaced by new ones near the better ones, or eight times as many are made before
that. It prints the mean distance of the chance that 5,000 labels suffice from that of 524,288
draws, of which none is replaced, and its standard deviation when each score moves by at most 0.001.
It takes a minute or two on one core.
"""

from collections.abc import Iterator
from statistics import fmean, stdev
from unittest.mock import patch

import numpy as np

from labelcast.forecast import prior_draws
from labelcast.forecast.chances import chances
from labelcast.forecast.families import Prior, ScoreFamily
from labelcast.forecast.particles import PriorDraws, condition
from labelcast.forecast.posterior import Part, given_scores, headroom_tilt
from labelcast.forecast.prior_draws import score_draws
from labelcast.forecast.question import Question

MANY = 2**19
MOVES, LARGEST_MOVE = 10, 0.001

QUESTIONS: tuple[tuple[dict[int, float], int, float], ...] = (
    ({32: 0.45, 64: 0.52, 128: 0.60, 256: 0.66, 512: 0.71}, 1000, 0.80),
    ({32: 0.40, 64: 0.50, 128: 0.60, 256: 0.68, 512: 0.79}, 500, 0.818),
    ({100: 0.70, 200: 0.74, 500: 0.79, 1000: 0.82, 2000: 0.88}, 2000, 0.89),
    ({100: 0.70, 200: 0.74, 500: 0.79, 1000: 0.82, 2000: 0.86}, 2000, 0.89),
    ({20: 0.50, 50: 0.62, 100: 0.70, 200: 0.75, 500: 0.80, 1000: 0.83}, 1000, 0.86),
)
"""Scores by labels, size of the test set, and target."""


def asked(scores: dict[int, float], size: int, target: float) -> Question:
    """The question with these scores."""
    seen = list(scores.items())
    return Question.of(observations=seen, observe_size=size, target_score=target, horizon=5000)


def near(scores: dict[int, float], size: int, target: float) -> Iterator[Question]:
    """Questions with scores that hardly differ."""
    rng = np.random.default_rng(0)
    for _ in range(MOVES):
        moves = LARGEST_MOVE * rng.uniform(-1, 1, len(scores))
        moved = {n: s + float(x) for (n, s), x in zip(scores.items(), moves, strict=True)}
        yield asked(moved, size, target)


def chance(question: Question) -> float:
    """The chance as the forecast computes it."""
    return chances(given_scores(Prior.load(), question, published=False), question).at(5000)


def chance_of_many(question: Question) -> float:
    """The chance from very many draws."""
    prior, family = Prior.load(), ScoreFamily()
    many = PriorDraws.of(family, *score_draws(prior, draws=MANY))
    before, given = condition(family, many, question.scores, few=0.0)
    tilt = headroom_tilt(given, prior, question.scores)
    return chances([Part(given, before, 1.0, tilt)], question).at(5000)


def main() -> None:
    """Print a line for each way."""
    exact = [chance_of_many(asked(*question)) for question in QUESTIONS]
    for name, draws in (("replaced", prior_draws.DRAWS), ("more draws", prior_draws.MORE_DRAWS)):
        with patch.object(prior_draws, "MORE_DRAWS", draws):
            off = [abs(chance(asked(*q)) - x) for q, x in zip(QUESTIONS, exact, strict=True)]
            spread = [stdev(chance(moved) for moved in near(*q)) for q in QUESTIONS]
        print(f"{name}: off by {fmean(off):.3f} (most {max(off):.3f}), sd {fmean(spread):.3f}")


if __name__ == "__main__":
    main()
