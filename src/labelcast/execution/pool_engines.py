"""What runs a model over a pool: this process, a Ray cluster, or vLLM (experimental)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from labelcast.errors import InputError, LabelcastError, RunError, brief
from labelcast.execution.ray_workers import RayWorkers, import_ray, join, on_each_node, room
from labelcast.execution.shards import (
    ShardedPool,
    ShardJob,
    ShardModel,
    ShardReader,
    ShardResult,
    score_shard,
)
from labelcast.execution.workers import run_jobs
from labelcast.models.memory import limit_to_share

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from labelcast.models.choices import Choice
    from labelcast.models.loading import AnyModel, LanguageModel
    from labelcast.models.protocols import Predict, Progress

ENGINES = ("local", "ray", "vllm")
KeepTable = Callable[[int, "pa.Table"], None]
TRIES = 4
"""How often a shard is tried if the worker's process dies each time."""
CORES = 4
"""CPU cores of a worker, if the number of workers is not given and there is no GPU."""


class Engine(ABC):
    """What runs a model over a pool."""

    name = "local"
    # Values of one runtime differ by rounding at most; those of two must not be mixed in a table.
    runtime = "transformers"
    lm: AnyModel  # has weights only if this process runs it
    batch_size: int | None = None  # the engine's default; None leaves the choice to the device
    where = "this process"  # what runs the model, for people

    @abstractmethod
    def score(
        self, pool: ShardedPool, numbers: Sequence[int], keep: KeepTable, progress: Progress
    ) -> None:
        """Score the shards with these rising numbers, each once.

        `keep` is called with each shard's number and table, in any order; `progress` with the
        number of examples done.

        Raises:
            InputError: a record is wrong.
            RunError: scoring failed.
        """

    def close(self) -> None:  # noqa: B027 (an engine in this process has nothing to stop)
        """Stop what still runs. May be called twice."""


class LocalEngine(Engine):
    """The model in this process."""

    def __init__(self, lm: AnyModel):
        self.lm = lm

    def score(
        self, pool: ShardedPool, numbers: Sequence[int], keep: KeepTable, progress: Progress
    ) -> None:
        """Score shards one after another; see `Engine`."""
        predict, reader = self._predict(pool), ShardReader(self.lm.render)
        for number in numbers:
            shard = reader.read(pool, number)
            keep(number, score_shard(predict, shard, pool, progress))

    def _predict(self, pool: ShardedPool) -> Predict:
        return self.lm.for_answers(pool.allowed).predictor(pool.batch_size)


class VllmEngine(LocalEngine):
    """vLLM (experimental) in this process, on the GPUs that it sees."""

    name = "vllm"
    runtime = "vllm"
    lm: LanguageModel
    where = "vLLM in this process"

    def __init__(self, model: str, *, device: str = "auto", dtype: str = "auto"):
        """Choose the dtype; the weights are loaded later, if there is something to score.

        ``auto`` is 16 bits: vLLM is for speed, and its values differ from other engines' anyway.
        """
        from labelcast.models.choices import Choice, computes_bf16
        from labelcast.models.generation_vllm import BATCH, import_vllm
        from labelcast.models.loading import LanguageModel, load_unweighted

        import_vllm()
        self.batch_size = BATCH
        if device not in ("auto", "cuda"):
            raise InputError(f"--device {device}: --engine vllm runs on the GPUs that it sees.")
        if dtype == "auto":
            dtype = "bfloat16" if computes_bf16("cuda") else "float16"
        lm = load_unweighted(model, Choice("cuda", "vLLM chooses where"), dtype)
        if not isinstance(lm, LanguageModel):
            raise InputError(f"--engine vllm: for language models, and {model} is an encoder.")
        super().__init__(lm)

    def _predict(self, pool: ShardedPool) -> Predict:
        from labelcast.models.confidence import confidences
        from labelcast.models.generation_vllm import VllmAnswers

        return partial(confidences, self.lm, VllmAnswers(self.lm, pool.batch_size))


@dataclass(frozen=True)
class Spread:
    """How Ray spreads the work."""

    workers: int | None = None  # copies of the model; None: as many as the cluster has room for
    gpus_per_worker: float | None = None  # in (0, 1]; None: 1 if the cluster has GPUs
    address: str | None = None  # None starts a local cluster


