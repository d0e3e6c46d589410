"""The literal commands of a report: those behind the answer, and those that come next.

Does not run anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from labelcast.forecast.answer import Forecast
from labelcast.runs.forecast import OPTIONS, coslow_is_stale
from labelcast.runs.run import Run

TEST_SIZE = 200
SCORES = "SCORES.csv"
MOST_OBSERVED = 8
"""Scores that a command names one by one; more of them stand in a file."""


class Step(NamedTuple):
    """Something to do, and the command for it, empty where there is none."""

    text: str
    command: str


def labelcast(*words: object) -> str:
    """A command, quoted for the shell."""
    return shlex.join(["labelcast", *map(str, words)])


def forecast_command(run: Run | None, asked: Mapping[str, Any], *more: object) -> str:
    """The command that makes a forecast again; SCORES.csv stands for a file of scores."""
    return labelcast("forecast", *_run_and_options(run, asked), *more)


def _run_and_options(run: Run | None, asked: Mapping[str, Any]) -> list[object]:
    words: list[object] = [] if run is None else [run.path]
    for name in OPTIONS:
        value = asked.get(name)
        if value is None or value is False or name == "observations":
            continue
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    given = asked.get("observations") or ()
    if len(given) > MOST_OBSERVED or any(len(entry) > 2 for entry in given):
        words += ["--scores", SCORES]
    else:
        words += [word for n, score in given for word in ("--observe", f"{n}={score}")]
    return words


def next_steps(run: Run | None, answer: Forecast, asked: Mapping[str, Any]) -> tuple[Step, ...]:
    """What to do next, in order."""
    if run is None:
        again = "" if answer.next_budget is None else _with_another_score(None, answer, asked)
        none = "No labels are needed for training. Check the zero-shot score on a test set."
        return (Step(answer.advice() or none, again),)
    steps = []
    if coslow_is_stale(run):
        steps.append(
            Step("The labels have changed: measure CoS-Low again.", labelcast("coslow", run.path))
        )
    if answer.answered_by == ("zero-shot",):
        text = "No labels are needed for training. Check the zero-shot score on a test set."
        return (*steps, Step(text, labelcast("tune", run.path, "--budget", 0)))
    if answer.next_budget is None:
        return (*steps, Step(answer.advice(), ""))
    return (*steps, *_act(run, answer, answer.next_budget, asked))


def _with_another_score(run: Run | None, answer: Forecast, asked: Mapping[str, Any]) -> str:
    """The command that asks again with a score of the next budget."""
    size = [] if asked.get("observe_sd") is not None else ["--observe-size", "M"]
    score = f"{answer.next_budget}=SCORE"
    others = {name: value for name, value in asked.items() if name != "observe_size"}
    return forecast_command(run, others, "--observe", score, *size)


def _act(run: Run, answer: Forecast, budget: int, asked: Mapping[str, Any]) -> list[Step]:
    """Label up to a budget, train there, and ask again."""
    sets = [row.get("set") for row in run.rows("draws.jsonl")]
    short = budget - sets.count("random")
    words: list[object] = ["--more", short] if short > 0 else []
    words += [] if "test" in sets else ["--test", TEST_SIZE]
    drawing = Step(
        f"Draw {_things(short, 'test' not in sets)} at random.",
        labelcast("label", run.path, *words),
    )
    return [
        *([drawing] if words else []),
        Step(f"Label them, up to {budget:,}.", labelcast("label", run.path)),
        Step(
            "Fine-tune on them, score on the test set, and forecast again.",
            labelcast("tune", run.path, "--budget", budget),
        ),
        Step(
            "Or fine-tune in your own way and say what came out.",
            _with_another_score(run, answer, asked),
        ),
    ]


def _things(short: int, need_test: bool) -> str:
    parts = [f"{short:,} more examples"] if short > 0 else []
    parts += [f"a test set of {TEST_SIZE}"] if need_test else []
    return " and ".join(parts)


def made_by(run: Run | None, asked: Mapping[str, Any]) -> Sequence[str]:
    """The commands that lead to this report; TASK stands for the task's file."""
    if run is None:
        return [labelcast("report", *_run_and_options(None, asked))]
    question, facts = run.question, run.facts
    task = ["--task", "TASK"] if question.get("task") else []
    settings: list[object] = []
    for name in ("n_label", "seed", "max_new_tokens"):
        if name in question:
            settings += [f"--{name.replace('_', '-')}", question[name]]
    score = ["score", facts.get("pool", "POOL"), *task, "--model", run.model["name"]]
    commands = [labelcast(*score, "--out", run.path, *settings), labelcast("label", run.path)]
    if run.file("coslow.json").exists():
        commands.append(labelcast("coslow", run.path))
    for row in run.rows("observations.jsonl"):
        commands.append(labelcast("tune", run.path, "--budget", row["budget"]))
    return [*commands, forecast_command(run, asked), labelcast("report", run.path)]
