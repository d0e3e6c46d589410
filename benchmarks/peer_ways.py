"""The cosines of per-example gradients, by labelcast and by other tools.

    python benchmarks/peer_ways.py WAY [the options of peers.py]

`peers.py` runs each way as a child process, to measure its memory separately. A way whose package
is not installed says so. Two kinds of gradient are compared: those of LoRA's B at B = 0 with one A
("sketch"), and those of the complete weights ("full"), whose inner products have the weight
1 / d_in per layer in labelcast's `exact` and 1 in the plain sum ("unweighted").

Shapes: N examples, S tokens, L layers, I inputs and O outputs of a layer, R rank.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bench_examples
import memory
import numpy as np
import published
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcast.models.choices import choose_batch
from labelcast.models.coslow import cos_low, cosine, encode_labelled, median_cosine
from labelcast.models.encoding import Encoded, by_length
from labelcast.models.gradients import gradient_memory, sketch_matrix
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_model
from labelcast.tasks.prompts import Example

RANK = 64
PROJECTION = 64
"""Rows and columns that bergson projects a layer's gradient to."""


@dataclass(frozen=True)
class Inputs:
    """The input of every way."""

    lm: LanguageModel
    examples: list[Example]
    pairs: list[Encoded]
    batch_size: int


@dataclass(frozen=True)
class Found:
    """Cosines [N,N] of the way's own sum over layers, and of the plain sum if it has one."""

    cosines: NDArray[np.float64]
    unweighted: NDArray[np.float64] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


Way = Callable[[Inputs], Callable[[], Found]]
"""Prepares a way; returns the function that is timed."""


class Absent(Exception):
    """The package of a way is not installed or does not work here."""


def needs(package: str) -> str:
    """The version of an installed package.

    Raises:
        Absent: it is not installed.
    """
    if find_spec(package) is None:
        raise Absent("not installed")
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def labelcast(given: Inputs) -> Callable[[], Found]:
    return lambda: Found(
        cos_low(given.lm, given.examples, rank=RANK, batch_size=given.batch_size).cosines
    )


def labelcast_exact(given: Inputs) -> Callable[[], Found]:
    inputs = [layer.in_features for layer in linear_layers(given.lm).values()]

    def run() -> Found:
        found = cos_low(given.lm, given.examples, method="exact", batch_size=given.batch_size)
        return from_layers(found.grams[:, 0] * np.array(inputs)[:, None, None], inputs)

    return run


def from_layers(
    grams: NDArray[np.float64], inputs: Sequence[int], facts: dict[str, Any] | None = None
) -> Found:
    """Both cosines from the plain inner products of each layer, [L,N,N]."""
    weighted = grams / np.array(inputs)[:, None, None]
    return Found(cosine(weighted.sum(0)), cosine(grams.sum(0)), facts or {})


def published_procedure(given: Inputs) -> Callable[[], Found]:
    adapted = published.with_adapters(given.lm, RANK, copied=False)

    def run() -> Found:
        kept = [published.gradients(adapted, pair) for pair in given.pairs]
        count = len(kept)
        cosines = np.eye(count)
        cosines[np.triu_indices(count, 1)] = published.pair_cosines(kept)
        return Found(np.triu(cosines) + np.triu(cosines, 1).T)

    return run


class _Adapted(nn.Module):  # type: ignore[misc]
    """A frozen linear layer with a LoRA adapter whose B is a parameter."""

    def __init__(self, layer: nn.Linear, a: Tensor):
        super().__init__()
        self.layer = layer
        self.register_buffer("a", a)
        self.b = nn.Parameter(layer.weight.new_zeros(layer.out_features, a.shape[0]))

    def forward(self, h: Tensor) -> Tensor:
        output: Tensor = self.layer(h) + (h @ self.a.T) @ self.b.T
        return output


