"""A short letter to an office; the answer is the first desk in order that it is for."""

from random import Random

from labelcast.tasks.generated._parts import PEOPLE, pick, with_article, words

_GOODS = words(
    """
    lamp kettle desk chair carpet mirror clock blanket bicycle ladder printer radio teapot
    suitcase umbrella wardrobe bookshelf curtain saucepan toaster
    """
)
_PLACES = words(
    """
    Antwerp Bergen Bologna Bristol Cork Dresden Gdansk Geneva Graz Leeds Lisbon Lyon Malmo Nantes
    Porto Riga Seville Split Tampere Utrecht
    """
)
_DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday")

# Desk, in order -> sentences that make a letter its own.
_DESKS: dict[str, tuple[str, ...]] = {
    "legal": (
        "My lawyer in {place} has read the contract.",
        "I shall sue over the {thing} unless I hear from you by {day}.",
        "Enclosed is a summons from the court in {place}.",
    ),
    "press": (
        "I am a reporter and would like an interview on {day}.",
        "Our newspaper in {place} is printing an article about you.",
        "I write for a magazine and need a photograph of the {thing}.",
    ),
    "accounts": (
        "The invoice for {a_thing} is twice what was agreed.",
        "I have paid for {a_thing} and ask for a receipt.",
        "Please refund what the {thing} cost me.",
    ),
    "stores": (
        "The parcel with the {thing} has not come to {place}.",
        "When will you deliver {a_thing} to {place}?",
        "The {thing} came on {day} and is broken.",
    ),
    "reception": (),
}
_CHATTER = (
    "We spoke on the telephone last {day}.",
    "My cousin {name} from {place} knows you.",
    "It has rained in {place} since {day}.",
    "Everybody at home is fond of our old {thing}.",
    "Kind regards to {name}, who was so helpful.",
    "I hope that this letter finds you well.",
    "Next {day} I am going to {place}.",
    "Thank you for the calendar with the picture of {a_thing}.",
    "Your shop window in {place} is always a pleasure.",
    "{name} and I often talk about you.",
)
_MOST_CHATTER = 3
_ALSO_FOR_LATER = 0.5


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a letter of two sentences or more, with `level` more that mean nothing."""
    desk = pick(tuple(_DESKS), share)
    order = list(_DESKS)
    later = [name for name in order[order.index(desk) + 1 :] if _DESKS[name]]
    meant = [desk] if _DESKS[desk] else []
    if later and rng.random() < _ALSO_FOR_LATER:
        meant.append(rng.choice(later))
    said = [rng.choice(_DESKS[name]) for name in meant]
    few = max(2 - len(said), 0)
    said += rng.sample(_CHATTER, min(rng.randint(few, _MOST_CHATTER) + level, len(_CHATTER)))
    rng.shuffle(said)
    text = " ".join(_filled(rng, sentence) for sentence in said)
    return {"input": f"{text} {rng.choice(PEOPLE)}", "target": desk}


def _filled(rng: Random, sentence: str) -> str:
    thing = rng.choice(_GOODS)
    return sentence.format(
        thing=thing,
        a_thing=with_article(thing),
        place=rng.choice(_PLACES),
        day=rng.choice(_DAYS),
        name=rng.choice(PEOPLE),
    )
