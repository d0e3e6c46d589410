"""Fine-tune on the labels of a run, score on its test set, and keep the score."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import write_json, write_jsonl
from labelcast.models.choices import refuse_spread
from labelcast.models.loading import AnyModel
from labelcast.runs.coslow import check_model
from labelcast.runs.label_store import ExampleSet, LabelCounts, count_labels, labelled_examples
from labelcast.runs.records import CONSTRAINED, RANDOM, Form, TunedScore, parse_file
from labelcast.runs.run import Run
from labelcast.tasks.prompts import Example
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Splits, digest

if TYPE_CHECKING:
    from labelcast.training.evaluate import Evaluation

_SAVED = "labelcast.json"
"""In a folder with a saved model: the run and the training that it comes from."""


class _SavedModel(Form):
    """`labelcast.json`: the digests of the saved files, None until all are saved."""

    files: dict[str, str] | None = None


def tune(
    run: Run | str | Path,
    budget: int,
    *,
    train_set: str | None = None,
    model: str | AnyModel | None = None,
    recipe: str | Path | Recipe = "full",
    seed: int = 1,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    max_new_tokens: int | None = None,
    keep: Path | None = None,
    force: bool = False,
    report_to: Sequence[str] = (),
    on_step: Callable[[int, int, float | None], None] = lambda step, steps, loss: None,
    on_test: Callable[[int], None] = lambda done: None,
) -> TunedScore:
    """Fine-tune on the first labels of a run's training set, score on its test set, save the score.

    A score with the same budget, recipe, seed and training set is replaced. After a kill the same
    call resumes at the last checkpoint. `forecast_run` then uses the score.

    Args:
        run: a run with enough labels (see `check_labels`).
        budget: labels to use, validation included: 2 or more, or 0 for zero-shot.
        train_set: ``random`` or another training set of the run; None takes ``random`` if it has
            enough labels, else the only other one that has.
        model: a name as `load_model` takes it, or a model from `load_run_model`, whose weights
            are changed; None loads the model that scored the pool.
        recipe: ``full``, ``lora``, ``linear``, a YAML file, or a `Recipe`.
        seed: training seed.
        device: as `load_model` takes it.
        dtype: dtype of that model; ``auto`` trains and scores as a sweep does.
        batch_size: prompts at once when scoring; None chooses for the device.
        max_new_tokens: where an answer is cut off; None takes the run's own.
        keep: folder to save the tuned model in; None discards it.
        force: replace files in `keep` that are edited or not of a saved model.
        report_to: experiment trackers for the losses: trackio, wandb, mlflow, tensorboard (into
            ``RUN/tensorboard``).
        on_step: called after each training step with the step, the most steps and the last loss.
        on_test: called with the number of test examples scored since the last call.

    Raises:
        InputError: labels are missing, or the model is not the run's.
        RunError: training failed, or the folder cannot be written.
    """
    from labelcast.training.backend import Fit, Placement, backend_of, recipe_for
    from labelcast.training.evaluate import Scoring
    from labelcast.training.reporting import Reports, trackers

    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed}: a whole number from 0 to {2**32 - 1} is needed.")
    run = run if isinstance(run, Run) else Run.open(run)
    name = model if isinstance(model, str) else run.model.name if model is None else model.name
    recipe = recipe_for(recipe, name)
    train_set = check_labels(run, budget, train_set)
    if keep is not None:
        check_keep(keep, force=force)
    if model is None or isinstance(model, str):
        train = bool(budget)
        model = load_run_model(run, recipe, model, device=device, dtype=dtype, train=train)
    check_model(run, lm := model)
    label = f"{budget}-{seed}-{recipe.digest}"
    if train_set != RANDOM:
        label += f"-{train_set}"
    reports = Reports(
        trackers(",".join(report_to)),
        f"{run.path.resolve().name}-{label}",
        str(run.file(f"tensorboard/{label}")),
    )
    backend = backend_of(recipe, name)
    vectors = str(run.file("vectors"))
    placement = Placement(lm.device.value, dtype, cache=vectors, reports=reports)
    test = labelled_examples(run, "test", lm.render)
    training: dict[str, object] = {}
    seconds = 0.0
    folder = run.file(f"tuning/{label}")
    with run.locked():
        if budget:
            chosen = _first(labelled_examples(run, train_set, lm.render), test, budget)
            parts = Splits((), chosen).budget(budget, recipe.held_out(budget))
            tuned = backend.fit(lm, Fit(parts, recipe, seed, placement, folder, on_step))
            training = tuned.log.facts() | {"stopped_early": tuned.log.stopped_early}
            training |= {"train_digest": digest(chosen)}
            seconds = tuned.log.seconds  # in the processes before a resume too
            lm = tuned.lm
        scoring = Scoring.of(
            run.task,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens or run.question.max_new_tokens,
            placement=placement,
            progress=on_test,
        )
        begin = time.perf_counter()
        found = backend.score(lm, test, scoring)
        seconds += time.perf_counter() - begin
        if training.get("stopped_early"):
            _warn_if_not_learned(found, test, training)
        row = {
            "budget": budget,
            "score": found.value,
            "test_size": found.size,
            "metric": found.metric,
            "seed": seed,
            "recipe": recipe.name,
            "method": recipe.method,
            "seconds": round(seconds, 3),
            "device": placement.device,
            "score_sd": found.sd,
            "recipe_digest": recipe.digest,
            "test_digest": digest(test),
        } | ({"decoding": CONSTRAINED} if scoring.constrain else {})
        row |= {} if train_set == RANDOM else {"train_set": train_set}
        result = TunedScore.model_validate(row | training)
        rows = [s.to_dict() for s in run.tuned_scores() if _key(s) != _key(result)]
        rows.append(result.to_dict())
        write_jsonl(run.file("observations.jsonl"), rows)
        if keep is not None:
            _remove_saved(keep)
            # First, so that the same command may finish a save that was interrupted.
            saved = {"run": str(run.path), "budget": budget, "seed": seed}
            write_json(keep / _SAVED, saved)
            before = _stamps(keep)
            backend.save(lm, keep)
            now = _stamps(keep)
            # Not the user's own files, which the next save would delete.
            written = {name for name in now if now[name] != before.get(name)}
            files = {name: of for name, of in _digests(keep).items() if name in written}
            write_json(keep / _SAVED, saved | {"files": files})
        # Only now: after a kill while scoring, the training need not be repeated.
        rmtree(folder, ignore_errors=True)
    return result


def load_run_model(
    run: Run,
    recipe: Recipe,
    model: str | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    train: bool = True,
) -> AnyModel:
    """Load the model of a run as `tune` needs it, without `train` for a budget of 0.

    The other arguments and the errors are those of `tune`.
    """
    from labelcast.training.backend import Placement, backend_of

    refuse_spread(device)
    name, placement = model or run.model.name, Placement(device, dtype)
    found: AnyModel = backend_of(recipe, name).load(name, recipe, placement, train=train)
    return found.for_answers(run.task.answers if run.task else ())


def check_keep(folder: Path, *, force: bool = False) -> None:
    """Refuse a folder with other files than those of a saved model, as they were saved."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--keep-model {folder}: a file is there. Give a new folder.")
    if force or not folder.is_dir() or not any(folder.iterdir()):
        return
    fix = "Give a new folder, or replace the files with --force."
    if not (folder / _SAVED).exists():
        raise InputError(
            f"--keep-model {folder}: the folder is not empty, and labelcast did not save a model "
            f"there. {fix}"
        )
    files = parse_file(_SavedModel, folder / _SAVED, fix).files
    if files is None:  # an interrupted save
        return
    for name, found in _digests(folder).items():
        if files.get(name) != found:
            what = "edited since it was saved" if name in files else "not saved by labelcast"
            raise InputError(f"--keep-model {folder}: {name} was {what}. {fix}")


