"""A chain of people, each saying whether the one before lies; does the last one lie?"""

from random import Random

from labelcast.tasks.generated._parts import PEOPLE

_CHAIN = (3, 8)
_HONEST = ("tells the truth", "is honest", "can be believed")
_LYING = ("lies", "is a liar", "cannot be believed")
_SPEAKS = ("says", "claims", "insists")


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a chain of 3 to 8 people, and `level` more; half of them are out of order."""
    length = min(rng.randint(*_CHAIN) + level, len(PEOPLE))
    people = rng.sample(PEOPLE, length)
    praises = [rng.random() < 0.5 for _ in people[1:]]
    honest = share < 0.5
    # Each "lies" flips honesty along the chain, so the first person follows from the last.
    first_honest = honest ^ (praises.count(False) % 2 == 1)
    sentences = [f"{people[0]} always {'tells the truth' if first_honest else 'lies'}."]
    for speaker, about, praise in zip(people[1:], people, praises, strict=False):
        said = rng.choice(_HONEST if praise else _LYING)
        sentences.append(f"{speaker} {rng.choice(_SPEAKS)} that {about} {said}.")
    if rng.random() < 0.5:
        rng.shuffle(sentences)
    question = f"Does {people[-1]} tell the truth?"
    return {"input": " ".join([*sentences, question]), "target": "yes" if honest else "no"}
