import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import published
import pytest
import torch
from numpy.typing import NDArray
from tiny_model import load_llama

from labelcast.errors import InputError
from labelcast.models.coslow import (
    bootstrap_median,
    cos_low,
    cosine,
    encode_labelled,
    median_cosine,
)
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example


def labelled(count: int, seed: int = 0, longest: int = 30) -> list[Example]:
    """Rendered examples of random letters, each with a one-digit answer."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        letters = rng.choice(list("abcdefgh "), size=int(rng.integers(3, longest)))
        made.append(example("q" + "".join(letters) + ":", str(rng.integers(10)), index))
    return made


def example(prompt: str, answer: str | None, index: int) -> Example:
    """One rendered example, as from a line of a file."""
    where = f"pool.jsonl, line {index + 1}"
    return Example(f"id{index}", index, where, {}, prompt, answer, f"{index:016x}")


def test_it_is_the_median_of_what_peft_gives(tiny: LanguageModel) -> None:
    """CoS-Low equals the published procedure on the same A, within 1e-4."""
    examples = labelled(8)
    adapted = published.with_adapters(tiny, seed=3)
    expected, _ = published.cos_low(adapted, encode_labelled(tiny, examples))
    for batch in (1, 3, 8):
        found = cos_low(tiny, examples, seed=3, batch_size=batch)
        assert found.coslow == pytest.approx(expected, abs=1e-4)
    assert found.pairs == 28
    assert found.cosines.shape == (8, 8)


def test_exact_is_near_the_sketch_and_has_no_seed(tiny: LanguageModel) -> None:
    """The two methods agree, and only the sketch has a spread over seeds."""
    examples = labelled(8)
    exact, sketch = cos_low(tiny, examples, method="exact"), cos_low(tiny, examples, seeds=8)
    assert exact.coslow == pytest.approx(sketch.coslow, abs=0.02)
    assert (exact.rank, exact.seed_sd) == (None, None)
    assert len(sketch.per_seed) == 8
    assert sketch.coslow == pytest.approx(np.mean(sketch.per_seed))


def test_one_sketch_estimates_the_spread_over_seeds(tiny: LanguageModel) -> None:
    """`seed_sd` from the parts of one sketch is within three times the spread over 20 seeds."""
    examples = labelled(12)
    many = cos_low(tiny, examples, seeds=20)
    assert many.seed_sd is not None
    assert many.seed_sd > 0
    guesses = [cos_low(tiny, examples, seed=seed).seed_sd or 0.0 for seed in range(5)]
    assert many.seed_sd / 3 < np.mean(guesses) < 3 * many.seed_sd


def test_the_value_depends_on_the_seed(tiny: LanguageModel) -> None:
    """The same seed gives the same value, another seed another."""
    examples = labelled(5)
    first = cos_low(tiny, examples, seed=1)
    assert first.coslow == cos_low(tiny, examples, seed=1).coslow
    assert first.coslow != cos_low(tiny, examples, seed=2).coslow


def test_two_examples_are_enough(tiny: LanguageModel) -> None:
    """With one pair CoS-Low is its cosine, and the interval is -1 to 1."""
    found = cos_low(tiny, labelled(2))
    assert found.pairs == 1
    assert found.coslow == pytest.approx(found.cosines[0, 1])
    assert [found.low, found.high] == [-1, 1]


def test_equal_examples_have_cosine_one(tiny: LanguageModel) -> None:
    """The same example three times: every cosine is 1."""
    found = cos_low(tiny, [example("abc:", "5", i) for i in range(3)])
    assert found.coslow == pytest.approx(1, abs=1e-4)


def test_the_result_is_json_ready(tiny: LanguageModel) -> None:
    """Everything except the matrices is plain values."""
    values = json.loads(json.dumps(cos_low(tiny, labelled(3)).to_dict()))
    assert values["examples"] == 3
    assert values["gradient_bytes"] > 0
    assert {"coslow", "low", "high", "seed_sd", "seconds", "peak_bytes"} <= values.keys()


@contextmanager
def weight_set(lm: LanguageModel, change: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Change the embeddings for a while."""
    weight = lm.model.get_input_embeddings().weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            change(weight)
        yield
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_a_zero_gradient_names_the_example(tiny: LanguageModel) -> None:
    """An example of tokens whose embedding is zero has no gradient in any layer."""
    zero = tiny.tokenizer.convert_tokens_to_ids("Z")
    examples = [*labelled(2), example("ZZZ", "Z", 2)]
    with (
        weight_set(tiny, lambda w: w[zero].zero_()),  # type: ignore[arg-type,return-value]
        pytest.raises(InputError, match=r"line 3 \(id id2\): its gradient is zero"),
    ):
        cos_low(tiny, examples)


