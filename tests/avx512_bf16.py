"""Import this before bitsandbytes: its native library then finds AVX512-BF16 on any CPU."""

import ctypes
import importlib.util
import sys
from typing import Any

_find = ctypes.CDLL.__getattr__


def _pretend(library: ctypes.CDLL, name: str) -> Any:
    return (lambda: True) if name == "has_avx512bf16_cpu" else _find(library, name)


ctypes.CDLL.__getattr__ = _pretend  # type: ignore[method-assign]


def found() -> bool:
    """Whether bitsandbytes was imported and finds it; true if it is not installed."""
    imported: Any = sys.modules.get("bitsandbytes")
    if imported is None:
        return importlib.util.find_spec("bitsandbytes") is None
    return bool(imported.functional.has_avx512bf16())