def torch_func(given: Inputs) -> Callable[[], Found]:
    """vmap(grad) with respect to every B at B = 0, a batch of examples at a time.

    With plain attention: the CPU's fused attention has no vmap rule and would run a loop.
    """
    from torch.func import functional_call, grad, vmap
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = given.lm.model
    for name, layer in linear_layers(given.lm).items():
        a = sketch_matrix(name, layer.in_features, RANK, 0).to(layer.module.weight)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, _Adapted(layer.module, a))
    names = [name for name, _ in model.named_parameters() if name.endswith(".b")]
    zeros = {name: model.get_parameter(name).detach() for name in names}

    def loss(b: Mapping[str, Tensor], ids: Tensor, weights: Tensor) -> Tensor:
        arguments = {"input_ids": ids[None], "use_cache": False}
        logits = functional_call(model, dict(b), kwargs=arguments).logits[0, :-1].float()
        losses = nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        return (losses * weights).sum()

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))

    def run() -> Found:
        count = len(given.pairs)
        kept = {name: zero.new_empty(count, zero.numel()) for name, zero in zeros.items()}
        for batch in by_length([pair.tokens for pair in given.pairs], given.batch_size):
            with sdpa_kernel(SDPBackend.MATH):
                found = gradients(zeros, *padded([given.pairs[i] for i in batch], model.device))
            for name, g in found.items():
                kept[name][batch] = g.flatten(1)  # [N,O R]
        gram = sum((g @ g.T).double() for g in kept.values())
        return Found(cosine(gram.cpu().numpy()))

    return run


def padded(pairs: Sequence[Encoded], device: Any) -> tuple[Tensor, Tensor]:
    """Token ids [N,S], padded on the right, and the weight of each predicted token, [N,S-1]."""
    width = max(len(pair.tokens) for pair in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long, device=device)
    weights = torch.zeros(len(pairs), width - 1, device=device)
    for row, pair in enumerate(pairs):
        end = len(pair.tokens)
        ids[row, :end] = torch.tensor(pair.tokens)
        weights[row, end - pair.answer_length - 1 : end - 1] = 1 / pair.answer_length
    return ids, weights


