"""How long the command line takes to start, against what it cannot do without.

    python benchmarks/startup.py [--turns 7]

Each command is a process of its own; the yardstick imports numpy, typer and rich.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from turns import in_turns, table

YARDSTICK = [sys.executable, "-c", "import numpy, typer, rich"]
LABELCAST = [sys.executable, "-m", "labelcast"]
FORECAST = ["forecast", "--coslow", "0.3", "--calibration", "llama-3.1-8b-instruct"]
GOALS = {"help": 1.5, "forecast": 2.0}


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=7)
    turns = parser.parse_args().turns
    ways = {
        "yardstick": lambda: run(YARDSTICK),
        "help": lambda: run([*LABELCAST, "--help"]),
        "forecast": lambda: run([*LABELCAST, *FORECAST]),
    }
    in_turns(ways, 1)
    timed = in_turns(ways, turns)
    ratios = {name: timed.ratio(name, "yardstick") for name in GOALS}
    rows = {
        f"{name} / importing numpy, typer, rich": f"{ratio:.2f}  (goal: at most {GOALS[name]})"
        for name, ratio in ratios.items()
    }
    print(table(rows))
    print(json.dumps({"benchmark": "startup", "turns": turns, "ratios": ratios}))


if __name__ == "__main__":
    main()
