"""Similarity of the labelled examples' gradients (`gram.npy`), in an order that shows groups."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_special
from labelcast.runs.run import Run

MOST = 60
"""Examples in a heat map."""

Array = NDArray[np.float64]


class Pair(NamedTuple):
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

    def pairs(self, count: int) -> tuple[Pair, ...]:
        """The `count` most similar pairs and the least similar one, by falling cosine."""
        rows, columns = np.triu_indices(len(self.ids), 1)
        values = self.cosines[rows, columns]
        ranked = np.argsort(-values, kind="stable")
        chosen = [*ranked[:count], *([ranked[-1]] if len(ranked) > count else [])]
        return tuple(
            Pair(self.ids[rows[i]], self.ids[columns[i]], float(values[i])) for i in chosen
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
