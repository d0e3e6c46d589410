"""A small model and an easy task to tune it on: the answer depends on a text's first letter."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tiny_model import save, save_llama, tokenizer

from labelcast.models.loading import LanguageModel, load_model
from labelcast.tasks.prompts import Example
from labelcast.tasks.task import Task
from labelcast.tasks.values import content_hash
from labelcast.training.backend import Fit, Placement
from labelcast.training.recipe import Lora, Recipe
from labelcast.training.splits import Budget

TASK = Task.parse(
    "{name: first, instruction: Say it., inputs: text, answer: y, answers: [yes, no]}"
)
QUICK = Recipe(name="quick", method="full", learning_rate=3e-3, max_steps=60)
QUICK_LORA = Recipe(
    name="quick lora", method="lora", learning_rate=1e-2, max_steps=60, lora=Lora(rank=8)
)


def unlabelled(recipe: Recipe) -> Fit:
    """A training on a CPU for `make_trainer`, which gets its sequences from elsewhere."""
    return Fit(Budget((), ()), recipe, 0, Placement("cpu", "float32"))


@cache
def records(size: int) -> tuple[dict[str, str], ...]:
    """Distinct texts of four letters, answered yes where the first is a, c, e or g."""
    rng = random.Random(0)
    texts = ["".join(letters) for letters in _words()]
    rng.shuffle(texts)
    return tuple({"text": t, "y": "yes" if t[0] in "aceg" else "no"} for t in texts[:size])


def _words() -> list[str]:
    letters = "abcdefgh"
    return [a + b + c + d for a in letters for b in letters for c in letters for d in letters]


def write_records(folder: Path, size: int = 400) -> Path:
    """The records as a file."""
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records(size)), "utf-8")
    return path


def save_model(folder: Path, **config: Any) -> Path:
    """A small model that learns: 2 layers, width 64."""
    sizes = {"num_hidden_layers": 2, "initializer_range": 0.05}
    return save_llama(folder, **(sizes | config))


def load(folder: Path) -> LanguageModel:
    """The model of a folder on the CPU in float32."""
    return load_model(str(folder), device="cpu", dtype="float32")


def fresh(lm: LanguageModel) -> LanguageModel:
    """A copy that may be tuned."""
    return replace(lm, model=copy.deepcopy(lm.model))


def made_examples(
    lm: LanguageModel | None, rows: Sequence[dict[str, str]], first: int = 0
) -> list[Example]:
    """Examples of records; without a model the prompt is the text."""
    found = []
    for index, row in enumerate(rows, first):
        fields = {"text": row["text"]}
        prompt = lm.render(TASK.instruction, row["text"]) if lm else row["text"]
        content = content_hash(fields)
        found.append(
            Example(content, index, f"line {index + 1}", fields, prompt, row["y"], content)
        )
    return found


def save_quantised(folder: Path, source: Path, **kind: Any) -> Path:
    """A saved model in 4 bits, as on the hub; needs bitsandbytes."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    usual = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
    model = AutoModelForCausalLM.from_pretrained(
        source,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, **(kind or usual)),
        dtype=torch.float32,
        device_map={"": "cpu"},
    )
    return save(folder, model, tokenizer())
