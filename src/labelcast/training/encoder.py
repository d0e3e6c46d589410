"""Fine-tune all weights of an encoder with a linear head, and score it.

Shapes: N texts, K allowed answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.files.json_files import write_json
from labelcast.models.choices import Choice
from labelcast.models.encoder import Classifier, Encoder, padded
from labelcast.models.loading import load_encoder
from labelcast.tasks.prompts import Example
from labelcast.training.backend import TRAINED, FineTuned, Fit, Placement, trained_dtype
from labelcast.training.checkpoints import identity_of
from labelcast.training.evaluate import Evaluation, Scoring, evaluate, summarise
from labelcast.training.finetune import run_trainer, save_files
from labelcast.training.packing import classifier
from labelcast.training.recipe import Recipe
from labelcast.training.steady import SteadyTrainer
from labelcast.training.trainer import training_arguments

HEAD = "classifier.safetensors"
"""The head in a saved folder; its metadata lists the answers."""


class EncoderBackend:
    """Encoders with a linear head; see `training.backend.Backend`."""

    def load(
        self, model: str, recipe: Recipe, placement: Placement, *, train: bool = True
    ) -> Encoder:
        """Load an encoder in float32, also if bfloat16 is asked for; see `Backend`."""
        if placement.processes > 1:
            raise InputError(f"model {model}: an encoder trains on one GPU. Use --gpus-per-job 1.")
        # Also for scoring without training, so that all scores compare.
        dtype = trained_dtype(recipe, placement.dtype)
        lm = within(load_encoder(model, device=placement.device, dtype=dtype), recipe)
        if placement.dtype == dtype:
            return lm
        return replace(lm, dtype=Choice(lm.dtype.value, TRAINED))

    def fit(self, lm: Encoder, fit: Fit) -> FineTuned:
        """Fine-tune on the labels of a budget; see `Backend`.

        The head starts from the answers' names, so that step 0 is zero-shot; without names that
        mean something to the model it starts at random.
        """
        recipe, labels = fit.recipe, fit.labels
        lm = within(lm, recipe)
        parts: list[list[dict[str, Any]]] = [
            [
                {"input_ids": tokens, "labels": lm.answers.index(str(example.answer))}
                for tokens, example in zip(lm.tokens(e.prompt for e in part), part, strict=True)
            ]
            for part in (labels.train, labels.validation)
        ]
        parts[1].sort(key=lambda row: len(row["input_ids"]))  # batches with little padding

        def make(path: Path) -> SteadyTrainer:
            settings = training_arguments(fit, path)
            set_seed(fit.seed)  # for a head that starts at random
            lm.model.requires_grad_(True)
            model = classifier(lm.model, lm.pooling, lm.first_head().requires_grad_(True))
            return SteadyTrainer(
                model=model,
                optimizers=(_optimizer(model, recipe), None),
                args=settings,
                data_collator=lambda rows: collate(rows, lm.tokenizer.pad_token_id or 0),
                train_dataset=parts[0],
                eval_dataset=parts[1],
                processing_class=lm.tokenizer,
                compute_loss_func=answer_loss,
            )

        trained, log = run_trainer(make, fit, identity_of(lm, fit))
        trained.eval().requires_grad_(False)
        return FineTuned(replace(lm, model=trained.body, head=trained.head), log)

    def score(self, lm: Encoder, test: Sequence[Example], scoring: Scoring) -> Evaluation:
        """Score an encoder; see `Backend`.

        One without a head and without a use for names gets the score of always giving the most
        frequent answer of the test set.
        """
        if lm.guesses or not test:
            return evaluate(lm, test, scoring)
        gold = [str(example.answer) for example in test]
        [(usual, _)] = Counter(gold).most_common(1)
        scoring.progress(len(gold))
        return summarise(scoring.metric, [usual] * len(gold), gold, scoring.allowed)

    def save(self, lm: Encoder, folder: Path) -> None:
        """Save an encoder as a folder that `load_encoder` takes, and its head; see `Backend`."""

        def write(work: Path) -> None:
            lm.model.save_pretrained(work)
            lm.tokenizer.save_pretrained(work)
            if lm.pooling.sentence:
                _save_pooling(lm, work)
            save_head(lm.head, lm.answers, work)

        save_files(folder, write)


def within(lm: Encoder, recipe: Recipe) -> Encoder:
    """The encoder as it trains and is then scored: it cuts texts off at `max_length` tokens."""
    length = min(lm.context, recipe.max_length)
    return replace(lm, pooling=replace(lm.pooling, max_length=length))


def answer_loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """The sum over texts of the loss of the answers, divided by the texts of the step."""
    total = nn.functional.cross_entropy(outputs["logits"].float(), labels, reduction="sum")
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def collate(rows: Sequence[dict[str, Any]], padding: int) -> dict[str, Tensor]:
    """A batch of rows: tokens and mask, [N,S] each, and the positions of the answers, [N]."""
    labels = torch.tensor([row["labels"] for row in rows])
    return padded([row["input_ids"] for row in rows], padding) | {"labels": labels}


def save_head(head: nn.Linear | None, answers: Sequence[str], folder: Path) -> None:
    """Write a head, if there is one, as safetensors whose metadata lists the answers."""
    if head is not None:
        weights = {name: weight.contiguous().cpu() for name, weight in head.state_dict().items()}
        save_file(weights, folder / HEAD, metadata={"answers": json.dumps(list(answers))})


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """The trainer's own AdamW, with the head's learning rate."""
    rate = recipe.learning_rate
    groups = [
        {"params": list(model.body.parameters())},
        {"params": list(model.head.parameters()), "lr": recipe.head_learning_rate or rate},
    ]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=0.0, fused=True)


def _save_pooling(lm: Encoder, folder: Path) -> None:
    """Write the files by which sentence-transformers, and labelcast, know how to pool."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    if lm.pooling.unit:
        kinds["2_Normalize"] = "Normalize"
    (folder / "1_Pooling").mkdir()
    pooling = {
        "word_embedding_dimension": lm.model.config.hidden_size,
        "pooling_mode_cls_token": lm.pooling.mode == "cls",
        "pooling_mode_mean_tokens": lm.pooling.mode == "mean",
        "pooling_mode_max_tokens": lm.pooling.mode == "max",
    }
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": lm.context})
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    write_json(folder / "modules.json", modules)
