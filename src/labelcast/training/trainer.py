"""The transformers trainer for a recipe, without what the loss of the answers does not need.

Shapes: N sequences, S tokens of the longest one, M tokens of answers, V words.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from labelcast.errors import InputError
from labelcast.models.choices import choose_device
from labelcast.models.embedded import quietly
from labelcast.models.four_bit import light_import
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel
from labelcast.models.passes import cached, keys_and_values, shared_length
from labelcast.training.backend import Fit
from labelcast.training.checkpoints import last_checkpoint
from labelcast.training.recipe import Recipe
from labelcast.training.sequences import IGNORED, Sequences, collate
from labelcast.training.steady import SteadyTrainer

with light_import():  # the trainer imports peft, and peft imports bitsandbytes
    from transformers import TrainingArguments

# A backward pass gains more from shared tokens than a forward pass.
_WORTH_SHARING = 16


class AnswerTrainer(SteadyTrainer):
    """A trainer that leaves out what the loss does not need.

    Logits are computed only where an answer's token is predicted: a small model would spend most
    of its time on the others. The tokens with which every sequence begins, mostly the task's
    instruction, run forward and backward once for all rows of a micro-batch.

    Attributes:
        head: the layer that turns states into logits; None computes all logits.
        start: how many first tokens run once; 0 runs complete rows.
    """

    def __init__(self, head: nn.Module | None, start: int = 0, **settings: Any) -> None:
        super().__init__(compute_loss_func=answer_loss, **settings)
        self.head, self.start = head, start

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *rest: Any, **more: Any) -> Any:
        """Compute the loss; the head sees only the states that predict an answer's token."""
        # Recomputed activations, which need less memory, cannot fill a cache.
        if self.start and not self.args.gradient_checkpointing:
            inputs = self._behind_start(model, inputs)
        with answers_only(self.head, predicts_answer(inputs["labels"])):
            return super().compute_loss(model, inputs, *rest, **more)

    def _behind_start(self, model: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The rest of each row [N,S-start], with the keys and values of the tokens before it.

        Rows are padded on the right, where earlier tokens cannot see it, so they need no mask.
        """
        ids, labels = inputs["input_ids"], inputs["labels"]
        first = torch.zeros(1, self.start, dtype=torch.bool, device=ids.device)
        with answers_only(self.head, first):
            states = keys_and_values(model, ids[:1, : self.start])
        shared = cached([one.expand(len(ids), -1, -1, -1) for one in states])
        return {"input_ids": ids[:, self.start :], "labels": labels[:, self.start :]} | shared


@contextmanager
def answers_only(head: nn.Module | None, predicts: Tensor) -> Iterator[None]:
    """Give the head only the states at chosen positions, [N,S]; without a head, change nothing."""
    if head is None:
        yield
        return

    def select(head: nn.Module, states: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        complete = bool(states) and states[0].shape[:2] == predicts.shape
        return (states[0][predicts], *states[1:]) if complete else None

    with head.register_forward_pre_hook(select):
        yield


def predicts_answer(labels: Tensor) -> Tensor:
    """Whether the next token belongs to an answer, [N,S] from [N,S]."""
    return nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))


def answer_loss(
    outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """The mean negative log likelihood of the answers' tokens.

    The logits are those of the answers' tokens, [M,V], or all, [N,S,V]; labels are [N,S];
    `num_items_in_batch` is the number of answer tokens in a step, M by default.
    """
    predicts = predicts_answer(labels)
    logits = outputs["logits"]
    if logits.dim() == 3:
        logits = logits[predicts]
    wanted = labels.roll(-1, dims=1)[predicts]
    total = nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
    return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)


def make_trainer(lm: LanguageModel, parts: Sequence[Sequences], fit: Fit, folder: Path) -> Any:
    """A trainer that follows a recipe, prints nothing and saves checkpoints only if `Keeper` asks.

    `parts` are the sequences to train on and those for the validation loss.
    """
    recipe = fit.recipe
    settings = training_arguments(fit, folder)
    if recipe.adapters is None:
        lm.model.requires_grad_(True)
    head = lm.model.get_output_embeddings()
    start = shared_start(lm, parts, recipe)
    set_seed(fit.seed)  # for the adapters' initial weights
    return AnswerTrainer(
        head,
        start,
        model=with_adapters(lm, recipe),
        args=settings,
        data_collator=collate,
        train_dataset=list(parts[0].rows),
        eval_dataset=list(parts[1].rows),
        processing_class=lm.tokenizer,
    )


def shared_start(lm: LanguageModel, parts: Sequence[Sequences], recipe: Recipe) -> int:
    """How many first tokens of all prompts run once for a micro-batch; 0 if that gains nothing.

    Dropout, which differs between rows, needs complete rows, and so do several processes, which
    expect one forward pass.
    """
    dropout = [recipe.lora.dropout if recipe.lora else 0.0]
    dropout += [module.p for module in lm.model.modules() if isinstance(module, nn.Dropout)]
    dropout += [getattr(lm.model.config.get_text_config(), "attention_dropout", 0.0)]
    if any(dropout) or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 0
    rows = [row for part in parts for row in part.rows]
    prompts = [row["input_ids"][: row["labels"].count(IGNORED)] for row in rows]
    return shared_length(lm, prompts, _WORTH_SHARING) if prompts else 0


def training_arguments(fit: Fit, folder: Path) -> TrainingArguments:
    """The settings of a trainer; see `make_trainer`."""
    recipe, device = fit.recipe, choose_device(fit.placement.device).value
    micro, accumulation = micro_batch(recipe, int(os.environ.get("WORLD_SIZE", "1")))
    cpu = not device.startswith("cuda")
    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.max_steps,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule.replace("constant", "constant_with_warmup"),
        warmup_steps=math.ceil(recipe.warmup * recipe.max_steps),
        eval_strategy="steps",
        eval_steps=recipe.evaluate_every,
        eval_on_start=last_checkpoint(folder) is None,
        logging_steps=recipe.evaluate_every,
        save_strategy="no",
        seed=fit.seed,
        data_seed=fit.seed,
        bf16=fit.placement.in_bf16,
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
    train_on(settings, device)
    return settings


def train_on(settings: TrainingArguments, device: str) -> None:
    """Let a trainer use this GPU only: by default it takes all that it sees, or the first."""
    if settings.n_gpu > 1:
        settings._n_gpu = 1
    chosen = torch.device(device)
    if chosen.index is not None:
        torch.cuda.set_device(chosen)
        # A cached property, and the state that accelerate shares with it.
        vars(settings)["_setup_devices"] = settings.distributed_state.device = chosen


def with_adapters(lm: LanguageModel, recipe: Recipe) -> Any:
    """The model to train, with new adapters if the recipe has them."""
    from peft import LoraConfig, get_peft_model

    sizes = recipe.adapters
    if sizes is None:
        return lm.model
    layers = linear_layers(lm)
    config = LoraConfig(
        r=sizes.rank,
        lora_alpha=sizes.alpha,
        lora_dropout=sizes.dropout,
        target_modules=sorted({name.rpartition(".")[2] for name in layers}),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(layer.module, Conv1D) for layer in layers.values()),
    )
    with quiet():
        return get_peft_model(lm.model, config)


def unpatched(model: Any) -> Any:
    """The model without the forward functions that the trainer set on it."""
    for module in (model, model.get_base_model() if hasattr(model, "get_base_model") else model):
        for name in ("forward", "_original_forward"):
            vars(module).pop(name, None)
    return model


def micro_batch(recipe: Recipe, processes: int) -> tuple[int, int]:
    """Sequences at once on one device, and how many of these batches make a step."""
    share, rest = divmod(recipe.batch_size, processes)
    micro = min(recipe.micro_batch or share, share)
    if rest or not share or share % micro:
        raise InputError(
            f"recipe {recipe.name!r}: batch_size {recipe.batch_size} cannot be divided among "
            f"{processes} processes with {micro} sequences at once; change micro_batch."
        )
    return micro, share // micro


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings, log lines and progress bars of the training libraries."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with quietly(), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(level)
