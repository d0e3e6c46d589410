"""Would our own curves in the prior make the forecast better?

    python -m evidence.own_curves.refit RESULTS CURVES [--seeds 3]
    python -m evidence.own_curves.refit RESULTS CURVES --write FOLDER

The prior is fitted to the development curves, and again with one curve a task of `minilm` added:
with all weights trained, with a linear head, with both. Each forecasts the later scores of the
development curves and of our own from the first one, two and three scores, whole tasks left out.
It takes half an hour on one core. `--write` only writes the curves of the prior with both, for
`python -m evidence.reproduce RESULTS --curves FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import copy
from typing import NamedTuple

import numpy as np

from evidence.development import MeasuredCurve, read_curves
from evidence.fit_prior import ScoreFit
from evidence.own_curves.curves import STARTS, above_majority, curves_of, started
from evidence.own_curves.rows import ROWS, Rows
from evidence.transport import SOURCES, Case, cases, errors, labelcast_way

FULL, LINEAR = ROWS / "minilm-full.jsonl", ROWS / "minilm-linear.jsonl"
AS_SHIPPED = "as shipped"
ADDED = {AS_SHIPPED: (), "with full": (FULL,), "with linear": (LINEAR,), "both": (FULL, LINEAR)}
SHOWN = ("error", "interval score 90%", "covered 90%", "log2 labels, if reached")
RESAMPLES = 2000


class Tried(NamedTuple):
    """A case, and the sets of curves that it belongs to."""

    sets: tuple[str, ...]
    case: Case


def with_own(folder: Path, added: Sequence[Path], out: Path) -> Path:
    """A folder of the measured curves and of ours, one curve a task and file with all seeds."""
    for file in folder.glob("*.jsonl"):
        copy(file, out)
    for file in added:
        scores: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row in Rows(file).rows():
            assert row.score is not None
            scores[row.task].append((row.budget, row.score))
        facts = {"source": "own", "model": file.stem, "higher_is_better": True, "test_size": 500}
        lines = [json.dumps(facts | {"task": t, "curve": sorted(c)}) for t, c in scores.items()]
        (out / f"own-{file.name}").write_text("\n".join(sorted(lines)) + "\n", "utf-8")
    return out


def tried(curves: Sequence[MeasuredCurve], seeds: int) -> Iterator[Tried]:
    """All cases of the development curves and of the first seeds of our own."""
    for _, case in cases([curve for curve in curves if curve.source in SOURCES]):
        yield Tried(("development", f"development, {case.curve.source}"), case)
    for file in (FULL, LINEAR):
        own = [one for one in curves_of(file) if one.seed < seeds]
        above = above_majority(own)
        for one in own:
            kind = "learned" if above.get((one.group, one.task)) else "not learned"
            for case in started(one.curve):
                if case.budgets[0] == STARTS[0]:
                    yield Tried((one.group, f"{one.group}, {kind}"), case)


def by_task(found: dict[str, list[dict[str, float]]], name: str) -> dict[str, float]:
    """The mean of a value over the cases of each task that have it."""
    values = {t: [row[name] for row in rows if name in row] for t, rows in found.items()}
    return {task: float(np.mean(each)) for task, each in values.items() if each}


def difference(ours: dict[str, float], theirs: dict[str, float]) -> str:
    """The mean difference over tasks, with its 90% interval (tasks drawn again)."""
    away = np.array([ours[task] - theirs[task] for task in sorted(ours)])
    rng = np.random.default_rng(0)
    drawn = rng.choice(away, (RESAMPLES, len(away))).mean(axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return f"{away.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("curves", type=Path, help="a folder of measured curves (JSON Lines)")
    parser.add_argument("--seeds", type=int, default=3, help="of our own curves")
    parser.add_argument("--write", type=Path, help="a new folder for the curves")
    given = parser.parse_args()
    if given.write:
        if given.write.exists():
            parser.error(f"{given.write} exists: name a new folder")
        given.write.mkdir(parents=True)
        with_own(given.curves, ADDED["both"], given.write)
        return 0
    curves = read_curves(given.results, given.curves)
    fits = {}
    for name, added in ADDED.items():
        with tempfile.TemporaryDirectory() as folder:
            read = with_own(given.curves, added, Path(folder))
            fits[name] = ScoreFit.cached(given.results, read)
        print(f"the prior {name} is fitted", file=sys.stderr, flush=True)
    found: dict[tuple[str, int, str], dict[str, list[dict[str, float]]]] = {}
    everything = list(tried(curves, given.seeds))
    for task in sorted({one.case.curve.task for one in everything}):
        for name, fit in fits.items():
            forecast = labelcast_way(fit.prior_without(task))
            for one in everything:
                if one.case.curve.task == task:
                    row = errors(one.case, forecast(one.case))
                    for each in one.sets:
                        key = each, len(one.case.budgets), name
                        found.setdefault(key, {}).setdefault(task, []).append(row)
        print(task, file=sys.stderr, flush=True)
    for (each, seen, name), rows in sorted(found.items()):
        for value in SHOWN:
            ours = by_task(rows, value)
            shown = f"{np.mean(list(ours.values())):.4f}"
            if name != AS_SHIPPED:
                shown += f"  {difference(ours, by_task(found[each, seen, AS_SHIPPED], value))}"
            print(f"{each}, {seen} scores, prior {name}: {value} {shown}, {len(ours)} tasks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
