"""Tasks whose answers are known because a rule made them."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import count
from random import Random

from labelcast.errors import InputError
from labelcast.tasks.generated import (
    boolean_expressions,
    hyperbaton,
    object_counting,
    post_room,
    reasoning_about_colored_objects,
    temporal_sequences,
    tracking_shuffled_objects,
    web_of_lies,
)

__all__ = ["NAMES", "generate"]

# (random source, level, share) -> a record with `input`, `options` (some tasks) and `target`.
# `level` lengthens the question; `share`, in [0, 1), is the place of the right answer among the
# possible ones, each equally likely.
_Draw = Callable[[Random, int, float], dict[str, str]]

_DRAWS: dict[str, _Draw] = {
    module.__name__.rpartition(".")[2]: module.draw
    for module in (
        *(boolean_expressions, hyperbaton, object_counting, post_room),
        *(reasoning_about_colored_objects, temporal_sequences, tracking_shuffled_objects),
        web_of_lies,
    )
}

NAMES: tuple[str, ...] = tuple(sorted(_DRAWS))


def generate(name: str, size: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Stream `size` records of the generated task `name`, no two with the same input.

    The draw depends only on `name` and `seed`, so the first k records of a longer draw are the draw
    of k. Memory grows by about 70 bytes per record. An unknown name or a size below 1 raises
    InputError at the call, not at the first record.
    """
    if name not in _DRAWS:
        raise InputError(f"there is no generated task {name!r}; choose one of: {', '.join(NAMES)}")
    if size < 1:
        raise InputError(f"size is {size}, but a draw needs at least 1 record")
    return _stream(_DRAWS[name], Random(f"{name}:{seed}"), size)


def _stream(draw: _Draw, rng: Random, size: int) -> Iterator[dict[str, str]]:
    seen: set[bytes] = set()
    for _ in range(size):
        # A redraw keeps the share: otherwise the answers whose short questions are used up first
        # would become rarer.
        share = rng.random()
        # Each repeat makes only this question longer, so that a draw never runs out, and gets
        # harder only as repeats become common.
        for level in count():
            record = draw(rng, level, share)
            key = blake2b(record["input"].encode(), digest_size=8).digest()
            if key not in seen:
                break
        seen.add(key)
        yield record
