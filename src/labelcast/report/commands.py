"""The commands in a report: those that made it, and those to run next."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import NamedTuple

from labelcast.forecast.answer import Forecast
from labelcast.forecast.given_scores import scale_of
from labelcast.forecast.options import RunOptions
from labelcast.labels.draw import left_to_draw
from labelcast.labels.gold import read_gold
from labelcast.models.choices import DTYPES
from labelcast.report.costs import Prices
from labelcast.runs.forecast import OPTIONS, coslow_is_stale
from labelcast.runs.label_store import draws_so_far
from labelcast.runs.records import RANDOM, TunedScore
from labelcast.runs.run import Run
from labelcast.training.recipe import FULL, FULL_ENCODER, LINEAR, LORA, SETFIT, T_FEW

TEST_SIZE = 200
_LEAST_TEST = 20
SCORES = "SCORES.csv"
RECIPE = "RECIPE.yaml"
MOST_OBSERVED = 8
"""With more scores than these, a command refers to a file of scores."""
_SHIPPED = {
    recipe.name: recipe.digest for recipe in (FULL, FULL_ENCODER, LORA, LINEAR, SETFIT, T_FEW)
}
_NO_LABELS = "No labels are needed for training. Check the zero-shot score on a test set."


class NextStep(NamedTuple):
    """Something to do, and its command; empty if there is none."""

    text: str
    command: str


def labelcast(*words: object) -> str:
    """A command, quoted for the shell."""
    return shlex.join(["labelcast", *map(str, words)])


def forecast_command(run: Run | None, asked: RunOptions, *more: object) -> str:
    """The command that repeats a forecast; SCORES.csv stands for a file of scores."""
    return labelcast("forecast", *_run_and_options(run, asked), *more)


def _run_and_options(run: Run | None, asked: RunOptions) -> list[object]:
    words: list[object] = [] if run is None else [run.path]
    for name in OPTIONS:
        value = asked.get(name)
        if value is None or value is False or name == "observations":
            continue
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    given = list(asked.get("observations") or ())
    if len(given) > MOST_OBSERVED or any(len(entry) > 2 for entry in given):
        return [*words, "--scores", SCORES]
    return words + [word for e in given for word in ("--observe", f"{e[0]}={e[1]}")]


def next_steps(run: Run | None, answer: Forecast, asked: RunOptions) -> tuple[NextStep, ...]:
    """What to do next, in order."""
    if run is None:
        again = "" if answer.next_budget is None else _with_another_score(None, answer, asked)
        return (NextStep(answer.advice() or _NO_LABELS, again),)
    steps = []
    if coslow_is_stale(run):
        steps.append(_step("The labels have changed: measure CoS-Low again.", "coslow", run.path))
    if answer.answered_by == ("zero-shot",):
        return (*steps, _step(_NO_LABELS, "tune", run.path, "--budget", 0))
    if answer.next_budget is None:
        return (*steps, NextStep(answer.advice(), ""))
    return (*steps, *_label_and_tune(run, answer, answer.next_budget, asked))


def _step(text: str, *words: object) -> NextStep:
    return NextStep(text, labelcast(*words))


def _with_another_score(run: Run | None, answer: Forecast, asked: RunOptions) -> str:
    """The command that repeats the forecast with a score at the next budget."""
    sized = asked.get("observe_sd") is None and scale_of(asked).metric != "loss"
    size = ["--observe-size", "M"] if sized else []
    score = f"{answer.next_budget}=SCORE"
    return forecast_command(run, {**asked, "observe_size": None}, "--observe", score, *size)


def _label_and_tune(run: Run, answer: Forecast, budget: int, asked: RunOptions) -> list[NextStep]:
    sets = [draw.set for draw in draws_so_far(run)]
    short, steps = max(budget - sets.count("random"), 0), []
    left = left_to_draw(run)
    test = 0 if "test" in sets else min(TEST_SIZE, left - short)
    yourself = NextStep(
        "Or fine-tune in your own way and give the score.",
        _with_another_score(run, answer, asked),
    )
    if short > left or ("test" not in sets and test < _LEAST_TEST):
        few = f"The pool has {left:,} more examples, too few for {short:,} to train on"
        test_set = "" if "test" in sets else " and a test set"
        return [NextStep(f"{few}{test_set}. Score a larger pool into a new run.", ""), yourself]
    draws = [(f"{short:,} more examples", "--more", short)] if short > 0 else []
    if test:
        draws.append((f"a test set of {test}", "--test", test))
    if draws:
        text = f"Draw {' and '.join(text for text, *_ in draws)} at random."
        options = [word for _, *words in draws for word in words]
        steps.append(_step(text, "label", run.path, *options))
    tune = "Fine-tune on them, score on the test set, and forecast again."
    return [
        *steps,
        _step(f"Label them, up to {budget:,}.", "label", run.path),
        _step(tune, "tune", run.path, "--budget", budget),
        yourself,
    ]


def made_by(run: Run | None, asked: RunOptions, prices: Prices) -> tuple[str, ...]:
    """The commands that made this report; TASK and RECIPE.yaml stand for the user's own files."""
    paid = _paid(prices)
    if run is None:
        return (labelcast("report", *_run_and_options(None, asked), *paid),)
    question = run.question.to_dict()
    task = [] if run.task is None else ["--task", "TASK"]
    scoring: list[object] = ["score", run.facts.pool or "POOL", *task]
    scoring += ["--model", run.model.name, "--out", run.path]
    for name in ("n_label", "seed", "max_new_tokens"):
        if name in question:
            scoring += [f"--{name.replace('_', '-')}", question[name]]
    dtype = run.question.dtype.removeprefix("torch.")
    scoring += ["--dtype", dtype] if dtype in DTYPES else []
    scoring += ["--engine", "vllm"] if run.question.runtime == "vllm" else []
    return (
        labelcast(*scoring),
        *_drawn_by(run),
        labelcast("label", run.path, *(["--gold", gold] if (gold := read_gold(run).field) else [])),
        *([] if run.coslow() is None else [_measured_by(run)]),
        *(_tuned_by(run, row) for row in run.tuned_scores()),
        forecast_command(run, asked),
        labelcast("report", run.path, *paid),
    )


