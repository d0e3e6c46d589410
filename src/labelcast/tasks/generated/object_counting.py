"""A list of things of several kinds with numbers; how many are of one kind?"""

from random import Random

from labelcast.tasks.generated._parts import PEOPLE, listed, pick, with_article

# Kind -> its things as singular:plural. No thing could be of two kinds.
_KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    kind: tuple((one, many) for one, _, many in (pair.partition(":") for pair in pairs.split()))
    for kind, pairs in {
        "fruits": "apricot:apricots fig:figs kiwi:kiwis lemon:lemons mango:mangoes papaya:papayas "
        "pear:pears pineapple:pineapples quince:quinces cherry:cherries",
        "vegetables": "cabbage:cabbages carrot:carrots leek:leeks onion:onions parsnip:parsnips "
        "potato:potatoes radish:radishes shallot:shallots turnip:turnips artichoke:artichokes",
        "animals": "badger:badgers camel:camels donkey:donkeys ferret:ferrets goose:geese "
        "hedgehog:hedgehogs iguana:iguanas otter:otters pony:ponies tortoise:tortoises",
        "musical instruments": "accordion:accordions banjo:banjos bassoon:bassoons cello:cellos "
        "flute:flutes harp:harps oboe:oboes trombone:trombones ukulele:ukuleles viola:violas",
        "pieces of furniture": "armchair:armchairs bed:beds bookcase:bookcases cupboard:cupboards "
        "desk:desks dresser:dressers sofa:sofas stool:stools table:tables wardrobe:wardrobes",
        "tools": "axe:axes chisel:chisels drill:drills hammer:hammers hatchet:hatchets "
        "pickaxe:pickaxes saw:saws screwdriver:screwdrivers spanner:spanners wrench:wrenches",
        "items of clothing": "apron:aprons blouse:blouses cardigan:cardigans coat:coats "
        "glove:gloves jacket:jackets scarf:scarves shirt:shirts skirt:skirts sock:socks",
        "vehicles": "bicycle:bicycles bus:buses ferry:ferries lorry:lorries moped:mopeds "
        "scooter:scooters tractor:tractors tram:trams truck:trucks van:vans",
    }.items()
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


def _numbered(thing: tuple[str, str], number: int) -> str:
    singular, plural = thing
    return with_article(singular) if number == 1 else f"{_WORDS[number - 2]} {plural}"
