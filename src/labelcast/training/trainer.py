"""The trainer of transformers, set up by a recipe, with logits at the tokens of answers alone.

All that is asked of the trainer and of peft is asked here.
Shapes: N sequences, S tokens of the longest, M tokens of answers, V words, F features.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from labelcast.errors import InputError, RunError
from labelcast.files.json_files import disk_faults
from labelcast.models.four_bit import quiet_import
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel
from labelcast.training.checkpoints import last_checkpoint
from labelcast.training.recipe import Recipe
from labelcast.training.sequences import IGNORED, Sequences, collate
from labelcast.training.silence import quiet

with quiet_import():  # the trainer imports peft, and peft imports bitsandbytes
    from transformers import Trainer, TrainingArguments, set_seed
    from transformers.trainer_callback import PrinterCallback


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """A trainer that computes logits where an answer's token is predicted, and nowhere else.

    The vocabulary has tens of thousands of words and a prompt hundreds of tokens: most of a small
    model's time would go into logits that no loss reads.
    """

    def __init__(self, head: nn.Module | None, **settings: Any) -> None:
        """Take the layer that makes logits of states; None computes them everywhere."""
        super().__init__(compute_loss_func=answer_loss, **settings)
        self.head = head

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *rest: Any, **more: Any) -> Any:
        """Compute the loss with the states of all other tokens kept from the head."""
        if self.head is None:
            return super().compute_loss(model, inputs, *rest, **more)
        predicts = predicts_answer(inputs["labels"])

        def select(head: nn.Module, states: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            whole = bool(states) and states[0].shape[:2] == predicts.shape
            return (states[0][predicts], *states[1:]) if whole else None

        hook = self.head.register_forward_pre_hook(select)
        try:
            return super().compute_loss(model, inputs, *rest, **more)
        finally:
            hook.remove()


def predicts_answer(labels: Tensor) -> Tensor:
    """Whether the next token belongs to an answer, [N,S] from [N,S]."""
    return nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))


def answer_loss(
    outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """Return the mean negative log likelihood of the answers' tokens.

    Args:
        outputs: of the model; logits at the answers' tokens, [M,V], or at all, [N,S,V].
        labels: [N,S], -100 where no loss is taken.
        num_items_in_batch: tokens of all answers of a step; M by default.
    """
    predicts = predicts_answer(labels)
    logits = outputs["logits"]
    if logits.dim() == 3:
        logits = logits[predicts]
    wanted = labels.roll(-1, dims=1)[predicts]
    total = nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
    return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)


def make_trainer(
    lm: LanguageModel,
    parts: Sequence[Sequences],
    recipe: Recipe,
    seed: int,
    folder: Path,
    device: str,
    bf16: bool,
) -> Any:
    """A trainer that follows a recipe. It says nothing and asks for no checkpoint by itself.

    Args:
        lm: the model, whose own weights it will train or put adapters on.
        parts: what to train on, and what to measure the loss on.
        recipe: how.
        seed: of the order of examples, the adapters and the dropout.
        folder: for checkpoints, which `Keeper` asks for.
        device: what to train on.
        bf16: compute in bfloat16.

    Raises:
        InputError: the recipe's batch cannot be shared out.
    """
    micro, accumulation = _micro_batch(recipe)
    cpu = not device.startswith("cuda")
    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.max_steps,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(
            recipe.schedule, recipe.schedule
        ),
        warmup_steps=math.ceil(recipe.warmup * recipe.max_steps),
        eval_strategy="steps",
        eval_steps=recipe.evaluate_every,
        eval_on_start=last_checkpoint(folder) is None,
        logging_steps=recipe.evaluate_every,
        # `Keeper` asks for checkpoints.
        save_strategy="no",
        seed=seed,
        data_seed=seed,
        bf16=bf16,
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_cpu=cpu,
        dataloader_pin_memory=not cpu,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    if settings.n_gpu > 1:
        # One job has one GPU; the trainer would spread it over all that it sees.
        settings._n_gpu = 1
    lm.model.requires_grad_(True)
    head = lm.model.get_output_embeddings()
    # Adapters begin at random.
    set_seed(seed)
    trainer = AnswerTrainer(
        head,
        model=with_adapters(lm, recipe),
        args=settings,
        data_collator=collate,
        train_dataset=list(parts[0].rows),
        eval_dataset=list(parts[1].rows),
        processing_class=lm.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trainer._save_checkpoint = _whole_or_none(trainer._save_checkpoint, folder)
    return trainer


def _whole_or_none(save: Callable[..., None], folder: Path) -> Callable[..., None]:
    """Saving of a checkpoint that leaves none where the disk is full, and says so."""

    def saved(*args: Any, **kwargs: Any) -> None:
        try:
            with disk_faults(folder):
                save(*args, **kwargs)
        except RunError:
            last_checkpoint(folder)
            raise

    return saved


def with_adapters(lm: LanguageModel, recipe: Recipe) -> Any:
    """The model as the trainer wraps it: with fresh adapters, where the recipe has them."""
    from peft import get_peft_model

    config = _lora_config(lm, recipe)
    with quiet():
        return lm.model if config is None else get_peft_model(lm.model, config)


def unpatched(model: Any) -> Any:
    """The model without the forward functions that the trainer put on it."""
    for module in (model, model.get_base_model() if hasattr(model, "get_base_model") else model):
        vars(module).pop("forward", None)
        vars(module).pop("_original_forward", None)
    return model


def _lora_config(lm: LanguageModel, recipe: Recipe) -> Any:
    from peft import LoraConfig

    sizes = recipe.adapters
    if sizes is None:
        return None
    return LoraConfig(
        r=sizes.rank,
        lora_alpha=sizes.alpha,
        lora_dropout=sizes.dropout,
        target_modules=sorted({name.rpartition(".")[2] for name in linear_layers(lm)}),
        task_type="CAUSAL_LM",
    )


def _micro_batch(recipe: Recipe) -> tuple[int, int]:
    """Sequences at once on one device, and how often before a step.

    Raises:
        InputError: the batch cannot be shared out evenly among the processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    share, rest = divmod(recipe.batch_size, processes)
    micro = min(recipe.micro_batch or share, share)
    if rest or not share or share % micro:
        raise InputError(
            f"recipe {recipe.name!r}: batch_size {recipe.batch_size} cannot be shared out among "
            f"{processes} processes with {micro} sequences at once; change micro_batch."
        )
    return micro, share // micro
