"""A list of things of several kinds with numbers; how many are of one kind?"""

from random import Random

from labelcast.tasks.generated._parts import PEOPLE, listed, pick, with_article, words

# Kind -> its things, with the plurals that do not just add an s. No thing could be of two kinds.
_KINDS = {
    "fruits": words(
        "apricot fig kiwi lemon mango:mangoes papaya pear pineapple quince cherry:cherries"
    ),
    "vegetables": words(
        "cabbage carrot leek onion parsnip potato:potatoes radish:radishes shallot turnip artichoke"
    ),
    "animals": words(
        "badger camel donkey ferret goose:geese hedgehog iguana otter pony:ponies tortoise"
    ),
    "musical instruments": words(
        "accordion banjo bassoon cello flute harp oboe trombone ukulele viola"
    ),
    "pieces of furniture": words(
        "armchair bed bookcase cupboard desk dresser sofa stool table wardrobe"
    ),
    "tools": words(
        "axe chisel drill hammer hatchet pickaxe saw screwdriver spanner wrench:wrenches"
    ),
    "items of clothing": words(
        "apron blouse cardigan coat glove jacket scarf:scarves shirt skirt sock"
    ),
    "vehicles": words(
        "bicycle bus:buses ferry:ferries lorry:lorries moped scooter tractor tram truck van"
    ),
}
_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
_SCENES = (
    "{name} writes down everything in the auction: {things}.",
    "A storybook page by {name} shows {things}.",
    "In a film that {name} is making one can see {things}.",
    "{name} has drawn {things}.",
)
_TOTALS = range(1, 21)
_MOST_OF_ONE = 9
_MOST_RIGHT = 7
_WRONG = (1, 6)


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a list of 2 to 13 entries, and `level` more that do not count; 1 to 20 is the total."""
    total = pick(_TOTALS, share)
    kind = rng.choice(tuple(_KINDS))
    # At most five of one thing on average, so that a large total has to be added up.
    entries = rng.randint(-(-total // 5), min(total, _MOST_RIGHT))
    right = zip(rng.sample(_KINDS[kind], entries), _split(rng, total, entries), strict=True)
    others = [thing for other, things in _KINDS.items() if other != kind for thing in things]
    count = min(rng.randint(*_WRONG) + level, len(others))
    wrong = [(thing, rng.randint(1, _MOST_OF_ONE)) for thing in rng.sample(others, count)]
    everything = [_numbered(thing, number) for thing, number in [*right, *wrong]]
    rng.shuffle(everything)
    scene = rng.choice(_SCENES).format(name=rng.choice(PEOPLE), things=listed(everything))
    return {"input": f"{scene} How many {kind} are there in all?", "target": str(total)}


def _split(rng: Random, total: int, parts: int) -> list[int]:
    """Cut `total` at random into `parts` numbers from 1 to 9."""
    numbers = [1] * parts
    for _ in range(total - parts):
        open_parts = [part for part, number in enumerate(numbers) if number < _MOST_OF_ONE]
        numbers[rng.choice(open_parts)] += 1
    return numbers


def _numbered(thing: str, number: int) -> str:
    one, _, many = thing.partition(":")
    return with_article(one) if number == 1 else f"{_WORDS[number - 2]} {many or one + 's'}"
