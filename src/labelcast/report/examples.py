"""What a run's examples show: the pool's confidence, labels, and how similar gradients are."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_special
from labelcast.labels.gold import read_gold
from labelcast.labels.session import ExampleNotes, load_notes
from labelcast.runs.label_store import read_draws, read_labels
from labelcast.runs.pool import ModelAnswer, pickable, read_model_answers, read_share_allowed
from labelcast.runs.run import Run
from labelcast.selection.coslow_draws import SHARE
from labelcast.tasks.prompts import input_names

BINS = 40
LISTED = 200
"""Labelled examples in the report's table."""
MOST = 60
"""Examples in a heat map."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PoolConfidence:
    """The confidence of a pool.

    Attributes:
        left_out: duplicates and prompts that are too long; these are never picked.
        mean, low, high: over the other examples.
        limit: the highest confidence that could be picked.
        allowed: how often the model's free answer is an allowed one; None if not measured.
        edges, counts, picked: of a histogram: the edges of its bins, and the examples and the
            picked examples in each.
    """

    size: int
    left_out: int
    mean: float
    low: float
    high: float
    limit: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    picked: tuple[int, ...]
    allowed: float | None


def read_confidence(run: Run) -> PoolConfidence | None:
    """The confidence of a run's pool; None if the pool was not scored in this run."""
    path = run.file("confidence.parquet")
    if not path.exists():
        return None
    with warnings.catch_warnings(action="ignore"):
        values = pickable(path)
    picked = [draw.index for draw in read_draws(run, ["low"]) if draw.index < len(values)]
    usable = np.sort(values[np.isfinite(values)])
    chosen = values[picked]
    chosen = chosen[np.isfinite(chosen)]
    if not len(usable) or not len(chosen):
        return None
    eligible = max(math.ceil(SHARE * len(usable)), len(picked))
    # The bins cover only what occurs, since confidence may crowd near 1.
    first = min(math.floor(usable[0] * 20) / 20, 0.95)
    edges = np.linspace(first, 1.0, BINS + 1)
    return PoolConfidence(
        size=len(values),
        left_out=len(values) - len(usable),
        mean=float(usable.mean()),
        low=float(usable[0]),
        high=float(usable[-1]),
        limit=float(usable[min(eligible, len(usable)) - 1]),
        edges=tuple(edges.tolist()),
        counts=tuple(np.histogram(np.clip(usable, first, 1), edges)[0].tolist()),
        picked=tuple(np.histogram(np.clip(chosen, first, 1), edges)[0].tolist()),
        allowed=read_share_allowed(path, run.task),
    )


@dataclass(frozen=True)
class LabelledExample:
    """A row of the table; None if unknown. `mean_cosine` is over the other examples."""

    number: int
    id: str
    texts: tuple[str, ...]
    answer: str
    model_answer: str | None
    confidence: float | None
    mean_cosine: float | None
    note: str
    unsure: bool


@dataclass(frozen=True)
class LabelledExamples:
    """The labelled examples: `rows` are those in the table, with their `numbers` by id.

    `count` examples are labelled of those `drawn`, `gold` of them from the pool, and the labeller
    skipped some; `seconds` is the median time per label of the others.
    """

    fields: tuple[str, ...]
    rows: tuple[LabelledExample, ...]
    count: int
    gold: int
    drawn: int
    skipped: int
    seconds: float | None
    numbers: Mapping[str, int]


