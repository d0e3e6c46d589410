"""Two orders of the same adjectives; which one is usual in English?"""

from random import Random

from labelcast.tasks.generated._parts import letter, lettered, pick, words

# In the usual order.
_KINDS: tuple[tuple[str, ...], ...] = tuple(
    words(kind)
    for kind in (
        "lovely awful charming dreadful splendid ugly delightful horrid superb nasty",
        "tiny huge small large enormous gigantic miniature massive immense big",
        "old new ancient brand-new vintage modern century-old week-old",
        "round square triangular oval rectangular circular spherical hexagonal cubical star-shaped",
        "red blue green yellow purple black white grey pink turquoise",
        "Peruvian Kenyan Swedish Korean Egyptian Canadian Italian Turkish Brazilian Polish",
        "wooden glass plastic steel leather cardboard rubber paper iron ceramic",
        "gardening sailing cooking hiking painting fishing drinking sewing riding camping",
    )
)
_NOUNS = words(
    """
    box bowl knife hat chair lamp bag rug cup basket belt bench bucket kettle drum mirror
    tray stool spoon shield
    """
)
_ADJECTIVES = (2, 6)


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a pair of phrases of 2 to 6 adjectives, `level` more, at most one of each kind."""
    count = min(rng.randint(*_ADJECTIVES) + level, len(_KINDS))
    right = [rng.choice(_KINDS[kind]) for kind in sorted(rng.sample(range(len(_KINDS)), count))]
    noun = rng.choice(_NOUNS)
    phrases = [" ".join([*_disordered(rng, right), noun])]
    place = pick((0, 1), share)
    phrases.insert(place, " ".join([*right, noun]))
    question = "Which phrase puts its adjectives in the usual order?"
    return {"input": f"{question}\n{lettered(phrases)}", "target": letter(place)}


def _disordered(rng: Random, right: list[str]) -> list[str]:
    """Swap two neighbours (hard to see) or shuffle all (easier), equally often."""
    wrong = list(right)
    if rng.random() < 0.5:
        first = rng.randrange(len(right) - 1)
        wrong[first], wrong[first + 1] = wrong[first + 1], wrong[first]
    while wrong == right:
        rng.shuffle(wrong)
    return wrong
