"""Metrics: scores of answers against gold answers.

Answers are compared in a normal form. `plain` (accuracy, macro F1): Unicode NFKC, casefold, white
space collapsed, quotes around it and ``. , ; : ! ?`` at the end dropped. `words` (exact match,
token F1): `plain`, then punctuation and the English articles dropped, but not the minus sign, the
point, the slash and the colon of a number. ROUGE-L splits NFKC, casefolded text into runs of
letters with their combining marks and digits of any script, without stemming; a text without any
is split at white space. A normal form that would be empty is not applied.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Metric = Literal["accuracy", "exact_match", "macro_f1", "token_f1", "rouge_l"]
METRICS: tuple[Metric, ...] = get_args(Metric)
_QUOTES = "\"'`“”‘’«»"
_ENDS = ".,;:!?"
_DASHES = dict.fromkeys(map(ord, "\u2010\u2013\u2212"), "-")
_IN_NUMBER = re.compile(
    r"(?<![\w.])[-\u2010\u2013\u2212](?=[$€£¥]?\.?\d)|(?<=\d)[./:](?=\d)|(?<![\w.])\.(?=\d)"
)
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese, which have no spaces between words."""


@dataclass(frozen=True)
class Scored:
    """Scores of answers.

    Attributes:
        values: one per example, in [0, 1]; for macro F1 whether the answer is right.
        total: the score of all, in [0, 1]; the mean of `values` except for macro F1.
    """

    values: tuple[float, ...]
    total: float


def score_answers(
    metric: str, answers: Sequence[str], gold: Sequence[str], allowed: Sequence[str] = ()
) -> Scored:
    """Score answers by one of `METRICS`, against as many gold answers.

    Accuracy and exact match are the share of answers that equal the gold answer. Macro F1 is the
    mean F1 over the answers that occur in `gold`; any other answer counts as a miss of its gold
    answer and adds no class. Token F1 is the mean over examples of the F1 of the words that answer
    and gold answer share, ROUGE-L that of their longest common subsequence of words.

    If two of the `allowed` answers have the same normal form, texts are only stripped before they
    are compared.

    Raises:
        ValueError: no such metric, no answers, or another number of gold answers.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r}: not one of {', '.join(METRICS)}")
    if len(answers) != len(gold) or not gold:
        raise ValueError(f"{len(answers)} answers and {len(gold)} gold answers to score")
    if metric == "token_f1":
        return _mean(map(_overlap, answers, gold))
    if metric == "rouge_l":
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rougeL"], tokenizer=_Words())
        pairs = zip(answers, gold, strict=True)
        return _mean(scorer.score(g, a)["rougeL"].fmeasure for a, g in pairs)
    form = comparison(gold, allowed, words if metric == "exact_match" else plain)
    found, truth = [form(text) for text in answers], [form(text) for text in gold]
    right = _mean(float(a == g) for a, g in zip(found, truth, strict=True))
    if metric != "macro_f1":
        return right
    from sklearn.metrics import f1_score

    classes = sorted(set(truth))
    total = f1_score(truth, found, labels=classes, average="macro", zero_division=0)
    return Scored(right.values, float(total))


def plain(text: str) -> str:
    """The form in which two answers of a classification are compared.

    >>> plain(' "Not  Related". ')
    'not related'
    """
    spaced = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return spaced.rstrip(_ENDS).strip(_QUOTES).rstrip(_ENDS).strip() or spaced


def words(text: str) -> str:
    """The form in which two free answers are compared: only words, without articles.

    >>> words("The U.S. Army, in 1862!")
    'us army in 1862'
    >>> words("It is -2.5.")
    'it is -2.5'
    """
    short = plain(text)
    kept = {match.start() for match in _IN_NUMBER.finditer(short)}
    letters = "".join(
        c for n, c in enumerate(short) if n in kept or not unicodedata.category(c).startswith("P")
    )
    found = letters.translate(_DASHES).split()
    # An option A is no article.
    return " ".join([w for w in found if w not in ("a", "an", "the")] or found) or short


def _apart(text: str) -> str:
    """Put a space before and after each letter of scripts without spaces, with its marks.

    >>> _apart("\u4e2d\u6587 a")
    ' \u4e2d \u6587  a'
    """
    if not _UNSPACED.search(text):
        return text
    pairs = zip(" " + text, text, strict=False)
    return "".join(
        f" {c}" if not _is_mark(c) and (_UNSPACED.match(last) or _UNSPACED.match(c)) else c
        for last, c in pairs
    )


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


class _Words:
    """The tokenizer of ROUGE-L; the library's own drops every letter that is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        short = _apart(unicodedata.normalize("NFKC", text).casefold())
        kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in short)
        found = [word for word in "".join(kept).split() if any(map(str.isalnum, word))]
        return found or short.split()  # an emoji has no letters, but may have marks


def comparison(
    gold: Sequence[str], allowed: Sequence[str], form: Callable[[str], str] = plain
) -> Callable[[str], str]:
    """The function to apply to two texts before they are compared.

    It is `form`, or only strips if two allowed answers have the same form.
    """
    names = {text.strip() for text in (*gold, *allowed)} if allowed else set()
    return form if len({form(name) for name in names}) == len(names) else str.strip


def share_allowed(answers: Sequence[str], allowed: Sequence[str]) -> float | None:
    """The fraction of answers, in [0, 1], that are allowed; None if either is empty.

    >>> share_allowed(["Yes.", "I would say no"], ["yes", "no"])
    0.5
    """
    if not answers or not allowed:
        return None
    form = comparison(allowed, allowed)
    wanted = {form(text) for text in allowed}
    return sum(form(answer) in wanted for answer in answers) / len(answers)


def _overlap(answer: str, gold: str) -> float:
    """The F1 of the words that two texts share."""
    found, wanted = _apart(words(answer)).split(), _apart(words(gold)).split()
    common = sum((Counter(found) & Counter(wanted)).values())
    return 2 * common / (len(found) + len(wanted)) if common else float(found == wanted)


def _mean(values: Iterable[float]) -> Scored:
    scores = tuple(values)
    return Scored(scores, sum(scores) / len(scores))