def kronfluence(given: Inputs) -> Callable[[], Found]:
    """Pairwise influence scores with the identity instead of the inverse Hessian."""
    number = needs("kronfluence")
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task
    from kronfluence.utils.dataset import DataLoaderKwargs

    layers = linear_layers(given.lm)
    inputs = {name: layer.in_features for name, layer in layers.items()}
    weights = sum(layer.in_features * layer.out_features for layer in layers.values())

    class AnswerLoss(Task):  # type: ignore[misc]
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Tensor:
            ids, weights = batch
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            losses = nn.functional.cross_entropy(
                logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
            ).view(len(ids), -1)
            return (losses * weights).sum()

        def compute_measurement(self, batch: Any, model: Any) -> Tensor:
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self) -> list[str]:
            return list(inputs)

    task = AnswerLoss()
    model = prepare_model(given.lm.model, task)
    # As many query gradients at once as `exact` may hold; the others are recomputed for each.
    fit = max(1, gradient_memory() // (4 * weights))
    queries = -(-len(given.pairs) // -(-len(given.pairs) // fit))

    def run() -> Found:
        with tempfile.TemporaryDirectory() as folder:
            analyzer = Analyzer(
                "peers",
                model,
                task,
                cpu=given.lm.device.value == "cpu",
                disable_tqdm=True,
                output_dir=folder,
            )
            analyzer.set_dataloader_kwargs(
                DataLoaderKwargs(collate_fn=lambda pairs: padded(pairs, given.lm.model.device))
            )
            identity = FactorArguments(strategy="identity")
            analyzer.fit_all_factors("identity", given.pairs, 1, factor_args=identity)
            analyzer.compute_pairwise_scores(
                "scores",
                "identity",
                query_dataset=given.pairs,
                train_dataset=given.pairs,
                per_device_query_batch_size=queries,
                per_device_train_batch_size=given.batch_size,
                score_args=ScoreArguments(compute_per_module_scores=True),
            )
            scores = analyzer.load_pairwise_scores("scores")
        grams = np.stack([scores[name].double().numpy() for name in inputs])
        return from_layers(grams, list(inputs.values()), {"version": number, "queries": queries})

    return run


def bergson(given: Inputs) -> Callable[[], Found]:
    """The in-memory collector of bergson, each layer's gradient projected from both sides."""
    number = needs("bergson")
    from bergson import CollectorComputer, GradientProcessor, IndexConfig, InMemoryCollector
    from datasets import Dataset

    model = given.lm.model
    # bergson sets a model up like this: gradients flow from the embedding on.
    model.get_input_embeddings().requires_grad_(True)
    layers = linear_layers(given.lm)
    prefix = model.base_model_prefix + "."
    inputs = {name.removeprefix(prefix): layer.in_features for name, layer in layers.items()}
    rows = [
        {
            "input_ids": pair.tokens,
            "labels": [-100] * (len(pair.tokens) - pair.answer_length)
            + pair.tokens[-pair.answer_length :],
            "length": len(pair.tokens),
        }
        for pair in given.pairs
    ]
    data = Dataset.from_list(rows)
    batches = by_length([pair.tokens for pair in given.pairs], given.batch_size)

    def run() -> Found:
        with tempfile.TemporaryDirectory() as folder:
            config = IndexConfig(str(Path(folder, "index")), loss_reduction="mean")
            config.partial_run_path.mkdir()
            collector = InMemoryCollector(
                model=model.base_model,
                data=data,
                cfg=config,
                processor=GradientProcessor(projection_dim=PROJECTION),
                target_modules=set(inputs),
            )
            computer = CollectorComputer(
                model, data, collector=collector, batches=batches, cfg=config
            )
            computer.run_with_collector_hooks()
        kept = [collector.gradients[name].double().flatten(1).numpy() for name in inputs]
        grams = np.stack([g @ g.T for g in kept])
        return from_layers(
            grams, list(inputs.values()), {"version": number, "projection": PROJECTION}
        )

    return run


WAYS: dict[str, Way] = {
    "labelcast": labelcast,
    "published": published_procedure,
    "torch.func": torch_func,
    "labelcast exact": labelcast_exact,
    "kronfluence": kronfluence,
    "bergson": bergson,
}


def main() -> None:
    """Prepare, time and print a way; the cosines are saved in the folder given by `--cosines`."""
    made = bench_examples.parser(__doc__ or "", bench_examples.ANNOTATED, 32)
    made.add_argument("way", choices=list(WAYS))
    made.add_argument("--cosines", type=Path, required=True, metavar="FOLDER")
    args = bench_examples.arguments(made)
    with contextlib.redirect_stdout(sys.stderr):
        line = measure(args.way, args)
    print(json.dumps(line))


def measure(way: str, args: Any) -> dict[str, Any]:
    """Seconds and peak memory above that of the loaded model, and the way's CoS-Low."""
    lm = load_model(args.model, device=args.device)
    found = bench_examples.load(args.task, args.examples, lm, need_answer=True)
    batch = choose_batch(args.batch_size, lm.device.value, "gradients").value
    given = Inputs(lm, found.examples, encode_labelled(lm, found.examples), batch)
    try:
        run = WAYS[way](given)
    except Absent as absent:
        return {"way": way, "absent": str(absent)}
    except ImportError as error:
        return {"way": way, "absent": f"installed, but cannot be imported ({error})"}
    with torch.no_grad():
        # So that every weight is in memory before the baseline is taken.
        lm.model(input_ids=torch.tensor([given.pairs[0].tokens[:8]], device=lm.model.device))
    before = memory.restart_peak()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    above = memory.peak() - before
    line = {
        "way": way,
        "seconds": seconds,
        "peak_above_model": above,
        "model_bytes": before,
        "coslow": median_cosine(result.cosines),
        "source": found.source,
    } | result.facts
    np.save(args.cosines / f"{way}.npy", result.cosines)
    if result.unweighted is not None:
        np.save(args.cosines / f"{way} unweighted.npy", result.unweighted)
        line["coslow_unweighted"] = median_cosine(result.unweighted)
    return line


if __name__ == "__main__":
    main()
