"""The pool to choose from, with what is known of its examples.

Shapes: N examples, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelcast.errors import InputError
from labelcast.models.confidence import Confidence, score_confidence
from labelcast.models.identity import weights_digest
from labelcast.selection.clusters import members, unit
from labelcast.selection.signals import Arrays, SignalStore

if TYPE_CHECKING:
    from labelcast.models.loading import AnyModel
    from labelcast.models.protocols import Progress
    from labelcast.tasks.prompts import Example


class Need(StrEnum):
    """What a method needs of a pool; the value is its name in messages."""

    EMBEDDINGS = "embeddings"
    CONFIDENCE = "confidence"
    MARGIN = "margins"
    TASK_IDS = "task ids"
    ANSWERS = "answers"
    TARGET = "a target set"
    MODEL = "a model"
    LANGUAGE_MODEL = "a language model"


_FIXES = {
    Need.EMBEDDINGS: "Give --model minilm; in Python a `Pool` also takes an array of vectors.",
    Need.CONFIDENCE: "Score the pool with a model first, or give --model.",
    Need.MARGIN: "Give --model; in Python a `Pool` also takes an array of margins.",
    Need.TASK_IDS: "Name the field that tells the tasks apart: --group-by FIELD.",
    Need.ANSWERS: "Give a labelled pool, or a method that chooses before labelling.",
    Need.TARGET: "Give labelled examples of the target task: --target FILE.",
    Need.MODEL: "Give --model.",
    Need.LANGUAGE_MODEL: "Give a language model: --model smollm2.",
}


class Embed(Protocol):
    """Gives one vector per text, [N,F]."""

    def __call__(self, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Embed texts; `progress` is called with the number done."""


class LazyExamples(Sequence["Example"]):
    """Examples that are read, and rendered for a model, when the first one is used."""

    def __init__(self, size: int, read: Callable[[], Sequence[Example]]) -> None:
        """As many examples as `read` returns."""
        self._size, self._read = size, read

    @cached_property
    def _found(self) -> Sequence[Example]:
        return self._read()

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | Sequence[Example]:
        return self._found[place]


