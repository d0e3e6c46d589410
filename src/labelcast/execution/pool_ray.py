"""A pool's shards over a Ray cluster, with Ray Data: one model a worker, one shard a block.

Needs the extra `labelcast[ray]`. Every node needs labelcast, the model and the pool under the same
paths; each worker reads the pool for itself and renders its own shards, so that little goes
through the process that waits, which alone writes the run folder.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from labelcast.errors import InputError, LabelcastError, RunError, brief
from labelcast.execution.cluster import import_ray, join, on_each_node
from labelcast.execution.shards import Reader, Work, score_shard
from labelcast.models.choices import Choice, choose_device
from labelcast.models.loading import load_model, load_unweighted

if TYPE_CHECKING:
    import torch

    from labelcast.models.generation import Answers
    from labelcast.models.loading import LanguageModel

TRIES = 4
"""How often a shard is begun, where the worker's process dies each time, before it is given up."""
SHARE = 4
"""CPU cores of a worker, where no number of workers is given and there is no GPU."""
_ROW = pa.schema(
    [
        ("shard", pa.int64()),
        ("table", pa.large_binary()),
        ("fault", pa.string()),
        ("status", pa.int8()),
    ]
)


class RayEngine:
    """Workers of a Ray cluster, each with the model."""

    name = "ray"
    runtime = "transformers"
    batch_size = None

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        workers: int | None = None,
        gpus_per_worker: float = 1.0,
        address: str | None = None,
    ):
        """Join a cluster, or start one on this machine, and choose what a worker gets.

        Workers start when there is something to score.

        Args:
            model: as `load_model` takes it.
            device: ``auto`` takes GPUs where the cluster has any.
            dtype: as `load_model` takes it; the same for every worker.
            workers: how many; None takes as many as there is room for.
            gpus_per_worker: a GPU or a share of one, in (0, 1], where the cluster has any.
            address: of an existing cluster; None starts a local one.

        Raises:
            InputError: ray is not installed, no such model, or no room for the workers.
            RunError: the cluster cannot be reached.
        """
        self._ray = ray = import_ray()
        self._ours = join(ray, address)
        try:
            gpu = device.startswith("cuda") or (device == "auto" and any(on_each_node(ray, "GPU")))
            self.share = _share(ray, workers, gpus_per_worker if gpu else 0.0)
            self.lm = _describe(ray, model, device if gpu else "cpu", dtype, self.share)
        except BaseException:
            self.close()
            raise

    @property
    def where(self) -> str:
        """How the work is spread, in words."""
        many = f"{self.share.workers} worker{'s' * (self.share.workers > 1)}"
        cores = f"{self.share.cpus} core{'s' * (self.share.cpus > 1)} each"
        return f"Ray, {many}, {f'{self.share.gpus:g} GPU each' if self.share.gpus else cores}"

    def tables(
        self, work: Work, numbers: Sequence[int], progress: Callable[[int], None]
    ) -> Iterator[tuple[int, pa.Table]]:
        """Score shards as workers come to them; see `Engine`."""
        order = Order(
            model=self.lm.name,
            device=self.lm.device.value,
            dtype=str(self.lm.dtype.value).removeprefix("torch."),
            threads=self.share.cpus,
            folder=os.getcwd(),  # noqa: PTH109
            work=work,
            tries=self._ray.remote(num_cpus=0)(Tries).remote(),
        )
        with _quiet_data() as data:
            shards = data.from_items(
                [{"shard": number} for number in numbers], override_num_blocks=len(numbers)
            )
            scored = shards.map_batches(
                Worker,
                fn_constructor_args=(order,),
                batch_size=1,
                batch_format="pyarrow",
                concurrency=min(self.share.workers, len(numbers)),
                **({"num_gpus": self.share.gpus} if self.share.gpus else {}),
                **({} if self.share.gpus else {"num_cpus": self.share.cpus}),
            )
            try:
                for batch in scored.iter_batches(
                    batch_size=None, batch_format="pyarrow", prefetch_batches=0
                ):
                    for row in batch.to_pylist():
                        if row["fault"]:
                            raise (InputError if row["status"] == 2 else RunError)(row["fault"])
                        yield row["shard"], _unpacked(row["table"])
                        progress(work.rows(row["shard"]))
            except self._ray.exceptions.RayError as error:
                raise _fault(error) from None

    def close(self) -> None:
        """Leave the cluster; one started here ends."""
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()


class Share(NamedTuple):
    """How many workers, and what each has: a GPU or a share of one, else CPU cores."""

    workers: int
    gpus: float
    cpus: int


@dataclass(frozen=True)
class Order:
    """What a worker is told: the model, how it runs, the work, where we stand, and who counts."""

    model: str
    device: str
    dtype: str
    threads: int
    folder: str
    work: Work
    tries: Any


