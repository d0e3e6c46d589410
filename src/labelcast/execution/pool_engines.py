"""What runs a model over a pool: this process, a Ray cluster, or vLLM (experimental)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args

from labelcast.errors import InputError
from labelcast.execution.shards import ShardedPool, ShardReader, score_shard

if TYPE_CHECKING:
    import pyarrow as pa

    from labelcast.models.generation import Answers
    from labelcast.models.loading import LanguageModel
    from labelcast.models.protocols import Progress

EngineName = Literal["local", "ray", "vllm"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
KeepTable = Callable[[int, "pa.Table"], None]


class Engine(ABC):
    """What runs a model over a pool.

    Attributes:
        name: one of `ENGINES`.
        runtime: what computes the probabilities, ``transformers`` or ``vllm``. Values of one
            runtime differ by rounding at most; those of both must not be mixed in a table.
        lm: the model; has weights only if this process runs it.
        batch_size: the engine's default; None leaves the choice to the device.
        where: what runs the model, for people.
    """

    name: EngineName = "local"
    runtime = "transformers"
    lm: LanguageModel
    batch_size: int | None = None
    where = "this process"

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

    def __init__(self, lm: LanguageModel):
        self.lm = lm

    def score(
        self, pool: ShardedPool, numbers: Sequence[int], keep: KeepTable, progress: Progress
    ) -> None:
        """Score shards one after another; see `Engine`."""
        answers, reader = self._answers(pool.batch_size), ShardReader(self.lm.render)
        for number in numbers:
            shard = reader.read(pool, number)
            keep(number, score_shard(self.lm, answers, shard, pool, progress))

    def _answers(self, batch_size: int) -> Answers:
        from labelcast.models.generation import LocalAnswers

        return LocalAnswers(self.lm, batch_size)


class VllmEngine(LocalEngine):
    """vLLM (experimental) in this process, on the GPUs that it sees."""

    name = "vllm"
    runtime = "vllm"
    where = "vLLM in this process"

    def __init__(self, model: str, *, device: str = "auto", dtype: str = "auto"):
        """Choose the dtype; the weights are loaded later, if there is something to score."""
        from labelcast.models.choices import Choice
        from labelcast.models.generation_vllm import BATCH, import_vllm
        from labelcast.models.loading import load_unweighted

        import_vllm()
        self.batch_size = BATCH
        if device not in ("auto", "cuda"):
            raise InputError(f"--device {device}: --engine vllm runs on the GPUs that it sees.")
        super().__init__(load_unweighted(model, Choice("cuda", "vLLM chooses where"), dtype))

    def _answers(self, batch_size: int) -> Answers:
        from labelcast.models.generation_vllm import VllmAnswers

        return VllmAnswers(self.lm, batch_size)


@dataclass(frozen=True)
class Spread:
    """How Ray spreads the work."""

    workers: int | None = None  # copies of the model; None: as many as the cluster has room for
    gpus_per_worker: float | None = None  # in (0, 1]; None: 1 if the cluster has GPUs
    address: str | None = None  # None starts a local cluster


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
    name: str,
    model: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    spread: Spread = Spread(),
) -> Engine:
    """An engine by name, with a model as `load_model` takes it; `spread` is for ``ray`` only.

    Raises:
        InputError: a wrong option, a package that is not installed, or no such model.
        RunError: the cluster cannot be reached.
    """
    check_options(name, spread)
    if name == "ray":
        from labelcast.execution.pool_ray import RayEngine

        return RayEngine(model, device=device, dtype=dtype, spread=spread)
    if name == "vllm":
        return VllmEngine(model, device=device, dtype=dtype)
    from labelcast.models.loading import load_model

    return LocalEngine(load_model(model, device=device, dtype=dtype))
