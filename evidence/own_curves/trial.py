"""Compare the forecast with the measured curves: its errors, and how often its intervals hold.

    python -m evidence.own_curves.trial [ROWS...] [--development RESULTS CURVES] [--out FILE]

Each seed of a task is one curve. Its first one, two or three scores are observed, from 50 labels
and from 10, and every later score of the same seed is forecast by the shipped prior, which was not
fitted to these curves. It is compared with the last value and a power law. `--development` adds
what needs the curves of the prior: the headroom rule, and the forecast with all curves of the same
task left out of the prior. A task counts once: its figures are means over its seeds. It takes 20
minutes on one core; after rows are added it computes only the new ones (`evidence/.cache`).
`--shown` prints what it found on the committed rows, or what a file of `--out` has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evidence.fit_prior import ScoreFit
from evidence.own_curves.curves import CHOSEN_ON, LATER, Own, above_majority, best_known, curves_of
from evidence.own_curves.headline import sentences
from evidence.own_curves.methods import Kept, Ways
from evidence.own_curves.noise import seed_noise
from evidence.own_curves.rows import HERE, ROWS
from evidence.own_curves.spending import spent_by_way
from evidence.own_curves.tables import tables
from evidence.transport import means
from labelcast.errors import InputError
from labelcast.files.json_files import read_json
from labelcast.forecast.question import FROZEN

SUMMARY = HERE / "trial.json"
"""What the command printed on the committed rows."""

_SHOWN = "print the committed summary, or one that was written with --out"


def compared(
    curves: Sequence[Own],
    above: dict[tuple[str, str], bool],
    ways: Ways,
    kept: Kept,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row for each group, start and method; and one for each forecast of the headline.

    Args:
        curves: all of them.
        above: see `above_majority`.
        ways: the methods.
        kept: what was computed before.
        progress: called with each task.
    """
    collected: dict[tuple[str, str, str], dict[str, list[dict[str, float]]]] = {}
    headline: list[dict[str, Any]] = []
    tasks_of: dict[str, set[str]] = {}
    for task in sorted({own.task for own in curves}):
        for own in (own for own in curves if own.task == task):
            for way in ways.of(own):
                for found in kept.tried(own, way):
                    for group in groups_of(own, above):
                        tasks_of.setdefault(group, set()).add(task)
                        by_task = collected.setdefault((group, found["from"], way.name), {})
                        by_task.setdefault(task, []).append(found["errors"])
                    headline += found["headline"]
        progress(task)
    # Some of the tasks that are all of them.
    repeated = {
        group
        for own in curves
        for group in groups_of(own, above)[1:]
        if tasks_of.get(group) == tasks_of.get(own.group)
    }
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
        if group not in repeated
    ]
    return rows, headline


def groups_of(own: Own, above: dict[tuple[str, str], bool]) -> list[str]:
    """The groups that a curve counts in."""
    found, key = [own.group], (own.group, own.task)
    if key in above:
        found.append(f"{own.group}, tasks {'above' if above[key] else 'at'} the majority baseline")
    if (own.model, own.recipe) == ("minilm", FROZEN) and own.task not in CHOSEN_ON:
        found.append(f"{own.group}, tasks on which nothing was chosen")
    return found


def _place(item: tuple[tuple[str, str, str], Any]) -> tuple[str, int, str, str]:
    (group, start, way), _ = item
    return group, -int(start.split(",")[0]), start, way


def summary(
    files: Sequence[Path],
    fit: ScoreFit | None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All that the command prints, of these files of rows."""
    groups = {file: curves_of(file) for file in files}
    names = [curves[0].group for curves in groups.values() if curves]
    if len({*names}) < len(names):
        raise InputError(f"{', '.join(map(str, files))}: two files of one model and recipe.")
    curves = [own for found in groups.values() for own in found]
    above = above_majority(curves)
    compare, headline = compared(curves, above, Ways(fit, best_known(curves)), Kept(fit), progress)
    later = above_majority(curves, LATER)
    for row in headline:
        key = row["curves of"], row["task"]
        row["above"], row["above later"] = above[key], later.get(key)
    spent = {found[0].group: spent_by_way(found) for found in groups.values() if found}
    return {
        "files": {file.name: digest_of(file) for file in files},
        "sentences": [
            *(line for group in names for line in sentences(headline, group)),
            *(f"{group}: {found.sentence}" for group, found in spent.items() if found.sentence),
        ],
        "compared": compare,
        "headline": headline,
        "spent": [
            {"curves of": group} | row for group, found in spent.items() for row in found.rows
        ],
        "noise": [row for found in groups.values() for row in seed_noise(found)],
    }


def digest_of(file: Path, lines: int | None = None) -> dict[str, Any]:
    """The number and the digest of the rows of a file, or of its first ones."""
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
    parser.add_argument("--shown", nargs="?", type=Path, const=SUMMARY, metavar="FILE", help=_SHOWN)
    options = parser.parse_args(arguments)
    for file in (*options.rows, *([options.shown] if options.shown else [])):
        if not file.is_file():
            parser.error(f"{file}: there is no such file")
    try:
        if options.shown:
            found = read_json(options.shown)
            if not isinstance(found, dict) or "sentences" not in found:
                raise InputError(f"{options.shown} was not written with --out")
        else:
            fit = ScoreFit.cached(*options.development) if options.development else None
            files = options.rows or sorted(ROWS.glob("*.jsonl"))
            found = summary(files, fit, lambda line: print(line, file=sys.stderr, flush=True))
    except InputError as error:
        parser.error(str(error))
    text = json.dumps(found, indent=1)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text if options.json else tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
