"""What a forecast is asked: the target, what is known, and on which scale, checked once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Unpack

from labelcast.errors import InputError
from labelcast.forecast.efficiency import LARGEST_BUDGET
from labelcast.forecast.given_scores import GivenScore, Scale, checked_entry, scale_of
from labelcast.forecast.observed import ASSUMED_SIZE, LOSS_MISFIT, Noise, NoisyScore, Scores
from labelcast.forecast.options import (
    DEFAULT_LEVEL,
    DEFAULT_TARGET,
    LARGEST_HORIZON,
    LARGEST_SIZE,
    Options,
    checked_amount,
    checked_count,
    checked_level,
    checked_number,
)

_LEAST_GAIN = 1e-6
_MOST_SCORES = 100_000
_USELESS_SD = 1000.0
_BEYOND = 4
_PERCENT, _ALL_OF_IT = 20.0, 0.995
"""From such a top on, a scale is not one from 0 to 1; from such a target on, it is the ceiling."""

FROZEN = "linear"
"""Name of the training method, and of the recipe, that trains a head on a frozen model."""


@dataclass(frozen=True)
class Costs:
    """Money for one label, for one training run, and what meeting the target is worth.

    None where not given.
    """

    label: float | None
    run: float | None
    value: float | None


@dataclass(frozen=True)
class Question:
    """A checked question; scores are from 0 to 1, higher is better.

    Attributes:
        target: the gain asked for as a fraction; 0 or less where zero-shot already meets it; None
            where only the score is known.
        target_score: the same as a score, None where only the fraction is known.
        zero_shot, ceiling: scores, or None where unknown.
        scores: observed, by rising labels, without those of budget 0.
        level: level of the intervals.
        budget: labels of the reverse question, or None.
        horizon: the most labels that the forecast looks at.
        scale: scale of the user's scores.
        costs: in money.
        recipe: the planned fine-tuning, None where not given.
        frozen: whether only a head is trained on a frozen model. False for losses, whose prior is
            the same for such models.
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
    frozen: bool
    warnings: tuple[str, ...]

    @property
    def met_by_zero_shot(self) -> bool:
        """Whether no labels are needed."""
        if self.target is not None:
            return self.target <= 0
        if self.zero_shot is None or self.target_score is None:
            return False
        return self.zero_shot >= self.target_score

    @property
    def met(self) -> bool:
        """Whether zero-shot meets the target, or the mean of the scores at some budget."""
        if self.met_by_zero_shot or self.target_score is None:
            return self.met_by_zero_shot
        # Means on the user's scale: that of exp(-loss) is not that of the losses.
        means = (
            fmean(self.scale.from_unit(score.score) for score in there)
            for _, there in groupby(self.scores.all, key=lambda score: score.n)
        )
        return any(self.scale.to_unit(mean) >= self.target_score - 1e-12 for mean in means)

    @property
    def in_scores(self) -> bool:
        """Whether the forecast is in scores: something besides the ceiling is known as one."""
        return self.zero_shot is not None or bool(self.scores.all) or self.target_score is not None

    @classmethod
    def of(cls, *, pool_size: int = 0, **options: Unpack[Options]) -> Question:
        """Check the options of a forecast; `Options` describes each.

        Without a horizon the forecast considers 5,000 labels, or `pool_size` or four times the most
        labels tried where that is more.

        Raises:
            InputError: the first thing that is wrong, named by its command-line option.
            TypeError: there is no such option.
        """
        names = Options.__annotations__
        if unknown := options.keys() - names.keys():
            raise TypeError(f"a forecast has no option {min(unknown)!r}, only {', '.join(names)}")
        level = checked_level(options.get("level", DEFAULT_LEVEL))
        scale = scale_of(options)
        given = _given_scores(options.get("observations", ()), scale)
        start = _start(options, given, scale)
        known = [entry.score for entry in given] + ([] if start is None else [start])
        _check_unit(options, known, scale)
        scale = scale.for_losses(known)
        zero_shot = None if start is None else scale.to_unit(start)
        ceiling = _ceiling(options, zero_shot, scale)
        scores, warnings = _scores(options, given, scale)
        if ceiling is not None and (best := _best_above(ceiling, scores)) is not None:
            ceiling = best
            warnings.append(
                "an observed score is better than --ceiling; the ceiling is now "
                f"{scale.from_unit(ceiling):g}"
            )
        target, target_score = _target(options, zero_shot, ceiling, scale)
        if target is not None and target >= _ALL_OF_IT:
            warnings.append(
                f"the ceiling is the score with {LARGEST_BUDGET:,} labels, and no curve rises "
                "beyond: ask for 0.9 or 0.95 of the gain, or for a score below the ceiling"
            )
        frozen = _frozen(options)
        if scale.metric == "loss":
            frozen = False
            if options.get("frozen"):
                warnings.append("--frozen is not used for losses")
        perfect = ceiling is not None and ceiling > 1 - 1e-9
        if perfect and scores.all and options.get("target_score") is not None and not frozen:
            warnings.append(
                f"a ceiling of {scale.from_unit(1.0):g} says that this model makes no errors at "
                "all with enough labels, and raises the forecast: unless you know that, remove "
                "--ceiling, or `ceiling` from the task file"
            )
        return cls(
            target=target,
            target_score=target_score,
            zero_shot=zero_shot,
            ceiling=ceiling,
            scores=scores,
            level=level,
            budget=checked_count("--budget", options.get("budget"), 0, LARGEST_HORIZON),
            horizon=_horizon(options, pool_size, scores.most_labels),
            scale=scale,
            costs=_costs(options),
            recipe=options.get("recipe"),
            frozen=frozen,
            warnings=tuple(warnings),
        )