@pytest.mark.parametrize("method", ["sketch", "exact"])
def test_a_gradient_that_is_not_finite_names_the_example(tiny: LanguageModel, method: str) -> None:
    """NaN in a token of one example names that example."""
    bad = tiny.tokenizer.convert_tokens_to_ids("Z")
    examples = [*labelled(2), example("aZa", "a", 2), *labelled(1, seed=5)]
    with (
        weight_set(tiny, lambda w: w[bad].fill_(float("nan"))),  # type: ignore[arg-type,return-value]
        pytest.raises(InputError, match=r"line 3 \(id id2\): its gradient is not finite"),
    ):
        cos_low(tiny, examples, method=method)  # type: ignore[arg-type]


def test_fewer_than_two_examples(tiny: LanguageModel) -> None:
    """One example makes no pair."""
    with pytest.raises(InputError, match=r"1 labelled example.*at least 2"):
        cos_low(tiny, labelled(1))


@pytest.mark.parametrize("answer", [None, "", "  "])
def test_an_empty_answer_names_the_example(tiny: LanguageModel, answer: str | None) -> None:
    """There is no loss without an answer."""
    with pytest.raises(InputError, match=r"line 3 \(id id2\): the answer is empty"):
        cos_low(tiny, [*labelled(2), example("ab", answer, 2)])


def test_an_empty_prompt_names_the_example(tiny: LanguageModel) -> None:
    """There is nothing to predict the first answer token from."""
    with pytest.raises(InputError, match=r"line 3 \(id id2\): the prompt is empty"):
        cos_low(tiny, [*labelled(2), example("", "a", 2)])


def test_an_example_longer_than_the_context_names_it(tmp_path: Path) -> None:
    """The message has its length and the model's."""
    lm = load_llama(tmp_path, max_position_embeddings=32)
    examples = [*labelled(2, longest=20), example("x" * 40, "a", 2)]
    with pytest.raises(InputError, match=r"line 3 \(id id2\): 41 tokens.*at most 32"):
        cos_low(lm, examples)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"method": "other"}, "--method other"),
        ({"rank": 0}, "--rank 0"),
        ({"seeds": 0}, "--seeds"),
        ({"seed": -1}, "--seed"),
        ({"batch_size": 0}, "--batch-size 0"),
    ],
)
def test_settings_out_of_range(tiny: LanguageModel, bad: dict[str, int], message: str) -> None:
    """Each is refused before the model runs."""
    with pytest.raises(InputError, match=message):
        cos_low(tiny, labelled(2), **bad)  # type: ignore[arg-type]


def correlated(n: int, seed: int = 0) -> NDArray[np.float64]:
    """Cosines of n random vectors that share a direction."""
    vectors = np.random.default_rng(seed).normal(0.3, 1, (n, 40))
    return cosine(vectors @ vectors.T)


@pytest.mark.parametrize("n", [8, 32, 100])
def test_the_interval_contains_the_median(n: int) -> None:
    """At every number of examples."""
    matrix = correlated(n)
    low, high = bootstrap_median(matrix)
    assert -1 <= low <= median_cosine(matrix) <= high <= 1


def test_the_interval_narrows_with_more_examples() -> None:
    """Ten times the examples: less than half the width."""
    narrow, wide = ([bootstrap_median(correlated(n, s)) for s in range(3)] for n in (100, 10))
    width = np.ptp(narrow, axis=1).mean(), np.ptp(wide, axis=1).mean()
    assert width[0] < 0.5 * width[1]


def test_the_interval_hardly_depends_on_the_order_of_examples() -> None:
    """Another order gives the same interval to a tenth of its width."""
    matrix = correlated(32)
    order = np.random.default_rng(1).permutation(32)
    first, second = bootstrap_median(matrix), bootstrap_median(matrix[np.ix_(order, order)])
    assert np.allclose(first, second, atol=0.1 * (first[1] - first[0]))


def test_the_interval_covers_the_truth_at_about_its_level() -> None:
    """Of 40 draws of 24 examples, at least 80% of the 90% intervals contain the true median."""
    truth = median_cosine(correlated(1500, seed=99))
    spans = [bootstrap_median(correlated(24, seed)) for seed in range(40)]
    assert np.mean([low <= truth <= high for low, high in spans]) >= 0.8
