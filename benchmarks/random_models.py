"""Random Llamas of chosen sizes, saved as folders; each word is one token, so lengths are exact."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from labelcast.models.embedded import quietly
from labelcast.models.loading import LanguageModel, load_model

WORDS = 1000
CONTEXT = 4096


@dataclass(frozen=True)
class Size:
    """Width, layers and heads; the MLP is three times as wide; half as many key heads."""

    width: int
    layers: int
    heads: int


SIZES = {
    "tiny": Size(64, 2, 4),
    "1M": Size(128, 4, 4),
    "10M": Size(320, 8, 5 * 2),
    "100M": Size(768, 14, 12),
    "300M": Size(1024, 24, 16),
}


def load(name: str) -> LanguageModel:
    """A seeded random model of a size, in float32 on the CPU."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", *(f"w{number}" for number in range(WORDS))]
    backend = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(words)}, "<pad>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>"
    )
    size = SIZES[name]
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=size.width,
        intermediate_size=3 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads // 2,
        max_position_embeddings=CONTEXT,
        # Large weights, so that answers differ and rarely end early.
        initializer_range=0.1,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, quietly():
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return load_model(folder, device="cpu", dtype="float32")


def text(tokens: int, rng: random.Random) -> str:
    """Random words, each of which is one token."""
    return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(tokens))


def write_pool(path: Path, rows: int, tokens: int, seed: int = 0) -> Path:
    """Write a file of rendered records with prompts of a number of tokens."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as lines:
        for _ in range(rows):
            lines.write(f'{{"input_text": "{text(tokens, rng)}"}}\n')
    return path
