"""Check labelcast on one GPU, in about ten minutes: numbers beside the CPU's, memory, speed.

    python benchmarks/gpu_check.py [--out gpu-check] [--small]

Needs no hub: all models are random. Each finished check is a row of OUT/rows.jsonl, and is skipped
when the command runs again. Prints a Markdown table. `--small` runs the small models on a CPU,
which tests this script: differences from the CPU are then zero.
Speed beside the published procedure, in turns, is measured by benchmarks/gpu.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import gpu
import published
from families import DENSE, random_pairs, save_family, sketched
from small_training import (
    QUICK,
    QUICK_LORA,
    TASK,
    made_examples,
    records,
    save_model,
    save_quantised,
    write_records,
)

from labelcast.errors import brief
from labelcast.models.choices import SPREAD
from labelcast.models.coslow import cosine
from labelcast.models.generation import generate, read_prefix
from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.loading import load_model
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.sweeps.job import SweepTask
from labelcast.sweeps.sweep import sweep
from labelcast.training.backend import Placement
from labelcast.training.finetune import CausalBackend
from labelcast.training.memory import size_of, training_bytes
from labelcast.training.recipe import LORA
from labelcast.training.splits import Budget

Check = Callable[[Path, str], tuple[bool, str]]
CLOSE = 1e-3


def family(name: str) -> Check:
    """Confidence, CoS-Low by sketch, by exact gradients and with recomputed layers."""

    def check(folder: Path, device: str) -> tuple[bool, str]:
        saved = str(save_family(folder, name))
        pairs = random_pairs(1, shared=70)
        prompts = [pair.tokens for pair in pairs]
        found = []
        for where in ("cpu", device):
            lm = load_model(saved, device=where, dtype="float32")
            exact = exact_gram(lm, pairs, batch_size=3, memory=1 << 30).values[0, 0]
            again = sketched_gram(lm, pairs, rank=16, seeds=[0], batch_size=3, at_once=2**21)
            answers = generate(lm, prompts, read_prefix(lm, prompts), 6)
            margins = torch.tensor([answer.margin for answer in answers])
            cosines = [sketched(lm, pairs), cosine(exact.numpy())]
            cosines.append(cosine(again.values.sum(1)[0].numpy()))
            found.append([margins, *map(torch.as_tensor, cosines)])
        apart = [float((one - two).abs().max()) for one, two in zip(*found, strict=True)]
        names = ("confidence", "CoS-Low", "exact", "recomputed")
        text = ", ".join(f"{n} {d:.1e}" for n, d in zip(names, apart, strict=True))
        return max(apart) < CLOSE, f"largest difference from the CPU: {text}"

    return check


def offload(folder: Path, device: str) -> tuple[bool, str]:
    """A model spread over the devices has the cosines of one that is not."""
    saved = str(save_family(folder, "tied"))
    pairs = random_pairs(1)
    one, two = (
        torch.as_tensor(sketched(load_model(saved, device=where, dtype="float32"), pairs))
        for where in ("cpu", SPREAD)
    )
    apart = float((one - two).abs().max())
    return apart < CLOSE, f"largest difference from the CPU: {apart:.1e}"


def training(recipe: Any, *, packed: bool = False) -> Check:
    """A short training whose validation loss falls, and its score."""

    def check(folder: Path, device: str) -> tuple[bool, str]:
        saved = save_model(folder / "whole")
        if packed:
            saved = save_quantised(folder / "four", saved)
        backend, place = CausalBackend(), Placement(device)
        lm = backend.load(str(saved), recipe, place)
        examples = made_examples(lm, records(120))
        labels = Budget(tuple(examples[:64]), tuple(examples[64:80]))
        short = recipe.model_copy(update={"max_steps": 24})
        log = backend.fit(lm, labels, short, seed=0, placement=place).log
        first = dict(log.losses)[0]
        return log.best_loss < first, f"validation loss {first:.3f} to {log.best_loss:.3f}"

    return check


def side_by_side(folder: Path, device: str) -> tuple[bool, str]:
    """Two jobs of a sweep at once."""
    folder.mkdir(parents=True, exist_ok=True)
    model = str(save_model(folder / "model"))
    source = SweepTask(TASK, str(write_records(folder)))
    recipe = QUICK.model_copy(update={"max_steps": 4})
    options: dict[str, Any] = {"budgets": (0, 20), "test_size": 20, "device": device, "jobs": 2}
    curves = sweep([source], folder / "sweep", model=model, recipe=recipe, **options)
    scores = curves["first"].scores
    return len(scores) == 2, f"scores {[round(score, 3) for score in scores]}"


def large(dtype: torch.dtype) -> Check:
    """CoS-Low of 8B: seconds, memory, share of the matrix rate, and the published value."""

    def check(folder: Path, device: str) -> tuple[bool, str]:
        lm = gpu.build(gpu.LLAMA_8B, device, dtype)
        plan = training_bytes(size_of(lm, LORA, bf16=True), 2048, 8, checkpointing=True)
        pairs = gpu.random_examples(32, 512, 8, int(gpu.LLAMA_8B["vocab_size"]))
        gpu.ours(lm, pairs)
        reset_peak(device)
        took, gram = gpu.seconds(lambda: gpu.ours(lm, pairs))
        peak = peak_memory(device)
        share = gpu.operations(lm, pairs) / took / gpu.matrix_rate(device, dtype, 8192)
        adapted = published.with_adapters(lm, gpu.RANK, copied=False)
        others, _ = gpu.seconds(lambda: published.cos_low(adapted, pairs[:8]))
        text = (
            f"{took:.2f} s, {share:.0%} of the matrix rate, {peak / 1e9:.1f} GB at most; the "
            f"published way takes {others / 8 * 32:.1f} s; LoRA is planned at {plan / 1e9:.1f} GB"
        )
        total = torch.cuda.get_device_properties(device).total_memory
        return bool(torch.isfinite(gram.values).all()) and peak < total, text

    return check


def checks(small: bool) -> dict[str, Check]:
    found: dict[str, Check] = {f"family: {name}": family(name) for name in DENSE}
    found |= {
        "offload": offload,
        "full": training(QUICK),
        "LoRA": training(QUICK_LORA),
        "4 bits, LoRA": training(QUICK_LORA, packed=True),
        "two jobs side by side": side_by_side,
    }
    if not small:
        found |= {"8B, bfloat16": large(torch.bfloat16), "8B, float32": large(torch.float32)}
    return found


def done_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of earlier runs by check; a line that was cut off is ignored."""
    rows = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[row["check"]] = row
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-check"))
    parser.add_argument("--small", action="store_true", help="the small models only, on a CPU")
    args = parser.parse_args()
    if not args.small and not torch.cuda.is_available():
        print("no GPU found; --small checks the small models on a CPU")
        return 2
    device = "cpu" if args.small else "cuda"
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "rows.jsonl"
    for name, check in checks(args.small).items():
        if name in done_rows(path):
            continue
        begin = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory() as folder:
                passed, text = check(Path(folder), device)
        except Exception as error:  # the other checks still run
            passed, text = False, f"{type(error).__name__}: {brief(error, 300)}"
        if device == "cuda":
            torch.cuda.empty_cache()
        took = round(time.perf_counter() - begin, 1)
        row = {"check": name, "passed": passed, "seconds": took, "text": text, "device": device}
        with path.open("a", encoding="utf-8") as lines:
            lines.write("\n" * (path.stat().st_size > 0) + json.dumps(row))
        print(f"{name}: {'pass' if passed else 'FAIL'} ({took} s)", file=sys.stderr, flush=True)
    rows = done_rows(path)
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    names = ("labelcast", "torch", "transformers", "peft", "accelerate")
    print(f"{where}; " + ", ".join(f"{name} {version(name)}" for name in names))
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        print(f"{free / 1e9:.1f} GB free of {total / 1e9:.1f}")
    print("\n| check | result | seconds | measured |\n|---|---|---|---|")
    for row in rows.values():
        result = "pass" if row["passed"] else "**fail**"
        print(f"| {row['check']} | {result} | {row['seconds']} | {row['text']} |")
    print(f"\nTo report: this output and {path}.")
    return 0 if all(row["passed"] for row in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
