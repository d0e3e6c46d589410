"""A task of a sweep with its data: read, and split into a test set and a training order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from labelcast.errors import InputError
from labelcast.sweeps.records import TaskEntry
from labelcast.tasks import prompts
from labelcast.tasks.prompts import Example, Render, groups
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.splits import Splits, digest

Read = Callable[[str, Task, Render], Iterable[Example]]
"""Reads the examples of a source."""


@dataclass(frozen=True)
class SweepTask:
    """A task of a sweep, and the source of its labelled examples, as `open_source` takes it.

    Without `test_data` the test set is drawn from `data`. `target` has labelled examples for the
    methods that choose by them. `group_by` is the field with the subtask of each example, for the
    methods that use it.
    """

    task: Task
    data: str
    test_data: str | None = None
    target: str | None = None
    group_by: str | None = None


def read_examples(spec: str, task: Task, render: Render) -> Iterable[Example]:
    """The labelled examples of a source."""
    return prompts.examples(open_source(spec), task, render, need_answer=True)


def split(
    source: SweepTask | TaskEntry,
    test_size: int,
    *,
    seed: int,
    render: Render = lambda instruction, user: user,
    read: Read = read_examples,
) -> Splits:
    """The test set and training order of a task's data; arguments and errors as `Splits.make`.

    `render` makes prompts for a model; the split does not depend on it.
    """
    given = source.test_data
    test = None if given is None else read(given, source.task, render)
    examples = read(source.data, source.task, render)
    return Splits.make(examples, test_size, test=test, seed=seed)


def target_of(
    source: SweepTask | TaskEntry,
    test: Sequence[Example],
    render: Render = lambda instruction, user: user,
    read: Read = read_examples,
) -> tuple[Example, ...]:
    """The labelled examples that methods choose by, without those of the test set."""
    if source.target is None:
        return ()
    held_out = {example.content for example in test}
    found = read(source.target, source.task, render)
    return tuple(example for example in found if example.content not in held_out)


def subtasks_of(
    source: SweepTask | TaskEntry, examples: Sequence[Example], *, target: bool = False
) -> list[str] | None:
    """The subtask of each training example; None without `group_by`.

    With `target` the examples are those of the target set, which may lack the field.
    """
    spec = source.target if target else source.data
    if source.group_by is None or spec is None:
        return None
    wanted = {example.index for example in examples}
    data, task = open_source(spec), source.task
    found = groups(data, task, source.group_by, wanted.__contains__, needed=not target)
    return None if found is None else [found[example.index] for example in examples]


def check_data(
    source: SweepTask, *, test_size: int, largest: int, seed: int
) -> dict[str, str | None]:
    """Digests of a task's test, training and target set, read without a model.

    Raises:
        InputError: the data is wrong, leaves fewer than the `largest` budget after the test set,
            or the target set has nothing that is not in the test set.
    """
    splits = split(source, test_size, seed=seed)
    subtasks_of(source, splits.order)
    if largest > splits.largest_budget:
        raise InputError(
            f"task {source.task.name}: {source.data} leaves {splits.largest_budget} examples to "
            f"train on after {len(splits.test)} for the test, fewer than the largest budget of "
            f"{largest}. Give more data, or lower --budgets or --test-size."
        )
    target = target_of(source, splits.test)
    if source.target is not None and not target:
        raise InputError(
            f"task {source.task.name}: {source.target} has no labelled example that is not in the "
            "test set. Give others as --target."
        )
    subtasks_of(source, target, target=True)
    return {
        "test_digest": splits.test_digest,
        "train_digest": digest(splits.order),
        "target_digest": digest(target) if target else None,
    }