def _given_scores(observations: object, scale: Scale) -> list[GivenScore]:
    """Return the observed scores, those without labels too, on the user's scale."""
    if not isinstance(observations, Iterable):
        raise InputError(f"--observe: expected pairs of a budget and a score, not {observations!r}")
    found = []
    for given in observations:
        # A row of an array or a table is as good as a tuple.
        entry = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
        if not 2 <= len(entry) <= 4:
            raise InputError(f"--observe {given!r}: expected a budget and a score, N=SCORE")
        found.append(checked_entry(f"--observe {entry[0]}", entry, scale))
    if len(found) > _MOST_SCORES:
        raise InputError(f"--observe: {len(found):,} scores are more than {_MOST_SCORES:,}")
    return found


def _start(options: Options, given: list[GivenScore], scale: Scale) -> float | None:
    """Return zero-shot on the user's scale: the score given, or the mean of those of budget 0."""
    start = options.get("zero_shot")
    start = None if start is None else scale.check("--zero-shot", start)
    observed = [entry.score for entry in given if entry.n == 0]
    if not observed:
        return start
    mean = sum(observed) / len(observed)
    if start is not None and start != mean:
        raise InputError(f"--zero-shot {start:g} and --observe 0={mean:g} differ; give one of them")
    return mean


def _ceiling(options: Options, zero_shot: float | None, scale: Scale) -> float | None:
    """Return the ceiling, None where not given; there must be something to gain."""
    given = options.get("ceiling")
    if given is None:
        if zero_shot is not None and zero_shot > 1 - 1e-9:
            raise InputError(
                f"--zero-shot {scale.from_unit(zero_shot):g} is a perfect score: nothing can be "
                "gained"
            )
        return None
    ceiling = scale.to_unit(scale.check("--ceiling", given))
    if ceiling < _LEAST_GAIN:
        raise InputError(
            f"--ceiling {abs(given):g}: no score lies below it, so nothing can be gained"
        )
    if zero_shot is not None and ceiling - zero_shot < _LEAST_GAIN:
        side = "above" if scale.falls else "below"
        raise InputError(
            f"--zero-shot {scale.from_unit(zero_shot):g} is not {side} --ceiling {given:g}: "
            "nothing can be gained"
        )
    return ceiling


def _scores(options: Options, given: list[GivenScore], scale: Scale) -> tuple[Scores, list[str]]:
    """Return the observed scores with their noise, and warnings about the noise."""
    size, sd = options.get("observe_size"), options.get("observe_sd")
    if size is not None and sd is not None:
        raise InputError("--observe-size and --observe-sd both set the noise; give one of them")
    loss = scale.metric == "loss"
    if loss and size is not None:
        raise InputError("--observe-size: not for losses; give --observe-sd")
    size = checked_count("--observe-size", size, 1, LARGEST_SIZE)
    sd = checked_amount("--observe-sd", sd, "an sd")
    if sd is not None and not loss and sd > scale.top:
        raise InputError(f"--observe-sd: {sd:g} is too large for scores from 0 to {scale.top:g}")
    warnings = []
    numbers = [entry.score for entry in given]
    if (aim := options.get("target_score")) is not None:
        numbers.append(scale.check("--target-score", aim))
    if loss and options.get("metric") is None and given and max(numbers) <= 1:
        warnings.append(
            "with --lower-is-better the scores are read as losses; if they are error rates from 0 "
            "to 1, give --metric error"
        )
    if not loss and _on_smaller_scale(given, scale.top):
        warnings.append(
            f"scores of at most 1 on a scale of {scale.top:g}: leave out --scale if they are from "
            "0 to 1"
        )
    with_labels = [entry for entry in given if entry.n > 0]
    useless = _USELESS_SD * (scale.unit if loss else scale.top)
    kept = [e for e in with_labels if e.sd is None or e.sd < useless]
    if len(kept) < len(with_labels):
        warnings.append(
            f"scores with an sd of {useless:,.0f} or more carry no information: ignored"
        )
    assumed = size is None and sd is None and any(e.sd is None and e.size is None for e in kept)
    if assumed and not loss:
        warnings.append(
            f"the noise of the scores is not given: {ASSUMED_SIZE} test examples are assumed "
            "behind each; give --observe-size or --observe-sd"
        )

    def noise(entry: GivenScore) -> Noise:
        shared = LOSS_MISFIT if loss else 0.0
        if entry.sd is not None:
            given = scale.sd_to_unit(entry.sd, entry.score)
            return Noise(math.inf, given, total=True, shared=shared)
        if entry.size is not None and not loss:
            return Noise(entry.size)
        own = None if sd is None else scale.sd_to_unit(sd, entry.score)
        return Noise(math.inf if loss else size or ASSUMED_SIZE, own, shared=shared)

    kept.sort(key=lambda e: (e.n, e.score, e.sd or 0.0, e.size or 0))
    noisy = (NoisyScore(e.n, scale.to_unit(e.score), noise(e)) for e in kept)
    return Scores(tuple(noisy)), warnings


