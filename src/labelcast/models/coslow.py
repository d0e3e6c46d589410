"""CoS-Low: the median cosine similarity of the gradients of labelled low-confidence examples."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.encoding import encoded
from labelcast.tasks.prompts import Example, rendered_example

if TYPE_CHECKING:
    from labelcast.models.encoding import Encoded
    from labelcast.models.gradients import Method
    from labelcast.models.protocols import Differentiable, Progress

_RESAMPLES, _LEVEL = 2000, 0.9


@dataclass(frozen=True)
class CosLow:
    """CoS-Low of N labelled examples, with its uncertainty.

    Attributes:
        coslow: median cosine over all pairs, in [-1, 1]; with several seeds, their mean.
        low, high: its 90% bootstrap interval over examples.
        mean: mean cosine over all pairs.
        pairs: number of pairs, N (N - 1) / 2.
        examples: N.
        method: ``sketch`` (the paper's LoRA-B gradients) or ``exact`` (its limit).
        rank: rank of the sketch; None for exact.
        seed: first seed of the sketch.
        per_seed: CoS-Low of each seed.
        seed_sd: standard deviation over seeds of the sketch; None for exact.
        seconds: how long it took.
        peak_bytes: peak memory of the process (on a GPU: of the device).
        gradient_bytes: memory used for per-example gradients.
        batch_size: examples that ran at once.
        ids: ids of the examples, in the order of `cosines`.
        cosines: [N,N] cosine similarities, the mean over seeds.
        layers: names of the L linear layers whose gradients make up an example's gradient.
        grams: [L,K,N,N] inner products of the gradients, by layer and seed.
    """

    coslow: float
    low: float
    high: float
    mean: float
    pairs: int
    examples: int
    method: Method
    rank: int | None
    seed: int
    per_seed: tuple[float, ...]
    seed_sd: float | None
    seconds: float
    peak_bytes: int
    gradient_bytes: int
    batch_size: int
    ids: tuple[str, ...]
    cosines: NDArray[np.float64]
    layers: tuple[str, ...]
    grams: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values, without the matrices and the layers' names."""
        left_out = ("cosines", "layers", "grams")
        values = {name: value for name, value in vars(self).items() if name not in left_out}
        return values | {"ids": list(self.ids), "per_seed": list(self.per_seed)}


def cos_low(
    lm: Differentiable,
    examples: Sequence[Example | Mapping[str, Any]],
    *,
    method: Method = "sketch",
    rank: int = 64,
    seed: int = 0,
    seeds: int = 1,
    batch_size: int | None = None,
    progress: Progress = lambda done: None,
) -> CosLow:
    """CoS-Low of labelled examples.

    Args:
        lm: the model, from `load_model`.
        examples: N >= 2 labelled examples: records with ``input_text`` and ``ground_truth``, or
            `Example`s with answers (`labelcast.examples(..., need_answer=True)`).
        method: ``sketch``: gradients of fresh LoRA B matrices at B = 0; ``exact``: the expectation
            of the sketch, from full gradients.
        rank: rank of the sketch.
        seed: seed of the first sketch; each further one adds 1.
        seeds: how many sketches, in one pass.
        batch_size: None chooses one for the device. It changes no value beyond rounding.
        progress: called with the number of examples done. ``exact`` may run them several times and
            counts the last time only.

    Raises:
        InputError: fewer than two examples, an example longer than the context, an empty answer,
            or a gradient that is zero or not finite; names the example.

    Source: paper, section on CoS-Low; E[sketch] = sum over modules of <G_i, G_j> / d_in, up to a
    constant.

    Examples:
        >>> from labelcast.models.loading import load_model
        >>> rows = [("Two and two is", " four"), ("Two and three is", " five")]
        >>> records = [{"input_text": text, "ground_truth": answer} for text, answer in rows]
        >>> result = cos_low(load_model("smollm2"), records)
        >>> result.pairs, 0 < result.coslow < 1
        (1, True)
    """
    from labelcast.models.memory import peak_memory, reset_peak

    start = time.perf_counter()
    labelled = [
        example if isinstance(example, Example) else rendered_example(example, position)
        for position, example in enumerate(examples)
    ]
    check_options(method, rank, seed, seeds)
    pairs = encode_labelled(lm, labelled)
    reset_peak(lm.device.value)
    gram = lm.gram(
        pairs,
        method=method,
        rank=rank,
        seeds=range(seed, seed + seeds),
        batch_size=batch_size,
        progress=progress,
    )
    parts = gram.values.numpy()  # [K,P,N,N]
    _check_norms(parts.sum(1), labelled)
    cosines = np.stack([cosine(matrix) for matrix in parts.sum(1)])
    per_seed = [median_cosine(matrix) for matrix in cosines]
    mean = cosines.mean(0)
    low, high = bootstrap_median(mean)
    upper = mean[np.triu_indices(len(labelled), 1)]
    return CosLow(
        coslow=float(np.mean(per_seed)),
        low=low,
        high=high,
        mean=float(upper.mean()),
        pairs=len(upper),
        examples=len(labelled),
        method=method,
        rank=rank if method == "sketch" else None,
        seed=seed,
        per_seed=tuple(per_seed),
        seed_sd=_seed_sd(parts, per_seed) if method == "sketch" else None,
        seconds=round(time.perf_counter() - start, 3),
        peak_bytes=peak_memory(lm.device.value),
        gradient_bytes=gram.held_bytes,
        batch_size=gram.batch_size,
        ids=tuple(example.id for example in labelled),
        cosines=mean,
        layers=gram.layers,
        grams=gram.by_layer.numpy(),
    )


def check_options(method: str, rank: int, seed: int, seeds: int) -> None:
    """Refuse invalid options of `cos_low` before a model is loaded."""
    if method not in ("sketch", "exact"):
        raise InputError(f"--method {method}: choose sketch or exact.")
    if not 1 <= rank <= 4096:
        raise InputError(f"--rank {rank}: must be from 1 to 4096.")
    if not 1 <= seeds <= 1024 or not 0 <= seed <= 2**62:
        raise InputError("--seeds must be from 1 to 1024 and --seed from 0 to 2**62.")


def encode_labelled(lm: Differentiable, examples: Sequence[Example]) -> list[Encoded]:
    """The checked tokens of labelled examples."""
    if len(examples) < 2:
        raise InputError(
            f"{len(examples)} labelled example given: CoS-Low compares pairs, so it needs at "
            "least 2; the published calibrations were measured with 32."
        )
    return encoded(lm, examples)


def cosine(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine similarities [N,N] from inner products [N,N] with a positive diagonal."""
    norms = np.sqrt(np.diagonal(gram))
    cosines: NDArray[np.float64] = np.clip(gram / norms[:, None] / norms, -1, 1)
    return cosines


def median_cosine(cosines: NDArray[np.float64]) -> float:
    """The median over all pairs i < j of [N,N] cosines."""
    return float(np.median(cosines[np.triu_indices(len(cosines), 1)]))


def bootstrap_median(cosines: NDArray[np.float64]) -> tuple[float, float]:
    """90% interval of the median over pairs of [N,N] cosines, by resampling examples.

    Pairs of an example with itself are left out. With fewer than four examples the interval is -1
    to 1.
    """
    n = len(cosines)
    if n < 4:
        return -1.0, 1.0
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(n, 1)
    medians: list[float] = []
    while len(medians) < _RESAMPLES:
        drawn = rng.integers(n, size=n)
        a, b = drawn[first], drawn[second]
        distinct = a != b
        if distinct.any():
            medians.append(float(np.median(cosines[a[distinct], b[distinct]])))
    low, high = np.quantile(medians, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _check_norms(grams: NDArray[np.float64], examples: Sequence[Example]) -> None:
    norms = np.diagonal(grams, axis1=1, axis2=2)  # [K,N]
    for example, values in zip(examples, norms.T, strict=True):
        finite = np.isfinite(values).all()
        if not finite or (values <= 0).any():
            raise InputError(
                f"{example.where} (id {example.id}): its gradient is "
                f"{'zero' if finite else 'not finite'}, so it has no direction to compare. Leave "
                "the example out, or try --dtype float32."
            )


def _seed_sd(parts: NDArray[np.float64], per_seed: Sequence[float]) -> float:
    """The standard deviation of CoS-Low over seeds.

    With one seed, from the parts of its sketch: each is a sketch of smaller rank, whose variance is
    larger by the number of parts.
    """
    if len(per_seed) > 1:
        return float(np.std(per_seed, ddof=1))
    if parts.shape[1] == 1:
        return 0.0
    medians = [median_cosine(cosine(part)) for part in parts[0]]
    return float(np.std(medians, ddof=1) / np.sqrt(len(medians)))
