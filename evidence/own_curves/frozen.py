"""What share of the tasks does a frozen model never learn, and does the headroom rule help there?

    python -m evidence.own_curves.frozen [--model minilm] [--seeds 3]

Forecasts with `--frozen`, with several shares of never-learned tasks in the prior, with and without
the tilt to the headroom rule, beside the forecast without `--frozen`. Each sees the first one, two
and three scores of a curve, from 50 labels, and forecasts the later ones. Figures are means over
tasks of means over seeds. It takes some ten minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from evidence.own_curves.refit import asked, errors, tilted
from evidence.own_curves.rows import Rows
from evidence.own_curves.trial import (
    FIRST,
    WITHOUT_FROZEN,
    Own,
    learned,
    means,
    own_curves,
    started,
)
from evidence.transport import Case
from labelcast.forecast.families import Prior
from labelcast.forecast.posterior import given_scores, headroom_tilt
from labelcast.forecast.question import FROZEN

SHARES = (0.05, 0.1, 0.15, 0.25, 0.4)
TILTED = (0.15, 0.25)
"""Shares that are tried with half the tilt too."""


def ways(case: Case) -> Iterator[tuple[str, dict[str, float]]]:
    """The errors of each way on a case."""
    prior, question = Prior.load(), asked(case)
    yield WITHOUT_FROZEN, errors(given_scores(prior, question, published=False), question, case)
    question = asked(case, FROZEN)
    for share in SHARES:
        tried = replace(prior, never_learned=share)
        parts = given_scores(tried, question, published=False)
        yield f"{share:.2f} never learned", errors(parts, question, case)
        if share in TILTED:
            tilt = headroom_tilt(parts[0].given, prior, question.scores)
            half = tilted([parts[0]._replace(tilt=tilt)], 0.5)
            yield f"{share:.2f} never learned, half the tilt", errors(half, question, case)


def compare(
    curves: Sequence[Own],
    ways: Callable[[Case], Iterable[tuple[str, dict[str, float]]]],
    kinds: Callable[[str], Sequence[str]],
) -> None:
    """Print the errors of each way, by kind of task and number of scores.

    Args:
        curves: each forecast from its first one, two and three scores, from 50 labels.
        ways: the errors of each way on a case.
        kinds: of a task.
    """
    found: dict[tuple[str, int, str], dict[str, list[dict[str, float]]]] = {}
    for own in curves:
        task = own.curve.task
        for case in started(own.curve):
            if case.budgets[0] != FIRST[0]:
                continue
            for way, row in ways(case):
                for kind in kinds(task):
                    by_task = found.setdefault((kind, len(case.budgets), way), defaultdict(list))
                    by_task[task].append(row)
        print(task, own.seed, file=sys.stderr, flush=True)
    for (kind, seen, way), by_task in sorted(found.items()):
        shown = means([means(rows) for rows in by_task.values()])
        text = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
        print(f"{kind} ({len(by_task)}), {seen} scores, {way}: {text}")


def asked_curves(description: str) -> tuple[list[Own], set[str]]:
    """The curves that a command is asked for, and those of their tasks that are learned."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    rows = Rows.of(given.model, FROZEN).rows()
    curves = [o for o in own_curves(f"{given.model}, {FROZEN}", rows) if o.seed < given.seeds]
    return curves, {task for _, task in learned(curves)}


def main() -> int:
    """Run the command; return its exit status."""
    curves, taught = asked_curves(__doc__ or " ")
    compare(curves, ways, lambda t: ["all tasks", "learned" if t in taught else "never learned"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
