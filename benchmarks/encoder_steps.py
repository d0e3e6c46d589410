"""Steps a second when an encoder trains on short texts, packed and padded, in turns.

    python benchmarks/encoder_steps.py DATA [--field text] [--turns 3] [--threads 1]

DATA is a JSON Lines file. A step is forward, backward, clipping and AdamW on 16 texts of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import torch

from labelcast.files.json_files import JsonLines
from labelcast.models.encoder import Classifier
from labelcast.models.loading import load_encoder
from labelcast.training.encoder import collate
from labelcast.training.packing import classifier


def steps_per_second(model: Classifier, rows: list[list[int]]) -> float:
    """Of training on batches of 16 rows."""
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    begin = time.perf_counter()
    for batch in (rows[start : start + 16] for start in range(0, len(rows), 16)):
        inputs = collate([{"input_ids": row, "labels": 0} for row in batch], 0)
        labels = inputs.pop("labels")
        torch.nn.functional.cross_entropy(model(**inputs)["logits"], labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return len(rows) / 16 / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--field", default="text")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    texts = [str(row[given.field]) for row in JsonLines(Path(given.data)).read()[:320]]
    lm = load_encoder("minilm", device="cpu").for_answers(("yes", "no"))
    lm.model.requires_grad_(True)
    rows = lm.tokens(texts)
    lengths = torch.tensor([len(row) for row in rows]).float()
    padded = Classifier(lm.model, lm.pooling, lm.named_head().requires_grad_(True))
    packed = classifier(lm.model, lm.pooling, padded.head)
    speeds = [[steps_per_second(m, rows) for m in (padded, packed)] for _ in range(given.turns)]
    before, after = (median(column) for column in zip(*speeds, strict=True))
    sys.stdout.write(
        f"{lengths.mean():.0f} tokens on average; steps a second padded {before:.2f}, packed "
        f"{after:.2f}: {after / before:.2f} times as many\n"
    )


if __name__ == "__main__":
    main()