class Pool:
    """N examples and their signals: given as arrays, or computed by a model at first use.

    A computed signal is kept in the store's folder, so that another selector, or the same one
    after a kill, does not compute it again.

    Attributes:
        size: N.
        examples: the rendered examples, with answers if the pool is labelled; empty if only arrays
            are given.
        target: labelled examples of the task that the selection is for.
        target_ids: which subtask each of these belongs to; None if they are one task.
        task_ids: which task each example belongs to, [N]; None if unknown.
        metric: metric of the task, for methods that score answers; see `tasks.metrics.METRICS`.
        allowed: the answers to decode along; empty for free decoding.
        chosen: the positions of examples that were chosen before, which are not chosen again.
        store: keeps computed signals.
        origin: the position of each example in the pool that this one is a part of, or in itself,
            [N].
        origin_size: the number of examples of that pool.
    """

    def __init__(
        self,
        examples: Sequence[Example] = (),
        *,
        model: Callable[[], AnyModel] | None = None,
        embed: Embed | None = None,
        embeddings: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
        margin: ArrayLike | None = None,
        task_ids: Sequence[str] | None = None,
        target: Sequence[Example] = (),
        target_ids: Sequence[str] | None = None,
        allowed: Sequence[str] = (),
        metric: str = "exact_match",
        chosen: Sequence[int] = (),
        store: SignalStore | None = None,
    ) -> None:
        """A pool; `model` is called when a signal needs it, `embed` in place of its own `embed`.

        Raises:
            InputError: the pool is empty, the arrays have different lengths, or a task id is no
                text or is blank.
        """
        self.examples, self.task_ids = examples, _names("task_ids", task_ids)
        self.target, self.target_ids = target, _names("target_ids", target_ids)
        self.allowed, self.metric = tuple(allowed), metric
        self.chosen = np.asarray(chosen, np.int64)
        self.store = store or SignalStore(None)
        self._model, self._embed = model, embed
        given = {"embeddings": embeddings, "confidence": confidence, "margin": margin}
        self._given = {name: np.asarray(one) for name, one in given.items() if one is not None}
        lengths = {name: len(values) for name, values in self._given.items()}
        lengths |= {} if task_ids is None else {"task ids": len(task_ids)}
        lengths |= {"examples": len(examples)} if examples else {}
        if not any(lengths.values()):
            raise InputError("pool: no example is given.")
        if len(set(lengths.values())) != 1:
            raise InputError(f"pool: one value per example is needed, but there are {lengths}.")
        self.size = self.origin_size = next(iter(lengths.values()))
        self.origin = np.arange(self.size)

    @cached_property
    def tasks(self) -> list[NDArray[np.int64]]:
        """The positions of each task's examples, by name; all of them without task ids."""
        if self.task_ids is None:
            return [np.arange(self.size)]
        names, labels = np.unique(np.asarray(self.task_ids), return_inverse=True)
        return members(labels, len(names))

    @cached_property
    def lm(self) -> AnyModel:
        """The model, loaded at first use."""
        if self._model is None:
            raise InputError(f"no model is given. {_FIXES[Need.MODEL]}")
        return self._model()

    @cached_property
    def model_key(self) -> tuple[str, str, str]:
        """Identifies the model as it is before a method changes it."""
        lm = self.lm
        return lm.identity.fingerprint, weights_digest(lm.model), str(lm.dtype.value)

    def check(self, need: Need, method: str) -> None:
        """Refuse a pool that lacks what a method needs; computes nothing.

        Raises:
            InputError: names the method, the need and the way out.
        """
        modelled = self._model is not None and bool(self.examples)
        has = {
            Need.EMBEDDINGS: modelled or "embeddings" in self._given,
            Need.CONFIDENCE: modelled or "confidence" in self._given,
            Need.MARGIN: modelled or "margin" in self._given,
            Need.TASK_IDS: self.task_ids is not None,
            Need.ANSWERS: need is Need.ANSWERS and _answered(self.examples),
            Need.TARGET: need is Need.TARGET and _answered(self.target),
            Need.MODEL: modelled,
            Need.LANGUAGE_MODEL: modelled,
        }
        if not has[need]:
            raise InputError(
                f"--method {method} needs {need}, which the pool lacks. {_FIXES[need]}"
            )

    def part(self, rows: Sequence[int], chosen: Sequence[int] = ()) -> Pool:
        """The examples at some positions [M], as a pool that takes its signals from this one.

        Of these, those at `chosen`, positions in this pool too, were chosen before.
        """
        places = np.asarray(rows, np.int64)
        return _SubPool(self, places, np.flatnonzero(np.isin(places, chosen)))

    def about(self, *more: str) -> list[str]:
        """What a signal of the model on these examples depends on, for `SignalStore.rows`."""
        return [*self.model_key, *more, *(example.prompt for example in self.examples)]

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """One vector of length 1 per example, [N,F]; a vector of zeros stays one."""
        given = self._given.get("embeddings")
        vectors = self._vectors if given is None else np.asarray(given, np.float32)
        if vectors.ndim != 2:
            raise InputError("embeddings: one vector per example is needed.")
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise InputError(f"embeddings: row {finite.argmin()} has a number that is not finite.")
        return unit(vectors)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """The model's own vectors, [N,F]."""

        def compute(rows: Sequence[int], progress: Progress) -> Arrays:
            texts = [self.examples[row].prompt for row in rows]
            embed = self._embed or partial(self.lm.embed, batch_size=None)
            return {"vectors": embed(texts, progress=progress)}

        return self.store.rows("embeddings", self.about(), self.size, compute)["vectors"]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The model's confidence, [N] in [0, 1]; NaN where a prompt is too long."""
        return self._scored("confidence")

    @property
    def margin(self) -> NDArray[np.float64]:
        """The difference of the probabilities of the two best answers, [N]; NaN if unknown."""
        return self._scored("margin")

    def _scored(self, name: str) -> NDArray[np.float64]:
        if name in self._given:
            return np.asarray(self._given[name], np.float64)

        def compute(rows: Sequence[int], progress: Progress) -> Arrays:
            found = self._answer(rows, progress)
            return {
                "confidence": np.array([one.confidence for one in found]),
                "margin": np.array([one.margin for one in found]),
            }

        about = self.about(*self.allowed, "for", *self.lm.answers)
        return self.store.rows("confidence", about, self.size, compute)[name]

    def _answer(self, rows: Sequence[int], progress: Progress) -> list[Confidence]:
        """The model's answers to some examples."""
        from labelcast.models.encoder import Encoder, choose

        if isinstance(self.lm, Encoder):
            lm = self.lm.for_answers(self.lm.answers)  # refuses none
            progress(len(rows))
            return choose(lm.answers, lm.probabilities(self._vectors[list(rows)]))
        prompts = [self.examples[row].prompt for row in rows]
        return score_confidence(self.lm, prompts, progress=progress, allowed=self.allowed)


def _names(what: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of tasks as text."""
    for row, name in enumerate(given if given is not None else ()):
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"pool: {what}: row {row} has {name!r}, but a name is needed.")
    return None if given is None else tuple(str(name) for name in given)


def _answered(examples: Sequence[Example]) -> bool:
    """Whether there are examples, each with an answer."""
    return bool(examples) and all(example.answer is not None for example in examples)


class _SubPool(Pool):
    """Some of a pool's examples: embeddings, confidence and margins are those of the pool."""

    def __init__(self, pool: Pool, rows: NDArray[np.int64], chosen: NDArray[np.int64]) -> None:
        super().__init__(
            LazyExamples(len(rows), lambda: [pool.examples[row] for row in rows])
            if pool.examples
            else (),
            model=lambda: pool.lm,
            embed=None,
            **{name: values[rows] for name, values in pool._given.items()},
            task_ids=None if pool.task_ids is None else [pool.task_ids[row] for row in rows],
            target=pool.target,
            target_ids=pool.target_ids,
            allowed=pool.allowed,
            metric=pool.metric,
            chosen=chosen.tolist(),
            store=pool.store,
        )
        self._pool, self._rows = pool, rows
        self.origin, self.origin_size = pool.origin[rows], pool.origin_size

    @cached_property
    def model_key(self) -> tuple[str, str, str]:
        return self._pool.model_key

    def check(self, need: Need, method: str) -> None:
        self._pool.check(need, method)

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._pool.embeddings[self._rows]
        return found

    def _scored(self, name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._pool._scored(name)[self._rows]
        return found
