"""What a forecast is asked: the target, what is known, and on which scale, checked once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.efficiency import LARGEST_BUDGET
from labelcast.forecast.observed import ASSUMED_SIZE, Noise, NoisyScore, Scores
from labelcast.forecast.options import DEFAULT_LEVEL, DEFAULT_TARGET, Observed, Options
from labelcast.forecast.particles import LARGEST_HORIZON
from labelcast.forecast.scale import (
    LARGEST_SIZE,
    GivenScore,
    Scale,
    checked_count,
    checked_entry,
    checked_level,
    checked_number,
    checked_sd,
    scale_of,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LEAST_GAIN = 1e-6
_MOST_SCORES = 100_000
_USELESS_SD = 1000.0
_BEYOND = 4


@dataclass(frozen=True)
class Costs:
    """What labels, training runs and success cost, in money.

    Attributes:
        label, run: of one label, of one training run; None where not given.
        value: what meeting the target is worth; None where not given.
    """

    label: float | None = None
    run: float | None = None
    value: float | None = None


@dataclass(frozen=True)
class Question:
    """A checked question; scores are from 0 to 1, higher is better.

    Attributes:
        target: the gain asked for as a fraction; 0 or less where zero-shot already meets it; None
            where only the score is known.
        target_score: the same as a score, None where only the fraction is known.
        zero_shot, ceiling: scores, or None where unknown.
        scores: observed, by rising labels, without those of budget 0.
        level: of the intervals.
        budget: labels of the reverse question, or None.
        horizon: the most labels that the forecast looks at.
        scale: of the user's scores.
        costs: in money.
        recipe: the planned fine-tuning, None where not given.
        warnings: in words.
    """

    target: float | None
    target_score: float | None
    zero_shot: float | None
    ceiling: float | None
    scores: Scores
    level: float
    budget: int | None
    horizon: int
    scale: Scale
    costs: Costs
    recipe: str | None
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
        best = max((score.score for score in self.scores.all), default=-math.inf)
        return self.met_by_zero_shot or (
            self.target_score is not None and best >= self.target_score - 1e-12
        )

    @property
    def in_scores(self) -> bool:
        """Whether the answer is in scores: something besides the ceiling is known as one."""
        return self.zero_shot is not None or bool(self.scores.all) or self.target_score is not None

    @classmethod
    def of(cls, *, pool_size: int = 0, **options: Unpack[Options]) -> Question:
        """Check the options of a forecast; `Options` describes each.

        Without a horizon the forecast considers 5,000 labels, `pool_size` where that is more, and
        four times the most labels tried where those are 5,000 or more.

        Raises:
            InputError: the first thing that is wrong, named by its command-line option.
            TypeError: there is no such option.
        """
        if unknown := options.keys() - Options.__annotations__.keys():
            raise TypeError(f"a forecast has no option {min(unknown)!r}")
        warnings: list[str] = []
        level = checked_level(options.get("level", DEFAULT_LEVEL))
        on = scale_of(
            options.get("scale"), options.get("lower_is_better", False), options.get("metric")
        )
        found = _checked_observations(options.get("observations", ()), on)
        zero_shot, ceiling = options.get("zero_shot"), options.get("ceiling")
        starts = [] if zero_shot is None else [on.check("--zero-shot", zero_shot)]
        on = on.for_losses([*starts, *(entry.score for entry in found)])
        start = _zero_shot(zero_shot, [entry.score for entry in found if entry.n == 0], on)
        top = None if ceiling is None else on.to_unit(on.check("--ceiling", ceiling))
        _check_ends(start, top, zero_shot, ceiling, on)
        noise, assumed = _noise(options.get("observe_size"), options.get("observe_sd"), on)
        with_labels = [entry for entry in found if entry.n > 0]
        kept = [e for e in with_labels if e.sd is None or e.sd < _USELESS_SD * on.top]
        if len(kept) < len(with_labels):
            warnings.append(
                f"scores with an sd of {_USELESS_SD:,.0f} or more carry no information: ignored"
            )
        scores = Scores(tuple(_score(entry, noise, on) for entry in sorted(kept, key=_order)))
        unsaid = any(e.sd is None and e.size is None for e in kept)
        if assumed and unsaid and on.metric != "loss":
            warnings.append(
                f"the noise of the scores is not given: {ASSUMED_SIZE} test examples are assumed "
                "behind each; give --observe-size or --observe-sd"
            )
        if top is not None:
            top, raised = _raised(top, scores)
            if raised:
                warnings.append(
                    "an observed score is better than --ceiling; the ceiling is now "
                    f"{on.from_unit(top):g}"
                )
        fraction, score = _target(
            options.get("target"), options.get("target_score"), start, top, on
        )
        return cls(
            target=fraction,
            target_score=score,
            zero_shot=start,
            ceiling=top,
            scores=scores,
            level=level,
            budget=checked_count("--budget", options.get("budget"), 0, LARGEST_HORIZON),
            horizon=_horizon(
                options.get("horizon"), pool_size, max((s.n for s in scores.all), default=0.0)
            ),
            scale=on,
            costs=_costs(options.get("label_cost"), options.get("run_cost"), options.get("value")),
            recipe=options.get("recipe"),
            warnings=tuple(warnings),
        )


def _order(entry: GivenScore) -> tuple[int, float, float, int]:
    return entry.n, entry.score, entry.sd or 0.0, entry.size or 0


def _horizon(asked: int | None, pool_size: int, tried: float) -> int:
    """Return the horizon: the one asked for, or 5,000, the pool, or beyond all that was tried."""
    horizon = checked_count("--horizon", asked, 1, LARGEST_HORIZON)
    if horizon is None:
        beyond = _BEYOND * tried if tried >= LARGEST_BUDGET else 0
        return int(min(max(LARGEST_BUDGET, pool_size, beyond), LARGEST_HORIZON))
    if horizon < tried:
        raise InputError(
            f"--horizon {horizon:,} lies below {tried:,.0f} labels, which have a score already; "
            "give a larger one"
        )
    return horizon


def _check_ends(
    start: float | None, top: float | None, zero_shot: Any, ceiling: Any, on: Scale
) -> None:
    if top is not None and top < _LEAST_GAIN:
        raise InputError(
            f"--ceiling {abs(ceiling):g}: no score lies below it, so nothing can be gained"
        )
    if start is not None and top is not None and top - start < _LEAST_GAIN:
        side = "above" if on.falls else "below"
        raise InputError(
            f"--zero-shot {on.from_unit(start):g} is not {side} --ceiling {ceiling:g}: nothing can "
            "be gained"
        )
    if start is not None and top is None and start > 1 - 1e-9:
        raise InputError(
            f"--zero-shot {on.from_unit(start):g} is a perfect score: nothing can be gained"
        )


def _noise(size: int | None, sd: float | None, on: Scale) -> tuple[Noise, bool]:
    """Return the noise of scores whose own sd is not given, and whether it is assumed."""
    if size is not None and sd is not None:
        raise InputError("--observe-size and --observe-sd both set the noise; give one of them")
    checked = checked_count("--observe-size", size, 1, LARGEST_SIZE)
    own = checked_sd("--observe-sd", sd)
    if own is not None and on.metric != "loss" and own > on.top:
        raise InputError(f"--observe-sd: {own:g} is too large for scores from 0 to {on.top:g}")
    if on.metric == "loss":
        return Noise(math.inf, own), own is None
    unit = None if own is None else own / on.top
    return Noise(checked or ASSUMED_SIZE, unit), size is None and sd is None


def _score(entry: GivenScore, noise: Noise, on: Scale) -> NoisyScore:
    if entry.sd is not None:
        noise = Noise(math.inf, on.sd_to_unit(entry.sd, entry.score), total=True)
    elif on.metric == "loss" and noise.sd is not None:
        noise = Noise(math.inf, on.sd_to_unit(noise.sd, entry.score))
    elif on.metric != "loss" and entry.size is not None:
        noise = Noise(entry.size)
    return NoisyScore(entry.n, on.to_unit(entry.score), noise)


def _raised(top: float, scores: Scores) -> tuple[float, bool]:
    """Return the ceiling, raised to the best score where that lies clearly above it."""
    if not scores.all:
        return top, False
    clear = max(
        s.score - 2 * float(np.sqrt(s.noise.variance(s.score, s.n, np.float64(0.02))))
        for s in scores.all
    )
    if clear <= top:
        return top, False
    return max(s.score for s in scores.all), True


def _target(
    target: float | None,
    target_score: float | None,
    zero_shot: float | None,
    ceiling: float | None,
    on: Scale,
) -> tuple[float | None, float | None]:
    """Return the target as a fraction of the gain and as a score, each where it is known."""
    if target_score is None:
        fraction = DEFAULT_TARGET if target is None else checked_number("--target", target)
        if not 0 < fraction <= 1:
            raise InputError(
                f"--target is a fraction of the gain above 0, at most 1 (say 0.9), not "
                f"{fraction:g}; for a score use --target-score"
            )
        if zero_shot is None or ceiling is None:
            return fraction, None
        return fraction, zero_shot + fraction * (ceiling - zero_shot)
    if target is not None:
        raise InputError("--target and --target-score both set the target; give one of them")
    score = on.to_unit(on.check("--target-score", target_score))
    if ceiling is not None and score > ceiling:
        side = "below" if on.falls else "above"
        raise InputError(
            f"--target-score {target_score:g} lies {side} --ceiling {on.from_unit(ceiling):g}"
        )
    if zero_shot is None or ceiling is None:
        return None, score
    return min((score - zero_shot) / (ceiling - zero_shot), 1.0), score


def _zero_shot(given: Any, observed: list[float], on: Scale) -> float | None:
    checked = None if given is None else on.check("--zero-shot", given)
    if not observed:
        return None if checked is None else on.to_unit(checked)
    mean = sum(observed) / len(observed)
    if checked is not None and checked != mean:
        raise InputError(
            f"--zero-shot {checked:g} and --observe 0={mean:g} differ; give one of them"
        )
    return on.to_unit(mean)


def _checked_observations(observations: Iterable[Observed], on: Scale) -> list[GivenScore]:
    """Return the observed scores on the user's scale."""
    if not isinstance(observations, Iterable):
        raise InputError(f"--observe: expected pairs of a budget and a score, not {observations!r}")
    found = []
    for entry in observations:
        if not isinstance(entry, tuple | list) or not 2 <= len(entry) <= 4:
            raise InputError(f"--observe {entry!r}: expected a budget and a score, N=SCORE")
        found.append(checked_entry(f"--observe {entry[0]}", entry, on))
    if len(found) > _MOST_SCORES:
        raise InputError(f"--observe: {len(found):,} scores are more than {_MOST_SCORES:,}")
    return found


def _costs(label: Any, run: Any, value: Any) -> Costs:
    named = {"--label-cost": label, "--run-cost": run, "--value": value}
    checked = []
    for option, given in named.items():
        number = None if given is None else checked_number(option, given)
        if number is not None and number < 0:
            raise InputError(f"{option}: a cost is 0 or more, not {number:g}")
        checked.append(number)
    if (run is not None or value is not None) and not checked[0]:
        raise InputError("--run-cost and --value need --label-cost above 0, to be compared with it")
    return Costs(*checked)
