"""Peak memory of `labelcast score` by the size of the pool, each size in its own process.

    python benchmarks/pool_memory.py --sizes 1000,10000,100000

The model is random and has one layer, so that the pool's memory is measured and not the model's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from tiny_model import save_llama  # noqa: E402

TASK = "{name: t, instruction: Say it., inputs: [text], answer: label}"
COMMAND = """
import json, resource, sys
from labelcast.cli.app import main
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stderr.write(json.dumps({"peak_kilobytes": peak}) + "\\n")
"""


def write_pool(path: Path, size: int) -> None:
    """A pool of records of about 200 bytes, one in ten of them a duplicate."""
    with path.open("w") as stream:
        for number in range(size):
            text = f"ticket {number - number % 10 // 9} " + "word " * (20 + number % 20)
            stream.write(json.dumps({"id": number, "text": text[:150]}) + "\n")


def score(folder: Path, size: int) -> dict[str, float]:
    """Score a pool of a size: peak megabytes, and seconds."""
    pool, out = folder / f"pool-{size}.jsonl", folder / f"run-{size}"
    write_pool(pool, size)
    options = ["--task", folder / "task.yaml", "--model", folder / "model", "--out", out]
    words = ["score", pool, *options, "--max-new-tokens", 2, "--batch-size", 256, "--json"]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    peak = json.loads(done.stderr.strip().splitlines()[-1])["peak_kilobytes"]
    return {"megabytes": peak / 1024, "seconds": time.perf_counter() - begin}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "task.yaml").write_text(TASK)
        save_llama(folder / "model", num_hidden_layers=1, hidden_size=32, intermediate_size=32)
        found: dict[int, dict[str, float]] = {}
        for size in sizes:
            found[size] = one = score(folder, size)
            times = one["megabytes"] / found[sizes[0]]["megabytes"]
            print(
                f"{size:>9,} rows  {one['megabytes']:.0f} MB, {times:.2f} times the first; "
                f"{one['seconds']:.0f} s",
                flush=True,
            )
    print(json.dumps({str(size): one for size, one in found.items()}))


if __name__ == "__main__":
    main()
