"""T-Few: (IA)3 vectors, trained on every allowed answer of an example.

Shapes: N examples, K allowed answers, S tokens of the longest sequence, M tokens of answers,
V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.models.four_bit import light_import
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training.backend import Fit, Placement
from labelcast.training.finetune import CausalBackend
from labelcast.training.recipe import Recipe
from labelcast.training.sequences import IGNORED, Sequences, check_lengths, collate, encode
from labelcast.training.splits import Budget
from labelcast.training.steady import SteadyTrainer
from labelcast.training.trainer import answers_only, predicts_answer, training_arguments

with light_import():  # the optimizers' modules import peft, and peft imports bitsandbytes
    from transformers.optimization import Adafactor

# Added to 1 - p, whose logarithm would be infinite at p = 1. The published code adds 0.01.
_TINY = 1e-6


class TFewBackend(CausalBackend):
    """Language models with (IA)3 vectors; see `training.backend.Backend`.

    Source: Liu et al. (2022), arXiv 2205.05638.
    """

    def load(
        self, model: str, recipe: Recipe, placement: Placement, *, train: bool = True
    ) -> LanguageModel:
        """Load a model; see `Backend`."""
        if placement.processes > 1:
            raise InputError(f"recipe {recipe.name!r}: runs on one GPU. Use --gpus-per-job 1.")
        return super().load(model, recipe, placement, train=train)

    @staticmethod
    def encode(lm: LanguageModel, labels: Budget, recipe: Recipe) -> list[Sequences]:
        """The sequences of each example with all allowed answers; see `choices`.

        Raises:
            InputError: the task lists no answers.
        """
        if len(lm.answers) < 2:
            raise InputError(
                f"recipe {recipe.name!r}: compares the allowed answers, and the task lists none. "
                "Add `answers: [...]` to the task file, or use --recipe LoRA."
            )
        parts = [choices(lm, e, recipe.max_length) for e in (labels.train, labels.validation)]
        check_lengths(parts, recipe)
        return parts

    @staticmethod
    def trainer(lm: LanguageModel, parts: Sequence[Sequences], fit: Fit, folder: Path) -> Any:
        """A trainer of the vectors with the three losses.

        Raises:
            InputError: peft knows no (IA)3 layers of this model.
        """
        set_seed(fit.seed)
        model = with_vectors(lm)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        return ChoiceTrainer(
            lm.model.get_output_embeddings(),
            model=model,
            args=training_arguments(fit, folder),
            optimizers=(Adafactor(trained, lr=fit.recipe.learning_rate, relative_step=False), None),
            data_collator=collate_choices,
            train_dataset=list(parts[0].rows),
            eval_dataset=list(parts[1].rows),
            processing_class=lm.tokenizer,
        )


def choices(lm: LanguageModel, examples: Sequence[Example], max_length: int) -> Sequences:
    """For each example its sequences with every allowed answer, the right one first.

    An example with a sequence of `max_length` tokens or more is left out.
    """
    rows: list[dict[str, Any]] = []
    dropped = 0
    for example in examples:
        right = str(example.answer)
        answers = [right, *(answer for answer in lm.answers if answer != right)]
        found = encode(lm, [replace(example, answer=answer) for answer in answers], max_length)
        if found.dropped:
            dropped += 1
        else:
            rows.append({"choices": found.rows})
    return Sequences(tuple(rows), dropped)


def collate_choices(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch: tokens, mask and `targets` (labels of tokens), [N,K,S] each, and `labels` [N,2].

    The trainer counts examples by the labels: one per row, behind a column that it leaves out for
    language models because their loss predicts the next token.
    """
    flat = collate([one for row in rows for one in row["choices"]])
    shape = (len(rows), len(rows[0]["choices"]), -1)
    found = {name: values.view(shape) for name, values in flat.items()}
    found["targets"] = found["labels"]
    labels = torch.full((len(rows), 2), IGNORED)
    labels[:, 1] = 0
    return found | {"labels": labels}


class ChoiceTrainer(SteadyTrainer):
    """A trainer with the three losses of T-Few; `head` is the layer that makes logits."""

    def __init__(self, head: nn.Module, **settings: Any) -> None:
        super().__init__(compute_loss_func=choice_losses, **settings)
        self.head = head

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The sum of the losses over examples, divided by the examples of the step."""
        count = inputs["targets"].shape[:2]
        targets = inputs["targets"].flatten(0, 1)
        with answers_only(self.head, predicts_answer(targets)):
            outputs = model(
                input_ids=inputs["input_ids"].flatten(0, 1),
                attention_mask=inputs["attention_mask"].flatten(0, 1),
            )
        losses = choice_losses(outputs["logits"], targets, count)
        loss = losses.sum() / (count[0] if num_items_in_batch is None else num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def choice_losses(logits: Tensor, targets: Tensor, count: Sequence[int]) -> Tensor:
    """The loss of each example, [N]: language modelling, unlikelihood and choice.

    They are the mean negative log likelihood of the right answer's tokens; the mean over the
    tokens of all wrong answers of -log(1 - p); and the cross-entropy of the right answer under a
    softmax over the answers' mean log likelihoods.

    Args:
        logits: logits of the answers' tokens, [M,V], example by example and the right answer first.
        targets: labels of tokens as `trainer.encode` makes them, [NK,S].
        count: N and K.

    Source: Liu et al. (2022), section 3.2.
    """
    predicts = predicts_answer(targets)
    wanted = targets.roll(-1, dims=1)[predicts]
    likelihoods = -nn.functional.cross_entropy(logits.float(), wanted, reduction="none")  # [M]
    sequence = predicts.nonzero()[:, 0]  # [M]
    lengths = predicts.sum(1).view(*count)  # [N,K]

    def summed(values: Tensor) -> Tensor:
        zeros = torch.zeros(len(targets), device=values.device, dtype=values.dtype)
        return zeros.index_add(0, sequence, values).view(*count)

    means = summed(likelihoods) / lengths
    unlikely = summed(-torch.log1p(-likelihoods.exp() + _TINY))
    wrong = unlikely[:, 1:].sum(1) / lengths[:, 1:].sum(1)
    return -means[:, 0] + wrong - means.log_softmax(1)[:, 0]


def with_vectors(lm: LanguageModel) -> Any:
    """The model with (IA)3 vectors, all ones, on keys, values and the feed-forward layers."""
    from peft import IA3Config, get_peft_model

    try:
        return get_peft_model(lm.model, IA3Config(task_type="CAUSAL_LM"))
    except ValueError as error:
        raise InputError(
            f"model {lm.name}: peft knows no (IA)3 layers of it ({error}). Use --recipe LoRA."
        ) from None
