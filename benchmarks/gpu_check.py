"""Check labelcast on one GPU, in about ten minutes: numbers beside the CPU's, memory, speed.

    python benchmarks/gpu_check.py [--out gpu-check] [--small]

Needs no hub: all models are random. Each finished check is a row of OUT/rows.jsonl, and is skipped
when the command runs again. Prints a Markdown table. `--small` runs on a CPU, with a small model in
place of 8B, which tests this script: differences from the CPU are then zero.
Speed beside the published procedure, in turns, is measured by benchmarks/gpu.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import gpu
import published
from families import FAMILIES, random_pairs, save_family, sketched
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
from labelcast.models.choices import Choice
from labelcast.models.coslow import cosine
from labelcast.models.generation import generate, read_prefix
from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.memory import free_bytes, peak_memory, reset_peak, unless_full
from labelcast.models.plan import count_costs, gpu_rooms, pass_bytes, plan_at_once
from labelcast.sweeps.sweep import sweep
from labelcast.sweeps.task_data import SweepTask
from labelcast.training.backend import Fit, Placement
from labelcast.training.finetune import CausalBackend
from labelcast.training.memory import fitting, size_of, training_bytes
from labelcast.training.recipe import LORA
from labelcast.training.sequences import encode_labels
from labelcast.training.splits import Budget

Check = Callable[[Path, str], tuple[bool, str]]
CLOSE = 1e-3
# Of 4-bit weights, which a GPU unpacks by other kernels.
ROUNDED = 0.02
# How far a peak may exceed its plan: what torch holds unused is not counted.
TOLERANCE = 1.1


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
    """A model whose last layers lie in main memory (without a GPU: on disk) gives the same."""
    layers = 4
    saved = save_family(folder, "tied", num_hidden_layers=layers)
    whole = load_model(str(saved), device="cpu", dtype="float32")
    here, away = (0, "cpu") if device == "cuda" else ("cpu", "disk")
    places: dict[str, Any] = dict.fromkeys(("model.embed_tokens", "lm_head"), here)
    places |= dict.fromkeys(("model.norm", "model.rotary_emb"), here)
    places |= {f"model.layers.{i}": here if i < layers // 2 else away for i in range(layers)}
    model = AutoModelForCausalLM.from_pretrained(
        saved, device_map=places, dtype=torch.float32, offload_folder=folder / "away"
    )
    model.eval().requires_grad_(False)
    spread = replace(whole, model=model, device=Choice(device, "checked"))
    pairs = random_pairs(1)
    one, two = (torch.as_tensor(sketched(lm, pairs)) for lm in (whole, spread))
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
        log = backend.fit(lm, Fit(labels, short, 0, place)).log
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


def large(config: dict[str, Any], dtype: torch.dtype, tokens: int) -> Check:
    """CoS-Low: seconds, share of the matrix rate, peak beside the plan, and the published way."""

    def check(folder: Path, device: str) -> tuple[bool, str]:
        needed = held(gpu.build(config, "meta", dtype))
        if needed > (free := free_bytes(device)):
            sizes = f"its weights take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            return True, f"left out: {sizes}"
        lm = gpu.build(config, device, dtype)
        pairs = gpu.random_examples(32, tokens, 8, int(config["vocab_size"]))
        costs = replace(count_costs(lm, linear_layers(lm), pairs, gpu.RANK), row=0)
        plan = plan_at_once(costs, gpu_rooms(lm), pairs)
        gpu.ours(lm, pairs)
        reset_peak(device)
        took, gram = gpu.seconds(lambda: gpu.ours(lm, pairs))
        peak = peak_memory(device)
        rate = gpu.matrix_rate(device, dtype, 8192 if device == "cuda" else 128)
        share = gpu.operations(lm, pairs) / took / rate
        adapted = published.with_adapters(lm, gpu.RANK, copied=False)
        # It keeps every gradient, so it may not fit where CoS-Low does.
        others = unless_full(lambda: gpu.seconds(lambda: published.cos_low(adapted, pairs[:2]))[0])
        beside = "does not fit" if others is None else f"takes {others / 2 * 32:.1f} s"
        text = (
            f"{took:.2f} s, {share:.0%} of the matrix rate; the published way {beside}; "
            f"peak {peak / 1e9:.1f} GB"
        )
        good = bool(torch.isfinite(gram.values).all())
        if plan is None:
            return good, f"{text}, in batches of {gram.batch_size}"
        again = len(plan.recomputed)
        count = int(config["num_hidden_layers"])
        planned = held(lm) + pass_bytes(costs, count, again, 32, 32 * tokens, 256)
        text += f", planned {planned / 1e9:.1f} GB, with {again} layers again"
        as_planned = gram.batch_size == 32 and peak <= TOLERANCE * planned
        return good and (device == "cpu" or as_planned), text

    return check


def large_lora(config: dict[str, Any], tokens: int) -> Check:
    """A few steps of LoRA on long examples, by default: its peak beside the plan."""

    def check(folder: Path, device: str) -> tuple[bool, str]:
        tokenizer = load_model(str(save_model(folder / "words")), device="cpu").tokenizer
        half = torch.bfloat16 if device == "cuda" else torch.float32
        lm = replace(gpu.build(config, device, half), tokenizer=tokenizer)
        rows = [row | {"text": " ".join([row["text"]] * (tokens // 4))} for row in records(40)]
        examples = made_examples(lm, rows)
        labels = Budget(tuple(examples[:32]), tuple(examples[32:]))
        short = LORA.model_copy(update={"max_steps": 4})
        parts = encode_labels(lm, labels, short)
        every = parts[0].rows + parts[1].rows
        longest = max(len(row["input_ids"]) for row in every)
        bf16 = Placement(device).in_bf16
        chosen = fitting(lm, every, short, 1, bf16=bf16)
        micro = chosen.micro_batch or chosen.batch_size
        again = chosen.gradient_checkpointing
        size = size_of(lm, chosen, bf16=bf16)
        planned = training_bytes(size, micro * longest, micro * 4, checkpointing=again)
        log = CausalBackend().fit(lm, Fit(labels, short, 0, Placement(device))).log
        text = (
            f"{micro} sequences of {longest} tokens at once{', layers again' * again}: peak "
            f"{log.peak_bytes / 1e9:.1f} GB, planned {planned / 1e9:.1f} GB"
        )
        return not log.rows and (device == "cpu" or log.peak_bytes <= TOLERANCE * planned), text

    return check


def held(lm: LanguageModel) -> int:
    """Bytes of a model's weights."""
    return sum(weight.numel() * weight.element_size() for weight in lm.model.parameters())


