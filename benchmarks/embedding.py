"""Seconds to embed short texts: labelcast, and the usual way.

    python benchmarks/embedding.py [--turns 3] [--texts 10000] [--packages FOLDER]
    python benchmarks/embedding.py --model smollm2 --task boolean_expressions --texts 256

With minilm, the usual way is sentence-transformers; benchmarks/peers.txt says how to install it.
With a language model the texts are the prompts of the task, and the usual way is a loop over
transformers: batches of 16 or 64 complete prompts, sorted by length, and the mean of their last
hidden states. Also prints the largest difference between the two vectors of a text. The texts are
generated, all different.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from outcome import Ratio, tell
from torch.nn.utils.rnn import pad_sequence
from turns import in_turns

from labelcast.models.encoder import Encoder
from labelcast.models.likelihood import mean_hidden_states
from labelcast.models.loading import LanguageModel, load_any, weights_folder
from labelcast.tasks.generated import generate
from labelcast.tasks.prompts import examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

Vectors = NDArray[np.float32]
Ways = dict[str, Callable[[], Vectors]]

GOAL = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--task", default="post_room")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--packages", type=Path, default=Path(sys.prefix, "peers"))
    parser.add_argument("--quick", action="store_true", help="100 texts, one turn: a smoke test")
    args = parser.parse_args()
    if args.quick:
        args.turns, args.texts = 1, 100
    sys.path.append(str(args.packages))
    lm = load_any(args.model, device="cpu")
    if isinstance(lm, Encoder):
        texts = [record["input"] for record in generate(args.task, args.texts)]
        others = sentence_transformers(args.model, texts)
    else:
        source = open_source(f"generated:{args.task}:{args.texts}")
        texts = [one.prompt for one in examples(source, Task.load(args.task), lm.render)]
        others = {f"transformers, {size} at once": in_a_loop(lm, texts, size) for size in (16, 64)}
    ways: Ways = {"labelcast": lambda: mean_hidden_states(lm, texts), **others}
    for way in ways.values():
        way()  # the first one reads the weights
    turns = in_turns(ways, args.turns)
    ratios: dict[str, Ratio] = {}
    if not others:
        missing = Ratio(None, "lower", GOAL, "not installed")
        ratios["seconds, beside sentence-transformers"] = missing
    for other in others:
        ratios[f"seconds, beside {other}"] = Ratio(turns.ratio("labelcast", other), "lower", GOAL)
        apart = float(np.abs(turns.values["labelcast"] - turns.values[other]).max())
        ratios[f"largest difference of a number, beside {other}"] = Ratio(apart, compared=False)
    seconds = {way: round(turns.median(way), 2) for way in ways}
    tell("embedding", ratios, texts=args.texts, turns=args.turns, seconds=seconds)


def sentence_transformers(model: str, texts: list[str]) -> Ways:
    """Its way to embed the texts, if it is installed."""
    try:
        from sentence_transformers import SentenceTransformer, __version__
    except ImportError:
        return {}
    encoder = SentenceTransformer(weights_folder(model), device="cpu")
    name = f"sentence-transformers {__version__}"
    return {name: lambda: encoder.encode(texts, show_progress_bar=False)}


def in_a_loop(lm: LanguageModel, texts: list[str], size: int) -> Callable[[], Vectors]:
    """A loop over batches of complete texts, padded on the right, sorted by length."""
    decoder = lm.model.get_decoder()

    def embed() -> Vectors:
        tokens = [lm.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        found = np.zeros((len(texts), lm.model.config.hidden_size), np.float32)
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            batch = [torch.tensor(tokens[row]) for row in rows]
            mask = pad_sequence([torch.ones_like(ids) for ids in batch], batch_first=True)
            ids = pad_sequence(batch, batch_first=True)
            with torch.inference_mode():
                states = decoder(input_ids=ids, attention_mask=mask, use_cache=False)[0]
            sums = (states * mask[:, :, None]).sum(dim=1)
            found[rows] = (sums / mask.sum(dim=1, keepdim=True)).numpy()
        return found

    return embed


if __name__ == "__main__":
    main()
