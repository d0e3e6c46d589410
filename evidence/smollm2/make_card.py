"""Make the calibration card of smollm2 from scratch with labelcast's public commands.

    python -m evidence.smollm2.make_card --data TASKS --device cuda --jobs-per-gpu 8

measures what is missing and writes the card; `--step` does one part. Every step resumes: what has
been measured is not measured again, and after every command the rows are copied to `measured/`.
Each command is printed before it runs, so that it can also be run alone.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from evidence.smollm2.rows import collect, mean_scores, restore, without_blanks
from labelcast.tasks.task import Task

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPE = "recipe.yaml"
STEPS = ("probes", "rate", "curves", "few-steps", "card", "collect", "all")


@dataclass(frozen=True)
class CardTask:
    """A task: its name, and the values of `--task` and `--data`."""

    name: str
    spec: str
    data: str


@dataclass(frozen=True)
class Making:
    """The settings from the command line and config.yaml.

    Attributes:
        config: the content of config.yaml.
        home: the folder with config.yaml, the task files and the recipes.
        data: the folder with the tasks' data.
        work: the folder with the sweeps.
        measured: where the rows are copied to, to be committed.
        card: the file that the card is written to.
        device: of the fine-tuning.
        per_gpu: jobs at once on one GPU.
        wanted: names of the tasks; all if empty.
        dry: only estimate the hours of fine-tuning.
    """

    config: dict[str, Any]
    home: Path
    data: Path
    work: Path
    measured: Path
    card: Path
    device: str
    per_gpu: int
    wanted: tuple[str, ...]
    dry: bool

    def tasks(self) -> list[CardTask]:
        """The wanted tasks of the card, in the order of the file."""
        found = [self.entry(row["task"], row.get("data")) for row in self.config["tasks"]]
        unknown = set(self.wanted) - {entry.name for entry in found}
        if unknown:
            raise SystemExit(f"--tasks: not in config.yaml: {', '.join(sorted(unknown))}")
        return [entry for entry in found if not self.wanted or entry.name in self.wanted]

    def entry(self, task: str, data: str | None) -> CardTask:
        """A task by its catalogue name or its file in `tasks/`, with its data."""
        name = Path(task).stem
        spec = str(self.home / "tasks" / task) if task.endswith(".yaml") else task
        if data is None:
            return CardTask(name, spec, f"generated:{name}")
        fields = [item.field for item in Task.load(spec).inputs]
        file = without_blanks(self.data / data, fields, self.work / "data")
        return CardTask(name, spec, str(file))

    def recipe(self, learning_rate: float) -> str:
        """The text of a recipe file."""
        values = self.config["recipe"] | {"learning_rate": f"{learning_rate:g}"}
        return "".join(f"{key}: {value}\n" for key, value in values.items())

    def labelcast(self, *arguments: str) -> int:
        """Print and run a command of labelcast, then copy its rows; returns its exit status."""
        print(f"{time.strftime('%H:%M:%S')} $ labelcast {shlex.join(arguments)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "labelcast", *arguments]).returncode
        collect(self.work, self.measured)
        return status

    def sweep(self, entries: list[CardTask], out: Path, *more: str) -> int:
        """Run `labelcast sweep` on some tasks."""
        tasks = [part for e in entries for part in ("--task", e.spec, "--data", e.data)]
        dry = ["--dry-run"] if self.dry else []
        test_size = ("--test-size", str(self.config["test_size"]))
        model = ("--model", self.config["model"], "--out", str(out))
        return self.labelcast("sweep", *tasks, *model, *test_size, *more, *dry)

    def on_device(self) -> tuple[str, ...]:
        """The options of a sweep that trains."""
        if self.device == "cpu":
            return ("--device", "cpu")
        share = f"{1 / self.per_gpu:.6f}"
        return ("--device", self.device, "--jobs", str(self.per_gpu), "--gpus-per-job", share)


def probes(making: Making) -> None:
    """Measure zero-shot score, confidences, CoS-Low, its limit and baselines, task by task."""
    options = [f"--{k.replace('_', '-')}={v}" for k, v in making.config["probes"].items()]
    out = making.work / "cpu"
    for entry in making.tasks():
        making.sweep([entry], out, "--budgets", "0", "--device", "cpu")
        if not making.dry:
            more = ("--exact", "--keep-grams", "--device", "cpu")
            making.labelcast(
                "calibrate", str(out), "--probes-only", "--task", entry.name, *options, *more
            )


def rate(making: Making) -> None:
    """Choose the learning rate on a separate task and write `recipe.yaml`."""
    if (making.home / RECIPE).exists():
        print(f"{RECIPE} exists: the learning rate has been chosen.")
        return
    wanted = making.config["rate"]
    entry = making.entry(wanted["task"], wanted.get("data"))
    means: dict[float, float] = {}
    for value in map(float, wanted["learning_rates"]):
        out = making.work / f"rate-{value:g}"
        file = making.work / f"recipe-{value:g}.yaml"
        making.work.mkdir(parents=True, exist_ok=True)
        file.write_text(making.recipe(value), "utf-8")
        lists = ("--budgets", _listed(wanted["budgets"]), "--seeds", _listed(wanted["seeds"]))
        done = making.sweep([entry], out, "--recipe", str(file), *lists, *making.on_device())
        if making.dry:
            continue
        if done:
            raise SystemExit(f"learning rate {value:g} has no score: see above")
        means[value] = mean_scores(out)
        print(f"learning rate {value:g}: mean score {means[value]:.4f}")
    if means:
        best = max(means, key=lambda value: (means[value], -value))
        origin = "# The learning rate was chosen by make_card.py --step rate.\n"
        (making.home / RECIPE).write_text(origin + making.recipe(best), "utf-8")


def curves(making: Making) -> None:
    """Fine-tune at every budget that a task has data for: one seed for all tasks, then more.

    Tasks with the same budgets share a command, so that their jobs fill the GPU.
    """
    recipe = making.home / RECIPE
    if not recipe.exists():
        raise SystemExit(f"{recipe} is missing: run --step rate first.")
    grouped = list(_by_budgets(making))
    for seed in making.config["seeds"]:
        for budgets, entries in grouped:
            lists = ("--budgets", _listed(budgets), "--seeds", str(seed))
            more = ("--recipe", str(recipe), *lists, *making.on_device())
            making.sweep(entries, making.work / "curves", *more)


def _by_budgets(making: Making) -> Iterator[tuple[tuple[int, ...], list[CardTask]]]:
    """Tasks with the budgets that their data allows besides the test set."""
    from labelcast.sweeps.job import SweepSettings
    from labelcast.sweeps.sweep import sweep_task
    from labelcast.sweeps.task_data import split
    from labelcast.training.recipe import FULL

    settings = SweepSettings(model=making.config["model"], recipe=FULL)
    found = []
    for entry in making.tasks():
        chosen = sweep_task(entry.spec, settings, entry.data)
        most = split(chosen, making.config["test_size"], seed=0).largest_budget
        found.append((tuple(b for b in making.config["budgets"] if b <= most), entry))
    found.sort(key=lambda pair: -max(pair[0]))
    for budgets, pairs in groupby(found, key=lambda pair: pair[0]):
        yield budgets, [entry for _, entry in pairs]


def few_steps(making: Making) -> None:
    """Fine-tune two tasks on a CPU with LoRA and few steps. Not part of the card."""
    wanted = making.config["few_steps"]
    chosen = [entry for entry in making.tasks() if entry.name in wanted["tasks"]]
    lists = ("--budgets", _listed(wanted["budgets"]), "--seeds", _listed(wanted["seeds"]))
    recipe = ("--recipe", str(making.home / "recipe-few-steps.yaml"))
    for entry in chosen:
        making.sweep([entry], making.work / "few-steps", *recipe, *lists, "--device", "cpu")


def card(making: Making) -> None:
    """Fit the card to the measured curves and the probes measured on the CPU."""
    options = [f"--{k.replace('_', '-')}={v}" for k, v in making.config["probes"].items()]
    folders = (str(making.work / "curves"), "--probes", str(making.work / "cpu"))
    name = ("--name", making.config["model"], "--out", str(making.card), "--force")
    if making.labelcast("calibrate", *folders, *name, *options, "--exact", "--device", "cpu"):
        raise SystemExit("no card: see above")


def everything(making: Making) -> None:
    """Measure everything that is missing, and fit the card."""
    probes(making)
    if making.device == "auto" and not _has_gpu():
        raise SystemExit(
            "The probes are done. Full fine-tuning needs a GPU, which this machine lacks: run this "
            "command on one that does (--device cpu would take weeks)."
        )
    rate(making)
    curves(making)
    if not making.dry:
        card(making)


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _listed(values: Any) -> str:
    return ",".join(str(value) for value in values)


def main() -> None:
    """Read the command line and run a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with the tasks' data")
    parser.add_argument("--step", choices=STEPS, default="all")
    parser.add_argument("--tasks", default="", help="names separated by commas; all by default")
    parser.add_argument("--device", default="auto", help="device for fine-tuning")
    parser.add_argument("--jobs-per-gpu", type=int, default=8, help="jobs at once on one GPU")
    parser.add_argument("--dry-run", action="store_true", help="estimate the hours of fine-tuning")
    parser.add_argument("--home", type=Path, default=HERE, help="folder with config.yaml")
    parser.add_argument("--work", type=Path, help="folder for the sweeps; HOME/work by default")
    parser.add_argument("--measured", type=Path, help="copy of the rows; HOME/measured by default")
    parser.add_argument("--card", type=Path, help="the card's file; the shipped one by default")
    given = parser.parse_args()
    config = yaml.safe_load((given.home / "config.yaml").read_text("utf-8"))
    shipped = ROOT / "src" / "labelcast" / "forecast" / "shipped_cards" / f"{config['model']}.json"
    making = Making(
        config=config,
        home=given.home.resolve(),
        data=given.data,
        work=given.work or given.home / "work",
        measured=given.measured or given.home / "measured",
        card=given.card or shipped,
        device=given.device,
        per_gpu=given.jobs_per_gpu,
        wanted=tuple(name for name in given.tasks.split(",") if name),
        dry=given.dry_run,
    )
    restore(making.measured, making.work)
    steps = {"probes": probes, "rate": rate, "curves": curves, "few-steps": few_steps}
    steps |= {"card": card, "all": everything}
    if given.step in steps:
        steps[given.step](making)
    collect(making.work, making.measured)


if __name__ == "__main__":
    main()
