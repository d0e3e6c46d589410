"""4-bit layers of bitsandbytes: the same values on every CPU, and no noise when it is imported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Each 4-bit layer holds it, since bitsandbytes 0.49.
_REPACKS = "support_avx512bf16_for_cpu"


def compute_alike(model: Any) -> None:
    """Make the 4-bit layers of a model compute the same values on every CPU.

    On a CPU with AVX512-BF16, bitsandbytes repacks the weights of a layer in its first evaluation
    pass and computes in bfloat16. Values then differ from those of other CPUs, and a layer with
    fewer inputs than a block has weights fails. Other layers are left alone.
    """
    for module in model.modules():
        if hasattr(module, _REPACKS):
            setattr(module, _REPACKS, False)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Drop the warning that bitsandbytes logs when it is imported on a CPU with AVX512-BF16.

    It reports a missing kernel for repacked weights, which are never used here.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
