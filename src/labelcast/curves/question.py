"""What a forecast is asked: the target, the scores that are known, checked and in one form.

Knows the user's options and what is wrong with them. Does not know calibrations or priors.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from labelcast.curves.efficiency import LARGEST_BUDGET
from labelcast.errors import InputError

DEFAULT_TARGET = 0.9


@dataclass(frozen=True)
class Question:
    """A checked question.

    Attributes:
        target: the gain asked for as a fraction; 0 or less where zero-shot already meets it.
        target_score: the same as a score, None where zero-shot or ceiling is unknown.
        zero_shot, ceiling: scores, or None.
        observations: (budget, score) by rising budget, scores after the running maximum, without
            budget 0.
        observe_size: test examples behind each score, or None.
        level: of the intervals.
        budget: labels of the reverse question, or None.
        warnings: in words.
    """

    target: float
    target_score: float | None
    zero_shot: float | None
    ceiling: float | None
    observations: tuple[tuple[int, float], ...]
    observe_size: int | None
    level: float
    budget: int | None
    warnings: tuple[str, ...]

    @property
    def met_by_zero_shot(self) -> bool:
        """Whether no labels are needed."""
        return self.target <= 0

    @property
    def met(self) -> bool:
        """Whether zero-shot or an observed score meets the target."""
        best = self.observations[-1][1] if self.observations else -math.inf
        return self.met_by_zero_shot or (
            self.target_score is not None and best >= self.target_score
        )

    def gain(self, score: float) -> float:
        """Turn a score into a fraction of the gain; zero-shot and ceiling must be known."""
        assert self.zero_shot is not None
        assert self.ceiling is not None
        return (score - self.zero_shot) / (self.ceiling - self.zero_shot)


def ask(
    *,
    target: float | None,
    target_score: float | None,
    zero_shot: float | None,
    ceiling: float | None,
    observations: Iterable[tuple[int, float]],
    observe_size: int | None,
    level: float,
    budget: int | None,
) -> Question:
    """Check the options of a forecast; `forecast` says what each means.

    Raises:
        InputError: the first thing that is wrong, named by its command-line option.
    """
    warnings: list[str] = []
    _check_level(level)
    observed = _checked_observations(observations)
    zero_shot = _zero_shot(_score("--zero-shot", zero_shot), observed.pop(0, None))
    ceiling = _score("--ceiling", ceiling)
    if observed and (zero_shot is None or ceiling is None):
        raise InputError(
            "--observe needs --zero-shot (or --observe 0=SCORE) and --ceiling, to tell what part "
            "of the gain a score is"
        )
    if zero_shot is not None and ceiling is not None and zero_shot >= ceiling:
        raise InputError(
            f"--zero-shot {zero_shot:g} is not below --ceiling {ceiling:g}: nothing can be gained"
        )
    cleaned = _running_maximum(observed, zero_shot)
    if cleaned and ceiling is not None and cleaned[-1][1] > ceiling:
        ceiling = cleaned[-1][1]
        warnings.append(f"an observed score lies above --ceiling; the ceiling is now {ceiling:g}")
    fraction, score = _target(target, target_score, zero_shot, ceiling)
    return Question(
        target=fraction,
        target_score=score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=cleaned,
        observe_size=_count("--observe-size", observe_size, 1, None),
        level=float(level),
        budget=_count("--budget", budget, 0, LARGEST_BUDGET),
        warnings=tuple(warnings),
    )


def _target(
    target: float | None,
    target_score: float | None,
    zero_shot: float | None,
    ceiling: float | None,
) -> tuple[float, float | None]:
    """Return the target as a fraction of the gain, and as a score where that is known."""
    known = zero_shot is not None and ceiling is not None
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
    if not known or zero_shot is None or ceiling is None:
        raise InputError("--target-score needs --zero-shot and --ceiling")
    if score > ceiling:
        raise InputError(f"--target-score {score:g} lies above --ceiling {ceiling:g}")
    return min((score - zero_shot) / (ceiling - zero_shot), 1.0), score


def _zero_shot(given: float | None, observed: float | None) -> float | None:
    if given is not None and observed is not None and given != observed:
        raise InputError(
            f"--zero-shot {given:g} and --observe 0={observed:g} differ; give one of them"
        )
    return observed if given is None else given


def _checked_observations(observations: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Return the observed scores by budget, or say which one is wrong."""
    scores: dict[int, float] = {}
    for entry in observations:
        try:
            budget, score = entry
        except (TypeError, ValueError):
            raise InputError(
                f"--observe {entry!r}: expected a budget and a score, N=SCORE"
            ) from None
        number = _count("--observe: the budget", budget, 0, LARGEST_BUDGET)
        checked = _score(f"--observe {budget}", score)
        if number is None or checked is None:
            raise InputError(f"--observe {entry!r}: expected a budget and a score, N=SCORE")
        if number in scores:
            raise InputError(f"--observe {number}: stands twice; give each budget once")
        scores[number] = checked
    return scores


def _running_maximum(
    observed: dict[int, float], zero_shot: float | None
) -> tuple[tuple[int, float], ...]:
    """Clean scores as curves are cleaned: a score never falls below an earlier one's."""
    best = -math.inf if zero_shot is None else zero_shot
    cleaned = []
    for budget in sorted(observed):
        best = max(best, observed[budget])
        cleaned.append((budget, best))
    return tuple(cleaned)


def _check_level(level: Any) -> None:
    if not 0 < _number("--level", level) < 1:
        raise InputError(f"--level lies strictly between 0 and 1 (say 0.9), not {level:g}")


def _score(option: str, value: Any) -> float | None:
    """Return a score between 0 and 1; None stays None."""
    if value is None:
        return None
    score = _number(option, value)
    if not 0 <= score <= 1:
        hint = f" (for {score:g}% give {score / 100:g})" if 1 < score <= 100 else ""
        raise InputError(f"{option}: a score lies between 0 and 1, not {score:g}{hint}")
    return score


def _number(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{option}: expected a finite number, not {value!r}")
    return float(value)


def _count(option: str, value: Any, least: int, most: int | None) -> int | None:
    """Return a whole number within bounds; None stays None."""
    if value is None:
        return None
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"{least:,} or more" if most is None else f"from {least:,} to {most:,}"
        raise InputError(f"{option}: expected a whole number {bounds}, not {value!r}")
    return int(value)
