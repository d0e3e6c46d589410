"""Fine-tuning steps per second, beside TRL's trainer and with an instruction that prompts share.

    python benchmarks/tuning.py [--turns 3] [--steps 3] [--packages FOLDER]

One step is 16 sequences of 160 tokens, 3 of which are the answer; all weights are trained in
float32; ours computes logits at the answers only. The small model has two layers of width 64 and
SmolLM2's vocabulary of 49,152 words. Also prints the difference between the training losses of the
two. Without TRL (benchmarks/peers.txt says how to install it) the same trainer with all logits is
compared. Then 100 of the 160 tokens are the same in all sequences: once run once for all of them,
once in every row.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from outcome import Ratio, tell
from turns import in_turns

from labelcast.models.loading import LanguageModel, load_model
from labelcast.training.backend import Fit, Placement
from labelcast.training.finetune import random_state_kept
from labelcast.training.recipe import FULL, Recipe
from labelcast.training.sequences import IGNORED, Sequences, collate
from labelcast.training.splits import Budget
from labelcast.training.trainer import make_trainer, quiet

ROWS, TOKENS, ANSWER = 16, 160, 3
SHARED = 100
GOALS = {"small": 15.0, "smollm2": 1.6}


def sequences(words: int, shared: int = 0) -> Sequences:
    """Random tokens with an answer at the end of each row; the first ones may be the same."""
    made = torch.Generator().manual_seed(0)
    tokens = torch.randint(10, words, (ROWS, TOKENS), generator=made)
    tokens[:, :shared] = tokens[0, :shared]
    tokens = tokens.tolist()
    hidden = [IGNORED] * (TOKENS - ANSWER)
    rows = tuple({"input_ids": row, "labels": hidden + row[-ANSWER:]} for row in tokens)
    return Sequences(rows, 0)


def small(lm: LanguageModel) -> LanguageModel:
    """A random model of two layers with the vocabulary of another."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=lm.model.config.vocab_size,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return replace(lm, model=LlamaForCausalLM(config).eval())


def ours(lm: LanguageModel, part: Sequences, recipe: Recipe, folder: Path) -> Any:
    """The trainer that labelcast uses."""
    fit = Fit(Budget((), ()), recipe, 0, Placement("cpu", "float32"))
    return make_trainer(lm, (part, part), fit, folder)


def all_tokens(lm: LanguageModel, part: Sequences, recipe: Recipe, folder: Path) -> Any:
    """The same trainer with all logits, as models compute them by default."""
    trainer = ours(lm, part, recipe, folder)
    trainer.head = None
    return trainer


def complete_rows(lm: LanguageModel, part: Sequences, recipe: Recipe, folder: Path) -> Any:
    """The same trainer, which runs what the sequences share in every row."""
    trainer = ours(lm, part, recipe, folder)
    trainer.start = 0
    return trainer


def trl(lm: LanguageModel, part: Sequences, recipe: Recipe, folder: Path) -> Any:
    """TRL's trainer for supervised fine-tuning, with the same recipe."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    settings = SFTConfig(
        output_dir=str(folder),
        max_steps=recipe.max_steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=0,
        logging_steps=recipe.max_steps,
        save_strategy="no",
        seed=0,
        data_seed=0,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    lm.model.requires_grad_(True)
    return SFTTrainer(
        model=lm.model,
        args=settings,
        data_collator=collate,
        train_dataset=Dataset.from_list(list(part.rows)),
        processing_class=lm.tokenizer,
    )


def trained(
    make: Callable[..., Any], lm: LanguageModel, steps: int, shared: int = 0
) -> Callable[[], float]:
    """A training of some steps from the same weights; returns the mean loss of its steps."""
    part = sequences(lm.model.config.vocab_size, shared)
    # The validation loss is not measured.
    recipe = FULL.model_copy(update={"max_steps": steps, "warmup": 0.0, "evaluate_every": steps})

    def run() -> float:
        copied = replace(lm, model=copy.deepcopy(lm.model))
        with tempfile.TemporaryDirectory() as folder, quiet(), random_state_kept():
            trainer = make(copied, part, recipe, Path(folder))
            trainer.args.eval_strategy = "no"
            trainer.args.eval_on_start = False
            return float(trainer.train().training_loss)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--packages", type=Path, default=Path(sys.prefix, "peers"))
    parser.add_argument("--quick", action="store_true", help="one step, one turn: a smoke test")
    args = parser.parse_args()
    if args.quick:
        args.turns, args.steps = 1, 1
    sys.path.append(str(args.packages))
    try:
        import trl as installed
    except ImportError:
        other, name = all_tokens, "all tokens"
    else:
        other, name = trl, f"TRL {installed.__version__}"
    complete = load_model("smollm2", device="cpu", dtype="float32")
    models = {"small": small(complete)} | ({} if args.quick else {"smollm2": complete})
    ratios: dict[str, Ratio] = {}
    seconds = {}
    cases = [(model, name, other, 0) for model in models]
    cases += [(model, "complete rows", complete_rows, SHARED) for model in models]
    for model, rival, make, shared in cases:
        lm = models[model]
        turns = in_turns(
            {
                "ours": trained(ours, lm, args.steps, shared),
                rival: trained(make, lm, args.steps, shared),
            },
            args.turns,
        )
        ratios[f"{model}, times as many steps a second as {rival}"] = Ratio(
            turns.ratio(rival, "ours"), "higher", None if shared else GOALS[model]
        )
        apart = abs(turns.values["ours"] - turns.values[rival]) / turns.values[rival]
        ratios[f"{model}, difference of the training loss from {rival}"] = Ratio(
            apart, compared=False
        )
        seconds[f"{model}, {rival}"] = {
            way: round(turns.median(way) / args.steps, 3) for way in turns.seconds
        }
    tell("tuning", ratios, turns=args.turns, steps=args.steps, seconds_a_step=seconds)


if __name__ == "__main__":
    main()
