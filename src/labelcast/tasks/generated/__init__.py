"""Tasks whose answers are known because a rule made them: one module for each.

Its `draw` takes a random source, a level and a share, and returns a record with `input`, `options`
(some tasks) and `target`. The level lengthens the question; the share, in [0, 1), is the place of
the right answer among the possible ones, each equally likely.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from importlib import import_module
from itertools import count
from random import Random

from labelcast.errors import InputError

NAMES = (
    *("boolean_expressions", "hyperbaton", "object_counting", "post_room"),
    *("reasoning_about_colored_objects", "temporal_sequences", "tracking_shuffled_objects"),
    "web_of_lies",
)


def generate(name: str, size: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Stream `size` records of the generated task `name`, no two with the same input.

    The draw depends only on `name` and `seed`, so the first k records of a longer draw are the draw
    of k. Memory grows by about 70 bytes per record. An unknown name or a size below 1 raises
    InputError at the call, not at the first record.
    """
    if name not in NAMES:
        raise InputError(f"there is no generated task {name!r}; choose one of: {', '.join(NAMES)}")
    if size < 1:
        raise InputError(f"size is {size}, but a draw needs at least 1 record")
    draw = import_module(f"labelcast.tasks.generated.{name}").draw
    return _stream(draw, Random(f"{name}:{seed}"), size)


def _stream(
    draw: Callable[[Random, int, float], dict[str, str]], rng: Random, size: int
) -> Iterator[dict[str, str]]:
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
