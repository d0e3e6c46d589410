"""Tasks whose answers are known because a rule made them."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
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
    "boolean_expressions": boolean_expressions.draw,
    "hyperbaton": hyperbaton.draw,
    "object_counting": object_counting.draw,
    "post_room": post_room.draw,
    "reasoning_about_colored_objects": reasoning_about_colored_objects.draw,
    "temporal_sequences": temporal_sequences.draw,
    "tracking_shuffled_objects": tracking_shuffled_objects.draw,
    "web_of_lies": web_of_lies.draw,
}

NAMES: tuple[str, ...] = tuple(sorted(_DRAWS))


def generate(name: str, size: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Stream `size` records of the generated task `name`, no two with the same input.

    The draw depends only on `name` and `seed`, so the first k records of a longer draw are the draw
    of k. Memory grows by about 70 bytes per record.

    Raises:
        InputError: `name` is not in `NAMES`, or `size` is below 1; raised at the call, not at the
            first record.
    """
    if name not in _DRAWS:
        raise InputError(f"there is no generated task {name!r}; choose one of: {', '.join(NAMES)}")
    if size < 1:
        raise InputError(
            f"size is {size}, but a draw needs at least 1 record; generated tasks: "
            f"{', '.join(NAMES)}"
        )
    return _stream(_DRAWS[name], Random(f"{name}:{seed}"), size)


def _stream(draw: _Draw, rng: Random, size: int) -> Iterator[dict[str, str]]:
    seen: set[int] = set()
    for _ in range(size):
        # A redraw keeps the share: otherwise the answers whose short questions are used up first
        # would become rarer.
        share = rng.random()
        level = 0
        while True:
            record = draw(rng, level, share)
            key = _hash(record["input"])
            if key not in seen:
                break
            # Each repeat makes only this question longer, so that a draw never runs out, and gets
            # harder only as repeats become common.
            level += 1
        seen.add(key)
        yield record


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
