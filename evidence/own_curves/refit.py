"""Would these curves in the prior, or less of the headroom rule, make the forecast better?

    python -m evidence.own_curves.refit RESULTS CURVES [--seeds 3]

The prior is fitted twice, to the development curves and to these with one curve a task of `minilm`
with a linear head added. Both forecast the later scores of the development curves and of our own
from the first one, two and three scores, with whole tasks left out, and with the tilt to the
headroom rule as it ships, halved and left out. It takes half an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import NamedTuple

from evidence.development import MeasuredCurve, read_curves
from evidence.fit_prior import ScoreFit
from evidence.own_curves.curves import STARTS, above_majority, curves_of, started
from evidence.own_curves.rows import ROWS, Rows
from evidence.transport import SOURCES, Case, cases, errors, means, predicted_by, question_of
from labelcast.forecast.posterior import Part, given_scores

OWN = ROWS / "minilm-linear.jsonl"
TILTS = (1.0, 0.5, 0.0)


class Tried(NamedTuple):
    """A case, and the sets of curves that it belongs to."""

    sets: tuple[str, ...]
    case: Case


def with_own(folder: Path, out: Path) -> Path:
    """A folder of the measured curves and of ours, one curve a task with all seeds."""
    for file in folder.glob("*.jsonl"):
        copy(file, out)
    scores: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in Rows(OWN).rows():
        assert row.score is not None
        scores[row.task].append((row.budget, row.score))
    own = {"source": "own", "model": "minilm", "higher_is_better": True, "test_size": 500}
    lines = [json.dumps(own | {"task": t, "curve": sorted(c)}) for t, c in sorted(scores.items())]
    (out / "own.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return out


def tried(curves: Sequence[MeasuredCurve], seeds: int) -> Iterator[Tried]:
    """All cases of the development curves and of the first seeds of our own."""
    for _, case in cases([curve for curve in curves if curve.source in SOURCES]):
        yield Tried(("development",), case)
    own = [one for one in curves_of(OWN) if one.seed < seeds]
    above = above_majority(own)
    for one in own:
        kind = "learned" if above.get((one.group, one.task)) else "not learned"
        for case in started(one.curve):
            if case.budgets[0] == STARTS[0]:
                yield Tried(("own", f"own, {kind}"), case)


def tilted(parts: Sequence[Part], factor: float) -> list[Part]:
    """The parts with a tilt to the headroom rule that counts `factor` times as much."""
    return [
        part._replace(tilt=part.tilt and replace(part.tilt, weight=factor * part.tilt.weight))
        for part in parts
    ]


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("curves", type=Path, help="a folder of measured curves (JSON Lines)")
    parser.add_argument("--seeds", type=int, default=3, help="of our own curves")
    given = parser.parse_args()
    curves = read_curves(given.results, given.curves)
    with tempfile.TemporaryDirectory() as folder:
        fits = {
            "shipped": ScoreFit.cached(given.results, given.curves),
            "with own": ScoreFit.cached(given.results, with_own(given.curves, Path(folder))),
        }
    found: dict[tuple[str, int, str, float], list[dict[str, float]]] = defaultdict(list)
    everything = list(tried(curves, given.seeds))
    for task in sorted({one.case.curve.task for one in everything}):
        for name, fit in fits.items():
            prior = fit.prior_without(task)
            for one in everything:
                if one.case.curve.task != task:
                    continue
                question = question_of(one.case)
                parts = given_scores(prior, question, published=False)
                for factor in TILTS:
                    predicted = predicted_by(tilted(parts, factor), question, one.case)
                    row = errors(one.case, predicted)
                    for each in one.sets:
                        found[each, len(one.case.budgets), name, factor].append(row)
        print(task, file=sys.stderr, flush=True)
    for (each, seen, name, factor), rows in sorted(found.items()):
        shown = "  ".join(f"{key} {value:.4f}" for key, value in means(rows).items())
        print(f"{each}, {seen} scores, prior {name}, tilt x {factor:g}: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
