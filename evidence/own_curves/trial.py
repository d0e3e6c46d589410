"""The forecast held against the curves: how far off it is, and how often its intervals hold.

    python -m evidence.own_curves.trial [ROWS...] [--development RESULTS CURVES] [--out FILE]

Each seed of a task is one curve. Its first one, two or three scores are observed, from 50 labels
and from 10, and every later score of the same seed is forecast by the shipped prior, which was not
fitted to these curves. It is compared with the last value and a power law. `--development` adds
what needs the curves of the prior: the headroom rule, and the forecast with all curves of the same
task left out of the prior. A task counts once: its figures are means over its seeds. It takes ten
minutes on one core, and less with more rows, for `evidence/.cache` keeps what was computed.
`--shown` prints what it found on the committed rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evidence import transport
from evidence.development import PUBLISHED, MeasuredCurve
from evidence.fit_prior import ScoreFit
from evidence.own_curves.noise import seed_noise
from evidence.own_curves.rows import FACTS, HERE, ROWS, Rows
from evidence.own_curves.spending import spent_by_way
from evidence.own_curves.tables import tables
from evidence.transport import (
    LEVEL,
    Case,
    Predicted,
    Way,
    cases,
    headroom_rule,
    interval_errors,
    labelcast_way,
    labels_errors,
    last_value,
    power_law,
    targets,
)
from labelcast.files.json_files import JsonLines, read_json
from labelcast.forecast import families
from labelcast.forecast.families import Prior
from labelcast.forecast.observed import test_variance
from labelcast.forecast.question import FROZEN
from labelcast.sweeps.records import ScoreRow

FORECAST = Path(families.__file__).parent
SUMMARY = HERE / "trial.json"
"""What the command printed on the committed rows."""

LEVELS = (LEVEL, 0.8, 0.5)
FIRST = (50, 10)
"""The first observed budget."""

HEADLINE = (50, 100)
AT = 1000
SHIPPED = "labelcast"
LEFT_OUT = "labelcast, task left out"
"""Tried with two scores only, for the answer is that of the shipped prior."""
WITHOUT_FROZEN = "labelcast, without --frozen"


class Own(NamedTuple):
    """A curve of one seed, and what it belongs to."""

    group: str
    seed: int
    curve: MeasuredCurve

    @property
    def recipe(self) -> str:
        """Of the group, MODEL, RECIPE."""
        return self.group.split(", ")[1]


def group_of(file: Path) -> str:
    """MODEL, RECIPE of a file of rows."""
    return file.stem.replace("-", ", ", 1)


def own_curves(group: str, rows: Sequence[ScoreRow]) -> list[Own]:
    """The curve of each task and seed; zero-shot has no seed."""
    scores: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    zero_shot: dict[str, float] = {}
    for row in rows:
        assert row.score is not None
        if row.budget:
            scores[row.task, row.seed].append((row.budget, row.score))
        else:
            zero_shot[row.task] = row.score
    size = rows[0].test_size
    return [
        Own(group, seed, MeasuredCurve("own", group, task, tuple(found), zero_shot.get(task), size))
        for (task, seed), found in sorted(scores.items())
    ]


def learned(curves: Sequence[Own]) -> set[tuple[str, str]]:
    """The groups and tasks whose last score is above always giving the most frequent answer.

    By more than two sds of the test set, in the mean over seeds.
    """
    facts, last = read_json(FACTS), defaultdict(list)
    for own in curves:
        last[own.group, own.curve.task].append(max(own.curve.scores)[1])
    found = set()
    for (group, task), scores in last.items():
        usual, size = facts[task]["most frequent answer"], curves[0].curve.test_size or 0
        if np.mean(scores) > usual + 2 * np.sqrt(test_variance(usual, size)):
            found.add((group, task))
    return found


def started(curve: MeasuredCurve) -> Iterator[Case]:
    """The cases of a curve, by the budget that is observed first."""
    for first in FIRST:
        for _, case in cases([curve], first):
            if case.budgets[0] == first:
                yield case


class Ways:
    """The methods that are compared on a task."""

    def __init__(self, fit: ScoreFit | None) -> None:
        """Prepare; without a fit there are no methods that need the curves of the prior."""
        self._fit = fit
        self._of: dict[tuple[str, str], list[Way]] = {}

    def of(self, own: Own) -> list[Way]:
        """The methods for a curve; those that are fitted leave its task out."""
        key = own.curve.task, own.recipe
        if key not in self._of:
            self._of = {key: self._made(*key)}
        return self._of[key]

    def _made(self, task: str, recipe: str) -> list[Way]:
        shipped = Prior.load()
        forecast = partial(labelcast_way, levels=LEVELS, recipe=recipe)
        found = [
            Way("last value", last_value),
            Way("power law", power_law),
            Way(SHIPPED, forecast(shipped)),
            Way(f"{SHIPPED}, zero-shot known", forecast(shipped, zero_shot=True)),
        ]
        if recipe == FROZEN:
            found.append(Way(WITHOUT_FROZEN, labelcast_way(shipped, levels=LEVELS)))
        if self._fit is None:
            return found
        others = [c for c in self._fit.curves if c.source == PUBLISHED and c.task != task]
        return [
            *found,
            Way("headroom rule", headroom_rule(others)),
            Way(LEFT_OUT, forecast(self._fit.prior_without(task))),
        ]


def errors(case: Case, predicted: Predicted) -> dict[str, float]:
    """The errors of one case, averaged over its later budgets and its targets."""
    truth = case.later_scores
    found = {
        "error": float(np.abs(predicted.scores - truth).mean()),
        "bias": float((predicted.scores - truth).mean()),
    }
    for level, ends in (predicted.intervals or {}).items():
        covered, scores = interval_errors(truth, ends, level)
        found[f"covered {level:.0%}"] = float(covered.mean())
        found[f"interval score {level:.0%}"] = float(scores.mean())
    if predicted.labels is not None:
        # A target that zero-shot meets needs no labels, whatever the scores after it.
        start = case.curve.zero_shot or 0.0
        asked = [(target, n) for target, n in targets(case) if target > start]
        if asked:
            found["log2 labels"] = float(
                np.abs(labels_errors(predicted.labels, asked)[:, 1]).mean()
            )
    return found


class Kept:
    """What was computed before with the same code and prior, in `evidence/.cache`."""

    def __init__(self) -> None:
        """Read what there is."""
        code = [Path(__file__), Path(transport.__file__), *FORECAST.glob("*.py")]
        content = b"".join(file.read_bytes() for file in [*sorted(code), FORECAST / "prior.json"])
        digest = hashlib.sha256(content).hexdigest()[:16]
        self._file = JsonLines(HERE.parent / ".cache" / f"own-{digest}.jsonl")
        self._file.path.parent.mkdir(exist_ok=True)
        self._known = {row["key"]: row["found"] for row in self._file.read()}

    def tried(self, own: Own, way: Way) -> list[dict[str, Any]]:
        """What `tried` returns."""
        key = hashlib.sha256(repr((own, way.name)).encode()).hexdigest()[:32]
        if key not in self._known:
            self._known[key] = tried(own, way)
            self._file.add({"key": key, "found": self._known[key]})
        found: list[dict[str, Any]] = self._known[key]
        return found


def tried(own: Own, way: Way) -> list[dict[str, Any]]:
    """The errors of a method on a curve from each start, and its forecast for the headline."""
    found = []
    for case in started(own.curve):
        if way.name == LEFT_OUT and len(case.budgets) != len(HEADLINE):
            continue
        predicted = way.predict(case)
        if predicted is not None:
            asked = way.name == SHIPPED and len(case.budgets) == len(HEADLINE)
            found.append(
                {
                    "from": ", ".join(f"{n:.0f}" for n in case.budgets),
                    "errors": errors(case, predicted),
                    "headline": _at(own, case, predicted) if asked else [],
                }
            )
    return found


def compared(
    curves: Sequence[Own],
    ways: Ways,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row for each group, start and method; and one for each forecast of the headline."""
    collected: dict[tuple[str, str, str], dict[str, list[dict[str, float]]]] = {}
    headline: list[dict[str, Any]] = []
    kept = Kept()
    for task in sorted({own.curve.task for own in curves}):
        for own in (own for own in curves if own.curve.task == task):
            for way in ways.of(own):
                for found in kept.tried(own, way):
                    by_task = collected.setdefault((own.group, found["from"], way.name), {})
                    by_task.setdefault(task, []).append(found["errors"])
                    headline += found["headline"]
        progress(task)
    rows = [
        {
            "curves of": group,
            "from": start,
            "way": way,
            "tasks": len(by_task),
            "forecasts": sum(map(len, by_task.values())),
            **means([means(found) for found in by_task.values()]),
        }
        for (group, start, way), by_task in sorted(collected.items(), key=_place)
    ]
    return rows, headline


