"""Similarity of the labelled examples' gradients (`gram.npy`), in an order that shows groups."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError, is_out_of_memory
from labelcast.files.json_files import read_json
from labelcast.files.untrusted import refuse_special
from labelcast.runs.run import Run

MOST = 60
"""Examples that a heat map has room for."""

Array = NDArray[np.float64]


class Pair(NamedTuple):
    """Two examples by id, and the cosine of their gradients."""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosines between examples.

    Attributes:
        ids: of the examples, [n].
        cosines: [n,n].
        order: positions, so that like examples lie beside each other, [n].
    """

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
        """Positions that a heat map shows, in order: all, or `MOST` evenly spread over it."""
        n = len(self.order)
        if n <= MOST:
            return self.order
        return tuple(self.order[int(i)] for i in np.linspace(0, n - 1, MOST).round())

    def pairs(self, count: int) -> tuple[Pair, ...]:
        """The most alike pairs and the least alike one, by falling cosine."""
        rows, columns = np.triu_indices(len(self.ids), 1)
        values = self.cosines[rows, columns]
        ranked = np.argsort(-values, kind="stable")
        chosen = [*ranked[:count], *([ranked[-1]] if len(ranked) > count else [])]
        return tuple(
            Pair(self.ids[rows[i]], self.ids[columns[i]], float(values[i])) for i in chosen
        )


def clustered(cosines: Array) -> tuple[int, ...]:
    """An order in which like examples lie beside each other.

    Average linkage over 1 - cosine, its leaves ordered so that neighbours are as alike as can be.

    Args:
        cosines: [n,n], symmetric, n at least 1.

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
    # A tree may be read from either end; the end that holds the first example begins.
    return tuple(order if order.index(0) <= order.index(1) else order[::-1])


def _is_as_measured(run: Run, kept: bytes) -> bool:
    """Whether a matrix is the one that CoS-Low was taken of; older runs do not say."""
    manifest = run.manifest("coslow") if run.is_done("coslow") else {}
    return manifest.get("gram") in (None, hashlib.sha256(kept).hexdigest()[:16])


def read_similarity(run: Run) -> Similarity | None:
    """The similarities of a run; None where they are not measured yet.

    Raises:
        InputError: the matrix is damaged, or does not belong to `coslow.json`.
    """
    path = run.file("gram.npy")
    if not path.exists() or not run.file("coslow.json").exists():
        return None
    content = read_json(run.file("coslow.json"))
    ids = content.get("ids") if isinstance(content, dict) else None
    ids = ids if isinstance(ids, list) else []
    refuse_special(path)
    try:
        kept = path.read_bytes()
        # Mapped, so that a header alone cannot claim more than the file holds.
        cosines = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False), dtype=np.float64)
    except Exception as error:  # the header is read as Python, whose parser raises many kinds
        # A damaged header may say "no memory" too; with a whole one, memory is what lacks.
        if is_out_of_memory(error) and _is_as_measured(run, path.read_bytes()):
            raise MemoryError(f"for {path}") from None
        kept, cosines = b"", np.zeros((0, 0))
    fits = cosines.shape == (len(ids), len(ids)) and len(ids) > 1
    if not fits or not np.isfinite(cosines).all() or not _is_as_measured(run, kept):
        raise InputError(f"{path}: damaged. Run `labelcast coslow {run.path}` again.")
    return Similarity(tuple(map(str, ids)), cosines, clustered(cosines))
