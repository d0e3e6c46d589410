"""Batches on several threads of a CPU at once, each with its share of torch's own threads.

Small products fill a core, and several cores share one badly: a thread for each batch is quicker
than many for each product, and a batch comes to the same bits whatever runs beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import torch

T = TypeVar("T")
Batch = list[int]


def side_by_side(
    run: Callable[[Batch], T], batches: Sequence[Batch], workers: int
) -> Iterator[tuple[Batch, T]]:
    """Run batches on a number of threads.

    Args:
        run: told a batch, in a thread of its own where there are several workers.
        batches: what it is told.
        workers: how many threads, at least 1; with 1 it is this one.

    Yields:
        Each batch with what `run` returned, as they are done.

    Raises:
        Exception: the first that `run` raised, after the batches that were under way.
    """
    if workers == 1:
        yield from ((batch, run(batch)) for batch in batches)
        return
    threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(
        workers, "labelcast", initializer=torch.set_num_threads, initargs=(threads // workers,)
    )
    try:
        under_way = {executor.submit(run, batch): batch for batch in batches}
        for future in as_completed(under_way):
            yield under_way[future], future.result()
    finally:
        executor.shutdown(cancel_futures=True)
        # A thread's number is also that of threads made later.
        torch.set_num_threads(threads)
