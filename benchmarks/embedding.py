"""Seconds to embed 10,000 short texts with minilm: labelcast, and sentence-transformers.

    python benchmarks/embedding.py [--turns 3] [--texts 10000] [--packages FOLDER]

Also prints the largest difference between the two vectors of a text. The texts are generated
(`post_room`), all different. benchmarks/peers.txt says how to install sentence-transformers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from outcome import Ratio, tell
from turns import in_turns

from labelcast.models.loading import load_encoder, weights_folder
from labelcast.tasks.generated import generate

GOAL = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--packages", type=Path, default=Path(sys.prefix, "peers"))
    parser.add_argument("--quick", action="store_true", help="100 texts, one turn: a smoke test")
    args = parser.parse_args()
    if args.quick:
        args.turns, args.texts = 1, 100
    sys.path.append(str(args.packages))
    lm = load_encoder("minilm", device="cpu")
    texts = [record["input"] for record in generate("post_room", args.texts)]
    ways: dict[str, Callable[[], NDArray[np.float32]]] = {"labelcast": lambda: lm.embed(texts)}
    try:
        from sentence_transformers import SentenceTransformer, __version__
    except ImportError:
        other = "not installed"
    else:
        other = f"sentence-transformers {__version__}"
        model = SentenceTransformer(weights_folder("minilm"), device="cpu")
        ways[other] = lambda: model.encode(texts, show_progress_bar=False)
    for way in ways.values():
        way()  # the first one reads the weights
    turns = in_turns(ways, args.turns)
    ratios = {f"seconds, beside {other}": Ratio(None, "lower", GOAL, "not installed")}
    if len(ways) == 2:
        ratios = {f"seconds, beside {other}": Ratio(turns.ratio("labelcast", other), "lower", GOAL)}
        apart = float(np.abs(turns.values["labelcast"] - turns.values[other]).max())
        ratios["largest difference of a number"] = Ratio(apart, compared=False)
    seconds = {way: round(turns.median(way), 2) for way in ways}
    tell("embedding", ratios, texts=args.texts, turns=args.turns, seconds=seconds)


if __name__ == "__main__":
    main()