class Tries:
    """Counts how often each shard was begun: Ray itself starts a worker that died for ever."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """Which try of a shard this is, from 1."""
        self._begun[number] += 1
        return self._begun[number]


class Worker:
    """A model in a process of the cluster, which scores one shard after another."""

    def __init__(self, order: Order):
        # Nothing that may fail: what is wrong is told where there is someone to tell.
        self.order = order
        self.ready: tuple[LanguageModel, Answers, Reader] | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Tables of the shards whose numbers stand in a batch, or what was wrong with one.

        An error is handed back as it is: Ray would wrap it in advice of its own.
        """
        rows = [{"shard": number} | self._told(number) for number in batch["shard"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=_ROW)

    def _told(self, number: int) -> dict[str, Any]:
        try:
            return {"table": _packed(self._score(number)), "fault": "", "status": 0}
        except LabelcastError as error:
            return {"table": b"", "fault": str(error), "status": error.status}
        except Exception as error:
            traceback.print_exc()  # into the cluster's own log
            return {"table": b"", "fault": _in_words(error), "status": 1}

    def _score(self, number: int) -> pa.Table:
        import ray

        if ray.get(self.order.tries.begin.remote(number)) > TRIES:
            raise RunError(
                f"the process of a worker died {TRIES} times at the same examples (shard "
                f"{number}). If memory is short, try a smaller --batch-size or fewer --workers. "
                "What is scored already is kept."
            )
        lm, answers, reader = self.ready = self.ready or self._begin()
        return score_shard(lm, answers, reader.read(number), self.order.work)

    def _begin(self) -> tuple[LanguageModel, Answers, Reader]:
        import torch

        from labelcast.models.generation import LocalAnswers

        order = self.order
        with suppress(OSError):  # the paths may be absolute, and a remote node laid out otherwise
            os.chdir(order.folder)
        if order.device == "cpu":
            torch.set_num_threads(order.threads)
        lm = load_model(order.model, device=order.device, dtype=order.dtype)
        answers = LocalAnswers(lm, order.work.batch_size)
        return lm, answers, Reader(order.work, lm.render)


def _share(ray: Any, workers: int | None, gpus: float) -> Share:
    """Divide the cluster: whole workers on each node.

    Raises:
        InputError: it has no room for so many workers.
    """
    kind = "GPU" if gpus else "CPU"
    nodes = on_each_node(ray, kind)

    def room(each: float) -> int:
        return sum(int(node / each + 1e-9) for node in nodes)

    if gpus:
        share = Share(workers or room(gpus), gpus, 1)
        fits = room(gpus)
    else:
        most = max(1, int(max(nodes, default=1)))
        cpus = min(most, max(1, int(sum(nodes) / workers)) if workers else SHARE)
        while workers and cpus > 1 and room(cpus) < workers:
            cpus -= 1
        share = Share(workers or max(1, room(cpus)), 0.0, cpus)
        fits = room(cpus)
    if share.workers > fits or not fits:
        raise InputError(
            f"--workers {workers or 1}: the cluster has room for {fits}, by its {kind}s "
            f"({', '.join(f'{node:g}' for node in nodes) or 'none'} on its nodes)."
        )
    return share


def _describe(ray: Any, model: str, device: str, dtype: str, share: Share) -> LanguageModel:
    """The model without its weights, with the device and dtype that a worker will have."""
    if not share.gpus:
        return load_unweighted(
            model, Choice("cpu", "no GPU in the cluster, or not asked for"), dtype
        )
    # What fits a GPU only a process that has one can tell.
    ask = ray.remote(num_gpus=share.gpus, num_cpus=0)(_on_a_gpu)
    try:
        chosen = ray.get(ask.remote(model, device, dtype))
    except ray.exceptions.RayError as error:
        raise _fault(error) from None
    lm = load_unweighted(model, chosen[0], str(chosen[1].value).removeprefix("torch."))
    return type(lm)(lm.model, lm.tokenizer, lm.identity, *chosen)


def _on_a_gpu(model: str, device: str, dtype: str) -> tuple[Choice[str], Choice[torch.dtype]]:
    chosen = choose_device(device)
    return chosen, load_unweighted(model, chosen, dtype).dtype


def _in_words(error: Exception) -> str:
    """An error of a worker that nobody foresaw, or that the machine had no room for it."""
    text = brief(error, 2000)
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return (
            "a worker is out of memory. Try a smaller --batch-size, or fewer --workers on a "
            "machine or a GPU."
        )
    return f"a worker failed: {type(error).__name__}: {text[:300]}"


def _fault(error: Exception) -> LabelcastError:
    """What Ray says went wrong, in one message."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LabelcastError):
        return cause
    return RunError(_in_words(error))


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _unpacked(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()


@contextmanager
def _quiet_data() -> Iterator[Any]:
    """Ray Data without bars and logs on the console."""
    import ray.data

    settings = {"enable_progress_bars": False, "print_on_execution_start": False}
    context = ray.data.DataContext.get_current()
    before = {name: getattr(context, name) for name in settings if hasattr(context, name)}
    handlers = [h for h in logging.getLogger("ray.data").handlers if hasattr(h, "stream")]
    levels = [handler.level for handler in handlers]
    try:
        for name in before:
            setattr(context, name, settings[name])
        for handler in handlers:
            handler.setLevel(logging.CRITICAL + 1)
        yield ray.data
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