def _paid(prices: Prices) -> list[object]:
    given = {
        "--cost-per-label": prices.per_label,
        "--gpu-hour": prices.gpu_hour,
        "--gpu-hours": prices.gpu_hours,
        "--currency": None if prices.currency == Prices().currency else prices.currency,
    }
    return [word for pair in given.items() if pair[1] is not None for word in pair]


def _drawn_by(run: Run) -> list[str]:
    """A command for each later draw; its number is part of its seed, so the order is kept."""
    draws = Counter((draw.batch, draw.set) for draw in draws_so_far(run) if draw.set != "low")
    commands = []
    for (_, name), count in sorted(draws.items()):
        words: list[object] = ["--test", count] if name == "test" else ["--more", count]
        words += [] if name in ("test", RANDOM) else ["--select", name]
        commands.append(labelcast("label", run.path, *words))
    return commands


def _measured_by(run: Run) -> str:
    recorded = run.manifest("coslow").to_dict() if run.is_done("coslow") else {}
    known = [n for n in ("method", "rank", "seed", "seeds") if recorded.get(n) is not None]
    return labelcast(
        "coslow", run.path, *(w for name in known for w in (f"--{name}", recorded[name]))
    )


def _tuned_by(run: Run, row: TunedScore) -> str:
    words: list[object] = ["--budget", row.budget]
    words += [] if row.train_set == RANDOM else ["--set", row.train_set]
    # A file's recipe may have the name of a shipped one, as that of linear.yaml does.
    if row.recipe not in _SHIPPED or row.recipe_digest not in (None, _SHIPPED[row.recipe]):
        words += ["--recipe", RECIPE]
    elif row.recipe not in (FULL.name, FULL_ENCODER.name):
        words += ["--recipe", row.recipe]
    words += [] if row.seed is None else ["--seed", row.seed]
    return labelcast("tune", run.path, *words)
