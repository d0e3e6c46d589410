"""Whether "A needs fewer labels than B" comes true as often as `labelcast compare` says.

`python -m evidence.pairs RESULTS CURVES` observes the first scores of every two curves of one task
and source, and asks `compare`'s question: the chance that one reaches a target with fewer labels.
Later scores, interpolated between budgets, say which did. Targets lie between the last observed and
the best later score of the two. Tasks are left out of the prior as in `evidence.transport`. Pairs
of a task share curves, so the table averages over tasks first. It also prints the rule "the one
that is ahead at the last observed budget needs fewer".
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evidence.development import MeasuredCurve, read_curves
from evidence.fit_prior import ScoreFit
from evidence.transport import SOURCES, TARGET_SHARES, Case, cases
from labelcast.forecast.chances import Chances, chances
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import Prior
from labelcast.forecast.posterior import given_scores
from labelcast.forecast.question import Question
from labelcast.sweeps.pairs import chance_of_fewer

HORIZON = 5000
BANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.001)
_MOST_PAIRS = 60
"""Of one task, drawn at random: some have hundreds."""


class Tried(NamedTuple):
    """One pair at one target.

    Attributes:
        task: its name.
        seen: scores observed of each curve.
        said: the chance that the first needs fewer, if they do not need the same.
        came: whether it does.
        ahead: whether it is ahead at the last observed budget; None if the two are equal.
    """

    task: str
    seen: int
    said: float
    came: bool
    ahead: bool | None


def reached(budgets: Array, scores: Array, target: float) -> float:
    """Labels at which a measured curve first reaches a target; infinite if it never does."""
    rising = np.maximum.accumulate(scores)
    if rising[-1] < target:
        return np.inf
    place = int(np.argmax(rising >= target))
    if place == 0:
        return float(budgets[0])
    share = (target - rising[place - 1]) / (rising[place] - rising[place - 1])
    ends = np.log(budgets[place - 1 : place + 1])
    return float(np.exp(ends[0] + share * (ends[1] - ends[0])))


def of_target(case: Case, prior: Prior, target: float) -> Chances | None:
    """The forecast's chances of a target; None where no labels are needed."""
    pairs = zip(case.budgets, case.scores, strict=True)
    question = Question.of(
        target_score=target,
        observations=[(int(n), float(score)) for n, score in pairs],
        observe_size=case.curve.test_size,
        horizon=HORIZON,
    )
    if question.met_by_zero_shot:
        return None
    return chances(given_scores(prior, question, published=False), question)


def trials(first: Case, second: Case, prior: Prior, seen: int) -> Iterator[Tried]:
    """One pair at each target that at least one of the two reaches later and neither did before."""
    curves = [
        (np.r_[one.budgets, one.later_budgets], np.r_[one.scores, one.later_scores])
        for one in (first, second)
    ]
    last = min(budgets[-1] for budgets, _ in curves)
    curves = [(n[n <= last], scores[n <= last]) for n, scores in curves]
    start = max(first.scores.max(), second.scores.max())
    best = max(scores.max() for _, scores in curves)
    if best - start < 0.02 or last > HORIZON:
        return
    for share in TARGET_SHARES:
        target = float(start + share * (best - start))
        a, b = (reached(n, scores, target) for n, scores in curves)
        if a == b:
            continue
        found = [of_target(one, prior, target) for one in (first, second)]
        fewer, more = chance_of_fewer(found[0], found[1], int(last))
        gap = first.scores[-1] - second.scores[-1]
        said = fewer / (fewer + more) if fewer + more > 0 else 0.5
        yield Tried(first.curve.task, seen, said, a < b, None if gap == 0 else bool(gap > 0))


def try_pairs(curves: Sequence[MeasuredCurve], fit: ScoreFit) -> list[Tried]:
    """All pairs of the same task and source that were observed at the same budgets."""
    tried = [curve for curve in curves if curve.source in SOURCES]
    draw = np.random.default_rng(0)
    found: list[Tried] = []
    for task in sorted({curve.task for curve in tried}):
        by_start: dict[tuple[int, str, tuple[float, ...]], list[Case]] = defaultdict(list)
        for known, case in cases([curve for curve in tried if curve.task == task]):
            by_start[known, case.curve.source, tuple(case.budgets)].append(case)
        prior = fit.prior_without(task)
        for (seen, _, _), group in by_start.items():
            pairs = list(combinations(group, 2))
            for place in draw.permutation(len(pairs))[:_MOST_PAIRS]:
                one, other = pairs[place]
                found += trials(one, other, prior, seen)
        print(f"{task}: {len(found)} so far", file=sys.stderr)
    return found


def table(found: Sequence[Tried]) -> Iterator[str]:
    """The lines of the report, for each number of observed scores."""
    for seen in sorted({one.seen for one in found}):
        rows = [one for one in found if one.seen == seen]
        by_task: dict[str, list[Tried]] = defaultdict(list)
        for row in rows:
            by_task[row.task].append(row)

        def over_tasks(values: dict[str, list[float]]) -> float:
            return float(np.mean([np.mean(one) for one in values.values() if one]))

        brier = over_tasks({t: [(r.said - r.came) ** 2 for r in of] for t, of in by_task.items()})
        right = over_tasks({t: [(r.said > 0.5) == r.came for r in of] for t, of in by_task.items()})
        rule = over_tasks(
            {
                t: [0.5 if r.ahead is None else float(r.ahead == r.came) for r in of]
                for t, of in by_task.items()
            }
        )
        yield (
            f"{seen} scores: {len(rows)} pairs and targets of {len(by_task)} tasks; Brier score "
            f"{brier:.3f} (0.25 without knowing); right {right:.2f}; who is ahead {rule:.2f}"
        )
        for low, high in pairwise(BANDS):
            inside = [r for r in rows if low <= max(r.said, 1 - r.said) < high]
            if inside:
                said = np.mean([max(r.said, 1 - r.said) for r in inside])
                came = np.mean([(r.said > 0.5) == r.came for r in inside])
                yield f"  said {said:.2f}: came true {came:.2f} of {len(inside)}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evidence.pairs", description=__doc__)
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("curves", type=Path, help="a folder of measured curves (JSON Lines)")
    options = parser.parse_args(arguments)
    curves = read_curves(options.results, options.curves)
    for line in table(try_pairs(curves, ScoreFit.cached(options.results, options.curves))):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
