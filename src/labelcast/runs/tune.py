"""Acting on a forecast: fine-tune on labels of a run, score, and keep the observation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl
from labelcast.labels.store import count_labels, labelled_examples
from labelcast.models.loading import LanguageModel
from labelcast.runs.run import Run
from labelcast.tasks.prompts import Example
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Splits, digest

OBSERVATIONS = "observations.jsonl"


def check_run(run: Run, budget: int) -> None:
    """Refuse before any model is loaded what a run's labels do not allow.

    Raises:
        InputError: the test set or the labels for training are missing; says which command draws
            or imports them.
    """
    if budget < 0 or budget == 1:
        raise InputError(
            f"--budget {budget}: 0 measures zero-shot; else 2 or more, since one label trains and "
            "one says when to stop."
        )
    state = count_labels(run)
    drawn, done = state.drawn, state.labelled
    if not drawn.get("test"):
        raise InputError(
            f"{run.path}: there is no test set to score on. Draw one (a few hundred are better): "
            f"`labelcast label {run.path} --test 200`, and label it: "
            f"`labelcast label {run.path} --set test`."
        )
    if done.get("test", 0) < max(2, drawn["test"]):
        raise InputError(_unlabelled(run, "test", done.get("test", 0), drawn["test"]))
    short = budget - drawn.get("random", 0)
    if short > 0:
        raise InputError(
            f"{run.path}: a budget of {budget} needs {short} more examples drawn at random (those "
            "of low confidence do not count: they are no fair sample). Draw them: "
            f"`labelcast label {run.path} --more {short}`, and label them: "
            f"`labelcast label {run.path} --set random`."
        )
    if done.get("random", 0) < budget:
        raise InputError(_unlabelled(run, "random", done.get("random", 0), budget))


def _unlabelled(run: Run, name: str, done: int, wanted: int) -> str:
    return (
        f"{run.path}: {done} of the {wanted} examples needed of the {name} set are labelled. "
        f"Label them: `labelcast label {run.path} --set {name}` (or in a file, with --export and "
        "--import)."
    )


def tune_run(
    run: Run,
    lm: LanguageModel,
    budget: int,
    *,
    recipe: Recipe,
    seed: int = 1,
    batch_size: int | None = None,
    max_new_tokens: int | None = None,
    dtype: str = "auto",
    keep: Path | None = None,
    on_step: Callable[[int, int, float | None], None] = lambda step, steps, loss: None,
    on_test: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Fine-tune on the first labels of a run's random set, score on its test set, and keep it.

    The same budget, recipe and seed on the same labels replace the observation that was there.
    Killed, the same call goes on from the last checkpoint.

    Args:
        run: with labelled sets, as `check_run` wants them.
        lm: the run's model; its weights are changed.
        budget: labels that train and validate; 0 measures zero-shot.
        recipe: of the fine-tuning.
        seed: of training.
        batch_size: prompts at once in the evaluation; None takes one for the device.
        max_new_tokens: where an answer is cut off; the run's own by default.
        dtype: that the user asked for; with ``auto`` as a sweep trains and scores.
        keep: a folder for the tuned model; None drops it.
        on_step: called after each training step with steps, most steps and the last loss.
        on_test: called with the number of test examples done.

    Returns:
        The observation, as it stands in `RUN/observations.jsonl`: ``budget``, ``score``,
        ``test_size``, ``metric``, ``seed``, ``recipe``, ``seconds`` and more.

    Raises:
        InputError: labels are missing, or the model is not the run's.
    """
    from labelcast.training import fit_and_score

    begin = time.perf_counter()
    check_run(run, budget)
    _same_model(run, lm)
    task = run.task
    test = labelled_examples(run, "test", lm.render)
    facts: dict[str, Any] = {}
    folder = run.file(f"tuning/{budget}-{seed}-{recipe.digest}")
    with run.locked():
        if budget:
            held = {example.content for example in test}
            chosen = _first(labelled_examples(run, "random", lm.render), held, budget)
            parts = Splits((), chosen).budget(budget, recipe.validation_share)
            tuned = fit_and_score.fit(
                lm, parts, recipe, seed=seed, dtype=dtype, folder=folder, progress=on_step
            )
            facts = fit_and_score.facts(tuned) | {"stopped_early": tuned.stopped_early}
            facts |= {"train_digest": digest(chosen)}
            lm = tuned.lm
        how = fit_and_score.Scoring(
            "accuracy" if task is None else task.metric,
            () if task is None else task.answers,
            batch_size,
            max_new_tokens or int(run.question.get("max_new_tokens", 30)),
        )
        lm = fit_and_score.ready_to_score(lm, lm.device.value, dtype)
        found = fit_and_score.score(lm, test, how, on_test)
        row = {
            "budget": budget,
            "score": found.value,
            "test_size": found.size,
            "metric": found.metric,
            "seed": seed,
            "recipe": recipe.name,
            "seconds": round(time.perf_counter() - begin, 3),
            "score_sd": found.sd,
            "recipe_digest": recipe.digest,
            "test_digest": digest(test),
            **facts,
        }
        _keep(run, row)
        if keep is not None:
            fit_and_score.save_model(lm, keep)
        # Not before: a kill while the test set is scored must not cost the training.
        rmtree(folder, ignore_errors=True)
    return row


def _first(order: list[Example], held: set[str], budget: int) -> tuple[Example, ...]:
    """The first labels in drawn order, none of the test set among them."""
    chosen = tuple(example for example in order if example.content not in held)[:budget]
    if len(chosen) < budget:
        raise InputError(
            f"{budget - len(chosen)} of the labelled examples stand in the test set too; label "
            f"{budget - len(chosen)} more at random."
        )
    return chosen


def _same_model(run: Run, lm: LanguageModel) -> None:
    before = run.model
    if lm.identity.fingerprint != before["fingerprint"]:
        raise InputError(
            f"{run.path}: its pool was scored with model {before['name']}, which is not "
            f"{lm.name}. Give --model {before['name']}."
        )


def _keep(run: Run, row: dict[str, Any]) -> None:
    """Add an observation; one of the same budget, recipe and seed makes way."""
    what = ("budget", "seed", "recipe_digest")
    others = [
        old for old in run.rows(OBSERVATIONS) if any(old.get(name) != row[name] for name in what)
    ]
    write_jsonl(run.file(OBSERVATIONS), [*others, row])
