"""The singular values of each text's last hidden states.

Shapes: N texts, S tokens, F features of a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelcast.models import encoder, passes
from labelcast.models.choices import choose_batch
from labelcast.models.encoder import Encoder
from labelcast.models.encoding import by_length, encode_prompt
from labelcast.models.loading import AnyModel
from labelcast.models.memory import Halving
from labelcast.models.protocols import Progress


@torch.inference_mode()
def spectra(
    lm: AnyModel,
    texts: Sequence[str],
    *,
    batch_size: int | None = None,
    progress: Progress = lambda done: None,
) -> NDArray[np.float64]:
    """Entropy (natural) of the singular values, and the share of the largest, [N,2].

    The singular values are those of a text's last hidden states [S,F], divided by their sum. A
    text longer than the model's context is cut off.

    Args:
        lm: the model.
        texts: rendered for it, N of them.
        batch_size: texts at once; None chooses a number for the device.
        progress: called with the number of texts done.
    """
    if isinstance(lm, Encoder):
        tokens = lm.tokens(texts)
    else:
        tokens = [encode_prompt(lm.tokenizer, text)[: lm.context] for text in texts]
    found = np.zeros((len(texts), 2))
    size = choose_batch(batch_size, lm.device.value, "embedding").value

    def run(rows: list[int]) -> list[tuple[float, float]]:
        states = _states(lm, [tokens[row] for row in rows]).float()
        return [_spectrum(states[i, : len(tokens[row])]) for i, row in enumerate(rows)]

    for rows, values in Halving().run(by_length(tokens, size), run):
        found[rows] = values
        progress(len(rows))
    return found


def _states(lm: AnyModel, batch: Sequence[list[int]]) -> Tensor:
    """Last hidden states, padded on the right, [N,S,F]."""
    if isinstance(lm, Encoder):
        inputs = encoder.padded(batch, lm.tokenizer.pad_token_id or 0)
        inputs = {name: values.to(lm.device.value) for name, values in inputs.items()}
        states: Tensor = lm.model(**inputs).last_hidden_state
        return states
    ids = passes.padded(lm, batch)
    states = lm.model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    return states


def _spectrum(states: Tensor) -> tuple[float, float]:
    values = torch.linalg.svdvals(states).double()
    shares = values / values.sum()
    entropy = -torch.special.xlogy(shares, shares).sum()
    return float(entropy), float(shares.max())
