"""Small random models in folders as on the hub, loaded like a user's folder."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from labelcast.models.loading import LanguageModel, load_model

SPECIAL = ["<pad>", "<eos>", "<turn>"]
# Pairs of characters that the tokenizer merges, some across the end of a prompt.
MERGES = [("a", "b"), ("c", "d"), (":", "1"), ("t", "h"), ("th", "e")]
TEMPLATE = (
    "{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A character tokenizer with a few merges, newline among its tokens."""
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "Ġ", "Ċ"]
    words = [*SPECIAL, *letters, *(a + b for a, b in MERGES)]
    vocabulary = {word: number for number, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocabulary, MERGES))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=["<turn>"],
    )
    made.chat_template = template
    return made


def save_llama(
    folder: Path, *, seed: int = 0, template: str | None = TEMPLATE, **config: Any
) -> Path:
    """Save a random Llama with a fixed seed: 3 layers, width 64, 4 heads, 2 for keys and values."""
    words = tokenizer(template)
    sizes: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        # Large weights, so that the model does not repeat one token.
        "initializer_range": 0.15,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    return save(folder, LlamaForCausalLM(LlamaConfig(**sizes | config)), words)


def save(folder: Path, model: Any, words: PreTrainedTokenizerFast) -> Path:
    """Save a model and its tokenizer as on the hub."""
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def load_llama(folder: Path, **config: Any) -> LanguageModel:
    """The model of `save_llama`, loaded on the CPU in float32."""
    return load_model(str(save_llama(folder, **config)), device="cpu", dtype="float32")
