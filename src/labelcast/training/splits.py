"""Split labelled examples into test, training and validation sets.

Where an example goes depends on a seed and a hash of its content, not on its place in the file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labelcast.errors import InputError
from labelcast.tasks.prompts import Example

SMALLEST_BUDGET = 2


@dataclass(frozen=True)
class Budget:
    """The labels of one budget: some to train on, some to decide when to stop."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]


@dataclass(frozen=True)
class Splits:
    """A test set, and the order in which the other examples are labelled.

    Attributes:
        test: scored after training, never trained on; shares no content with `order`.
        order: a budget of n is the first n, so a larger budget contains the smaller ones.
    """

    test: tuple[Example, ...]
    order: tuple[Example, ...]

    @classmethod
    def make(
        cls,
        examples: Iterable[Example],
        test_size: int,
        *,
        seed: int,
        test: Iterable[Example] | None = None,
    ) -> Splits:
        """Draw the test set first, then the training order from the rest.

        Args:
            examples: labelled; of several with the same content one is used.
            test_size: how many to test on, at least 1.
            seed: seed of the training order; all seeds have the same test set.
            test: labelled; if given, the test set is drawn from these, and no training example has
                the content of one of them.

        Raises:
            InputError: an example has no answer, or there are too few; says how many are missing.
        """
        if test_size < 1:
            raise InputError(f"--test-size {test_size}: must be at least 1.")
        unique = _distinct(examples)
        if test is None:
            ranked = _ranked(unique, "test", 0)
            if len(ranked) < test_size:
                raise InputError(
                    f"a test set of {test_size} needs {test_size - len(ranked)} more "
                    f"labelled examples: there are {len(ranked)} different ones."
                )
            return cls(ranked[:test_size], _ranked(ranked[test_size:], "train", seed))
        held_out = _ranked(_distinct(test), "test", 0)
        if not held_out:
            raise InputError("the test set is empty; it needs at least one labelled example.")
        contents = {example.content for example in held_out}
        rest = [example for example in unique if example.content not in contents]
        return cls(held_out[:test_size], _ranked(rest, "train", seed))

    @staticmethod
    def ordered(examples: Iterable[Example], seed: int) -> tuple[Example, ...]:
        """The training order of labelled examples; of several with the same content one is used.

        Raises InputError if an example has no answer.
        """
        return _ranked(_distinct(examples), "train", seed)

    @property
    def largest_budget(self) -> int:
        """The number of labels to train and validate on."""
        return len(self.order)

    @property
    def test_digest(self) -> str:
        """16 hexadecimal digits for the contents of the test set, whatever their order."""
        return digest(self.test)

    def budget(self, size: int, validation_share: float) -> Budget:
        """The `size` >= 2 labels of a budget; a share of them, at least one, validates.

        Raises:
            InputError: fewer than 2, or more than there are; says how many are missing.
        """
        if size < SMALLEST_BUDGET:
            raise InputError(
                f"a budget of {size} is too small: one label trains and one validates, so give 2 "
                "or more (0 measures zero-shot)."
            )
        if size > len(self.order):
            raise InputError(
                f"a budget of {size} needs {size - len(self.order)} more labelled examples: "
                f"there are {len(self.order)} beside the test set of {len(self.test)}."
            )
        chosen = self.order[:size]
        flags = [_validates(position, validation_share) for position in range(size)]
        return Budget(
            tuple(e for e, held in zip(chosen, flags, strict=True) if not held),
            tuple(e for e, held in zip(chosen, flags, strict=True) if held),
        )


def digest(examples: Iterable[Example]) -> str:
    """16 hexadecimal digits for the contents and answers of examples, whatever their order."""
    rows = sorted(f"{example.content}:{example.answer}" for example in examples)
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _validates(position: int, share: float) -> bool:
    """Whether the example at a position validates: with a share of 0.2 the 2nd, 7th, 12th, ..."""
    # The small term corrects binary rounding of integers.
    before, after = (math.floor((position - k) * share + 1e-9) for k in (2, 1))
    return after > before and position >= 1


def _distinct(examples: Iterable[Example]) -> list[Example]:
    """One example for each content; which one does not depend on their order."""
    chosen: dict[str, Example] = {}
    for example in examples:
        if example.answer is None:
            raise InputError(f"{example.where}: no answer; labelled examples are needed.")
        held = chosen.setdefault(example.content, example)
        if (example.answer, example.id) < (str(held.answer), held.id):
            chosen[example.content] = example
    return [*chosen.values()]


def _ranked(examples: Sequence[Example], purpose: str, seed: int) -> tuple[Example, ...]:
    def key(example: Example) -> bytes:
        return hashlib.blake2b(f"{purpose}:{seed}:{example.content}".encode()).digest()

    return tuple(sorted(examples, key=key))
