"""Parts that several generated tasks use: people, lettered options, lists in a sentence."""

from collections.abc import Sequence
from random import Random
from string import ascii_uppercase
from typing import TypeVar

T = TypeVar("T")


def words(text: str) -> tuple[str, ...]:
    """The words of `text`, split at white space."""
    return tuple(text.split())


PEOPLE = words(
    """
    Anneke Bastian Carmen Dmitri Elodie Farid Greta Hamza Ilse Joaquin Kirsten Lorenzo Mireille
    Naveen Odile Pavel Rosalind Samir Tamsin Ulrich Vesna Wendell Ximena Yannick Zora Amadou
    Birgit Cosmo Delphine Esteban Freya Gideon Henrike Ibrahim Jolanda Kenji Leopold Marisol
    Nkechi Otto Priya Ramon Sunniva Teodor
    """
)


def pick(items: Sequence[T], share: float) -> T:
    """The item at `share`, in [0, 1), of the way through `items`."""
    return items[int(share * len(items))]


def letter(index: int) -> str:
    """The name of the option at `index`, from 0: `(A)`, `(B)`, ..."""
    return f"({ascii_uppercase[index]})"


def lettered(items: Sequence[str]) -> str:
    """Return one line per item, each after its letter."""
    return "\n".join(f"{letter(index)} {item}" for index, item in enumerate(items))


def lay_out(rng: Random, right: str, wrong: Sequence[str], share: float) -> tuple[str, str]:
    """Shuffle the wrong answers and put the right one at `share`, in [0, 1), of the options.

    Returns:
        The options, one per line, and the letter of the right one.
    """
    options = rng.sample(list(wrong), len(wrong))
    place = pick(range(len(wrong) + 1), share)
    options.insert(place, right)
    return lettered(options), letter(place)


def listed(items: Sequence[str]) -> str:
    """Join items as in a sentence: `a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def with_article(noun: str) -> str:
    """Put `a` or `an` in front, by the first letter: no word in the lists has a silent h."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
