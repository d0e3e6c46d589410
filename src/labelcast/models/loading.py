"""Loading a language model: a hub id, a folder, a GGUF file, or the embedded default.

No remote code is run and no pickle is read: weights are safetensors or GGUF.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, brief, is_out_of_memory
from labelcast.files.untrusted import refuse_special
from labelcast.models import embedded
from labelcast.models.causal import LanguageModel
from labelcast.models.checks import (
    check_causal,
    check_complete,
    check_config,
    check_fits,
    check_folder,
    check_quantised,
    check_tokenizer,
    count_numbers,
)
from labelcast.models.choices import SPREAD, Choice, choose_device, choose_dtype, choose_entry
from labelcast.models.four_bit import compute_alike, quiet_import
from labelcast.models.identity import Description, identify
from labelcast.models.memory import numbered

__all__ = ["LanguageModel", "describe", "load_model", "load_unweighted", "weights_folder"]

_HUB_ID = re.compile(r"^[\w.\-]+/[\w.\-]+$")


@embedded.uncollected()
def load_model(
    spec: str = embedded.NAME, *, device: str = "auto", dtype: str = "auto"
) -> LanguageModel:
    """Load a model and its tokenizer.

    Args:
        spec: ``smollm2`` (embedded), a folder, a ``.gguf`` file, or a hub id ``OWNER/NAME``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...; ``spread`` divides the layers among
            all GPUs and, if these are full, the CPU's memory.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

    Returns:
        The model in evaluation mode, with every weight frozen.

    Raises:
        InputError: no such model, or it cannot be loaded safely.
        NoMemoryError: the device's memory cannot hold its weights.

    Examples:
        >>> lm = load_model("smollm2", device="cpu")
        >>> lm.device.value, lm.context
        ('cpu', 8192)
    """
    folder = weights_folder(spec)
    spread = device == SPREAD
    chosen_device = choose_entry() if spread else choose_device(device)
    config = _config(spec, folder)
    count = _count(config, chosen_device)
    chosen_dtype = choose_dtype(dtype, chosen_device.value, count)
    # Quantised weights are unpacked on the device where they stay.
    quantised = getattr(config, "quantization_config", None) is not None
    # Else they go straight to a GPU, and not through the CPU's memory.
    straight = quantised or chosen_device.value != "cpu"
    places = {"": numbered(chosen_device.value)} if straight else None
    if Path(folder).is_dir():
        count = count_numbers(spec, Path(folder))
    if not spread and not quantised and count:
        check_fits(spec, count, chosen_dtype.value, chosen_device.value)
    with embedded.quietly(), quiet_import(), _load_faults(spec):
        from transformers import AutoModelForCausalLM

        tokenizer = _tokenizer(spec, folder, config)
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=chosen_dtype.value,
            device_map="auto" if spread else places,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    check_complete(spec, found)
    check_quantised(spec, model)
    model.eval().requires_grad_(False)
    compute_alike(model)
    identity = identify(spec, config, tokenizer)
    return LanguageModel(model, tokenizer, identity, chosen_device, chosen_dtype)


@dataclass(frozen=True)
class Unweighted:
    """The parts of a transformers model that need no weights."""

    config: Any
    generation_config: Any


def load_unweighted(spec: str, device: Choice[str], dtype: str = "auto") -> LanguageModel:
    """A model that other processes run on `device`; its `model` is an `Unweighted`."""
    from transformers import GenerationConfig

    folder = weights_folder(spec)
    config = _config(spec, folder)
    chosen = choose_dtype(dtype, device.value, _count(config, device))
    tokenizer = _tokenizer(spec, folder, config)
    try:
        generation = GenerationConfig.from_pretrained(folder)
    except OSError:  # it has none
        generation = GenerationConfig.from_model_config(config)
    bare = Unweighted(config, generation)
    return LanguageModel(bare, tokenizer, identify(spec, config, tokenizer), device, chosen)


def describe(spec: str) -> Description:
    """A model's identity and size, without reading its weights."""
    lm = load_unweighted(spec, Choice("cpu", "not run"))
    return Description(lm.identity, _count_weights(lm.model.config))


def weights_folder(spec: str) -> str:
    """The folder or hub id that transformers loads a model from."""
    if spec == embedded.NAME:
        return str(embedded.dequantised(embedded.gguf_file()))
    path = Path(spec)
    if path.suffix.lower() == ".gguf":
        refuse_special(path)
        if not path.is_file():
            raise InputError(f"model {spec}: no such file.")
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise InputError(f"model {spec}: not a GGUF file (it does not begin with GGUF).")
        return str(embedded.dequantised(path))
    if path.is_dir():
        check_folder(spec, path)
        return str(path)
    if path.exists():
        raise InputError(f"model {spec}: not a .gguf file; give a folder or a hub id.")
    if not _HUB_ID.match(spec):
        raise InputError(
            f"model {spec!r}: no such folder or file, and not a hub id (OWNER/NAME). "
            "The embedded default is smollm2; see `labelcast models`."
        )
    return spec


def _config(spec: str, folder: str) -> Any:
    from transformers import AutoConfig

    with _load_faults(spec):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    check_config(spec, config)
    check_causal(spec, config)
    return config


def _tokenizer(spec: str, folder: str, config: Any) -> Any:
    from transformers import AutoTokenizer

    with _load_faults(spec):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    check_tokenizer(spec, config, tokenizer)
    return tokenizer


@contextmanager
def _load_faults(spec: str) -> Iterator[None]:
    """Turn an error of transformers, which raises a dozen unrelated types, into one message."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError(f"for model {spec}") from None
        raise InputError(f"model {spec}: {_load_fault(spec, error)}") from None


def _load_fault(spec: str, error: Exception) -> str:
    text = brief(error, 2000)
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code of its own to run, and labelcast runs none."
    if isinstance(error, ImportError) and "bitsandbytes" in text:
        return (
            "its weights are quantised by bitsandbytes, which is not installed: "
            "pip install 'labelcast[4bit]'."
        )
    if not Path(spec).exists() and isinstance(error, OSError):
        return f"not found on the hub or in its cache, or the hub is unreachable ({text[:160]})."
    return f"cannot be loaded as a causal language model ({text[:240]})."


def _count(config: Any, device: Choice[str]) -> int:
    """The number of weights, or 0 on a CPU, where the dtype does not depend on it."""
    return _count_weights(config) if device.value.startswith("cuda") else 0


def _count_weights(config: Any) -> int:
    """The number of weights, from the config alone; takes half a second."""
    return sum(weight.numel() for weight in _without_weights(config).parameters())


def _without_weights(config: Any) -> Any:
    """A model whose weights hold no numbers."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def check_gradients(lm: LanguageModel) -> None:
    """Refuse a model whose gradients CoS-Low cannot compare; its weights need not be loaded."""
    from labelcast.models.layers import linear_layers

    if isinstance(lm.model, Unweighted):
        lm = replace(lm, model=_without_weights(lm.model.config))
    linear_layers(lm)
