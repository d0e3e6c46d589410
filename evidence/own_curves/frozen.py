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


def tilted(parts: Sequence[Part], factor: float) -> list[Part]:
    """The parts with a tilt to the headroom rule that counts `factor` times as much."""
    return [
        part._replace(tilt=part.tilt and replace(part.tilt, weight=factor * part.tilt.weight))
        for part in parts
    ]


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
    description: str,
    ways: Callable[[Own, Case], Iterable[tuple[str, dict[str, float]]]],
    kind_of: Callable[[str], str],
) -> None:
    """Run a command that prints the errors of each way, by kind of task and number of scores.

    Args:
        description: of the command.
        ways: the errors of each way on a case of a curve.
        kind_of: a kind of each task, beside whether the model learns it.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    file = ROWS / f"{given.model}-{FROZEN}.jsonl"
    if not file.is_file():
        parser.error(f"--model {given.model}: there is no {file}")
    curves = [own for own in curves_of(file) if own.seed < given.seeds]
    above = above_majority(curves)
    found: dict[tuple[str, int, str], dict[str, list[dict[str, float]]]] = {}
    for own in curves:
        learned = "learned" if above.get((own.group, own.task)) else "not learned"
        for case in started(own.curve):
            if case.budgets[0] != STARTS[0]:
                continue
            for way, row in ways(own, case):
                for kind in ("all tasks", learned, kind_of(own.task)):
                    by_task = found.setdefault((kind, len(case.budgets), way), defaultdict(list))
                    by_task[own.task].append(row)
        print(own.task, own.seed, file=sys.stderr, flush=True)
    for (kind, seen, way), by_task in sorted(found.items()):
        shown = means([means(rows) for rows in by_task.values()])
        text = ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if name in SHOWN)
        print(f"{kind} ({len(by_task)}), {seen} scores, {way}: {text}")


def main() -> None:
    """Run the command."""
    chosen = {True: "the share was chosen on them", False: "nothing chosen on them"}
    compare(__doc__ or " ", ways, lambda task: chosen[task in CHOSEN_ON])


if __name__ == "__main__":
    main()
