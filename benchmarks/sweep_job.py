"""Seconds of a sweep's job with a linear head, with and without `gc.freeze`, in turns.

    python benchmarks/sweep_job.py [--turns 5]

The job selects 50 labels of post_room by k-centre and fits a head on minilm; vectors are cached
before the first turn.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.sweep import Sweep, sweep_task
from labelcast.training.backend import recipe_for


def seconds(job: SweepJob) -> float:
    """Wall-clock time of one run of the job."""
    begin = time.perf_counter()
    row = job.run()
    assert not row.error, row.error
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    settings = SweepSettings(
        "minilm", recipe_for("linear", "minilm"), budgets=(50,), selectors=("k-centre",), threads=1
    )
    times = []
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(Path(folder) / "sweep")
        *_, job = sweep.begin(
            [sweep_task("post_room", settings, "generated:post_room:2000")], settings
        )
        seconds(job)
        for _ in range(turns):
            gc.unfreeze()
            before = seconds(job)
            gc.collect()
            gc.freeze()
            times.append((before, seconds(job)))
    plain, frozen = (median(column) for column in zip(*times, strict=True))
    sys.stdout.write(
        f"without gc.freeze {plain:.2f} s, with {frozen:.2f} s: {plain / frozen:.2f} times faster\n"
    )


if __name__ == "__main__":
    main()
