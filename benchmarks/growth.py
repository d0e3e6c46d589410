"""How time and memory grow with the pool, the prompt, the examples and the model.

    python benchmarks/growth.py [--full] [--rows FILE] [--draw docs/img]

Each series of points runs in its own process on random models, smallest first, and each finished
point is appended to FILE: if it is interrupted, run the same command to resume. `--full` goes to a
pool of a million rows, which takes hours.
The exponents are fitted on logarithms, over all points and over the larger half, to CPU seconds
summed over threads, which depend less on other work on the machine than the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from growth_lines import ANSWER, LINES, POOL_ANSWER, POOL_TOKENS, Row, describe, fit_lines
from outcome import Ratio, tell

ROWS = Path("build/bench/growth.jsonl")


def prepare(name: str, point: int | str, folder: Path) -> tuple[float, Callable[[], Any]]:
    """The size of a point as a number, and the function that is timed.

    A small call of the same kind runs first, so that the cost of a first call is not timed.
    """
    import random_models

    from labelcast.models.confidence import score_confidence
    from labelcast.models.coslow import cos_low
    from labelcast.runs.score import score_run
    from labelcast.tasks.sources import open_source

    rng = random.Random(0)
    axis, _, cost = name.partition(", ")
    model = {"pool": "tiny", "prompt": "10M", "examples": "1M", "model": point}[axis]
    lm = random_models.load(str(model))
    weights = sum(weight.numel() for weight in lm.model.parameters())
    size = float(weights if axis == "model" else point)
    tokens = {"prompt": int(size), "examples": 48, "model": 64, "pool": POOL_TOKENS}[axis]

    def examples(count: int, length: int) -> list[dict[str, str]]:
        return [
            {
                "input_text": random_models.text(length - ANSWER, rng),
                # The space makes the answer's first word a separate token.
                "ground_truth": " " + random_models.text(ANSWER, rng),
            }
            for _ in range(count)
        ]

    if cost == "CoS-Low" or axis == "examples":
        labelled = examples(int(size) if axis == "examples" else 4, tokens)
        cos_low(lm, examples(2, 16))
        return size, lambda: cos_low(lm, labelled)
    if axis == "pool":

        def scoring(rows: int) -> Callable[[], Any]:
            pool = random_models.write_pool(folder / f"{rows}.jsonl", rows, tokens)
            return partial(
                score_run,
                open_source(str(pool)),
                lm,
                folder / f"run-{rows}",
                n_label=8,
                max_new_tokens=POOL_ANSWER,
            )

        scoring(81)()
        return size, scoring(int(size))
    score_confidence(lm, [random_models.text(16, rng)], max_new_tokens=2)
    prompts = [random_models.text(tokens, rng) for _ in range(8)]
    return size, lambda: score_confidence(lm, prompts, max_new_tokens=4)


def measure(name: str, point: int | str) -> Row:
    """The row of one point: CPU and clock seconds, and the peak of memory above the model's."""
    import gc

    import memory

    gc.collect()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        size, run = prepare(name, point, Path(folder))
        before = memory.restart_peak()
        start, clock = time.process_time(), time.perf_counter()
        run()
        seconds, clock = time.process_time() - start, time.perf_counter() - clock
        above = memory.peak() - before
    return {
        "line": name,
        "point": point,
        "x": size,
        "seconds": round(seconds, 4),
        "clock_seconds": round(clock, 4),
        "peak_above_model": above,
        "version": version("labelcast"),
    }


def read_rows(path: Path) -> list[Row]:
    """The rows so far; an incomplete last line is dropped."""
    rows: list[Row] = []
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
    return rows


def append(path: Path, row: Row) -> None:
    """Append a row, on a new line even after an incomplete one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_bytes() if path.exists() else b""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(("" if not old or old.endswith(b"\n") else "\n") + json.dumps(row) + "\n")


def missing(
    rows: Sequence[Row], names: Sequence[str], *, full: bool, most: int | None = None
) -> dict[str, list[int | str]]:
    """The points of each series without a row; `most` limits them for a smoke test."""
    done = {(row["line"], row["point"]) for row in rows}
    wanted = {}
    for name in names:
        points = (*LINES[name].points, *(LINES[name].full if full else ()))[:most]
        if left := [point for point in points if (name, point) not in done]:
            wanted[name] = left
    return wanted


def measure_line(name: str, points: Sequence[int | str], path: Path) -> None:
    """Measure points in a child process, and write each row as it comes.

    Raises:
        SystemExit: the process failed.
    """
    command = [sys.executable, __file__, "--measure", name, *map(str, points)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for text in child.stdout:
            row = json.loads(text)
            append(path, row)
            print(f"{name}  {row['point']}  {row['seconds']} s", file=sys.stderr, flush=True)
    if child.returncode != 0:
        raise SystemExit(f"{name}: failed with status {child.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=Path, default=ROWS, metavar="FILE")
    parser.add_argument("--full", action="store_true", help="also pools of up to a million rows")
    parser.add_argument("--quick", action="store_true", help="two points per series: a smoke test")
    parser.add_argument("--lines", nargs="*", choices=list(LINES), default=list(LINES))
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="where growth.svg goes")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        name, *sizes = args.measure
        for size in sizes:
            row = measure(name, int(size) if size.isdigit() else size)
            print(json.dumps(row), flush=True)
        return
    todo = missing(read_rows(args.rows), args.lines, full=args.full, most=2 if args.quick else None)
    for name, points in todo.items():
        measure_line(name, points, args.rows)
    fitted = fit_lines(read_rows(args.rows))
    if args.draw:
        from growth_chart import draw

        print(draw(fitted, args.draw / "growth.svg"), file=sys.stderr)
    ratios = {
        f"exponent of time, {name}": Ratio(
            one.over_upper.exponent, note=f"± {one.over_upper.error:.2f}"
        )
        for name, one in fitted.items()
    }
    tell("growth", ratios, growth=describe(fitted))


if __name__ == "__main__":
    main()
