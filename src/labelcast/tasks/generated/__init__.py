"""Tasks whose answers are known because a rule made them: the registry and the stream of records.

No models and no files.
"""

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

# (random source, level, share) -> one record. `level` lengthens the question; `share`, in [0, 1),
# fixes the place of the right answer among the possible ones.
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

    The draw depends on `name` and `seed` alone, so the first k records of a longer draw are the
    draw of k. Memory grows by one 8-byte hash (in a Python set, about 70 bytes) a record.

    Args:
        name: one of `NAMES`.
        size: how many records, 1 or more.
        seed: any whole number; another seed gives another draw.

    Returns:
        An iterator of records with the fields `input`, `options` (some tasks) and `target`.

    Raises:
        InputError: `name` is not a generated task, or `size` is below 1. Raised at the call, not
            at the first record.
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
        # The share outlives a redraw: otherwise the answers whose short questions are used up
        # first would become rarer.
        share = rng.random()
        level = 0
        while True:
            record = draw(rng, level, share)
            key = _hash(record["input"])
            if key not in seen:
                break
            # Each repeat makes this one question longer, so that a draw never runs dry and grows
            # harder only as fast as repeats become common.
            level += 1
        seen.add(key)
        yield record


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
