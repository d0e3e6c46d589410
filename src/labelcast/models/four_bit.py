"""4-bit layers of bitsandbytes: equal values on every CPU, and no warning at import."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# An attribute of each 4-bit layer since bitsandbytes 0.49.
_REPACKS = "support_avx512bf16_for_cpu"


def compute_alike(model: Any) -> None:
    """Make the 4-bit layers of a model compute the same values on every CPU.

    On a CPU with AVX512-BF16, bitsandbytes repacks the weights of a layer in its first evaluation
    pass and computes in bfloat16. Values then differ from those of other CPUs, and a layer with
    fewer inputs than a block has weights fails. On any CPU with AVX512 it takes the wrong scales
    for a layer whose rows do not end with a block.
    """
    for module in model.modules():
        if hasattr(module, _REPACKS):
            setattr(module, _REPACKS, False)
            state = getattr(module.weight, "quant_state", None)
            if state is not None and module.weight.device.type == "cpu":
                _end_blocks_with_rows(state)


def _end_blocks_with_rows(state: Any) -> None:
    """Split the blocks of a weight so that none crosses rows; its values do not change."""
    size = math.gcd(state.shape[-1], state.blocksize)
    # Rows of 16, 48, 80, ... inputs would need blocks of 16, which bitsandbytes rejects.
    if not 32 <= size < state.blocksize:
        return
    if state.nested:
        from bitsandbytes.functional import dequantize_blockwise

        state.absmax = dequantize_blockwise(state.absmax, state.state2) + state.offset
        state.state2, state.offset, state.nested = None, None, False
    scales = state.absmax.repeat_interleave(state.blocksize // size)
    state.absmax = scales[: math.prod(state.shape) // size]
    state.blocksize = size


@contextmanager
def light_import() -> Iterator[None]:
    """Import bitsandbytes without a warning and without torch's compiler.

    The warning reports, on a CPU with AVX512-BF16, a missing kernel for repacked weights, which are
    never used here. The compiler, a quarter of the time that a training takes to start, is for
    functions that CUDA never runs, and a CPU only for rows with an odd number of weights or blocks
    of 2,048 and more. They run uncompiled.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, compiled = logger.level, torch.compile

    def compile_others(function: Any = None, **settings: Any) -> Any:
        module = getattr(function, "__module__", None) or ""
        return function if module.startswith("bitsandbytes") else compiled(function, **settings)

    logger.setLevel(logging.ERROR)
    torch.compile = compile_others
    try:
        yield
    finally:
        logger.setLevel(level)
        torch.compile = compiled
