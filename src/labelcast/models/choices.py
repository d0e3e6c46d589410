"""The choice of device, dtype and batch size, each with the reason for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from labelcast.errors import InputError
from labelcast.models.memory import gpu_size, unless_full

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Purpose = Literal["confidence", "gradients", "embedding"]
DTYPES = ("float32", "bfloat16", "float16")
SPREAD = "spread"


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A value and why it was chosen."""

    value: T
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


def choose_device(wanted: str = "auto") -> Choice[str]:
    """The device to run on; ``auto`` is a GPU if there is one."""
    import torch

    refuse_spread(wanted)
    if wanted != "auto":
        try:
            torch.empty(1, device=wanted)
        except (RuntimeError, AssertionError) as error:
            fault = str(error).splitlines()[0][:120]
            raise InputError(f"--device {wanted}: not available here ({fault}).") from None
        return Choice(wanted, "asked for")
    if torch.cuda.is_available():
        return Choice("cuda", f"GPU found: {torch.cuda.get_device_name()}")
    return Choice("cpu", "no GPU found")


def computes_bf16(device: str) -> bool:
    """Whether a device has instructions for bfloat16."""
    import torch

    # torch's own question is about the current GPU, which may be another one.
    return device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] >= 8


def trains_in_bf16(device: str) -> bool:
    """Whether a device has instructions for bfloat16 products: some GPUs, and CPUs with AMX."""
    import torch

    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return computes_bf16(device) or (device == "cpu" and bool(amx()))


def refuse_spread(wanted: str) -> None:
    """Refuse ``spread``, on which a model cannot be trained."""
    if wanted == SPREAD:
        raise InputError(
            f"--device {SPREAD}: only for score and coslow. To train on several GPUs use "
            "labelcast sweep --gpus-per-job."
        )


def choose_entry() -> Choice[str]:
    """The device of the first layer when a model is spread over all devices."""
    import torch

    if not torch.cuda.is_available():
        return Choice("cpu", "no GPU found to spread over")
    count = torch.cuda.device_count()
    over = f"{count} GPUs" if count > 1 else "one GPU"
    return Choice("cuda:0", f"spread over {over}, the rest in the CPU's memory")


def check_dtype(wanted: str) -> None:
    """Refuse an unknown dtype before a model is loaded."""
    if wanted != "auto" and wanted not in DTYPES:
        raise InputError(f"--dtype {wanted}: not one of auto, {', '.join(DTYPES)}.")


def torch_dtype(name: str) -> torch.dtype:
    """The dtype with one of the names `DTYPES`."""
    import torch

    check_dtype(name)
    found: torch.dtype = getattr(torch, name)
    return found


def choose_dtype(wanted: str, device: str, parameters: int) -> Choice[torch.dtype]:
    """The dtype of `parameters` weights: `wanted`, if it is not ``auto``.

    On a CPU float32; on a GPU float32 if the weights fill at most half the memory. bfloat16 changes
    the ranking of confidences, and CoS-Low by more than 0.01.
    """
    import torch

    if wanted != "auto":
        return Choice(torch_dtype(wanted), "asked for")
    if not device.startswith("cuda"):
        return Choice(torch.float32, "a lower precision changes the ranking and CoS-Low")
    memory = gpu_size(device)
    if fills_half(4 * parameters, memory):
        return Choice(torch.bfloat16, f"in float32 it would fill {4 * parameters / memory:.0%}")
    why = "the model fits, and a lower precision changes the ranking and CoS-Low"
    if computes_bf16(device):
        faster = unless_full(lambda: bf16_gain(device)) or 1.0
        why += f"; --dtype bfloat16 is up to {faster:.0f} times as fast here" * (faster >= 1.5)
    return Choice(torch.float32, why)


def fills_half(needed: int, memory: int) -> bool:
    """Whether weights leave less than half of a GPU's memory free."""
    return needed > memory / 2


def bf16_gain(device: str, size: int = 4096) -> float:
    """How many times as fast a device multiplies two matrices in bfloat16 as in float32, timed.

    `size` is their width: 4,096 takes milliseconds and 200 MB on a GPU.
    """
    import torch

    def seconds(dtype: torch.dtype) -> float:
        one = torch.ones(size, size, device=device, dtype=dtype)
        took = []
        for _ in range(4):
            begin = time.perf_counter()
            # Reading a number waits for the device.
            float((one @ one)[0, 0])
            took.append(time.perf_counter() - begin)
        return min(took)

    return seconds(torch.float32) / seconds(torch.bfloat16)


def choose_batch(wanted: int | None, device: str, purpose: Purpose) -> Choice[int]:
    """How many examples run at once."""
    if wanted is not None:
        if wanted < 1:
            raise InputError(f"--batch-size {wanted}: must be at least 1.")
        return Choice(wanted, "asked for")
    gpu = device.startswith("cuda")
    if purpose == "confidence":
        cpu = "fastest on two cores: the weights are read once for 64 prompts"
        return Choice(64, "a usual size for a GPU" if gpu else cpu)
    if purpose == "embedding":
        return Choice(256 if gpu else 16, "short texts: more at once is not faster")
    if gpu:
        return Choice(8, "if the GPU cannot hold all examples at once")
    return Choice(4, "fastest on a CPU, with one batch per thread")


def threads() -> int:
    """How many threads torch uses; another number changes the last digits of sums."""
    import torch

    return int(torch.get_num_threads())