class RayEngine(Engine):
    """Workers of a Ray cluster, each with the model; a job is a shard.

    Every node needs labelcast, the model and the pool under the same paths: each worker reads and
    renders its own shards.
    """

    name = "ray"

    def __init__(
        self, model: str, *, device: str = "auto", dtype: str = "auto", spread: Spread = Spread()
    ):
        """Join a cluster, or start one on this machine, and choose what a worker gets.

        The device ``auto`` means GPUs if the cluster has any. Workers start when there is something
        to score. Errors as `open_engine`.
        """
        self._ray = ray = import_ray()
        self._owned = join(ray, spread.address)
        try:
            gpu = device.startswith("cuda") or (device == "auto" and any(on_each_node(ray, "GPU")))
            gpus = (spread.gpus_per_worker or 1.0) if gpu else 0.0
            self.share = share = _share(ray, spread.workers, gpus)
            self.lm = _describe(ray, model, device, dtype, share)
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
        model = ShardModel(self.lm.name, self.lm.device.value, dtype, share.cpus, str(Path.cwd()))
        workers: RayWorkers[ShardResult] = RayWorkers(
            gpus_per_job=share.gpus,
            cpus_per_job=0 if share.gpus else share.cpus,
            size=min(share.workers, len(numbers)),
        )

        def take(number: int, result: ShardResult) -> None:
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

        jobs = {number: ShardJob(model, pool, number) for number in numbers}
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
    """Divide the cluster among workers, none of which spans two nodes; refuses too many."""
    kind = "GPU" if gpus else "CPU"
    nodes = on_each_node(ray, kind)
    cpus = 1
    if not gpus:
        most = max(1, int(max(nodes, default=1)))
        cpus = min(most, max(1, int(sum(nodes) / workers)) if workers else CORES)
        while workers and cpus > 1 and room(ray, 0, cpus) < workers:
            cpus -= 1
    fits = room(ray, gpus, 0 if gpus else cpus)
    if not fits or (workers or 1) > fits:
        raise InputError(
            f"--workers {workers or 1}: the cluster has room for {fits}, by its {kind}s "
            f"({', '.join(f'{node:g}' for node in nodes) or 'none'} on its nodes)."
        )
    return Share(workers or fits, gpus, cpus)


def _describe(ray: Any, model: str, device: str, dtype: str, share: Share) -> AnyModel:
    """The model without its weights, with the device and dtype that a worker will have."""
    from labelcast.models.choices import Choice
    from labelcast.models.loading import load_unweighted

    if not share.gpus:
        cpu = Choice("cpu", "no GPU in the cluster, or not asked for")
        return load_unweighted(model, cpu, dtype)
    # Only a process that has the GPU knows what fits on it.
    ask = ray.remote(num_gpus=share.gpus, num_cpus=0)(_choose_on_gpu)
    try:
        chosen = ray.get(ask.remote(model, device, dtype, share.gpus))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, LabelcastError):
            raise cause from None
        raise RunError(f"a worker failed: {type(error).__name__}: {brief(error, 300)}") from None
    lm = load_unweighted(model, chosen[0], str(chosen[1].value).removeprefix("torch."))
    return replace(lm, dtype=chosen[1])


def _choose_on_gpu(
    model: str, device: str, dtype: str, gpus: float
) -> tuple[Choice[str], Choice[torch.dtype]]:
    from labelcast.models.choices import choose_device
    from labelcast.models.loading import load_unweighted

    limit_to_share(gpus)
    chosen = choose_device(device)
    return chosen, load_unweighted(model, chosen, dtype).dtype


def check_options(name: str, spread: Spread) -> None:
    """Refuse an unknown engine and options that it does not have."""
    if name not in ENGINES:
        raise InputError(f"--engine {name}: choose {', '.join(ENGINES[:-1])} or {ENGINES[-1]}.")
    if spread.workers is not None and spread.workers < 1:
        raise InputError(f"--workers {spread.workers}: must be at least 1.")
    if spread.gpus_per_worker is not None and not 0 < spread.gpus_per_worker <= 1:
        raise InputError(
            f"--gpus-per-worker {spread.gpus_per_worker:g}: a worker takes one GPU, or a fraction "
            "of one such as 0.5."
        )
    for field in fields(spread):
        if getattr(spread, field.name) is not None and name != "ray":
            raise InputError(f"--{field.name.replace('_', '-')}: is for --engine ray.")


def open_engine(
    name: str, model: str, *, device: str = "auto", dtype: str = "auto", spread: Spread = Spread()
) -> Engine:
    """An engine by name, with a model as `load_model` takes it; `spread` is for ``ray`` only.

    Raises:
        InputError: a wrong option, a package that is not installed, or no such model.
        RunError: the cluster cannot be reached.
    """
    check_options(name, spread)
    if name == "ray":
        return RayEngine(model, device=device, dtype=dtype, spread=spread)
    if name == "vllm":
        return VllmEngine(model, device=device, dtype=dtype)
    from labelcast.models.loading import load_any

    return LocalEngine(load_any(model, device=device, dtype=dtype))