def _at(own: Own, case: Case, predicted: Predicted) -> list[dict[str, Any]]:
    """The forecast for `AT` labels from two scores that begin at the headline's first budget."""
    places = np.flatnonzero(case.later_budgets == AT)
    if case.budgets[0] != HEADLINE[0] or not len(places) or predicted.intervals is None:
        return []
    place = int(places[0])
    low, high = predicted.intervals[LEVEL][place]
    truth = case.later_scores[place]
    return [
        {
            "curves of": own.group,
            "from": ", ".join(f"{n:.0f}" for n in case.budgets),
            "task": own.curve.task,
            "seed": own.seed,
            "forecast": round(float(predicted.scores[place]), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
            "measured": float(truth),
            "held": bool(low - 1e-9 <= truth <= high + 1e-9),
        }
    ]


def _place(item: tuple[tuple[str, str, str], Any]) -> tuple[str, int, str, str]:
    (group, start, way), _ = item
    return group, -int(start.split(",")[0]), start, way


def means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each value over the rows that have it."""
    names = list(dict.fromkeys(name for row in found for name in row))
    return {
        name: round(float(np.mean([row[name] for row in found if name in row])), 4)
        for name in names
    }


def sentence(headline: Sequence[dict[str, Any]], group: str) -> str:
    """How often the interval held at `AT` labels, by task and by training run."""
    found = [row for row in headline if row["curves of"] == group]
    if not found:
        return f"{group}: no forecast for {AT:,} labels"
    first = min(row["seed"] for row in found)
    once = [row for row in found if row["seed"] == first]
    missed = sorted(row["task"] for row in once if not row["held"])
    taught = [row for row in once if row["learned"]]
    starts = " or ".join(sorted({row["from"].replace(", ", " and ") for row in found}))
    return (
        f"{group}: from the scores at {starts} labels the 90% interval holds the score at {AT:,} "
        f"in {sum(row['held'] for row in once)} of {len(once)} tasks with the first seed "
        f"({sum(row['held'] for row in taught)} of the {len(taught)} that it learns), and in "
        f"{sum(row['held'] for row in found)} of {len(found)} forecasts with all seeds"
        + (f"; missed with the first seed: {', '.join(missed)}" if missed else "")
    )


def summary(
    files: Sequence[Path],
    fit: ScoreFit | None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All that the command prints, of these files of rows."""
    groups = {group_of(file): Rows(file).rows() for file in files}
    curves = [own for group, rows in groups.items() for own in own_curves(group, rows)]
    compare, headline = compared(curves, Ways(fit), progress)
    taught = learned(curves)
    for row in headline:
        row["learned"] = (row["curves of"], row["task"]) in taught
    return {
        "files": {file.name: digest_of(file) for file in files},
        "sentences": [sentence(headline, group) for group in groups],
        "compared": compare,
        "headline": headline,
        "spent": [
            {"curves of": group} | row
            for group in groups
            for row in spent_by_way(*_first_seed(curves, group))
        ],
        "noise": [row for group, rows in groups.items() for row in seed_noise(group, rows)],
    }


def _first_seed(curves: Sequence[Own], group: str) -> tuple[list[MeasuredCurve], str]:
    """The curves of a group with its first seed, and its recipe."""
    own = [one for one in curves if one.group == group]
    first = min(one.seed for one in own)
    return [one.curve for one in own if one.seed == first], own[0].recipe


def digest_of(file: Path, lines: int | None = None) -> dict[str, Any]:
    """How many rows of a file there are, or the first ones, and a digest of them."""
    kept = file.read_text("utf-8").splitlines()[:lines]
    return {
        "rows": len(kept),
        "digest": hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16],
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", type=Path, help="files of rows; the committed ones")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--development", nargs=2, type=Path, metavar=("RESULTS", "CURVES"))
    parser.add_argument("--out", type=Path, help="also write the JSON to a file")
    parser.add_argument("--shown", action="store_true", help="print the committed summary")
    options = parser.parse_args(arguments)
    if options.shown:
        found = json.loads(SUMMARY.read_text("utf-8"))
    else:
        fit = ScoreFit.cached(*options.development) if options.development else None
        files = options.rows or sorted(ROWS.glob("*.jsonl"))
        found = summary(files, fit, lambda line: print(line, file=sys.stderr, flush=True))
    text = json.dumps(found, indent=1)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text if options.json else tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