def four_bits(folder: Path, device: str) -> tuple[bool, str]:
    """A model in 4 bits answers and compares gradients as on the CPU, up to kernels' rounding."""
    saved = str(save_quantised(folder / "four", save_model(folder / "whole")))
    pairs = random_pairs(1)
    prompts = [pair.tokens for pair in pairs]
    found = []
    for where in ("cpu", device):
        lm = load_model(saved, device=where, dtype="float32")
        answers = generate(lm, prompts, read_prefix(lm, prompts), 3)
        margins = torch.tensor([answer.margin for answer in answers])
        found.append((margins, torch.as_tensor(sketched(lm, pairs))))
    margin, cosines = (float((a - b).abs().max()) for a, b in zip(*found, strict=True))
    text = f"largest difference from the CPU: confidence {margin:.1e}, CoS-Low {cosines:.1e}"
    return max(margin, cosines) < ROUNDED, text


def checks(small: bool) -> dict[str, Check]:
    found: dict[str, Check] = {f"family: {name}": family(name) for name in FAMILIES}
    found |= {
        "offload": offload,
        "full": training(QUICK),
        "LoRA": training(QUICK_LORA),
        "4 bits": four_bits,
        "4 bits, LoRA": training(QUICK_LORA, packed=True),
        "two jobs side by side": side_by_side,
    }
    config, tokens = (gpu.SMALL, 32) if small else (gpu.LLAMA_8B, 512)
    return found | {
        "8B, bfloat16": large(config, torch.bfloat16, tokens),
        "8B, float32": large(config, torch.float32, tokens),
        "8B, LoRA": large_lora(config, tokens),
    }


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