def read_labelled(run: Run, mean_cosines: Mapping[str, float]) -> LabelledExamples:
    """The labelled low-confidence examples of a run; `mean_cosines` is by id."""
    names = input_names(run.task)
    labels = [label for label in read_labels(run) if label.set == "low"]
    table, rows, notes = run.file("confidence.parquet"), [], load_notes(run)
    numbers = {label.id: number for number, label in enumerate(labels[:LISTED], 1)}
    answers = read_model_answers(table, numbers) if table.exists() else {}
    for label in labels[:LISTED]:
        model = answers.get(label.id, ModelAnswer(None, None))
        own = notes.get(label.id, ExampleNotes(id=label.id))
        rows.append(
            LabelledExample(
                number=numbers[label.id],
                id=label.id,
                texts=tuple(label.fields[name] for name in names),
                answer=label.answer,
                model_answer=model.answer and model.answer.strip(),
                confidence=model.confidence,
                mean_cosine=mean_cosines.get(label.id),
                note=own.note,
                unsure=own.unsure,
            )
        )
    drawn, known = [draw.id for draw in read_draws(run, ["low"])], {label.id for label in labels}
    of_drawn = [notes[key] for key in drawn if key in notes]
    gold = set(read_gold(run).ids)
    times = [one.seconds for one in of_drawn if one.seconds and one.id not in gold]
    return LabelledExamples(
        fields=tuple(names),
        rows=tuple(rows),
        count=len(labels),
        gold=sum(label.id in gold for label in labels),
        drawn=max(len(drawn), len(labels)),
        # An import labels a skipped example without touching its notes.
        skipped=sum(one.skipped and one.id not in known for one in of_drawn),
        seconds=median(times) if times else None,
        numbers=numbers,
    )


class SimilarPair(NamedTuple):
    """The ids of two examples, and the cosine of their gradients."""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosines between examples, [N,N], and an order with similar examples next to each other."""

    ids: tuple[str, ...]
    cosines: Array
    order: tuple[int, ...]

    @property
    def means(self) -> dict[str, float]:
        """Mean cosine of each example to the others, by id."""
        n = len(self.ids)
        sums = self.cosines.sum(axis=1) - np.diag(self.cosines)
        return dict(zip(self.ids, (sums / (n - 1)).tolist(), strict=True))

    @property
    def shown(self) -> tuple[int, ...]:
        """Positions in the heat map, in order: all, or `MOST` evenly spaced ones."""
        n = len(self.order)
        if n <= MOST:
            return self.order
        return tuple(self.order[int(i)] for i in np.linspace(0, n - 1, MOST).round())

    def pairs(self, count: int) -> tuple[SimilarPair, ...]:
        """The `count` most similar pairs and the least similar one, by falling cosine."""
        rows, columns = np.triu_indices(len(self.ids), 1)
        values = self.cosines[rows, columns]
        ranked = np.argsort(-values, kind="stable")
        chosen = [*ranked[:count], *([ranked[-1]] if len(ranked) > count else [])]
        return tuple(
            SimilarPair(self.ids[rows[i]], self.ids[columns[i]], float(values[i])) for i in chosen
        )


def clustered(cosines: Array) -> tuple[int, ...]:
    """An order with similar examples next to each other, for symmetric cosines, [N,N].

    Average linkage over 1 - cosine.

    >>> clustered(np.array([[1, 0, 0.9], [0, 1, 0.1], [0.9, 0.1, 1]]))
    (0, 2, 1)
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    n = len(cosines)
    if n < 3:
        return tuple(range(n))
    distances = np.clip(1 - (cosines + cosines.T) / 2, 0, None)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    order = leaves_list(tree).tolist()
    # A tree can be read from either end; begin with the end that has the first example.
    return tuple(order if order.index(0) <= order.index(1) else order[::-1])


def read_similarity(run: Run) -> Similarity | None:
    """The similarities of a run; None if they are not measured yet.

    Raises:
        InputError: the matrix is damaged, or does not belong to `coslow.json`.
    """
    path, coslow = run.file("gram.npy"), run.coslow()
    if coslow is None or not path.exists():
        return None
    refuse_special(path)
    # Runs of earlier versions record no digest.
    digest = run.manifest("coslow").gram if run.is_done("coslow") else None
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    cosines = _load(path) if digest in (None, found) else np.zeros((0, 0))
    n = len(coslow.ids)
    if n < 2 or cosines.shape != (n, n) or not np.isfinite(cosines).all():
        raise InputError(f"{path}: damaged. Run `labelcast coslow {run.path}` again.")
    return Similarity(coslow.ids, cosines, clustered(cosines))


def _load(path: Path) -> Array:
    """A matrix from an untrusted file; an empty one if the file is damaged."""
    try:
        # Mapped: a header cannot make numpy allocate more than the file holds.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False), dtype=np.float64)
    except MemoryError:
        raise
    except Exception:  # numpy parses the header as Python, which raises many kinds
        return np.zeros((0, 0))
