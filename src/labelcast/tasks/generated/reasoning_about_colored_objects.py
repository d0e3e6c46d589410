"""Things of several colours in a row, and a question on colours, places or numbers."""

from random import Random

from labelcast.tasks.generated._parts import lay_out, listed, with_article, words

# A row from left to right: (colour, thing) each; no thing appears twice.
_Row = list[tuple[str, str]]
# A question and its answer, a colour or a number.
_Asked = tuple[str, str]

_COLOURS = words("red blue green yellow purple orange black white grey pink brown turquoise")
_THINGS = words(
    """
    mug notebook candle marble stapler teapot whistle torch envelope sponge compass keyring
    thimble umbrella wallet button domino ladle eraser padlock ribbon saucer yo-yo abacus
    """
)
_SURFACES = ("a window sill", "a workbench", "a bar counter", "the lid of a piano", "a long shelf")
_ORDINALS = ("first", "second", "third")
_LENGTH = (3, 8)
_PALETTE = (3, 6)
_OPTIONS = 6


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw a row of 3 to 8 things, and `level` more, with a question and six options."""
    length = min(rng.randint(*_LENGTH) + level, len(_THINGS))
    palette = rng.sample(_COLOURS, rng.randint(*_PALETTE))
    row = [(rng.choice(palette), thing) for thing in rng.sample(_THINGS, length)]
    things = listed([with_article(f"{colour} {thing}") for colour, thing in row])
    scene = f"On {rng.choice(_SURFACES)} there are, from left to right, {things}."
    question, right = rng.choice(_QUESTIONS)(rng, row)
    others = _other_numbers if right.isdecimal() else _other_colours
    wrong = others(rng, row, right)
    options, target = lay_out(rng, right, wrong, share)
    return {"input": f"{scene} {question}", "options": options, "target": target}


def _other_colours(rng: Random, row: _Row, right: str) -> list[str]:
    """Colours of the row first, since others are easily ruled out."""
    others = rng.sample([colour for colour in _COLOURS if colour != right], len(_COLOURS) - 1)
    present = {colour for colour, _ in row}
    return sorted(others, key=lambda colour: colour not in present)[: _OPTIONS - 1]


def _other_numbers(rng: Random, row: _Row, right: str) -> list[str]:
    numbers = [str(number) for number in range(max(len(row) + 1, _OPTIONS))]
    return rng.sample([number for number in numbers if number != right], _OPTIONS - 1)


def _without(row: _Row, unwanted: str) -> str:
    """How many things are not of a colour."""
    return str(sum(colour != unwanted for colour, _ in row))


def _colour_of(rng: Random, row: _Row) -> _Asked:
    colour, thing = rng.choice(row)
    return f"What colour is the {thing}?", colour


def _colour_at(rng: Random, row: _Row) -> _Asked:
    place = rng.randrange(len(_ORDINALS))
    side = rng.choice(("left", "right"))
    colour = row[place][0] if side == "left" else row[-1 - place][0]
    return f"What colour is the {_ORDINALS[place]} thing from the {side}?", colour


def _colour_beside(rng: Random, row: _Row) -> _Asked:
    place = rng.randrange(len(row) - 1)
    if rng.random() < 0.5:
        side, known, asked = "right", row[place], row[place + 1]
    else:
        side, known, asked = "left", row[place + 1], row[place]
    question = f"What colour is the thing directly to the {side} of the {known[1]}?"
    return question, asked[0]


def _number_of_two(rng: Random, row: _Row) -> _Asked:
    one = rng.choice(row)[0]
    other = rng.choice([colour for colour in _COLOURS if colour != one])
    count = sum(colour in (one, other) for colour, _ in row)
    return f"How many things are {one} or {other}?", str(count)


def _number_without(rng: Random, row: _Row) -> _Asked:
    one = rng.choice(row)[0]
    return f"How many things are not {one}?", _without(row, one)


def _number_beside(rng: Random, row: _Row) -> _Asked:
    one = rng.choice(row)[0]
    place = rng.randrange(len(row))
    side = rng.choice(("left", "right"))
    part = row[:place] if side == "left" else row[place + 1 :]
    question = f"How many things to the {side} of the {row[place][1]} are not {one}?"
    return question, _without(part, one)


def _number_left(rng: Random, row: _Row) -> _Asked:
    gone, single = rng.sample(row, 2)
    question = (
        f"Everything {gone[0]} is taken away, and so is the {single[1]}. How many things are left?"
    )
    rest = [item for item in row if item != single]
    return question, _without(rest, gone[0])


_QUESTIONS = (
    *(_colour_of, _colour_at, _colour_beside),
    *(_number_of_two, _number_without, _number_beside, _number_left),
)
