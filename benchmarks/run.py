"""Run all benchmarks one after another, and write the tables of docs/speed.md.

    python benchmarks/run.py [--only NAME ...] [--record] [--page docs/speed.md]

Takes about a quarter of an hour on two idle cores. `--record` adds the ratios to
benchmarks/history.jsonl, once per release; the table shows the last recorded ratios next to today's
and marks what became worse. The GPU benchmark runs if there is a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from release_table import (
    Record,
    growth_table,
    put,
    ratios_of,
    read_history,
    record,
    regressions,
    release_table,
)

HERE = Path(__file__).resolve().parent
HISTORY, PAGE = HERE / "history.jsonl", HERE.parent / "docs/speed.md"
SCRIPTS: dict[str, list[str]] = {
    "startup": [],
    "coslow": ["--turns", "1", "--examples", "16"],
    "confidence": ["--turns", "1"],
    "peers": ["--turns", "1", "--examples", "8"],
    "tuning": ["--turns", "1", "--steps", "2"],
    "growth": ["--draw", str(HERE.parent / "docs/img")],
}
PACKAGES = ("labelcast", "torch", "transformers", "numpy", "peft")


def machine() -> str:
    """Cores, memory, versions and device in words, without the host's name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    numbers = [f"{name} {version_of(name)}" for name in PACKAGES]
    return ", ".join(
        [
            f"{cores} cores ({platform.machine()})",
            f"{memory:.0f} GiB",
            device(),
            f"Python {platform.python_version()}",
            *numbers,
        ]
    )


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def device() -> str:
    """The name of the GPU that torch sees, or "no GPU"."""
    if importlib.util.find_spec("torch") is None:
        return "no GPU"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def run(name: str, options: Sequence[str]) -> dict[str, Any] | None:
    """Run a benchmark and show its output; its line of JSON, or None if it failed."""
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    print(f"== {name} {' '.join(options)}", flush=True)
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    print("\n".join(lines[:-1]), flush=True)
    print(f"   {time.perf_counter() - start:.0f} s", flush=True)
    if done.returncode != 0 or not lines:
        print(f"{name}: failed with status {done.returncode}", file=sys.stderr)
        return None
    outcome: dict[str, Any] = json.loads(lines[-1])
    return outcome


def commit() -> str:
    """The measured commit, marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def facts(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """The text under the table: which examples each benchmark ran on, and how many turns."""
    return "\n".join(
        f"- {one['benchmark']}: {one['examples']}; turns: {one['turns']}."
        for one in outcomes
        if "examples" in one
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    scripts = SCRIPTS | ({"precision": [], "gpu": []} if has_gpu() else {})
    parser.add_argument("--only", nargs="*", choices=list(scripts), default=list(scripts))
    parser.add_argument("--quick", action="store_true", help="a smoke test; writes nothing")
    parser.add_argument("--record", action="store_true", help="add a row to history.jsonl")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    # An interrupted run resumes, but only with rows of the same commit.
    rows = HERE.parent / f"build/bench/growth-{commit()}{'-quick' if args.quick else ''}.jsonl"
    scripts["growth"] = ["--rows", str(rows), *([] if args.quick else scripts["growth"])]
    extra = ["--quick"] if args.quick else []
    found = {name: run(name, [*scripts[name], *extra]) for name in args.only}
    outcomes = [outcome for outcome in found.values() if outcome is not None]
    ratios = ratios_of(outcomes)
    history = read_history(HISTORY)
    last = history[-1] if history else None
    now = datetime.now(UTC).date().isoformat()
    parts = [
        f"{now}, commit {commit()}: {machine()}.",
        release_table(ratios, last),
        facts(outcomes),
    ]
    text = "\n\n".join(part for part in parts if part)
    print(text)
    for name in regressions(ratios, last):
        print(f"worse than at {last.version if last else ''}: {name}", file=sys.stderr)
    if not args.quick and set(args.only) == set(scripts):
        write_page(args.page, text, outcomes)
    if args.record and not args.quick:
        values = {name: ratio.value for name, ratio in ratios.items()}
        record(HISTORY, Record(version_of("labelcast"), now, commit(), machine(), values))
    return 0 if all(outcome is not None for outcome in found.values()) else 1


def has_gpu() -> bool:
    """Whether there is a GPU for the GPU benchmark."""
    return device() != "no GPU"


def write_page(page: Path, text: str, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Write the tables into the marked parts of the page."""
    found = put(page.read_text("utf-8"), "bench", text)
    for outcome in outcomes:
        if "growth" in outcome:
            found = put(found, "growth", growth_table(outcome["growth"]))
    page.write_text(found, "utf-8")
    print(f"written to {page}")


if __name__ == "__main__":
    raise SystemExit(main())
