"""The singular values of a prompt's last hidden states, as two numbers.

Shapes: N prompts, S tokens, H features of a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from labelcast.models.causal import LanguageModel
from labelcast.models.encoder import padded
from labelcast.models.encoding import by_length, encode_prompt
from labelcast.models.loading import AnyModel
from labelcast.models.memory import Halving
from labelcast.models.protocols import Progress
from labelcast.selection.pool import Pool
from labelcast.selection.signals import Arrays

_BATCH = 16


def spectra(pool: Pool) -> Arrays:
    """``entropy`` (nats) and ``largest``, [N] each, of the L1-normalised singular values of [S,H].

    Computed once and kept in the pool's store. A prompt longer than the model's context is cut off.
    """

    def compute(rows: Sequence[int], progress: Progress) -> Arrays:
        texts = [pool.examples[row].prompt for row in rows]
        found: Arrays = of_texts(pool.lm, texts, progress)
        return found

    return pool.store.rows("spectra", pool.about(), pool.size, compute)


@torch.inference_mode()
def of_texts(lm: AnyModel, texts: Sequence[str], progress: Progress) -> Arrays:
    """`spectra` of some texts, [N] each."""
    if isinstance(lm, LanguageModel):
        tokens = [encode_prompt(lm.tokenizer, text)[: lm.context] for text in texts]
        run, device = lm.model.get_decoder(), lm.input_device
    else:
        tokens = lm.tokens(texts)
        run, device = lm.model, torch.device(lm.device.value)
    found = {name: np.zeros(len(texts)) for name in ("entropy", "largest")}

    def states(rows: list[int]) -> list[Tensor]:
        hidden = run(**padded([tokens[row] for row in rows], 0, device)).last_hidden_state
        return [hidden[number, : len(tokens[row])].float() for number, row in enumerate(rows)]

    for batch, hidden in Halving().run(by_length(tokens, _BATCH), states):
        for row, one in zip(batch, hidden, strict=True):
            values = torch.linalg.svdvals(one).double()
            share = values / values.sum()
            found["entropy"][row] = float(torch.special.entr(share).sum())
            found["largest"][row] = float(share.max())
        progress(len(batch))
    return found
