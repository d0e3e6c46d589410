"""Device, dtype and batch size: chosen, each with the reason for it.

A choice is a value and a sentence. What the user gives himself is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from labelcast.errors import InputError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Purpose = Literal["confidence", "gradients"]
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
    """The device to run on: a GPU where there is one.

    Raises:
        InputError: the device does not exist here.
    """
    import torch

    refuse_spread(wanted)
    if wanted != "auto":
        try:
            torch.empty(1, device=wanted)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"--device {wanted}: not to be had here ({str(error).splitlines()[0][:120]})."
            ) from None
        return Choice(wanted, "asked for")
    if torch.cuda.is_available():
        return Choice("cuda", f"a GPU is there: {torch.cuda.get_device_name()}")
    return Choice("cpu", "no GPU found")


def computes_bf16(device: str) -> bool:
    """Return whether a device computes in bfloat16 by itself."""
    import torch

    return device.startswith("cuda") and torch.cuda.is_bf16_supported()


def refuse_spread(wanted: str) -> None:
    """Refuse a device that a model is not trained on.

    Raises:
        InputError: it is ``spread``.
    """
    if wanted == SPREAD:
        raise InputError(
            f"--device {SPREAD}: for score and coslow alone. To train on several GPUs use "
            "labelcast sweep --gpus-per-job."
        )


def choose_entry() -> Choice[str]:
    """The device where tokens enter a model that is spread over all that there are."""
    import torch

    if not torch.cuda.is_available():
        return Choice("cpu", "no GPU found to spread over")
    count = torch.cuda.device_count()
    over = f"{count} GPUs" if count > 1 else "one GPU"
    return Choice("cuda:0", f"spread over {over} and what the CPU's memory must take")


def check_dtype(wanted: str) -> None:
    """Refuse what is no dtype, before a model is loaded in it.

    Raises:
        InputError: no such dtype.
    """
    if wanted != "auto" and wanted not in DTYPES:
        raise InputError(f"--dtype {wanted}: not one of auto, {', '.join(DTYPES)}.")


def choose_dtype(wanted: str, device: str, parameters: int) -> Choice[torch.dtype]:
    """The dtype of the weights.

    On a CPU float32; on a GPU float32 where the weights fill at most half the memory. bfloat16
    changes the ranking of confidences, and CoS-Low by more than 0.01.

    Args:
        wanted: ``auto`` or one of `DTYPES`.
        device: as `choose_device` gives it.
        parameters: number of weights.

    Raises:
        InputError: no such dtype.
    """
    import torch

    check_dtype(wanted)
    if wanted != "auto":
        return Choice(getattr(torch, wanted), "asked for")
    if not device.startswith("cuda"):
        return Choice(torch.float32, "a lower precision changes the ranking and CoS-Low")
    memory = torch.cuda.get_device_properties(device).total_memory
    if 4 * parameters <= memory / 2:
        return Choice(torch.float32, "the model fits, and a lower one changes CoS-Low")
    return Choice(torch.bfloat16, f"in float32 the model would fill {4 * parameters / memory:.0%}")


def choose_batch(wanted: int | None, device: str, purpose: Purpose) -> Choice[int]:
    """How many examples run at once.

    Raises:
        InputError: less than one.
    """
    if wanted is not None:
        if wanted < 1:
            raise InputError(f"--batch-size {wanted}: must be at least 1.")
        return Choice(wanted, "asked for")
    if device.startswith("cuda"):
        if purpose == "confidence":
            return Choice(64, "a usual size for a GPU")
        return Choice(8, "where the GPU does not hold all examples at once")
    if purpose == "confidence":
        return Choice(64, "measured best on two cores: the weights are read once for 64 rows")
    return Choice(4, "measured best on a CPU, with a batch on each thread")


def threads() -> int:
    """The threads that torch adds numbers up in; with another number the last digits differ."""
    import torch

    return int(torch.get_num_threads())
