"""One vector per example from its gradient, projected to few numbers without storing the gradient.

Shapes: N examples, S tokens, I inputs and O outputs of a layer, M numbers of a layer's gradient,
D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcast.errors import RunError
from labelcast.models.choices import choose_batch
from labelcast.models.encoder import Classifier, padded
from labelcast.models.encoding import Encoded, by_length
from labelcast.models.gradients import generator_of
from labelcast.models.layers import Contraction, ExampleSums, Layer, hooked
from labelcast.models.passes import run_batches
from labelcast.models.plan import count_costs, gpu_rooms, plan_batches
from labelcast.models.protocols import Progress, TorchModel
from labelcast.models.recompute import Pass

SIZE = 8192
"""Numbers of a vector; the size that LESS and TIVE publish."""
Direction = Callable[[str, Tensor], Tensor]
"""From a layer's name and gradients [n,O,I] to what counts in their place, of the same shape."""


@dataclass(frozen=True)
class Projection:
    """How gradients become vectors.

    Attributes:
        size: D; None keeps every number of the gradients, for small layers.
        seed: seed of the projection.
        batch_size: examples at once; None chooses a number for the device.
        direction: applied to each layer's gradients before the projection.
        progress: called with the number of examples done.
        name: what an example is called in messages, by its position.
    """

    size: int | None = SIZE
    seed: int = 0
    batch_size: int | None = None
    direction: Direction | None = None
    progress: Progress = lambda done: None
    name: Callable[[int], str] = lambda row: f"example {row + 1}"


@dataclass(frozen=True)
class GradientVectors:
    """The projected gradients of N examples, in order.

    Attributes:
        values: [N,D] float32. Their inner products are those of the gradients, up to the error of
            the projection, whose standard deviation is about |a| |b| sqrt(2 / D).
        norms: lengths of the gradients before the projection, [N].
    """

    values: NDArray[np.float32]
    norms: NDArray[np.float64]


def gradient_vectors(
    lm: TorchModel, pairs: Sequence[Encoded], layers: Mapping[str, Layer], how: Projection
) -> GradientVectors:
    """Vectors of the gradients of each example's mean answer loss.

    Args:
        lm: the model, weights frozen.
        pairs: encoded prompts with answers.
        layers: plain linear layers whose gradients d^T h count, such as adapters.
        how: see `Projection`.

    Raises:
        RunError: a gradient is not finite; names the example.
    """
    contraction = _Projected(layers, len(pairs), how)
    count = choose_batch(how.batch_size, lm.device.value, "gradients").value
    costs = count_costs(lm, layers, pairs, 0)
    plan = plan_batches(lm, costs, gpu_rooms(lm), pairs, count)
    run_batches(lm, pairs, layers, contraction, plan=plan, progress=how.progress)
    return contraction.result()


def classifier_vectors(
    model: Classifier,
    tokens: Sequence[Sequence[int]],
    answers: Sequence[int],
    layers: Mapping[str, Layer],
    how: Projection,
    padding: int = 0,
) -> GradientVectors:
    """Vectors of the gradients of an encoder with a head, of each text's cross-entropy.

    Args:
        model: the encoder and its head, weights frozen.
        tokens: tokens of each text, with special tokens.
        answers: the position of each text's answer among those of the head.
        layers: linear layers whose gradients d^T h count.
        how: see `Projection`.
        padding: the token that fills a batch.

    Raises:
        RunError: a gradient is not finite; names the example.
    """
    device = model.head.weight.device
    contraction = _Projected(layers, len(tokens), how)
    count = choose_batch(how.batch_size, device.type, "embedding").value
    if model.body.config.model_type.startswith("deberta"):
        count = 1  # its layers also project positions, which have no axis of examples
    state = Pass()
    with hooked(layers, contraction, state), torch.enable_grad():
        for batch in by_length(tokens, count):
            contraction.begin(batch)
            state.count, state.rows = len(batch), batch
            inputs = padded([tokens[row] for row in batch], padding, device)
            logits = model(**inputs)["logits"].float()
            wanted = torch.tensor([answers[row] for row in batch], device=device)
            nn.functional.cross_entropy(logits, wanted, reduction="sum").backward()
            contraction.finish(batch)
            how.progress(len(batch))
    return contraction.result()


class _Projected(Contraction):
    """Adds up each example's gradients of a batch, projects them and drops them.

    Every number of a layer's gradient gets a random sign and a random one of D sums (a count sketch
    whose sums have equally many numbers), so that a projection takes M steps and not M D.
    """

    def __init__(self, layers: Mapping[str, Layer], count: int, how: Projection):
        self.size, self.seed, self.direction = how.size, how.seed, how.direction
        self.name = how.name
        self.places: dict[str, tuple[Tensor, Tensor]] = {}
        self.starts: dict[str, int] = {}
        total = 0
        for name, layer in layers.items():
            self.starts[name] = total
            total += layer.out_features * layer.in_features
        self.sums = ExampleSums(layers)
        self.values = torch.zeros(count, how.size or total)
        self.squares = torch.zeros(count, dtype=torch.float64)

    def begin(self, rows: Sequence[int]) -> None:
        self.sums.forget(rows)
        self.values[rows], self.squares[rows] = 0, 0

    def keep(self, name: str, h: Tensor) -> Tensor:
        return h

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        g = torch.bmm(d.detach().float().transpose(1, 2), kept.float())
        self.sums.add(name, rows, g)

    def finish(self, rows: Sequence[int]) -> None:
        for name, seen, g in self.sums.take(rows):
            if self.direction is not None:
                g = self.direction(name, g)
            flat = g.flatten(1)
            self.squares[seen] += flat.double().square().sum(1).cpu()
            if self.size is None:
                start = self.starts[name]
                self.values[seen, start : start + flat.shape[1]] = flat.cpu()
            else:
                self.values[seen] += self._project(name, flat, self.size).cpu()

    def _project(self, name: str, flat: Tensor, size: int) -> Tensor:
        """[n,D] from a layer's numbers [n,M]."""
        count = flat.shape[1]
        if name not in self.places:
            generator = generator_of(f"{self.seed} {name} place")
            signs = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
            order = torch.randperm(-(-count // size) * size, generator=generator)
            self.places[name] = signs.to(flat), order.to(flat.device)
        signs, order = self.places[name]
        signed = nn.functional.pad(flat * signs, (0, len(order) - count))
        return signed.index_select(1, order).view(len(flat), -1, size).sum(1)

    def result(self) -> GradientVectors:
        """The vectors, checked."""
        wrong = (~torch.isfinite(self.squares)).nonzero().flatten().tolist()
        if wrong:
            raise RunError(
                f"{self.name(wrong[0])}: its gradient is not finite. Leave it out, or try --dtype "
                "float32."
            )
        return GradientVectors(self.values.numpy(), self.squares.sqrt().numpy())
