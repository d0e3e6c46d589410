"""What runs a model over a pool: this process, the workers of a Ray cluster, or vLLM.

An engine is given shards by their numbers and gives their tables back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from labelcast.errors import InputError
from labelcast.execution.shards import Work, tables

if TYPE_CHECKING:
    import pyarrow as pa

    from labelcast.models.loading import LanguageModel

Name = Literal["local", "ray", "vllm"]
NAMES: tuple[Name, ...] = get_args(Name)


class Engine(Protocol):
    """What runs a model over a pool.

    Attributes:
        name: ``local``, ``ray`` or ``vllm``.
        runtime: which code computes the probabilities, ``transformers`` or ``vllm``: values of
            one are equal to rounding at most, and values of the two do not belong in one table.
        lm: the model's tokenizer, identity, device and dtype; weights only where they are here.
        batch_size: prompts that run at once, asked for none; None leaves that to the device.
        where: what runs the model, in words.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def runtime(self) -> str: ...  # noqa: D102
    @property
    def lm(self) -> LanguageModel: ...  # noqa: D102
    @property
    def batch_size(self) -> int | None: ...  # noqa: D102
    @property
    def where(self) -> str: ...  # noqa: D102

    def tables(
        self, work: Work, numbers: Sequence[int], progress: Callable[[int], None]
    ) -> Iterator[tuple[int, pa.Table]]:
        """Score shards, each once: its number and its table, in any order.

        Args:
            work: what to score.
            numbers: of the shards, in rising order.
            progress: called with the number of examples done.

        Raises:
            InputError: a record, or an option that the engine cannot do.
            RunError: it could not be done.
        """

    def close(self) -> None:
        """Stop what still runs. May be called twice."""


class LocalEngine:
    """The model in this process."""

    name = "local"
    runtime = "transformers"
    batch_size = None
    where = "this process"

    def __init__(self, lm: LanguageModel):
        self.lm = lm

    def tables(
        self, work: Work, numbers: Sequence[int], progress: Callable[[int], None]
    ) -> Iterator[tuple[int, pa.Table]]:
        """Score shards one after the other; see `Engine`."""
        from labelcast.models.generation import LocalAnswers

        yield from tables(self.lm, LocalAnswers(self.lm, work.batch_size), work, numbers, progress)

    def close(self) -> None:
        """Nothing to stop."""


class VllmEngine:
    """vLLM in this process, on the GPUs that it can see. Untested: no GPU was at hand."""

    name = runtime = "vllm"
    where = "vLLM in this process"

    def __init__(self, model: str, *, device: str = "auto", dtype: str = "auto"):
        """Choose the dtype; the weights are loaded when there is something to score.

        Raises:
            InputError: vllm is not installed, no such model, or a device that is no GPU.
        """
        from labelcast.models.choices import Choice
        from labelcast.models.generation_vllm import BATCH, import_vllm
        from labelcast.models.loading import load_unweighted

        import_vllm()
        self.batch_size = BATCH
        if device not in ("auto", "cuda"):
            raise InputError(f"--device {device}: --engine vllm runs on the GPUs that it sees.")
        self.lm = load_unweighted(model, Choice("cuda", "vLLM chooses where"), dtype)

    def tables(
        self, work: Work, numbers: Sequence[int], progress: Callable[[int], None]
    ) -> Iterator[tuple[int, pa.Table]]:
        """Score shards one after the other; see `Engine`."""
        from labelcast.models.generation_vllm import VllmAnswers

        yield from tables(self.lm, VllmAnswers(self.lm, work.batch_size), work, numbers, progress)

    def close(self) -> None:
        """Nothing to stop: vLLM goes with the process."""


@dataclass(frozen=True)
class Spread:
    """How ray spreads the work.

    Attributes:
        workers: copies of the model; None takes what the cluster has room for.
        gpus_per_worker: a GPU or a share of one, in (0, 1]; None is one, where there are any.
        address: of a cluster; None starts a local one.
    """

    workers: int | None = None
    gpus_per_worker: float | None = None
    address: str | None = None


def check_options(name: str, spread: Spread) -> None:
    """Refuse an engine that is none, and options that it does not take.

    Raises:
        InputError: names the option.
    """
    if name not in NAMES:
        raise InputError(f"--engine {name}: choose {', '.join(NAMES[:-1])} or {NAMES[-1]}.")
    if spread.workers is not None and spread.workers < 1:
        raise InputError(f"--workers {spread.workers}: must be at least 1.")
    if spread.gpus_per_worker is not None and not 0 < spread.gpus_per_worker <= 1:
        raise InputError(
            f"--gpus-per-worker {spread.gpus_per_worker:g}: a worker takes one GPU, or a share of "
            "one such as 0.5."
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
    """An engine by its name, with its model.

    Args:
        name: ``local``, ``ray`` or ``vllm``.
        model: as `load_model` takes it.
        device: likewise.
        dtype: likewise.
        spread: for ray alone.

    Raises:
        InputError: a wrong option, a package that is missing, or no such model.
        RunError: the cluster cannot be reached.
    """
    check_options(name, spread)
    if name == "ray":
        from labelcast.execution.pool_ray import RayEngine

        return RayEngine(
            model,
            device=device,
            dtype=dtype,
            workers=spread.workers,
            gpus_per_worker=spread.gpus_per_worker or 1.0,
            address=spread.address,
        )
    if name == "vllm":
        return VllmEngine(model, device=device, dtype=dtype)
    from labelcast.models.loading import load_model

    return LocalEngine(load_model(model, device=device, dtype=dtype))