def _on_smaller_scale(given: list[GivenScore], top: float) -> bool:
    """Whether scores look like shares although their scale says percent."""
    small = [entry.n for entry in given if 0 < entry.score <= 1]
    others = [entry.n for entry in given if entry.score > 1]
    return top >= _PERCENT and bool(small) and max(small) >= min(others, default=0)


def _check_unit(options: Options, known: list[float], scale: Scale) -> None:
    """Refuse a target score or ceiling in another unit than the known scores, or without any."""
    if scale.metric == "loss" and not known and options.get("target_score") is not None:
        raise InputError(
            "--target-score: how large the losses are is unknown; give --zero-shot, or --observe "
            "N=SCORE"
        )
    best = max(known, default=0.0)
    if scale.falls or scale.top < _PERCENT or best <= 1:
        return
    for option, value in (
        ("--target-score", options.get("target_score")),
        ("--ceiling", options.get("ceiling")),
    ):
        if value is not None and 0 < checked_number(option, value) <= 1:
            raise InputError(
                f"{option} {value:g}: from 0 to 1, while the scores are from 0 to {scale.top:g}, "
                f"such as {best:g}; give {value * scale.top:g}"
            )


def _best_above(ceiling: float, scores: Scores) -> float | None:
    """Return the best score where a score lies clearly above the ceiling, else None."""
    clear = (s.score - 2 * math.sqrt(s.typical_variance()) for s in scores.all)
    if max(clear, default=-math.inf) <= ceiling:
        return None
    return max(s.score for s in scores.all)


def _target(
    options: Options, zero_shot: float | None, ceiling: float | None, scale: Scale
) -> tuple[float | None, float | None]:
    """Return the target as a fraction of the gain and as a score, each where it is known."""
    target, target_score = options.get("target"), options.get("target_score")
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
    score = scale.to_unit(scale.check("--target-score", target_score))
    if ceiling is not None and score > ceiling:
        side = "below" if scale.falls else "above"
        # The one given, which a better observed score may have raised since.
        given = options.get("ceiling")
        raise InputError(f"--target-score {target_score:g} lies {side} --ceiling {given:g}")
    if zero_shot is None or ceiling is None:
        return None, score
    return min((score - zero_shot) / (ceiling - zero_shot), 1.0), score


def _horizon(options: Options, pool_size: int, tried: int) -> int:
    """Return the horizon: the one asked for, or the default."""
    horizon = checked_count("--horizon", options.get("horizon"), 1, LARGEST_HORIZON)
    if horizon is None:
        return default_horizon(tried, pool_size)
    if horizon < tried:
        raise InputError(
            f"--horizon {horizon:,} lies below {tried:,} labels, which have a score already; "
            "give a larger one"
        )
    return horizon


def default_horizon(tried: int, pool_size: int = 0) -> int:
    """Return the most labels that a forecast looks at: at least 5,000, and beyond all tried."""
    return min(max(LARGEST_BUDGET, pool_size, _BEYOND * tried), LARGEST_HORIZON)


def _frozen(options: Options) -> bool:
    """Return whether the model is frozen: as given, else by the recipe's name."""
    frozen = options.get("frozen")
    if frozen is None:
        return str(options.get("recipe")).strip().casefold() == FROZEN
    if not isinstance(frozen, bool):
        raise InputError(f"--frozen: expected true or false, not {frozen!r}")
    return frozen


def _costs(options: Options) -> Costs:
    """Return the costs; those of a run and of success are compared with that of a label."""
    costs = Costs(
        label=checked_amount("--label-cost", options.get("label_cost"), "a cost"),
        run=checked_amount("--run-cost", options.get("run_cost"), "a cost"),
        value=checked_amount("--value", options.get("value"), "a cost"),
    )
    if (costs.run is not None or costs.value is not None) and not costs.label:
        raise InputError("--run-cost and --value need --label-cost above 0, to be compared with it")
    return costs
