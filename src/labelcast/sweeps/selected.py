"""Choose the labels of a job with a selection method, and keep the signals that it computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from labelcast.errors import InputError
from labelcast.files.atomic import make_folder
from labelcast.runs.records import RANDOM
from labelcast.selection.pool import Embed, Need, Pool
from labelcast.selection.registry import selector, selector_names
from labelcast.selection.selector import select
from labelcast.selection.signals import OnSignal, SignalStore
from labelcast.sweeps.task_data import SweepTask, subtasks_of

if TYPE_CHECKING:
    from labelcast.models.loading import AnyModel
    from labelcast.tasks.prompts import Example


def check_selectors(
    names: Sequence[str], *, encoder: bool, target: bool, subtasks: bool
) -> list[str]:
    """Refuse methods that a sweep cannot run; returns those that choose among labelled examples.

    Args:
        names: as ``--select`` takes them.
        encoder: whether the sweep's model is one.
        target: whether each task has a target set.
        subtasks: whether `group_by` is given for each task.

    Raises:
        InputError: no such method, or it needs what a sweep does not have; says what.
    """
    known, labelled = dict.fromkeys([RANDOM, *selector_names()]), []
    for name in names:
        if name not in known:
            raise InputError(f"--select {name}: no such method. Choose {', '.join(known)}.")
        needs = selector(name).needs
        if Need.TARGET in needs and not target:
            raise InputError(
                f"--select {name}: the method needs a target set. Give labelled examples of each "
                "task: --target FILE."
            )
        if Need.TASK_IDS in needs and not subtasks:
            raise InputError(
                f"--select {name}: the method needs the subtask of each example. Give the field "
                "that holds it: --group-by FIELD."
            )
        if encoder and Need.LANGUAGE_MODEL in needs:
            raise InputError(
                f"--select {name}: the method needs a language model, and the sweep's "
                "model is an encoder. Sweep with a language model, such as --model smollm2."
            )
        labelled += [name] if Need.ANSWERS in needs else []
    return labelled


def select_labels(
    name: str,
    source: SweepTask,
    examples: Sequence[Example],
    count: int,
    *,
    seed: int,
    lm: AnyModel,
    embed: Embed,
    target: Sequence[Example] = (),
    folder: Path | None,
    on_signal: OnSignal = lambda name, count: lambda done: None,
) -> tuple[Example, ...]:
    """Choose `count` of a task's training examples, in the order in which the method takes them.

    The result does not depend on the order of `examples`, so the seeds of a sweep share signals.

    Args:
        name: name of the method.
        source: the task that the examples are of.
        examples: labelled.
        count: how many to choose.
        seed: seed of the method.
        lm: the model for signals; the method may change it.
        embed: gives the vectors of texts.
        target: the labelled examples that a method may choose by.
        folder: where signals are kept; None keeps them in this process.
        on_signal: makes the progress of a signal that is computed.

    Raises:
        InputError: there are too few examples, or the method does not fit the model.
    """
    order = sorted(range(len(examples)), key=lambda place: examples[place].content)
    pool = [examples[place] for place in order]
    task = source.task
    store = _store(folder)
    store.on_signal = on_signal
    asked = Pool(
        pool,
        model=lambda: lm,
        embed=embed,
        allowed=task.decoded,
        metric=task.metric,
        target=target,
        target_ids=subtasks_of(source, target, target=True),
        task_ids=subtasks_of(source, pool),
        store=store,
    )
    chosen = select(selector(name), asked, count, seed=seed)
    return tuple(pool[position] for position in chosen.positions)


@lru_cache(maxsize=1)
def _store(folder: Path | None) -> SignalStore:
    """The signals of a folder, also kept in this process until it uses another folder."""
    try:
        if folder is not None:
            make_folder(folder)
    except OSError:  # a machine of a cluster without the sweep's disk
        folder = None
    return SignalStore(folder)
