"""Loading a model: a hub id, a folder, a GGUF file, or an embedded one.

Its config says whether it is a causal language model or an encoder.

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
from labelcast.models.causal import LanguageModel as LanguageModel
from labelcast.models.checks import (
    check_complete,
    check_config,
    check_fits,
    check_folder,
    check_quantised,
    check_tokenizer,
    count_numbers,
)
from labelcast.models.choices import (
    SPREAD,
    Choice,
    choose_device,
    choose_dtype,
    choose_entry,
    torch_dtype,
)
from labelcast.models.encoder import Encoder, read_pooling
from labelcast.models.four_bit import compute_alike, light_import
from labelcast.models.identity import ModelIdentity, identify
from labelcast.models.memory import numbered

AnyModel = LanguageModel | Encoder
_HUB_ID = re.compile(r"^[\w.\-]+/[\w.\-]+$")


@embedded.uncollected()
def load_model(
    spec: str = embedded.NAME, *, device: str = "auto", dtype: str = "auto"
) -> LanguageModel:
    """Load a causal language model and its tokenizer.

    Args:
        spec: ``smollm2`` (embedded), a folder, a ``.gguf`` file, or a hub id ``OWNER/NAME``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...; ``spread`` divides the layers among
            all GPUs and, if these are full, the CPU's memory.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

    Returns:
        The model in evaluation mode, with every weight frozen.

    Raises:
        InputError: no such model, it cannot be loaded safely, or it is an encoder.
        NoMemoryError: the device's memory cannot hold its weights.

    Examples:
        >>> lm = load_model("smollm2", device="cpu")
        >>> lm.device.value, lm.context
        ('cpu', 8192)
    """
    folder, config = _locate(spec)
    if is_encoder(config):
        raise not_causal(spec)
    return _load_causal(spec, folder, config, device, dtype)


@embedded.uncollected()
def load_encoder(
    spec: str = embedded.ENCODER, *, device: str = "auto", dtype: str = "auto"
) -> Encoder:
    """Load an encoder, such as BERT or one of sentence-transformers, and its tokenizer.

    Args:
        spec: ``minilm`` (embedded), a folder, or a hub id ``OWNER/NAME``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        dtype: ``auto`` (float32), ``float32``, ``bfloat16`` or ``float16``.

    Returns:
        The model without a head, in evaluation mode, with every weight frozen. Give it the answers
        of a task with `Encoder.for_answers`.

    Raises:
        InputError: no such model, it cannot be loaded safely, or it is a language model.
        NoMemoryError: the device's memory cannot hold its weights.

    Examples:
        >>> lm = load_encoder("minilm", device="cpu").for_answers(["food", "a machine"])
        >>> lm.embed(["an apple pie"]).shape
        (1, 384)
        >>> [found.answer for found in lm.predictor(1)(["an apple pie"], 1)]
        ['food']
    """
    folder, config = _locate(spec)
    if not is_encoder(config):
        raise InputError(f"model {spec}: a language model, and not an encoder.")
    return _load_encoder(spec, folder, config, device, dtype)


@embedded.uncollected()
def load_any(spec: str, *, device: str = "auto", dtype: str = "auto") -> AnyModel:
    """`load_model` or `load_encoder`, as the model's config says."""
    folder, config = _locate(spec)
    load = _load_encoder if is_encoder(config) else _load_causal
    return load(spec, folder, config, device, dtype)


def not_causal(spec: str) -> InputError:
    """The error where a language model is needed and an encoder is given."""
    return InputError(
        f"model {spec}: an encoder. CoS-Low compares the gradients of a language model's answers; "
        "those of a classifier's two answers oppose each other, so CoS-Low is not defined for it. "
        "Label 50 examples drawn at random and a test set (`labelcast label RUN --more 50`, "
        "`--test 200`), then run `labelcast tune RUN --budget 50`: the forecast starts from its "
        "score."
    )


