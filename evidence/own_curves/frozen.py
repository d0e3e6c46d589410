"""What share of the tasks does a frozen model never learn, and does the headroom rule help there?

    python -m evidence.own_curves.frozen [--model minilm] [--seeds 3]

Forecasts with `--frozen`, with several shares of never-learned tasks in the prior, with and without
the tilt to the headroom rule, beside the forecast without `--frozen`. Each sees the first one, two
and three scores of a curve, from 50 labels, and forecasts the later ones. Figures are means over
tasks of means over seeds, over all tasks, by whether a task is learned, and by whether the
shipped share was chosen on it. It takes some ten minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from evidence.own_curves.curves import (
    CHOSEN_ON,
    STARTS,
    Own,
    above_majority,
    above_zero_shot,
    curves_of,
    started,
)
from evidence.own_curves.methods import WITHOUT_FROZEN
from evidence.own_curves.refit import tilted
from evidence.own_curves.rows import ROWS
from evidence.transport import Case, errors, means, predicted_by, question_of
from labelcast.forecast.families import Prior
from labelcast.forecast.posterior import Part, given_scores, headroom_tilt
from labelcast.forecast.question import FROZEN

SHARES = (0.05, 0.1, 0.15, 0.25, 0.4)
TILTED = (0.15, 0.25)
"""Shares that are tried with half the tilt too."""

SHOWN = ("error", "bias", "covered 90%", "interval score 90%", "log2 labels", "rises")
"""The errors that are printed; the last is of `usual`."""


def ways(own: Own, case: Case) -> Iterator[tuple[str, dict[str, float]]]:
    """The errors of each way on a case."""
    prior, question = Prior.load(), question_of(case)

    def errors_of(parts: Sequence[Part]) -> dict[str, float]:
        return errors(case, predicted_by(parts, question, case), above_zero_shot(case))

    yield WITHOUT_FROZEN, errors_of(given_scores(prior, question, published=False))
    question = question_of(case, recipe=FROZEN)
    for share in SHARES:
        tried = replace(prior, never_learned=share)
        parts = given_scores(tried, question, published=False)
        yield f"{share:.2f} never learned", errors_of(parts)
        if share in TILTED:
            tilt = headroom_tilt(parts[0].given, prior, question.scores)
            half = tilted([parts[0]._replace(tilt=tilt)], 0.5)
            yield f"{share:.2f} never learned, half the tilt", errors_of(half)


def compare(
    curves: Sequence[Own],
    ways: Callable[[Own, Case], Iterable[tuple[str, dict[str, float]]]],
    kinds: Callable[[str], Sequence[str]],
) -> None:
    """Print the errors of each way, by kind of task and number of scores.

    Args:
        curves: each forecast from its first one, two and three scores, from 50 labels.
        ways: the errors of each way on a case of a curve.
        kinds: of a task.
    """
    found: dict[tuple[str, int, str], dict[str, list[dict[str, float]]]] = {}
    for own in curves:
        task = own.task
        for case in started(own.curve):
            if case.budgets[0] != STARTS[0]:
                continue
            for way, row in ways(own, case):
                for kind in kinds(task):
                    by_task = found.setdefault((kind, len(case.budgets), way), defaultdict(list))
                    by_task[task].append(row)
        print(task, own.seed, file=sys.stderr, flush=True)
    for (kind, seen, way), by_task in sorted(found.items()):
        shown = means([means(rows) for rows in by_task.values()])
        text = ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if name in SHOWN)
        print(f"{kind} ({len(by_task)}), {seen} scores, {way}: {text}")


def asked_curves(description: str) -> tuple[list[Own], set[str]]:
    """The curves that a command is asked for, and those of their tasks that are learned."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    file = ROWS / f"{given.model}-{FROZEN}.jsonl"
    curves = [own for own in curves_of(file) if own.seed < given.seeds]
    return curves, {task for (_, task), above in above_majority(curves).items() if above}


def main() -> int:
    """Run the command; return its exit status."""
    curves, above = asked_curves(__doc__ or " ")

    def kinds(task: str) -> list[str]:
        chosen = "the share was chosen on them" if task in CHOSEN_ON else "nothing chosen on them"
        return ["all tasks", "learned" if task in above else "not learned", chosen]

    compare(curves, ways, kinds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
