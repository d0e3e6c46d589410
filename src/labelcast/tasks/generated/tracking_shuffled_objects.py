"""People swap what they hold, two at a time; who has what in the end?"""

from dataclasses import dataclass
from random import Random

from labelcast.tasks.generated._parts import PEOPLE, lay_out, listed, words

_PEOPLE = (3, 7)
_EXTRA_SWAPS = (-1, 3)


@dataclass(frozen=True)
class _Scene:
    opening: str
    has: str
    have: str
    thing: str
    kinds: tuple[str, ...]

    def name(self, kind: str) -> str:
        return f"the {kind} {self.thing}"


_SCENES = (
    _Scene(
        "A club meets on a windy hill.",
        *("flies", "fly", "kite"),
        words("crimson silver emerald violet amber navy striped spotted"),
    ),
    _Scene(
        "The cooks draw lots for the dishes of the evening.",
        *("makes", "make", "soup"),
        words("lentil leek pumpkin barley noodle mushroom tomato beetroot"),
    ),
    _Scene(
        "Rooms are handed out at a small guest house.",
        *("gets", "get", "room"),
        words("attic garden corner harbour tower cellar courtyard balcony"),
    ),
    _Scene(
        "At a costume party everyone has put something on.",
        *("wears", "wear", "mask"),
        words("fox owl badger lion heron wolf toad raven"),
    ),
    _Scene(
        "The night watch at the museum is shared out.",
        *("guards", "guard", "hall"),
        words("fossil coin armour portrait mineral pottery clock textile"),
    ),
)
_THEN = ("Then", "Next,", "After that,", "A little later,")


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a story of 3 to 7 people and about as many swaps, and `level` more swaps."""
    scene = rng.choice(_SCENES)
    people = rng.sample(PEOPLE, rng.randint(*_PEOPLE))
    kinds = rng.sample(scene.kinds, len(people))
    start = listed(
        [f"{who} {scene.has} {scene.name(kind)}" for who, kind in zip(people, kinds, strict=True)]
    )
    holds = dict(zip(people, kinds, strict=True))
    sentences = [f"{scene.opening} At first {start}."]
    for step in range(len(people) + rng.randint(*_EXTRA_SWAPS) + level):
        one, other = rng.sample(people, 2)
        holds[one], holds[other] = holds[other], holds[one]
        when = rng.choice(_THEN) if step else "First,"
        sentences.append(f"{when} {one} and {other} swap.")
    asked = rng.choice(people)
    sentences.append(f"Which {scene.thing} does {asked} {scene.have} in the end?")
    right = scene.name(holds[asked])
    wrong = [scene.name(kind) for kind in kinds if kind != holds[asked]]
    options, target = lay_out(rng, right, wrong, share)
    return {"input": " ".join(sentences), "options": options, "target": target}