def is_encoder(config: Any) -> bool:
    """Whether a config is that of an encoder, such as BERT, and not of a language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    classes = getattr(config, "architectures", None) or []
    generates = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in classes)
    decodes = getattr(config, "is_decoder", False)
    return config.model_type in MASKED and not generates and not decodes


def _load_encoder(spec: str, folder: str, config: Any, device: str, dtype: str) -> Encoder:
    if device == SPREAD:
        raise InputError(f"model {spec}: an encoder runs on one device. Use --device auto.")
    chosen, kind = choose_device(device), _encoder_dtype(dtype)
    if Path(folder).is_dir():
        check_fits(spec, count_numbers(spec, Path(folder)), kind.value, chosen.value)
    with embedded.quietly(), light_import(), _load_faults(spec, "an encoder"):
        from transformers import AutoModel

        tokenizer, pooling = _tokenizer(spec, folder, config), read_pooling(spec, folder)
        places = None if chosen.value == "cpu" else {"": chosen.value}
        model, found = _weights(AutoModel, folder, config, kind.value, places)
    # A pooler is part of a head that is not used, and many files lack it.
    missing = [name for name in found["missing_keys"] if not name.startswith("pooler.")]
    check_complete(spec, {**found, "missing_keys": missing})
    model.eval().requires_grad_(False)
    identity = identify(spec, config, tokenizer, encoder=True)
    return Encoder(model, tokenizer, identity, chosen, kind, pooling)


def _encoder_dtype(wanted: str) -> Choice[Any]:
    if wanted == "auto":
        return Choice(torch_dtype("float32"), "an encoder is small")
    return Choice(torch_dtype(wanted), "asked for")


def _load_causal(spec: str, folder: str, config: Any, device: str, dtype: str) -> LanguageModel:
    spread = device == SPREAD
    chosen_device = choose_entry() if spread else choose_device(device)
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
    with embedded.quietly(), light_import(), _load_faults(spec):
        from transformers import AutoModelForCausalLM

        tokenizer = _tokenizer(spec, folder, config)
        where = "auto" if spread else places
        model, found = _weights(AutoModelForCausalLM, folder, config, chosen_dtype.value, where)
    check_complete(spec, found)
    check_quantised(spec, model)
    model.eval().requires_grad_(False)
    compute_alike(model)
    identity = identify(spec, config, tokenizer)
    return LanguageModel(model, tokenizer, identity, chosen_device, chosen_dtype)


def _weights(made: Any, folder: str, config: Any, dtype: Any, places: Any) -> Any:
    """A model with its weights on some devices, and what transformers says about these."""
    return made.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        device_map=places,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )


@dataclass(frozen=True)
class Unweighted:
    """The parts of a transformers model that need no weights."""

    config: Any
    generation_config: Any


def load_unweighted(spec: str, device: Choice[str], dtype: str = "auto") -> AnyModel:
    """A model that other processes run on `device`; its `model` is an `Unweighted`."""
    from transformers import GenerationConfig

    folder, config = _locate(spec)
    tokenizer = _tokenizer(spec, folder, config)
    if is_encoder(config):
        bare, pooling = Unweighted(config, None), read_pooling(spec, folder)
        identity = identify(spec, config, tokenizer, encoder=True)
        return Encoder(bare, tokenizer, identity, device, _encoder_dtype(dtype), pooling)
    chosen = choose_dtype(dtype, device.value, _count(config, device))
    try:
        generation = GenerationConfig.from_pretrained(folder)
    except OSError:  # it has none
        generation = GenerationConfig.from_model_config(config)
    bare = Unweighted(config, generation)
    return LanguageModel(bare, tokenizer, identify(spec, config, tokenizer), device, chosen)


def describe(spec: str) -> tuple[ModelIdentity, int]:
    """A model's identity and its number of weights, which are not read."""
    lm = load_unweighted(spec, Choice("cpu", "not run"))
    return lm.identity, _count_weights(lm.model.config)


def weights_folder(spec: str) -> str:
    """The folder or hub id that transformers loads a model from."""
    if spec == embedded.NAME:
        return str(embedded.dequantised(embedded.gguf_file()))
    if spec == embedded.ENCODER:
        return str(embedded.encoder_folder())
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
            "smollm2 and minilm are embedded; see `labelcast models`."
        )
    return spec


def read_config(spec: str) -> Any:
    """The config of a model, as `load_model` and `load_encoder` take it; raises as they do."""
    return _locate(spec)[1]


def _locate(spec: str) -> tuple[str, Any]:
    """The folder or hub id of a model, and its config, checked."""
    folder = weights_folder(spec)  # before the slow imports

    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    with _load_faults(spec):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    check_config(spec, config)
    if not is_encoder(config) and config.model_type not in CAUSAL:
        raise InputError(
            f"model {spec}: its type {config.model_type} is neither a causal language model nor an "
            "encoder that labelcast runs."
        )
    return folder, config


def _tokenizer(spec: str, folder: str, config: Any) -> Any:
    from transformers import AutoTokenizer

    with _load_faults(spec):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    check_tokenizer(spec, config, tokenizer)
    return tokenizer


@contextmanager
def _load_faults(spec: str, kind: str = "a causal language model") -> Iterator[None]:
    """Turn an error of transformers, which raises a dozen unrelated types, into one message."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError(f"for model {spec}") from None
        raise InputError(f"model {spec}: {_load_fault(spec, kind, error)}") from None


def _load_fault(spec: str, kind: str, error: Exception) -> str:
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
    return f"cannot be loaded as {kind} ({text[:240]})."


def _count(config: Any, device: Choice[str]) -> int:
    """The number of weights, or 0 on a CPU, where the dtype does not depend on it."""
    return _count_weights(config) if device.value.startswith("cuda") else 0


def _count_weights(config: Any) -> int:
    """The number of weights, from the config alone; takes half a second."""
    return sum(weight.numel() for weight in _without_weights(config).parameters())


def _without_weights(config: Any) -> Any:
    """A model whose weights hold no numbers."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    made = AutoModel if is_encoder(config) else AutoModelForCausalLM
    with torch.device("meta"):
        return made.from_config(config)


def check_gradients(lm: AnyModel) -> None:
    """Refuse a model whose gradients CoS-Low cannot compare; its weights need not be loaded.

    Encoders pass: their runs never measure it.
    """
    from labelcast.models.layers import linear_layers

    if isinstance(lm, Encoder):
        return
    if isinstance(lm.model, Unweighted):
        lm = replace(lm, model=_without_weights(lm.model.config))
    linear_layers(lm)
