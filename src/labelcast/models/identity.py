"""The identity of a model, from its config and tokenizer, so that its calibration can be found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelcast.models.embedded import ENCODER, NAME

_ARCHITECTURE = (
    *("model_type", "hidden_size", "num_hidden_layers", "intermediate_size"),
    *("num_attention_heads", "num_key_value_heads", "vocab_size"),
)
KIND = "kind"
"""The key of an architecture that says that it is an encoder; a language model has none."""
# These say how a model was saved or is run, not which model it is.
_NOT_IDENTITY = (
    *("_name_or_path", "_model_name_or_path", "transformers_version", "dtype", "torch_dtype"),
    *("use_cache", "quantization_config", "_attn_implementation", "architectures"),
)


@dataclass(frozen=True)
class ModelIdentity:
    """What identifies a model, without its weights.

    Attributes:
        name: what the user called it; of a local model the absolute path, for other folders.
        hub_id: the hub id, if the model was named by one (or is the embedded default).
        fingerprint: hash of the config and the tokenizer with its chat template.
        architecture: the sizes that models of one family share.
    """

    name: str
    hub_id: str | None
    fingerprint: str
    architecture: dict[str, int | str | None] = field(default_factory=dict)


def identify(spec: str, config: Any, tokenizer: Any, *, encoder: bool = False) -> ModelIdentity:
    """The identity of a model with a transformers config and tokenizer."""
    name, text = absolute(spec), config.get_text_config()
    hub_id = None if Path(name).is_absolute() else name
    architecture = {key: getattr(text, key, None) for key in _ARCHITECTURE}
    if encoder:
        architecture[KIND] = "encoder"
    return ModelIdentity(name, hub_id, fingerprint(config.to_dict(), tokenizer), architecture)


def absolute(spec: str) -> str:
    """A model's name as it is understood in any folder: the absolute path of a local model."""
    is_local = spec not in (NAME, ENCODER) and Path(spec).exists()
    return str(Path(spec).absolute()) if is_local else spec


def fingerprint(config: Mapping[str, Any], tokenizer: Any) -> str:
    """16 hexadecimal digits for a model's config and tokenizer, including the chat template.

    It does not depend on folder, dtype or quantisation. A base model and its instruction-tuned
    version differ, since their chat templates or special tokens do.
    """
    parts = {
        "config": {key: value for key, value in config.items() if key not in _NOT_IDENTITY},
        "template": tokenizer.chat_template,
        "special": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
        "vocabulary": sorted(tokenizer.get_vocab().items()),
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_digest(model: Any) -> str:
    """16 hexadecimal digits that tell apart models of one fingerprint with other weights.

    They are a hash of at most 64 numbers of each weight in memory: training changes all of them.

    Args:
        model: a torch module.
    """
    found = hashlib.sha256()
    for name, weight in model.named_parameters():
        if weight.is_meta:
            continue
        flat = weight.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // 64)][:64].float().cpu().numpy()
        found.update(name.encode() + some.tobytes())
    return found.hexdigest()[:16]
