"""Score a pool on a Ray cluster: one model per worker, one shard per job.

Every node needs labelcast, the model and the pool under the same paths: each worker reads and
renders its own shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from labelcast.errors import InputError, LabelcastError, RunError, brief
from labelcast.execution.pool_engines import Engine, KeepTable, Spread
from labelcast.execution.ray_workers import RayWorkers, import_ray, join, on_each_node
from labelcast.execution.shards import ShardedPool, ShardJob, ShardModel, ShardResult
from labelcast.execution.workers import run_jobs
from labelcast.models.choices import Choice, choose_device
from labelcast.models.loading import load_unweighted

if TYPE_CHECKING:
    import torch

    from labelcast.models.loading import LanguageModel
    from labelcast.models.protocols import Progress

TRIES = 4
"""How often a shard is tried if the worker's process dies each time."""
CORES = 4
"""CPU cores of a worker, if the number of workers is not given and there is no GPU."""


class RayEngine(Engine):
    """Workers of a Ray cluster, each with the model."""

    name = "ray"

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        spread: Spread | None = None,
    ):
        """Join a cluster, or start one on this machine, and choose what a worker gets.

        The device ``auto`` means GPUs if the cluster has any. Workers start when there is something
        to score.

        Raises:
            InputError: ray is not installed, no such model, or no room for the workers.
            RunError: the cluster cannot be reached.
        """
        self._ray = ray = import_ray()
        spread = spread or Spread()
        self._owned = join(ray, spread.address)
        try:
            gpu = device.startswith("cuda") or (device == "auto" and any(on_each_node(ray, "GPU")))
            gpus = (spread.gpus_per_worker or 1.0) if gpu else 0.0
            self.share = share = _share(ray, spread.workers, gpus)
            self.lm = _describe(ray, model, device if gpu else "cpu", dtype, share)
        except BaseException:
            self.close()
            raise
        each = f"{share.gpus:g} GPU" if gpus else f"{share.cpus} core{'s' * (share.cpus > 1)}"
        self.where = f"Ray, {share.workers} worker{'s' * (share.workers > 1)}, {each} each"

    def score(
        self, pool: ShardedPool, numbers: Sequence[int], keep: KeepTable, progress: Progress
    ) -> None:
        """Score shards as workers become free; see `Engine`."""
        share = self.share
        dtype = str(self.lm.dtype.value).removeprefix("torch.")
        device = self.lm.device.value
        model = ShardModel(self.lm.name, device, dtype, share.cpus, str(Path.cwd()))
        workers: RayWorkers[ShardResult] = RayWorkers(
            gpus_per_job=share.gpus,
            cpus_per_job=0 if share.gpus else share.cpus,
            size=min(share.workers, len(numbers)),
        )

        def take(position: int, result: ShardResult) -> None:
            number = numbers[position]
            if result.refusal is not None:
                raise result.refusal
            if result.table is None:
                raise RunError(
                    f"a worker died {TRIES} times at the same examples (shard {number}). If memory "
                    "is short, try a smaller --batch-size or fewer --workers. What has been scored "
                    "is kept."
                )
            keep(number, result.table)
            progress(pool.rows(number))

        jobs = [ShardJob(model, pool, number) for number in numbers]
        run_jobs(workers, jobs, retries=TRIES - 1, on_result=take)

    def close(self) -> None:
        """Leave the cluster; stop it if it was started here."""
        if self._owned and self._ray.is_initialized():
            self._ray.shutdown()


class Share(NamedTuple):
    """The number of workers, and the GPUs (or a fraction of one) or CPU cores of each."""

    workers: int
    gpus: float
    cpus: int


def _share(ray: Any, workers: int | None, gpus: float) -> Share:
    """Divide the cluster among workers, none of which spans two nodes.

    Raises:
        InputError: it has no room for that many workers.
    """
    kind = "GPU" if gpus else "CPU"
    nodes = on_each_node(ray, kind)

    def room(each: float) -> int:
        return sum(int(node / each + 1e-9) for node in nodes)

    cpus = 1
    if not gpus:
        most = max(1, int(max(nodes, default=1)))
        cpus = min(most, max(1, int(sum(nodes) / workers)) if workers else CORES)
        while workers and cpus > 1 and room(cpus) < workers:
            cpus -= 1
    fits = room(gpus or cpus)
    if not fits or (workers or 1) > fits:
        raise InputError(
            f"--workers {workers or 1}: the cluster has room for {fits}, by its {kind}s "
            f"({', '.join(f'{node:g}' for node in nodes) or 'none'} on its nodes)."
        )
    return Share(workers or fits, gpus, cpus)


def _describe(ray: Any, model: str, device: str, dtype: str, share: Share) -> LanguageModel:
    """The model without its weights, with the device and dtype that a worker will have."""
    if not share.gpus:
        cpu = Choice("cpu", "no GPU in the cluster, or not asked for")
        return load_unweighted(model, cpu, dtype)
    # Only a process that has the GPU knows what fits on it.
    ask = ray.remote(num_gpus=share.gpus, num_cpus=0)(_choose_on_gpu)
    try:
        chosen = ray.get(ask.remote(model, device, dtype))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, LabelcastError):
            raise cause from None
        raise RunError(f"a worker failed: {type(error).__name__}: {brief(error, 300)}") from None
    lm = load_unweighted(model, chosen[0], str(chosen[1].value).removeprefix("torch."))
    return replace(lm, dtype=chosen[1])


def _choose_on_gpu(model: str, device: str, dtype: str) -> tuple[Choice[str], Choice[torch.dtype]]:
    chosen = choose_device(device)
    return chosen, load_unweighted(model, chosen, dtype).dtype
