import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_training import load, made_examples, records, save_model

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.confidence import score_confidence
from labelcast.models.loading import LanguageModel
from labelcast.tasks.metrics import score_answers
from labelcast.training.evaluate import Scoring, evaluate, summarise


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(save_model(tmp_path_factory.mktemp("model"), initializer_range=0.15))


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_answers_are_those_of_the_confidence_step(
    lm: LanguageModel, batch_size: int | None
) -> None:
    """With these as the right answers every one counts; with one changed it does not."""
    examples = made_examples(lm, records(7))
    own = []
    for example in examples:
        (alone,) = score_confidence(lm, [example.prompt], batch_size=1, max_new_tokens=5)
        own.append(replace(example, answer=alone.answer or "-"))
    done: list[int] = []
    scoring = Scoring("accuracy", batch_size=batch_size, max_new_tokens=5, progress=done.append)
    score = evaluate(lm, own, scoring)
    answered = [example.answer != "-" for example in own]
    assert sum(answered) > 3
    assert (score.value, score.size, score.metric) == (sum(answered) / 7, 7, "accuracy")
    assert sum(done) == 7
    own[answered.index(True)] = replace(own[0], answer="?")
    assert evaluate(lm, own, scoring).value < score.value


def test_a_prompt_that_does_not_fit_is_wrong(lm: LanguageModel) -> None:
    """A test example too long for the model counts as not answered."""
    long = replace(made_examples(lm, records(1))[0], prompt="a b " * 200)
    with pytest.warns(LabelcastWarning, match="1 of 1 test prompts do not fit"):
        assert evaluate(lm, [long], Scoring("token_f1")).value == 0


def test_binomial_error() -> None:
    """The error of an accuracy is binomial, and above 0 if all answers are right."""
    gold = ["yes"] * 100
    half = summarise("accuracy", ["yes"] * 50 + ["no"] * 50, gold)
    assert half.value == 0.5
    assert half.sd == pytest.approx(0.05)
    assert 0 < summarise("accuracy", gold, gold).sd < 0.02


@pytest.mark.parametrize("metric", ["token_f1", "rouge_l", "macro_f1"])
def test_bootstrap_error(metric: str) -> None:
    """The error of an F1 is its spread over resamples, and the same at every call."""
    rng = np.random.default_rng(1)
    gold = ["yes" if x else "no" for x in rng.random(120) < 0.5]
    found = [g if x else "no" for g, x in zip(gold, rng.random(120) < 0.7, strict=True)]
    score = summarise(metric, found, gold)
    picks = np.random.default_rng(7).integers(120, size=(400, 120))
    totals = [
        score_answers(metric, [found[i] for i in row], [gold[i] for i in row]).total
        for row in picks
    ]
    assert score.sd == pytest.approx(float(np.std(totals)), rel=0.15)
    assert score == summarise(metric, found, gold)
    assert math.isfinite(summarise(metric, gold, gold).sd)
    assert summarise(metric, gold, gold).sd > 0


def test_macro_f1_of_answers_that_are_no_class() -> None:
    """An answer outside the gold answers misses its class and adds none."""
    gold, found = ["a", "a", "b", "b"] * 30, ["a", "junk", "b", "b"] * 30
    score = summarise("macro_f1", found, gold)
    assert score.value == pytest.approx((2 / 3 + 1) / 2)
    assert 0 < score.sd < 0.1


def test_unlabelled_examples(lm: LanguageModel, tmp_path: Path) -> None:
    """A test set needs answers, and at least one example."""
    bare = replace(made_examples(lm, records(1))[0], answer=None)
    for examples in ([bare], []):
        with pytest.raises(InputError, match="test"):
            evaluate(lm, examples, Scoring("accuracy"))


def test_answers_cut_off_before_the_end_are_a_warning(lm: LanguageModel) -> None:
    """Where right answers are longer than allowed ones, no training can raise the score."""
    examples = made_examples(lm, records(5))
    long = [replace(example, answer="a b " * 20) for example in examples]
    scoring = Scoring("rouge_l", max_new_tokens=3)
    with pytest.warns(LabelcastWarning, match=r"5 of 5 answers were cut off at 3 tokens"):
        evaluate(lm, long, scoring)
    # A warning is an error here: an answer that goes on beyond a short right one is none.
    evaluate(lm, [replace(example, answer="a") for example in examples], scoring)
    constrained = Scoring("accuracy", ("a b " * 20, "c d " * 20), True, max_new_tokens=3)
    evaluate(lm, [replace(example, answer="a b " * 20) for example in examples], constrained)