def _remove_saved(folder: Path) -> None:
    """Delete the files of an earlier save, of which this one may have fewer; edited ones stay."""
    files: dict[str, str] = {}
    with suppress(InputError, OSError):  # there was no earlier save, or --force replaces it
        files = parse_file(_SavedModel, folder / _SAVED, "").files or {}
    for name, found in _digests(folder).items():
        if files.get(name) == found:
            (folder / name).unlink()


def _digests(folder: Path) -> dict[str, str]:
    """The digests of the files below a folder with a saved model, by name."""
    found = {}
    for name in _stamps(folder):
        with (folder / name).open("rb") as stream:
            found[name] = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    return found


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """The inode and the time of change of the same files, which differ once one is written."""
    paths = sorted(path for path in folder.rglob("*") if path.name != _SAVED and path.is_file())
    stats = {str(path.relative_to(folder)): path.stat() for path in paths}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def _key(score: TunedScore) -> tuple[object, ...]:
    """What a run has one score of."""
    return score.budget, score.seed, score.recipe_digest, score.train_set


def _warn_if_not_learned(
    found: Evaluation, test: Sequence[Example], training: Mapping[str, object]
) -> None:
    """Warn of a score that is not above always giving the most frequent answer of the test set.

    Some tasks are learned after many steps without a gain; see docs/was-it-right.md on hyperbaton.
    """
    usual = max(Counter(example.answer for example in test).values()) / len(test)
    if found.metric in ("accuracy", "exact_match") and found.value <= usual:
        warnings.warn(
            f"training stopped early, after {training['steps']} steps, and its score is not above "
            f"{usual:.3f}, that of always giving the most frequent answer: another --seed, or a "
            "--recipe file with a larger `patience`, may learn the task",
            LabelcastWarning,
            stacklevel=3,
        )


