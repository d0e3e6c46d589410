import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from labelcast.tasks.metrics import METRICS, plain, score_answers, words

texts = st.lists(st.sampled_from(["yes", "no", "maybe", "other"]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("metric", "answer", "gold", "score"),
    [
        ("accuracy", "Yes.", "yes", 1),
        ("accuracy", '"not   related"', "not related", 1),
        ("accuracy", "yes it is", "yes", 0),
        ("accuracy", "", "yes", 0),
        ("accuracy", "...", "!!!", 0),
        ("accuracy", "the cat", "cat", 0),
        ("exact_match", "The cat.", "cat", 1),
        ("exact_match", "U.S. Army", "us army", 1),
        ("exact_match", "a cat and dog", "cat dog", 0),
        ("exact_match", "the", "a", 0),
        ("exact_match", "(A)", "A", 1),
        ("exact_match", "**A**", "a.", 1),
        ("exact_match", "(A)", "B", 0),
        ("exact_match", "-5", "5", 0),
        ("exact_match", "\u22125", "-5", 1),
        ("exact_match", "-$5", "$5", 0),
        ("exact_match", "2.5", "25", 0),
        ("exact_match", "It is 2.5.", "it is 2.5", 1),
        ("exact_match", ".5", "5", 0),
        ("exact_match", "1/2", "12", 0),
        ("exact_match", "10:30", "1030", 0),
        ("exact_match", "1,000", "1000", 1),
        ("exact_match", "well-known", "wellknown", 1),
        ("token_f1", "at -5", "at 5", 0.5),
        ("token_f1", "the big cat", "a cat", 2 / 3),
        ("token_f1", "in Paris in 1862", "in Paris", 2 / 3),
        ("token_f1", "dog", "cat", 0),
        ("token_f1", "", "cat", 0),
        ("rouge_l", "the cat sat on mats", "the cat lay on mats", 0.8),
        ("rouge_l", "on mats the cat", "the cat on mats", 0.5),
        ("rouge_l", "zażółć gęślą", "zażółć jaźń", 0.5),
        ("rouge_l", "\u0915\u093f", "\u0915\u0940", 0),
        ("rouge_l", "cats_and dogs!", "Cats and dogs", 1),
        ("rouge_l", "\U0001f600", "\U0001f600", 1),
        ("rouge_l", "\U0001f600", "\U0001f622", 0),
        ("rouge_l", "\u2764\ufe0f", "\u2600\ufe0f", 0),
        ("rouge_l", "", "cat", 0),
        ("rouge_l", "\u516c\u53f8\u53bb\u5e74", "\u516c\u53f8\u4eca\u5e74", 0.75),
        ("rouge_l", "\u0e01\u0e34\u0e19", "\u0e01\u0e34", 2 / 3),
        ("token_f1", "\u516c\u53f8\u53bb\u5e74b", "\u516c\u53f8\u4eca\u5e74 b", 0.8),
        ("token_f1", "(3,-2)", "(3,2)", 0),
    ],
)
def test_scores_of_single_answers(metric: str, answer: str, gold: str, score: float) -> None:
    """Scores computed by hand."""
    assert score_answers(metric, [answer], [gold]).total == pytest.approx(score)


@given(st.data(), texts)
def test_accuracy_and_f1_equal_scikit_learn(data: st.DataObject, gold: list[str]) -> None:
    """On plain words; the F1 is over the classes of the gold answers."""
    found = [data.draw(st.sampled_from(["yes", "no", "maybe", "junk"])) for _ in gold]
    assert score_answers("accuracy", found, gold).total == pytest.approx(
        accuracy_score(gold, found)
    )
    wanted = f1_score(gold, found, labels=sorted(set(gold)), average="macro", zero_division=0)
    assert score_answers("macro_f1", found, gold).total == pytest.approx(wanted)


def test_macro_f1_by_hand() -> None:
    """Two classes, one always answered: F1 of 2/3 and 0."""
    scored = score_answers("macro_f1", ["yes", "yes", "yes", "yes"], ["yes", "yes", "no", "no"])
    assert scored.total == pytest.approx((2 / 3 + 0) / 2)
    assert scored.values == (1, 1, 0, 0)


@given(st.sampled_from(sorted(METRICS)), st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_ranges(metric: str, gold: list[str]) -> None:
    """Every score lies in [0, 1], and the gold answers score 1 (ROUGE-L needs a text)."""
    scored = score_answers(metric, gold, gold)
    assert len(scored.values) == len(gold)
    assert all(0 <= value <= 1 for value in scored.values)
    if metric != "rouge_l" or all(text.split() for text in gold):
        assert scored.total == pytest.approx(1)


def test_allowed_answers_stay_distinct() -> None:
    """If two allowed answers have one normal form, texts are compared without it."""
    assert score_answers("accuracy", ["US"], ["us"], ["US", "us"]).total == 0
    assert score_answers("accuracy", [" us "], ["us"], ["US", "us"]).total == 1
    assert score_answers("accuracy", ["Us"], ["us"], ["us", "them"]).total == 1
    assert score_answers("macro_f1", ["?", "!"], ["!", "!"], ["!", "?"]).total < 1


def test_not_scorable() -> None:
    """An unknown metric, no answers, and different numbers of answers are refused."""
    with pytest.raises(ValueError, match="accuracy"):
        score_answers("bleu", ["a"], ["a"])
    with pytest.raises(ValueError, match="0 gold"):
        score_answers("accuracy", [], [])
    with pytest.raises(ValueError, match="2 answers"):
        score_answers("accuracy", ["a", "b"], ["a"])


@given(st.text())
def test_normal_forms_are_stable(text: str) -> None:
    """A normal form is never empty unless the text is blank."""
    assert bool(plain(text)) == bool(words(text))
    if plain(text) == "":
        assert not text.split()
