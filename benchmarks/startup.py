"""How long the command line takes to start, and smollm2 takes to load from its cache.

    python benchmarks/startup.py [--turns 7] [--loads 2]

Each measurement runs in its own process. Commands are compared with importing numpy, typer and
rich; the cache with loading the model from its GGUF file into an empty cache folder; the start of a
training without torch's compiler with one that imports it. Also prints how long importing the
libraries alone takes, which no cache can avoid.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from outcome import Ratio, tell
from turns import Turns, in_turns

YARDSTICK = [sys.executable, "-c", "import numpy, typer, rich"]
LABELCAST = [sys.executable, "-m", "labelcast"]
FORECAST = ["forecast", "--coslow", "0.3", "--calibration", "llama-3.1-8b-instruct"]
LOAD = [
    sys.executable,
    "-c",
    "from labelcast.models.loading import load_model; load_model('smollm2', device='cpu')",
]
IMPORTS = [
    sys.executable,
    "-c",
    "import torch, transformers; from transformers.models.llama import modeling_llama",
]
# Keep the garbage collector on while libraries are imported; labelcast turns it off.
COLLECTING = [*LOAD[:2], f"import gc; gc.disable = gc.enable; {LOAD[2]}"]
TRAINING = [sys.executable, "-c", "import labelcast.training.finetune"]
COMPILER = [
    *TRAINING[:2],
    "import contextlib; from labelcast.models import four_bit;"
    f"four_bit.light_import = contextlib.nullcontext; {TRAINING[2]}",
]
GOALS = {"help": 1.5, "forecast": 1.7}
CACHED = 0.25


def run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | dict(environment or {}),
    )


def load_from_gguf() -> None:
    """Load smollm2 with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        run(LOAD, {"LABELCAST_CACHE": folder})


def time_commands(turns: int) -> Turns:
    ways = {
        "yardstick": lambda: run(YARDSTICK),
        "help": lambda: run([*LABELCAST, "--help"]),
        "forecast": lambda: run([*LABELCAST, *FORECAST]),
    }
    in_turns(ways, 1)
    return in_turns(ways, turns)


def time_loads(turns: int) -> Turns:
    run(LOAD)  # fills the cache
    ways = {
        "cache": lambda: run(LOAD),
        "gguf": load_from_gguf,
        "imports": lambda: run(IMPORTS),
        "collecting": lambda: run(COLLECTING),
    }
    return in_turns(ways, turns)


def time_trainings(turns: int) -> Turns:
    ways = {"training": lambda: run(TRAINING), "training with compiler": lambda: run(COMPILER)}
    in_turns(ways, 1)
    return in_turns(ways, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--loads", type=int, default=2, help="turns of loading the model")
    parser.add_argument("--quick", action="store_true", help="one turn: a smoke test")
    args = parser.parse_args()
    if args.quick:
        args.turns, args.loads = 1, 1
    commands, loads = time_commands(args.turns), time_loads(args.loads)
    trainings = time_trainings(args.loads)
    ratios = {
        f"{name} / importing numpy, typer, rich": Ratio(
            commands.ratio(name, "yardstick"), "lower", goal
        )
        for name, goal in GOALS.items()
    }
    ratios["smollm2 from its cache / from GGUF"] = Ratio(
        loads.ratio("cache", "gguf"), "lower", CACHED
    )
    ratios["importing torch and transformers' Llama alone / from GGUF"] = Ratio(
        loads.ratio("imports", "gguf"), compared=False
    )
    ratios["smollm2 from its cache, garbage collector on / off"] = Ratio(
        loads.ratio("collecting", "cache"), compared=False
    )
    ratios["start of a training without / with torch's compiler"] = Ratio(
        trainings.ratio("training", "training with compiler"), compared=False
    )
    parts = (commands, loads, trainings)
    seconds = {way: round(part.median(way), 3) for part in parts for way in part.values}
    tell("startup", ratios, turns=args.turns, loads=args.loads, seconds=seconds)


if __name__ == "__main__":
    main()
