"""A small random encoder of every family that is tested, saved as on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_model import save, tokenizer

FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": {},
    "Roberta": {"max_position_embeddings": 130},
    "DebertaV2": {
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
    },
    "MPNet": {"max_position_embeddings": 130},
    "DistilBert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4},
    "ModernBert": {"global_attn_every_n_layers": 2, "local_attention": 8},
}


def save_encoder(folder: Path, family: str = "Bert", *, sentence: bool = False) -> Path:
    """Save a random encoder: 2 layers, width 32, 4 heads; as a sentence encoder if asked."""
    words = tokenizer(None)
    sizes: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        "pad_token_id": words.pad_token_id,
        **{f"{name}_token_id": words.eos_token_id for name in ("eos", "bos", "cls", "sep")},
    }
    if family == "DistilBert":
        sizes = {
            key: sizes[key] for key in ("vocab_size", "max_position_embeddings", "pad_token_id")
        }
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**sizes | FAMILIES[family])
    made = save(folder, getattr(transformers, f"{family}Model")(config), words)
    if sentence:
        (folder / "1_Pooling").mkdir()
        modes = {
            f"pooling_mode_{mode}": mode == "mean_tokens" for mode in ("mean_tokens", "cls_token")
        }
        (folder / "1_Pooling/config.json").write_text(json.dumps(modes))
        paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
        modules = [{"type": f"st.models.{kind}", "path": path} for kind, path in paths.items()]
        (folder / "modules.json").write_text(json.dumps(modules))
    return made
