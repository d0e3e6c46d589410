"""Time and memory of the selection methods on large pools of vectors, with the exponent.

Each method and size runs in a process of its own and appends a line to the results file; what is
there already is not run again. The vectors are 384 numbers in 1,000 clusters of unequal sizes, as
those of texts, not uniform noise.

    python benchmarks/selection_scale.py results.jsonl
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

METHODS = ("k-centre", "facility-location", "typical", "data-tailor")
SIZES = (10_000, 100_000, 1_000_000)
FEATURES, CHOSEN = 384, 200


def vectors(size: int) -> NDArray[np.float32]:
    """Unit vectors [N,384], float32, without a larger copy."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, FEATURES)).astype(np.float32)
    share = rng.exponential(size=1000)
    found = np.empty((size, FEATURES), np.float32)
    for start in range(0, size, 50_000):
        rows = found[start : start + 50_000]
        kinds = rng.choice(1000, len(rows), p=share / share.sum())
        rows[:] = centres[kinds] + rng.normal(size=rows.shape).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def measure(name: str, size: int) -> dict[str, Any]:
    """Seconds of one selection, and the peak memory of this process with the vectors, in GB."""
    from labelcast.selection.methods.data_tailor import DataTailor
    from labelcast.selection.pool import Pool
    from labelcast.selection.registry import selector
    from labelcast.selection.selector import select

    rng = np.random.default_rng(1)
    method = selector(name)
    if name == "data-tailor":
        method = DataTailor(entropy=rng.uniform(1, 4, size), largest=rng.uniform(0.1, 0.5, size))
    pool = Pool(embeddings=vectors(size))
    begin, cpu = time.perf_counter(), time.process_time()
    select(method, pool, CHOSEN, seed=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    seconds = {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
    return {"method": name, "size": size, **seconds, "peak_gb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    path: Path = options.results
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(row["method"], row["size"]) for row in rows}
    for size in map(int, options.sizes.split(",")):
        for name in METHODS:
            if (name, size) in known:
                continue
            command = [sys.executable, __file__, str(path), "--one", name, str(size)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(done.stdout))
            with path.open("a") as file:
                file.write(done.stdout + "\n")
    for name in METHODS:
        found = sorted((row for row in rows if row["method"] == name), key=lambda row: row["size"])
        for row in found:
            sys.stdout.write(
                f"{name} {row['size']:,}: {row['seconds']:.1f} s ({row['cpu']:.1f} s of a core), "
                f"{row['peak_gb']:.2f} GB\n"
            )
        for first, last in itertools.pairwise(found):
            exponent = math.log(last["cpu"] / first["cpu"]) / math.log(last["size"] / first["size"])
            sys.stdout.write(f"{name}: exponent of core seconds {exponent:.2f}\n")


if __name__ == "__main__":
    main()