def check_labels(run: Run, budget: int, train_set: str | None = None) -> str:
    """Refuse a run without the labels for a budget, with the commands that draw and label them.

    Returns:
        The training set to use; see `tune`. For a budget of 0 always ``random``.
    """
    if budget < 0 or budget == 1:
        raise InputError(
            f"--budget {budget}: give 0 for zero-shot, else 2 or more: one label to train on and "
            "one to decide when to stop."
        )
    counts = count_labels(run)
    drawn, labelled = Counter(counts.drawn), Counter(counts.labelled)
    if not drawn["test"]:
        raise InputError(
            f"{run.path}: there is no test set to score on. Draw one, of a few hundred examples "
            f"if you can: `labelcast label {run.path} --test 200`. Then label it: "
            f"`labelcast label {run.path} --set test`."
        )
    name = _train_set(run, budget, train_set, counts)
    short = budget - drawn[name]
    for one, needed in (("test", max(2, drawn["test"])), (name, 0 if short > 0 else budget)):
        if labelled[one] < needed:
            raise InputError(
                f"{run.path}: {labelled[one]} of the {needed} examples needed of the {one} set "
                f"are labelled. Label them: `labelcast label {run.path} --set {one}` (or in a "
                "file, with --export and --import)."
            )
    if short > 0:
        which, select = f"of the {name} set", f" --select {name}"
        if name == RANDOM:
            which, select = "drawn at random", ""
            which += " (those of low confidence do not count, because they are not a random sample)"
        raise InputError(
            f"{run.path}: a budget of {budget} needs {short} more examples {which}. Draw them: "
            f"`labelcast label {run.path} --more {short}{select}`. Then label them: "
            f"`labelcast label {run.path} --set {name}`."
        )
    return name


def _train_set(run: Run, budget: int, wanted: str | None, counts: LabelCounts) -> str:
    """The set that is asked for, else random or the only other one with enough labels."""
    known = [name for name in counts.drawn if ExampleSet.named(name).role == "train"]
    if wanted is not None:
        if wanted not in {RANDOM, *known}:
            sets = ", ".join(dict.fromkeys([RANDOM, *known]))
            raise InputError(f"--set {wanted}: no such training set. Choose {sets}.")
        return wanted if budget else RANDOM
    enough = [name for name in known if counts.labelled.get(name, 0) >= budget]
    if not budget or RANDOM in enough or not enough:
        return RANDOM
    if len(enough) > 1:
        raise InputError(
            f"{run.path}: the sets {', '.join(enough)} have enough labels. Choose one with --set."
        )
    return enough[0]


def _first(order: list[Example], test: list[Example], budget: int) -> tuple[Example, ...]:
    """The first labels in drawn order, without examples of the test set."""
    held = {example.content for example in test}
    chosen = tuple(example for example in order if example.content not in held)[:budget]
    short = budget - len(chosen)
    if short:
        raise InputError(
            f"{short} of the labelled examples are also in the test set. Draw and label {short} "
            "more at random."
        )
    return chosen
