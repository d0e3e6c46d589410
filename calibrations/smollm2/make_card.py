"""The calibration card of smollm2 from nothing, with labelcast's public commands.

    python calibrations/smollm2/make_card.py --data TASKS --step probes

Every step resumes: what is measured stands in a row and is not measured again. Prints each command
before it runs it, so that any of them can be run by hand.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Entry:
    """A task of the card: its name, what `--task` takes, and its data (None: generated)."""

    name: str
    spec: str
    data: str | None


def read_config() -> dict[str, Any]:
    """What config.yaml says."""
    content: dict[str, Any] = yaml.safe_load((HERE / "config.yaml").read_text("utf-8"))
    return content


def entries(config: dict[str, Any], data: Path, wanted: list[str]) -> list[Entry]:
    """The card's tasks, or those that are wanted, in the order of the file."""
    found = []
    for row in config["tasks"]:
        own = row["task"].endswith(".yaml")
        spec = str(HERE / "tasks" / row["task"]) if own else row["task"]
        file = str(data / row["data"]) if "data" in row else None
        found.append(Entry(Path(row["task"]).stem, spec, file))
    unknown = set(wanted) - {entry.name for entry in found}
    if unknown:
        raise SystemExit(f"--tasks: not in config.yaml: {', '.join(sorted(unknown))}")
    return [entry for entry in found if not wanted or entry.name in wanted]


def labelcast(*arguments: str) -> int:
    """Run a command of labelcast, shown first; its exit status."""
    print(f"{time.strftime('%H:%M:%S')} $ labelcast {shlex.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, "-m", "labelcast", *arguments]).returncode


def sweep(entry: Entry, config: dict[str, Any], out: Path, *more: str) -> int:
    """A sweep's command for one task."""
    data = ["--data", entry.data] if entry.data else []
    return labelcast(
        "sweep",
        *("--task", entry.spec, *data, "--model", config["model"], "--out", str(out)),
        *("--test-size", str(config["test_size"]), *more),
    )


def probes(tasks: list[Entry], config: dict[str, Any], work: Path) -> None:
    """Zero-shot score, confidences, CoS-Low, its limit, the baselines: task after task."""
    wanted = config["probes"]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in wanted.items()]
    for entry in tasks:
        sweep(entry, config, work, "--budgets", "0", "--device", "cpu")
        labelcast(
            *("calibrate", str(work), "--probes-only", "--task", entry.name),
            *(*options, "--exact", "--keep-grams", "--device", "cpu"),
        )


def main() -> None:
    """Read the command line and do a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the tasks' data")
    parser.add_argument("--step", choices=("probes",), required=True)
    parser.add_argument("--tasks", default="", help="names with commas; all by default")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="where all is kept")
    given = parser.parse_args()
    config = read_config()
    tasks = entries(config, given.data, [name for name in given.tasks.split(",") if name])
    probes(tasks, config, given.work / "cpu")


if __name__ == "__main__":
    main()
