"""A person's day as witnesses report it; in which of these times was the person free?

Times are half hours from midnight.
"""

from itertools import pairwise
from random import Random

from labelcast.tasks.generated._parts import PEOPLE, lay_out

_DAY = (10, 46)
_STRETCHES = (4, 7)
_MOST_STRETCHES = 12
_WRONG = 3
_ERRANDS = (
    *("the post office: send a parcel", "the library: return an atlas"),
    *("the swimming hall: swim a few lengths", "the barber: get a haircut"),
    *("the aquarium: look at the eels", "the town hall: renew a passport"),
    *("the tailor: collect a coat", "the dentist: have a tooth filled"),
    *("the garden centre: buy seedlings", "the chess club: pick up a trophy"),
)
_DOINGS = (
    *("washing a van", "weeding the allotment", "queueing at the bakery", "tuning a piano"),
    *("painting a fence", "walking two dogs", "feeding ducks at the pond", "mending a bicycle"),
    *("reading on a bench", "waiting for a train", "teaching a sewing class"),
    *("playing table tennis", "stacking firewood", "sketching the old bridge"),
)


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a day of 4 to 7 stretches, and `level` more, up to 12; half are out of order."""
    who, *witnesses = rng.sample(PEOPLE, _MOST_STRETCHES)
    place, errand = rng.choice(_ERRANDS).split(": ")
    stretches = min(rng.randint(*_STRETCHES) + level, _MOST_STRETCHES)
    # Whole hours are easier to read than halves.
    cuts = sorted(rng.sample(range(_DAY[0], _DAY[1] + 1, rng.choice((1, 2))), stretches + 1))
    spans = list(pairwise(cuts))
    free = rng.choice(spans)
    doings = rng.sample(_DOINGS, stretches)
    busy = [span for span in spans if span != free]
    seen = [
        f"{witness} saw {who} {doing} {_between(span)}."
        for witness, doing, span in zip(witnesses, doings, busy, strict=False)
    ]
    if rng.random() < 0.5:
        rng.shuffle(seen)
    story = [
        f"At some time of the day {who} went to {place} to {errand}.",
        f"{who} got up at {_clock(cuts[0])}.",
        *seen,
        f"Visitors to {place} had to be out by {_clock(cuts[-1])}.",
        f"During which of these times could {who} have been there throughout?",
    ]
    # Two stretches in a row are wrong too, even with the free one among them. Without these, the
    # right answer would be the only time that the story does not name.
    double = list(zip(cuts, cuts[2:], strict=False))
    wrong = rng.sample([span for span in spans + double if span != free], _WRONG)
    options, target = lay_out(rng, _between(free), [_between(span) for span in wrong], share)
    return {"input": " ".join(story), "options": options, "target": target}


def _clock(half_hours: int) -> str:
    hour, half = divmod(half_hours, 2)
    suffix = "am" if hour < 12 else "pm"
    return f"{(hour - 1) % 12 + 1}:{'30' if half else '00'} {suffix}"


def _between(span: tuple[int, int]) -> str:
    return f"from {_clock(span[0])} to {_clock(span[1])}"
