"""CoS-Low by labelcast, the published procedure, torch.func, kronfluence and bergson.

    python benchmarks/peers.py [--examples 32] [--turns 1] [--packages FOLDER]

All on the same examples, each in its own child processes and in turns, so that peak memory is
measured separately and a busy machine affects all equally. A peer that is not installed is listed
as such; benchmarks/peers.txt says how to install them. This process imports nothing heavy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from outcome import Better, Ratio, tell

WAYS = ("labelcast", "published", "torch.func", "labelcast exact", "kronfluence", "bergson")
SAME_GRADIENTS = {"published": "labelcast", "torch.func": "labelcast"} | {
    "kronfluence": "labelcast exact",
    "bergson": "labelcast exact",
}
"""The way whose value each way should reproduce. bergson projects, so it agrees up to noise."""

_CHILD = Path(__file__).with_name("peer_ways.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="3 examples: a smoke test")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--packages", type=Path, default=Path(sys.prefix, "peers"))
    args, passed_on = parser.parse_known_args()
    options = [*passed_on, *(["--quick"] if args.quick else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines: dict[str, list[dict[str, Any]]] = {way: [] for way in args.ways}
        for _ in range(args.turns):
            for way in args.ways:
                lines[way].append(child(way, options, args.packages, folder))
        report(lines, {way: read_cosines(folder, way) for way in args.ways}, args.turns)


def child(way: str, options: Sequence[str], packages: Path, folder: Path) -> dict[str, Any]:
    """The result of a way in a child process; a failure is printed and does not stop the others."""
    paths = [str(packages)] if packages.is_dir() else []
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*os.environ.get("PYTHONPATH", "").split(os.pathsep), *paths])
    }
    command = [sys.executable, str(_CHILD), way, "--cosines", str(folder), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    if way.startswith("labelcast"):
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    reason = f"killed by signal {-done.returncode}" if done.returncode < 0 else last[:200]
    return {"way": way, "absent": f"failed: {reason}"}


def read_cosines(folder: Path, way: str) -> dict[str, Any]:
    """The cosines that a way saved, weighted and, if it has them, unweighted."""
    found = {}
    for kind in ("", " unweighted"):
        file = folder / f"{way}{kind}.npy"
        if file.exists():
            found[kind] = np.load(file)
    return found


def report(
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    cosines: Mapping[str, Mapping[str, Any]],
    turns: int,
) -> None:
    """Print each way's time and memory as ratios to labelcast's, and how well values agree."""
    ours = lines["labelcast"]
    ratios: dict[str, Ratio] = {}
    ways: dict[str, Any] = {}
    for way, rows in lines.items():
        absent = [row["absent"] for row in rows if "absent" in row]
        if absent:
            ratios[f"time, {way} / labelcast"] = Ratio(None, "higher", note=absent[0])
            continue
        ways[way] = dict(rows[-1])
        if way == "labelcast":
            continue
        # A slower peer is better for labelcast; a slower `exact` is not.
        better: Better | None = None if way.startswith("labelcast") else "higher"
        ratios[f"time, {way} / labelcast"] = Ratio(ratio(rows, ours, "seconds"), better)
        ratios[f"memory above the model, {way} / labelcast"] = Ratio(
            ratio(rows, ours, "peak_above_model"), better
        )
        ratios |= agreement(way, ways, cosines)
    tell("peers", ratios, turns=turns, examples=ours[-1]["source"], ways=ways)


def ratio(
    rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], name: str
) -> float:
    """Median over turns of the ratio of a way's figure to labelcast's."""
    return median(float(a[name] / b[name]) for a, b in zip(rows, others, strict=True))


def agreement(
    way: str, ways: Mapping[str, Any], cosines: Mapping[str, Mapping[str, Any]]
) -> dict[str, Ratio]:
    """Differences of a way's CoS-Low and cosines from labelcast's for the same gradients."""
    other = SAME_GRADIENTS.get(way, "")
    if other not in ways:
        return {}
    found = {}
    for kind in cosines[way].keys() & cosines[other].keys():
        suffix = kind.replace(" ", "_")
        value = abs(ways[way][f"coslow{suffix}"] - ways[other][f"coslow{suffix}"])
        largest = float(np.abs(cosines[way][kind] - cosines[other][kind]).max())
        name = f"CoS-Low{kind}, {way} - {other}"
        goal = None if way == "bergson" else 1e-3
        note = f"single cosines: at most {largest:.1e}"
        found[name] = Ratio(value, None if goal is None else "lower", goal, note, compared=False)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    main()
