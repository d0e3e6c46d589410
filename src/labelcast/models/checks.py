"""Checks of a model's files: complete, safe to load, matching, and fitting into memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, brief
from labelcast.files.json_files import read_json
from labelcast.models.memory import check_room

_FROM_HUB = ("_attn_implementation", "_experts_implementation")


def check_folder(spec: str, path: Path) -> None:
    """Refuse a folder that is not a model in safetensors, or that points outside itself."""
    if not (path / "config.json").is_file() and (path / "classifier.safetensors").is_file():
        raise InputError(
            f"model {spec}: only the head of a frozen encoder, as `tune --recipe linear` keeps it. "
            "Give the encoder itself, such as --model minilm."
        )
    if (path / "adapter_config.json").exists():
        # The library would load any base model that it names, from the hub too.
        raise InputError(
            f"model {spec}: the folder contains adapters (adapter_config.json) of another model. "
            "Merge them into that model first, and give the folder of the merged model."
        )
    if not (path / "config.json").is_file():
        raise InputError(f"model {spec}: not a model folder, it has no config.json.")
    if not any(path.glob("*.safetensors")):
        found = "only pickled weights, which are never read" if any(path.glob("*.bin")) else "none"
        raise InputError(f"model {spec}: no weights as .safetensors in the folder ({found}).")
    for index in path.glob("*.safetensors.index.json"):
        _check_index(spec, index)


def _check_index(spec: str, index: Path) -> None:
    """Refuse an index of weights that names pickles or files outside its folder."""
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict):
        raise InputError(f"model {spec}: {index.name} has no 'weight_map'.")
    for name in map(str, places.values()):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"model {spec}: {index.name} names {name[:80]!r}, which is not a weights file of "
                "this folder."
            )


def _read_files(path: Path) -> list[Path]:
    """The files of weights that transformers reads; a folder may have them in another form too."""
    index = path / "model.safetensors.index.json"
    if index.exists():
        names = set(map(str, read_json(index)["weight_map"].values()))
        return [path / name for name in sorted(names)]
    whole = path / "model.safetensors"
    return [whole] if whole.exists() else sorted(path.glob("*.safetensors"))


def count_numbers(spec: str, path: Path) -> int:
    """How many weights a folder has; refuse files that are damaged or cut off."""
    from safetensors import SafetensorError, safe_open

    count = 0
    for weights in _read_files(path):
        try:
            with safe_open(weights, framework="numpy") as opened:
                names = opened.keys()
                count += sum(math.prod(opened.get_slice(name).get_shape()) for name in names)
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"model {spec}: {weights.name} cannot be loaded ({brief(error)}). Copy or download "
                "it again."
            ) from None
    return count


def check_config(spec: str, config: Any) -> None:
    """Refuse a config that asks for code from the hub, or with an encoder and a decoder."""
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"model {spec}: it has an encoder and a decoder (type {config.model_type}). labelcast "
            "runs causal language models and encoders. Forecasts from measured scores work for any "
            "model: `labelcast forecast --observe`."
        )
    parts = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))]
    for part in parts:
        for name in _FROM_HUB:
            # transformers would load and run what a hub id names here.
            if "/" in str(getattr(part, name, "")):
                raise InputError(
                    f"model {spec}: it needs code of its own to run ({name[1:]} in its config), "
                    "and labelcast runs none."
                )


def check_tokenizer(spec: str, config: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with more tokens than the model: it belongs to another one."""
    known = int(config.get_text_config().vocab_size)
    # Added tokens may have higher numbers, but no prompt contains one.
    if tokenizer.vocab_size > known:
        raise InputError(
            f"model {spec}: its tokenizer has {tokenizer.vocab_size:,} tokens, but its weights "
            f"know {known:,}. Do they belong together?"
        )


def check_complete(spec: str, found: Mapping[str, Any]) -> None:
    """Refuse incomplete weights: transformers draws missing ones at random, and lists them."""
    missing, other = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    if missing:
        raise InputError(
            f"model {spec}: its files lack {len(missing)} of its weights ({missing[0]} first). "
            "Is it a causal language model, and was it copied or downloaded completely?"
        )
    if other:
        name, there, wanted = other[0]
        raise InputError(
            f"model {spec}: {len(other)} of its weights are not as its config says ({name} is "
            f"{list(there)} and should be {list(wanted)}). Do they belong together?"
        )


def check_quantised(spec: str, model: Any) -> None:
    """Refuse a config of 4 or 8 bits over weights that are not: bitsandbytes fails at the first."""
    for name, module in model.named_modules():
        kind, weight = type(module).__name__, getattr(module, "weight", None)
        four = kind == "Linear4bit" and getattr(weight, "quant_state", None) is None
        if four or (kind == "Linear8bitLt" and module.weight.dtype.itemsize > 1):
            raise InputError(
                f"model {spec}: its config says that bitsandbytes has quantised its weights, but "
                f"they are not as bitsandbytes writes them ({name}). Delete quantization_config "
                "from config.json, or quantise the model again."
            )


def check_fits(spec: str, numbers: int, dtype: Any, device: str) -> None:
    """Refuse weights that a device's memory cannot hold."""
    way = ", --device spread, a 4-bit version" if device.startswith("cuda") else ""
    way += ", --dtype bfloat16" if dtype.itemsize > 2 else ""
    check_room(
        f"model {spec}: its weights in {str(dtype).removeprefix('torch.')}",
        dtype.itemsize * numbers,
        f"Close other programs, or choose a smaller model{way}.",
        device,
    )


def check_answers(model: str, answers: Sequence[str], task: str = "the task") -> None:
    """Refuse a task without allowed answers; raises InputError."""
    if not answers:
        raise InputError(
            f"model {model}: an encoder, which chooses among allowed answers, and {task} lists "
            "none. Add `answers: [...]` to the task file, or use a language model."
        )
