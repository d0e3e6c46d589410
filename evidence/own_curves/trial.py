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
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from evidence import development, fit_prior, transport
from evidence.development import PUBLISHED
from evidence.fit_prior import ScoreFit
from evidence.own_curves import curves as own_curves
from evidence.own_curves import headline as of_headline
from evidence.own_curves.curves import CHOSEN_ON, HEADLINE, Own, curves_of, learned, started
from evidence.own_curves.headline import row_of, sentences
from evidence.own_curves.noise import seed_noise
from evidence.own_curves.rows import HERE, ROWS, Rows
from evidence.own_curves.spending import spent_by_way
from evidence.own_curves.tables import tables
from evidence.transport import (
    LEVEL,
    Case,
    Way,
    errors,
    headroom_rule,
    labelcast_way,
    last_value,
    means,
    power_law,
    targets,
)
from labelcast.files.json_files import JsonLines
from labelcast.forecast import families
from labelcast.forecast.families import Prior
from labelcast.forecast.question import FROZEN

FORECAST = Path(families.__file__).parent
SUMMARY = HERE / "trial.json"
"""What the command printed on the committed rows."""

LEVELS = (LEVEL, 0.8, 0.5)
SHIPPED = "labelcast"
LEFT_OUT = "labelcast, task left out"
"""Tried with two scores only, for the answer is that of the shipped prior."""
WITHOUT_FROZEN = "labelcast, without --frozen"


class Ways:
    """The methods that are compared on a task."""

    def __init__(self, fit: ScoreFit | None) -> None:
        """Prepare; without a fit there are no methods that need the curves of the prior."""
        self._fit = fit
        self.of_task = lru_cache(1)(self._of_task)

    def of(self, own: Own) -> list[Way]:
        """The methods for a curve; those that are fitted leave its task out."""
        ways = self.of_task(own.task, own.recipe)
        known = own.curve.zero_shot is not None
        return [way for way in ways if known or "zero-shot" not in way.name]

    def _of_task(self, task: str, recipe: str) -> list[Way]:
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


class Kept:
    """What was computed before with the same code and priors, in `evidence/.cache`."""

    def __init__(self, fit: ScoreFit | None) -> None:
        """Read what there is."""
        modules = (own_curves, of_headline, development, fit_prior, transport)
        code = [Path(__file__), *(Path(module.__file__ or "") for module in modules)]
        code += [*FORECAST.glob("*.py"), FORECAST / "prior.json"]
        content = b"".join(file.read_bytes() for file in sorted(code))
        content += repr(fit and fit.curves).encode()
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
            found.append(
                {
                    "from": ", ".join(f"{n:.0f}" for n in case.budgets),
                    "errors": errors(case, predicted, above_zero_shot(case)),
                    "headline": row_of(own, case, predicted) if way.name == SHIPPED else [],
                }
            )
    return found


def above_zero_shot(case: Case) -> list[tuple[float, float]]:
    """The targets that need labels at all: zero-shot meets the others, whatever follows."""
    start = case.curve.zero_shot or 0.0
    return [(target, n) for target, n in targets(case) if target > start]


def compared(
    curves: Sequence[Own],
    ways: Ways,
    kept: Kept,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row for each group, start and method; and one for each forecast of the headline."""
    collected: dict[tuple[str, str, str], dict[str, list[dict[str, float]]]] = {}
    headline: list[dict[str, Any]] = []
    for task in sorted({own.task for own in curves}):
        for own in (own for own in curves if own.task == task):
            for way in ways.of(own):
                for found in kept.tried(own, way):
                    for group in groups_of(own):
                        by_task = collected.setdefault((group, found["from"], way.name), {})
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


def groups_of(own: Own) -> list[str]:
    """The groups that a curve counts in."""
    held_out = (own.model, own.recipe) == ("minilm", FROZEN) and own.task not in CHOSEN_ON
    return [own.group, *[f"{own.group}, tasks on which nothing was chosen"] * held_out]


def _place(item: tuple[tuple[str, str, str], Any]) -> tuple[str, int, str, str]:
    (group, start, way), _ = item
    return group, -int(start.split(",")[0]), start, way


def summary(
    files: Sequence[Path],
    fit: ScoreFit | None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All that the command prints, of these files of rows."""
    groups = {found[0].group: found for file in files if (found := curves_of(file))}
    curves = [own for found in groups.values() for own in found]
    compare, headline = compared(curves, Ways(fit), Kept(fit), progress)
    above = learned(curves)
    for row in headline:
        row["learned"] = (row["curves of"], row["task"]) in above
    spent = {group: spent_by_way(found) for group, found in groups.items()}
    return {
        "files": {file.name: digest_of(file) for file in files},
        "sentences": [
            *(line for group in groups for line in sentences(headline, group)),
            *(f"{group}: {found.sentence}" for group, found in spent.items() if found.sentence),
        ],
        "compared": compare,
        "headline": headline,
        "spent": [
            {"curves of": group} | row for group, found in spent.items() for row in found.rows
        ],
        "noise": [row for file in files for row in seed_noise(Rows(file).rows(), file.stem)],
    }


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
