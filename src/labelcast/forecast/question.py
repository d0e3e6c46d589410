"""What a forecast is asked: the target, the scores that are known, checked and in one form.

Knows the user's options and what is wrong with them. Does not know calibrations or priors.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, NamedTuple

from labelcast.errors import InputError
from labelcast.forecast.efficiency import LARGEST_BUDGET
from labelcast.forecast.intervals import check_level
from labelcast.forecast.observed import ScoreObservation, binomial_sd

DEFAULT_TARGET = 0.9

ASSUMED_SIZE = 500
"""Test examples taken to stand behind a score where nothing is said of its noise."""

ALMOST_PERFECT = 0.999
"""Above this zero-shot there is no room for an unknown ceiling."""

_LEAST_GAIN = 1e-6
"""Less than this between two scores is no gain: one test example in a million."""

_LARGEST_SIZE = 10**12
"""No test set is larger."""

_SAYS_NOTHING = 1000.0
"""An sd that leaves nothing of a score."""

Observed = tuple[int, float] | tuple[int, float, float]
"""A budget and the score there, with the sd of all its noise where the user knows it."""


class Question(NamedTuple):
    """A checked question.

    Attributes:
        target: the gain asked for as a fraction; 0 or less where zero-shot already meets it; None
            where only the score is known.
        target_score: the same as a score, None where only the fraction is known.
        zero_shot, ceiling: scores, or None where unknown.
        observations: by rising budget, as they were measured, without budget 0.
        zero_shot_sd: error of zero-shot.
        level: of the intervals.
        budget: labels of the reverse question, or None.
        warnings: in words.
    """

    target: float | None
    target_score: float | None
    zero_shot: float | None
    ceiling: float | None
    observations: tuple[ScoreObservation, ...]
    zero_shot_sd: float
    level: float
    budget: int | None
    warnings: tuple[str, ...]

    @property
    def met_by_zero_shot(self) -> bool:
        """Whether no labels are needed."""
        if self.target is not None:
            return self.target <= 0
        known = self.zero_shot is not None and self.target_score is not None
        return known and self.zero_shot >= self.target_score  # type: ignore[operator]

    @property
    def met(self) -> bool:
        """Whether zero-shot or an observed score meets the target."""
        best = max((o.score for o in self.observations), default=-math.inf)
        return self.met_by_zero_shot or (
            self.target_score is not None and best >= self.target_score
        )

    @property
    def in_scores(self) -> bool:
        """Whether the answer is in scores: something besides the ceiling is known as one."""
        return (
            self.zero_shot is not None or bool(self.observations) or self.target_score is not None
        )


def ask(
    *,
    target: float | None,
    target_score: float | None,
    zero_shot: float | None,
    ceiling: float | None,
    observations: Iterable[Observed],
    observe_size: int | None,
    observe_sd: float | None,
    seed_sd: float,
    level: float,
    budget: int | None,
) -> Question:
    """Check the options of a forecast; `forecast` says what each means.

    Raises:
        InputError: the first thing that is wrong, named by its command-line option.
    """
    warnings: list[str] = []
    check_level(_number("--level", level))
    found = _checked_observations(observations)
    zero_shot = _zero_shot(_score("--zero-shot", zero_shot), found.pop(0, None))
    ceiling = _score("--ceiling", ceiling)
    if ceiling is not None and ceiling < _LEAST_GAIN:
        raise InputError(
            f"--ceiling {abs(ceiling):g}: no score lies below it, so nothing can be gained"
        )
    if zero_shot is not None and ceiling is not None and ceiling - zero_shot < _LEAST_GAIN:
        raise InputError(
            f"--zero-shot {zero_shot:g} is not below --ceiling {ceiling:g}: nothing can be gained"
        )
    if zero_shot is not None and ceiling is None and zero_shot > ALMOST_PERFECT:
        raise InputError(f"--zero-shot {zero_shot:g} is a perfect score: nothing can be gained")
    noise = _Noise.of(observe_size, observe_sd, seed_sd)
    said = [
        ScoreObservation(n, score, noise.of_score(score) if sd is None else sd)
        for n, (score, sd) in sorted(found.items())
    ]
    observed = tuple(o for o in said if o.sd < _SAYS_NOTHING)
    if len(observed) < len(said):
        warnings.append(f"scores with an sd of {_SAYS_NOTHING:,.0f} or more say nothing: left out")
    unsaid = any(sd is None for _, sd in found.values())
    if unsaid and noise.assumed:
        warnings.append(
            f"the noise of the scores is not said: {ASSUMED_SIZE} test examples are taken to stand "
            "behind each; give --observe-size or --observe-sd"
        )
    least = max((o.score - 2 * o.sd for o in observed), default=-math.inf)
    if ceiling is not None and least > ceiling:
        ceiling = max(o.score for o in observed)
        warnings.append(f"an observed score lies above --ceiling; the ceiling is now {ceiling:g}")
    fraction, score = _target(target, target_score, zero_shot, ceiling)
    known = zero_shot is not None and (unsaid or not noise.assumed)
    return Question(
        target=fraction,
        target_score=score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=observed,
        zero_shot_sd=noise.of_test(zero_shot) if known and zero_shot is not None else 0.0,
        level=float(level),
        budget=_count("--budget", budget, 0, LARGEST_BUDGET),
        warnings=tuple(warnings),
    )


class _Noise(NamedTuple):
    """How much a score errs: from its test set, by size or by sd, and from the training seed."""

    size: int
    sd: float | None
    seed_sd: float
    assumed: bool

    @classmethod
    def of(cls, size: int | None, sd: float | None, seed_sd: float) -> "_Noise":
        if size is not None and sd is not None:
            raise InputError("--observe-size and --observe-sd say the same thing; give one of them")
        checked, own = _count("--observe-size", size, 1, _LARGEST_SIZE), _sd("--observe-sd", sd)
        if own is not None and own > 1:
            raise InputError(f"--observe-sd: scores from 0 to 1 do not err by {own:g}")
        return cls(checked or ASSUMED_SIZE, own, seed_sd, size is None and sd is None)

    def of_test(self, score: float) -> float:
        """Return the sd that the test set gives a score."""
        return binomial_sd(score, self.size) if self.sd is None else float(self.sd)

    def of_score(self, score: float) -> float:
        """Return the sd of the score of a trained model."""
        return math.hypot(self.of_test(score), self.seed_sd)


def _target(
    target: float | None,
    target_score: float | None,
    zero_shot: float | None,
    ceiling: float | None,
) -> tuple[float | None, float | None]:
    """Return the target as a fraction of the gain and as a score, each where it is known."""
    if target_score is None:
        fraction = DEFAULT_TARGET if target is None else _number("--target", target)
        if not 0 < fraction <= 1:
            raise InputError(
                f"--target is a fraction of the gain above 0, at most 1 (say 0.9), not "
                f"{fraction:g}; for a score use --target-score"
            )
        if zero_shot is None or ceiling is None:
            return fraction, None
        return fraction, zero_shot + fraction * (ceiling - zero_shot)
    if target is not None:
        raise InputError("--target and --target-score say the same thing twice; give one of them")
    score = _score("--target-score", target_score)
    assert score is not None
    if ceiling is not None and score > ceiling:
        raise InputError(f"--target-score {score:g} lies above --ceiling {ceiling:g}")
    if zero_shot is None or ceiling is None:
        return None, score
    return min((score - zero_shot) / (ceiling - zero_shot), 1.0), score


def _zero_shot(given: float | None, found: tuple[float, float | None] | None) -> float | None:
    observed = None if found is None else found[0]
    if given is not None and observed is not None and given != observed:
        raise InputError(
            f"--zero-shot {given:g} and --observe 0={observed:g} differ; give one of them"
        )
    return observed if given is None else given


def _checked_observations(
    observations: Iterable[Observed],
) -> dict[int, tuple[float, float | None]]:
    """Return the observed scores and what is said of their noise, by budget."""
    scores: dict[int, tuple[float, float | None]] = {}
    for entry in observations:
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            raise InputError(f"--observe {entry!r}: expected a budget and a score, N=SCORE")
        number = _count("--observe: the budget", entry[0], 0, LARGEST_BUDGET)
        checked = _score(f"--observe {entry[0]}", entry[1])
        if number is None or checked is None:
            raise InputError(f"--observe {entry!r}: expected a budget and a score, N=SCORE")
        if number in scores:
            raise InputError(f"--observe {number}: stands twice; give each budget once")
        sd = entry[2] if len(entry) == 3 else None
        scores[number] = checked, _sd(f"--observe {number}: the sd", sd)
    return scores


def _score(option: str, value: Any) -> float | None:
    """Return a score between 0 and 1; None stays None."""
    if value is None:
        return None
    score = _number(option, value)
    if not 0 <= score <= 1:
        hint = f" (for {score:g}% give {score / 100:g})" if 1 < score <= 100 else ""
        raise InputError(f"{option}: a score lies between 0 and 1, not {score:g}{hint}")
    return score


def _sd(option: str, value: Any) -> float | None:
    """Return how much a score errs; None stays None."""
    if value is None:
        return None
    sd = _number(option, value)
    if sd < 0:
        raise InputError(f"{option}: an sd is 0 or more, not {sd:g}")
    return sd


def _number(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{option}: expected a finite number, not {value!r}")
    return float(value)


def _count(option: str, value: Any, least: int, most: int) -> int | None:
    """Return a whole number within bounds; None stays None."""
    if value is None:
        return None
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise InputError(
            f"{option}: expected a whole number from {least:,} to {most:,}, not {value!r}"
        )
    return int(value)
