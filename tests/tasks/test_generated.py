"""The generated tasks: known answers, distinct records, draws that depend only on the seed.

Every task is solved a second time here, from the text of its records and by another way than the
generator's.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import yaml

import labelcast.errors
from labelcast.errors import InputError
from labelcast.tasks.generated import NAMES, generate

Record = dict[str, str]

SOURCE = Path(labelcast.errors.__file__).parent
CATALOG = SOURCE / "tasks" / "catalog"
CHOICES = {
    "boolean_expressions": 2,
    "hyperbaton": 2,
    "object_counting": 20,
    "post_room": 5,
    "reasoning_about_colored_objects": 6,
    "temporal_sequences": 4,
    "web_of_lies": 2,
}
# A change of these digests is a change of every user's draw: say so in the changelog.
DIGESTS = {
    "boolean_expressions": "72b67c771d4cd78e",
    "hyperbaton": "c7875537bed46d7c",
    "object_counting": "db7b5a8cada414c3",
    "post_room": "664b1d06d3ae2718",
    "reasoning_about_colored_objects": "8a7512723af88959",
    "temporal_sequences": "59e72cf5f1531f58",
    "tracking_shuffled_objects": "3054f323a8228f8f",
    "web_of_lies": "5ef294aa30e45fc5",
}


def _options(record: Record) -> dict[str, str]:
    return {line[:3]: line[4:] for line in record["options"].splitlines()}


def _only(options: dict[str, str], keep: Callable[[str], bool]) -> str:
    """The letter of the only option that `keep` accepts."""
    (right,) = [letter for letter, text in options.items() if keep(text)]
    return right


def _solve_boolean(record: Record) -> str:
    """Rewrite the text, innermost brackets first, until one word is left."""
    text = record["input"]
    while text not in ("True", "False"):
        text = re.sub(r"\(([^()]*)\)", lambda match: _rewrite(match[1]), text)
        if "(" not in text:
            text = _rewrite(text)
    return text


def _rewrite(flat: str) -> str:
    while "not" in flat:
        flat = flat.replace("not True", "False", 1).replace("not False", "True", 1)
    factors = [set(term.split(" and ")) == {"True"} for term in flat.split(" or ")]
    return str(any(factors))


def _solve_web(record: Record) -> str:
    """Try every assignment of honesty and keep the one that fits all statements."""
    text = record["input"]
    (root,) = re.findall(r"(\w+) always (lies|tells the truth)\.", text)
    claims = re.findall(r"(\w+) (?:says|claims|insists) that (\w+) ([^.]+)\.", text)
    asked = re.search(r"Does (\w+) tell the truth\?$", text)
    people = sorted({root[0], *(name for claim in claims for name in claim[:2])})
    good = {"tells the truth", "is honest", "can be believed"}
    fitting = []
    for guess in product((True, False), repeat=len(people)):
        honest = dict(zip(people, guess, strict=True))
        fits = all(honest[who] == (honest[whom] == (what in good)) for who, whom, what in claims)
        if fits and honest[root[0]] == (root[1] == "tells the truth"):
            fitting.append(honest)
    (world,) = fitting
    assert asked is not None
    return "yes" if world[asked[1]] else "no"


KIND_OF = {
    word: kind
    for kind, words in {
        "fruits": "apricot fig kiwi lemon mango papaya pear pineapple quince cherry",
        "vegetables": "cabbage carrot leek onion parsnip potato radish shallot turnip artichoke",
        "animals": "badger camel donkey ferret goose hedgehog iguana otter pony tortoise",
        "musical instruments": "accordion banjo bassoon cello flute harp oboe trombone ukulele "
        "viola",
        "pieces of furniture": "armchair bed bookcase cupboard desk dresser sofa stool table "
        "wardrobe",
        "tools": "axe chisel drill hammer hatchet pickaxe saw screwdriver spanner wrench",
        "items of clothing": "apron blouse cardigan coat glove jacket scarf shirt skirt sock",
        "vehicles": "bicycle bus ferry lorry moped scooter tractor tram truck van",
    }.items()
    for word in words.split()
}
_DIGITS = "one two three four five six seven eight nine"
NUMBERS = {word: number for number, word in enumerate(_DIGITS.split(), start=1)} | {"a": 1, "an": 1}


def _singulars(word: str) -> set[str]:
    """Every word of the table that `word` may be the plural of."""
    forms = {word, word.removesuffix("s"), word.removesuffix("es"), word.replace("geese", "goose")}
    forms |= {re.sub("ies$", "y", word), re.sub("ves$", "f", word)}
    return forms & set(KIND_OF)


def _solve_counting(record: Record) -> str:
    """Add up the numbers of all words of the kind asked for."""
    scene, question = record["input"].rsplit(" How many ", 1)
    asked = question.removesuffix(" are there in all?")
    total = 0
    for number, word in re.findall(rf"\b({'|'.join(NUMBERS)}) ([a-z]+)", scene):
        for singular in _singulars(word):
            total += NUMBERS[number] * (KIND_OF[singular] == asked)
    return str(total)


def _solve_tracking(record: Record) -> str:
    """Go back, swap by swap, from the person asked about to the first holder."""
    text = record["input"]
    asked = re.search(r"does (\w+) \w+ in the end\?$", text)
    assert asked is not None
    who = asked[1]
    for one, other in reversed(re.findall(r"(\w+) and (\w+) swap\.", text)):
        who = {one: other, other: one}.get(who, who)
    had = re.search(rf"\b{who} [a-z]+ (the [a-z]+ [a-z]+)", text)
    assert had is not None
    return _only(_options(record), had[1].__eq__)


def _minutes(text: str) -> tuple[int, int]:
    first, last = (
        (int(hour) % 12 + 12 * (half == "pm")) * 60 + int(minute)
        for hour, minute, half in re.findall(r"(\d+):(\d\d) (am|pm)", text)
    )
    return first, last


def _solve_temporal(record: Record) -> str:
    """Go through the day by the minute and keep the option that is free throughout."""
    text = record["input"]
    clock = r"\d+:\d\d [ap]m"
    ends = re.findall(rf"(?:got up at|out by) ({clock})", text)
    up, closing = _minutes(" ".join(ends))
    free = set(range(up, closing))
    for sighting in re.findall(rf"from {clock} to {clock}", text):
        free -= set(range(*_minutes(sighting)))
    return _only(_options(record), lambda text: set(range(*_minutes(text))) <= free)


RANKS = {
    word: rank
    for rank, words in enumerate(
        (
            "lovely awful charming dreadful splendid ugly delightful horrid superb nasty",
            "tiny huge small large enormous gigantic miniature massive immense big",
            "old new ancient brand-new vintage modern century-old week-old",
            "round square triangular oval rectangular circular spherical hexagonal cubical "
            "star-shaped",
            "red blue green yellow purple black white grey pink turquoise",
            "Peruvian Kenyan Swedish Korean Egyptian Canadian Italian Turkish Brazilian Polish",
            "wooden glass plastic steel leather cardboard rubber paper iron ceramic",
            "gardening sailing cooking hiking painting fishing drinking sewing riding camping",
        )
    )
    for word in words.split()
}


def _solve_hyperbaton(record: Record) -> str:
    """Keep the phrase in which no adjective comes after one of a later kind."""
    options = dict(re.findall(r"^(\([AB]\)) (.+)$", record["input"], re.MULTILINE))
    assert sorted(options["(A)"].split()) == sorted(options["(B)"].split())

    def ordered(phrase: str) -> bool:
        ranks = [RANKS[word] for word in phrase.split()[:-1]]
        return all(one < other for one, other in pairwise(ranks))

    return _only(options, ordered)


def _solve_colours(record: Record) -> str:
    """Parse the row and the question, and count place by place."""
    scene, question = record["input"].split(". ", 1)
    row = re.findall(r"\ban? ([a-z]+) ([a-z-]+)(?=,| and|$)", scene.split("right, ")[1])
    colours = [colour for colour, _ in row]
    place = {thing: index for index, (_, thing) in enumerate(row)}
    answer = _answer(question, colours, place)
    return _only(_options(record), answer.__eq__)


def _answer(question: str, colours: list[str], place: dict[str, int]) -> str:
    size = len(colours)
    if match := re.fullmatch(r"What colour is the ([\w-]+)\?", question):
        return colours[place[match[1]]]
    if match := re.search(r"the (first|second|third) thing from the (left|right)", question):
        ordinal = {"first": 0, "second": 1, "third": 2}[match[1]]
        return colours[ordinal if match[2] == "left" else size - 1 - ordinal]
    if match := re.search(r"directly to the (left|right) of the ([\w-]+)\?", question):
        return colours[place[match[2]] + (1 if match[1] == "right" else -1)]
    if match := re.search(r"things are (\w+) or (\w+)\?", question):
        return str(colours.count(match[1]) + colours.count(match[2]))
    if match := re.search(r"things are not (\w+)\?", question):
        return str(size - colours.count(match[1]))
    if match := re.search(r"to the (left|right) of the ([\w-]+) are not (\w+)\?", question):
        at = place[match[2]]
        side = range(at) if match[1] == "left" else range(at + 1, size)
        return str(len([index for index in side if colours[index] != match[3]]))
    match = re.search(r"Everything (\w+) is taken away, and so is the ([\w-]+)\.", question)
    assert match is not None
    gone = {index for index in range(size) if colours[index] == match[1]} | {place[match[2]]}
    return str(size - len(gone))


DESKS = {
    "legal": "lawyer contract sue court summons",
    "press": "reporter interview newspaper article magazine photograph",
    "accounts": "invoice paid receipt refund cost",
    "stores": "parcel deliver broken",
}


def _solve_post(record: Record) -> str:
    """Look for each desk's words in the letter, in the order of desks."""
    said = set(re.findall(r"[a-z]+", record["input"].lower()))
    return next((desk for desk, words in DESKS.items() if said & set(words.split())), "reception")


