"""People swap what they hold, two at a time; who has what in the end?"""

from random import Random

from labelcast.tasks.generated._parts import PEOPLE, lay_out, listed, words

_PEOPLE = (3, 7)
_EXTRA_SWAPS = (-1, 3)
# Opening, "has", "have", the thing, its kinds.
_SCENES = (
    (
        *("A club meets on a windy hill.", "flies", "fly", "kite"),
        "crimson silver emerald violet amber navy striped spotted",
    ),
    (
        *("The cooks draw lots for the dishes of the evening.", "makes", "make", "soup"),
        "lentil leek pumpkin barley noodle mushroom tomato beetroot",
    ),
    (
        *("Rooms are handed out at a small guest house.", "gets", "get", "room"),
        "attic garden corner harbour tower cellar courtyard balcony",
    ),
    (
        *("At a costume party everyone has put something on.", "wears", "wear", "mask"),
        "fox owl badger lion heron wolf toad raven",
    ),
    (
        *("The night watch at the museum is shared out.", "guards", "guard", "hall"),
        "fossil coin armour portrait mineral pottery clock textile",
    ),
)
_THEN = ("Then", "Next,", "After that,", "A little later,")


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a story of 3 to 7 people and about as many swaps, and `level` more swaps."""
    opening, has, have, thing, all_kinds = rng.choice(_SCENES)
    people = rng.sample(PEOPLE, rng.randint(*_PEOPLE))
    things = [f"the {kind} {thing}" for kind in rng.sample(words(all_kinds), len(people))]
    holds = dict(zip(people, things, strict=True))
    start = listed([f"{who} {has} {held}" for who, held in holds.items()])
    sentences = [f"{opening} At first {start}."]
    for step in range(len(people) + rng.randint(*_EXTRA_SWAPS) + level):
        one, other = rng.sample(people, 2)
        holds[one], holds[other] = holds[other], holds[one]
        when = rng.choice(_THEN) if step else "First,"
        sentences.append(f"{when} {one} and {other} swap.")
    asked = rng.choice(people)
    sentences.append(f"Which {thing} does {asked} {have} in the end?")
    right = holds[asked]
    wrong = [other for other in things if other != right]
    options, target = lay_out(rng, right, wrong, share)
    return {"input": " ".join(sentences), "options": options, "target": target}
