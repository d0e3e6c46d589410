"""SetFit: an encoder tuned on pairs of texts, with logistic regression on its vectors.

The pairs and their training are the setfit package's.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelcast.errors import InputError
from labelcast.models.encoder import Encoder
from labelcast.models.four_bit import light_import
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.training.backend import FineTuned, Fit, TrainingLog
from labelcast.training.encoder import EncoderBackend, within
from labelcast.training.finetune import random_state_kept
from labelcast.training.linear import fitted_head
from labelcast.training.trainer import quiet

with light_import():  # the trainer's modules import peft, and peft imports bitsandbytes
    from transformers.trainer_callback import PrinterCallback, TrainerCallback


class SetFitBackend(EncoderBackend):
    """Encoders tuned so that texts with one answer are close; see `training.backend.Backend`.

    All labels are trained on, also those for validation, and there are no checkpoints.

    Source: Tunstall et al. (2022), arXiv 2209.11055.
    """

    def fit(self, lm: Encoder, fit: Fit) -> FineTuned:
        """Fine-tune on the labels of a budget; see `Backend`.

        Raises:
            InputError: the setfit package is not installed.
        """
        recipe, lm = fit.recipe, within(lm, fit.recipe)
        try:
            from sentence_transformers import SentenceTransformer
            from setfit import SetFitModel, Trainer, TrainingArguments
        except ImportError as error:
            raise InputError(
                f"recipe {recipe.name!r}: needs setfit ({error}). Install labelcast[setfit]."
            ) from None

        class Report(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
                fit.progress(state.global_step, state.max_steps, None)

        begin, device = time.perf_counter(), lm.device.value
        reset_peak(device)
        texts = [example.prompt for example in fit.examples]
        gold = [lm.answers.index(str(example.answer)) for example in fit.examples]
        with tempfile.TemporaryDirectory(prefix="labelcast-") as work, quiet(), random_state_kept():
            self.save(replace(lm, head=None), Path(work) / "model")
            body = SentenceTransformer(f"{work}/model", device=device)
            body.max_seq_length = lm.context
            settings = TrainingArguments(
                output_dir=f"{work}/trainer",
                batch_size=recipe.batch_size,
                max_steps=recipe.max_steps,
                body_learning_rate=recipe.learning_rate,
                warmup_proportion=recipe.warmup,
                seed=fit.seed,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                show_progress_bar=False,
            )
            model = SetFitModel(model_body=body)
            trainer = Trainer(model=model, args=settings, callbacks=[Report()])
            trainer.remove_callback(PrinterCallback)
            trainer.train_embeddings(texts, gold, args=settings)
        tuned = replace(lm, model=body[0].auto_model.eval().requires_grad_(False))
        vectors = tuned.embed(texts)
        # scikit-learn's default penalty, on vectors that are not scaled.
        c = float(np.var(vectors, axis=0).mean()) or 1.0
        head = fitted_head(vectors, np.array(gold), len(lm.answers), c).to(device)
        log = TrainingLog(seconds=time.perf_counter() - begin, peak_bytes=peak_memory(device))
        return FineTuned(replace(tuned, head=head), log)