SOLVERS: dict[str, Callable[[Record], str]] = {
    "boolean_expressions": _solve_boolean,
    "hyperbaton": _solve_hyperbaton,
    "object_counting": _solve_counting,
    "post_room": _solve_post,
    "reasoning_about_colored_objects": _solve_colours,
    "temporal_sequences": _solve_temporal,
    "tracking_shuffled_objects": _solve_tracking,
    "web_of_lies": _solve_web,
}


def _digest(records: Iterator[Record]) -> str:
    text = "\n".join(json.dumps(record, sort_keys=True) for record in records)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _task(name: str) -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load((CATALOG / f"{name}.yaml").read_text("utf-8"))
    return task


def test_names_are_sorted_and_complete() -> None:
    """The registry lists eight tasks in alphabetical order, each with a solver here."""
    assert tuple(sorted(SOLVERS)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_true(name: str) -> None:
    """An independent solver finds every target from the text."""
    for record in generate(name, 1000, seed=3):
        assert SOLVERS[name](record) == record["target"], record


@pytest.mark.parametrize("name", NAMES)
def test_records_are_distinct_and_allowed(name: str) -> None:
    """Of 20,000 records no two share an input; each has the task's fields and an allowed answer."""
    task = _task(name)
    fields = {entry["field"] for entry in task["inputs"]} | {task["answer"]}
    inputs = set()
    for record in generate(name, 20_000):
        assert set(record) == fields
        assert all(value and value == value.strip() for value in record.values())
        assert record["target"] in task["answers"]
        inputs.add(record["input"])
    assert len(inputs) == 20_000


@pytest.mark.parametrize(
    "name", ["reasoning_about_colored_objects", "temporal_sequences", "tracking_shuffled_objects"]
)
def test_options_differ(name: str) -> None:
    """Options are lettered in order, all differ, and the target is one of them."""
    for record in generate(name, 1000, seed=5):
        options = _options(record)
        assert list(options) == [f"({letter})" for letter in "ABCDEFG"[: len(options)]]
        assert len(set(options.values())) == len(options) >= 3
        assert record["target"] in options


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_answers_are_balanced(name: str) -> None:
    """All answers are equally likely, within five standard errors."""
    size = 4000
    counts = Counter(record["target"] for record in generate(name, size, seed=1))
    share = 1 / CHOICES[name]
    assert len(counts) == CHOICES[name]
    for count in counts.values():
        assert abs(count / size - share) < 5 * (share * (1 - share) / size) ** 0.5


def test_tracking_is_balanced_among_the_options_shown() -> None:
    """With k people the k letters are equally likely, for every k from 3 to 7."""
    counts: Counter[tuple[int, str]] = Counter()
    for record in generate("tracking_shuffled_objects", 5000, seed=1):
        counts[len(_options(record)), record["target"]] += 1
    for people in range(3, 8):
        found = [count for (size, _), count in counts.items() if size == people]
        total, share = sum(found), 1 / people
        assert len(found) == people
        for count in found:
            assert abs(count / total - share) < 5 * (share * (1 - share) / total) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_begins_with_every_shorter_draw(name: str) -> None:
    """The first k records of a draw of n are the draw of k."""
    longest = list(generate(name, 3000, seed=7))
    for size in (1, 50, 1000):
        assert list(generate(name, size, seed=7)) == longest[:size]


@pytest.mark.parametrize("name", NAMES)
def test_seeds_differ(name: str) -> None:
    """Another seed gives another draw: few inputs of 500 are in both."""
    one, other = ({record["input"] for record in generate(name, 500, seed)} for seed in (0, 1))
    assert len(one & other) < 50


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_the_same_everywhere(name: str) -> None:
    """Seed 0 gives the recorded records."""
    assert _digest(generate(name, 300)) == DIGESTS[name]


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_draws_do_not_depend_on_the_process(hash_seed: str) -> None:
    """A process with another PYTHONHASHSEED draws the same records."""
    code = (
        "import json\n"
        "from labelcast.tasks.generated import NAMES, generate\n"
        "print(json.dumps({name: list(generate(name, 100, 9)) for name in NAMES}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout) == {name: list(generate(name, 100, 9)) for name in NAMES}


def test_many_boolean_expressions() -> None:
    """When the short questions run out, a draw continues with longer ones than 8 operands."""
    records = list(generate("boolean_expressions", 40_000))
    assert len({record["input"] for record in records}) == 40_000
    tail = records[-1000:]
    assert all(_solve_boolean(record) == record["target"] for record in tail)
    assert 400 < sum(record["target"] == "True" for record in tail) < 600
    assert any(len(re.findall("True|False", record["input"])) > 8 for record in tail)


@pytest.mark.parametrize("name", NAMES)
def test_difficulty_varies(name: str) -> None:
    """The longest of 500 inputs has at least a quarter more words than the shortest."""
    lengths = [len(record["input"].split()) for record in generate(name, 500)]
    assert max(lengths) >= 1.25 * min(lengths)


def test_unknown_name_is_refused() -> None:
    """An unknown task is an error at the call, and the message lists the names."""
    with pytest.raises(InputError, match=r"boolean_expressions.*web_of_lies"):
        generate("sudoku", 5)


@pytest.mark.parametrize("size", [0, -3])
def test_size_below_one_is_refused(size: int) -> None:
    """It is an error at the call, not at the first record."""
    with pytest.raises(InputError, match=f"size is {size}"):
        generate("hyperbaton", size)


@pytest.mark.parametrize("name", NAMES)
def test_task_file_is_complete(name: str) -> None:
    """Each task has a file with the schema's keys, plain text values and its own data source."""
    task = _task(name)
    assert " ".join(task) == "name instruction inputs answer answers metric ceiling data"
    assert task["name"] == name
    assert task["data"] == f"generated:{name}"
    assert task["metric"] == "accuracy"
    assert task["ceiling"]["score"] == 1.0
    assert task["ceiling"]["source"]
    assert all(isinstance(answer, str) for answer in task["answers"])
