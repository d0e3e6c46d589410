"""A transformers trainer that splits batches if memory runs out, and reports a full disk.

Shapes: N sequences, S tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelcast.errors import RunError, is_out_of_memory
from labelcast.files.json_files import disk_faults
from labelcast.models.four_bit import light_import
from labelcast.training.checkpoints import last_checkpoint

with light_import():  # the trainer imports peft, and peft imports bitsandbytes
    from accelerate.utils.memory import clear_device_cache
    from transformers import Trainer
    from transformers.trainer_callback import PrinterCallback

_RECOMPUTE = "gradient_checkpointing_enable"


class SteadyTrainer(Trainer):  # type: ignore[misc]
    """A trainer that splits a batch into smaller parts if memory runs out.

    Its loss is a sum, divided by the number of labels in the complete step.

    Attributes:
        rows: the most sequences that run at once; less than a micro-batch after memory ran out.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.remove_callback(PrinterCallback)
        self.rows: int = self.args.per_device_train_batch_size
        self._step, self._batches = -1, list[dict[str, Tensor]]()

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run a micro-batch forward and backward, in smaller parts if memory runs out.

        The parts' gradients add up to those of the micro-batch, since each loss is divided by the
        tokens of the complete step. transformers' own way, `auto_find_batch_size`, makes the step
        itself smaller and continues from half-trained weights.
        """
        if self._step != self.state.global_step:
            self._step, self._batches = self.state.global_step, []
        self._batches.append(inputs)
        run = super().training_step
        missing = [inputs]
        while True:
            try:
                for batch in missing:
                    parts = split_rows(batch, self.rows)
                    losses = [run(model, part, num_items_in_batch) for part in parts]
                return losses[0] if len(losses) == 1 else torch.stack(losses).sum()
            except Exception as error:
                # Other processes would wait for this one.
                alone = self.args.world_size == 1
                if not (alone and is_out_of_memory(error) and self._take_less()):
                    raise
            # Only now has the traceback released its tensors. The gradients of this step may be
            # incomplete, so all of it runs again.
            model.zero_grad()
            clear_device_cache(garbage_collection=True)
            missing = self._batches

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """Evaluate, with half as many rows at once if memory runs out."""
        while True:
            try:
                return dict(super().evaluate(*args, **options))
            except Exception as error:
                alone = self.args.world_size == 1
                if not (alone and is_out_of_memory(error) and self.rows > 1):
                    raise
            self.rows //= 2
            self.args.per_device_eval_batch_size = self.rows
            clear_device_cache(garbage_collection=True)

    def _take_less(self) -> bool:
        """Run half as many rows at once, then recompute activations; false if both are done."""
        if self.rows > 1:
            self.rows //= 2
        elif self.args.gradient_checkpointing or not hasattr(self.model, _RECOMPUTE):
            return False
        else:
            self.args.gradient_checkpointing = True
            getattr(self.model, _RECOMPUTE)(self.args.gradient_checkpointing_kwargs)
        return True

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint; if the disk is full, delete the unfinished one and say so."""
        folder = Path(self.args.output_dir)
        try:
            with disk_faults(folder):
                super()._save_checkpoint(*args, **kwargs)
        except RunError:
            last_checkpoint(folder)
            raise


def split_rows(batch: dict[str, Tensor], most: int) -> list[dict[str, Tensor]]:
    """A batch split into parts of at most `most` rows."""
    count = len(batch["input_ids"])
    if count <= most:
        return [batch]
    return [{k: v[i : i + most] for k, v in batch.items()} for i in range(0, count, most)]
