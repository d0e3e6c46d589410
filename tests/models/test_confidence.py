import json
import math
import statistics
from pathlib import Path

import published
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from shared_data import shared
from tiny_model import load_llama, save_llama

from labelcast.errors import InputError, RunError
from labelcast.models.confidence import Confidence, score_confidence, summarise
from labelcast.models.encoding import encode_prompt
from labelcast.models.loading import LanguageModel, load_model

# If the two best tokens are closer than this, answers may differ: they are counted, not compared.
TIE = 1e-4


def compare(
    lm: LanguageModel, prompts: list[str], found: list[Confidence], new: int
) -> tuple[float, int]:
    """Largest difference from one-at-a-time decoding, and how many ties were left out."""
    worst, ties = 0.0, 0
    for prompt, ours in zip(prompts, found, strict=True):
        theirs = published.confidence(lm, encode_prompt(lm.tokenizer, prompt), new)
        if min(theirs.margin, ours.margin) < TIE:
            ties += 1
        else:
            worst = max(worst, abs(theirs.confidence - ours.confidence))
    return worst, ties


def prompts_of(lengths: list[int], beginning: str = "") -> list[str]:
    """Prompts of the given lengths, after a shared beginning."""
    return [beginning + "".join("abcdefgh"[(i * i + n) % 8] for i in range(n)) for n in lengths]


@pytest.mark.parametrize("beginning", ["", "<turn>system classify this: " * 2])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_confidence_equals_a_second_forward_pass(
    tiny: LanguageModel, batch_size: int, beginning: str
) -> None:
    """For every batch size, with and without a shared beginning, within 1e-4."""
    prompts = prompts_of([5, 1, 17, 9, 9, 30, 12, 3, 22, 6], beginning)
    found = score_confidence(tiny, prompts, batch_size=batch_size, max_new_tokens=12)
    worst, ties = compare(tiny, prompts, found, 12)
    assert worst <= 1e-4
    assert ties <= 2


def test_confidence_on_the_embedded_model(smollm2: LanguageModel) -> None:
    """On published prompts, in a padded batch and alone, with a shared beginning."""
    path = shared() / "paper/results/coslow_data/task_data_unannotated.json"
    texts = [record["input_text"] for record in json.loads(path.read_text())[:100]]
    prompts = sorted(texts, key=len)[:3]
    found = score_confidence(smollm2, prompts, batch_size=2, max_new_tokens=4)
    worst, ties = compare(smollm2, prompts, found, 4)
    assert worst <= 1e-4
    assert ties == 0


def test_the_order_of_prompts_changes_nothing(tiny: LanguageModel) -> None:
    """Results come in the order of the prompts, whatever the batches were."""
    prompts = prompts_of([4, 25, 8, 13, 2])
    forward = score_confidence(tiny, prompts, batch_size=2, max_new_tokens=6)
    backward = score_confidence(tiny, prompts[::-1], batch_size=2, max_new_tokens=6)[::-1]
    for a, b in zip(forward, backward, strict=True):
        assert a.answer == b.answer
        assert a.confidence == pytest.approx(b.confidence, abs=1e-5)


def test_newlines_ends_and_padding_do_not_count(tiny: LanguageModel) -> None:
    """The value is the mean over the tokens that count, and perplexity is of the same ones."""
    prompts = prompts_of(list(range(1, 20)))
    for found in score_confidence(tiny, prompts, max_new_tokens=12):
        if found.flag:
            continue
        assert len(found.token_probabilities) == found.answer_tokens
        assert found.confidence == pytest.approx(statistics.fmean(found.token_probabilities))
        logs = [math.log(p) for p in found.token_probabilities]
        assert found.perplexity == pytest.approx(math.exp(-statistics.fmean(logs)))


@pytest.mark.parametrize("text", ["\n", "<eos>"])
def test_an_answer_without_counted_token_is_flagged(tmp_path: Path, text: str) -> None:
    """If a model says only newlines, or ends at once, its first token is used."""
    import torch

    lm = load_llama(tmp_path, tie_word_embeddings=False)
    token = encode_prompt(lm.tokenizer, text)[0]
    head = lm.model.lm_head
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features), requires_grad=False)
    head.bias[token] = 100.0
    (found,) = score_confidence(lm, ["ab"], max_new_tokens=4)
    assert found.flag == "no_counted_token"
    assert found.answer_tokens == 0
    assert found.answer == ""
    assert found.confidence == pytest.approx(1.0)


def test_a_prompt_that_does_not_fit_is_skipped(tmp_path: Path) -> None:
    """Prompt and answer must fit the context; the other prompts are not affected."""
    lm = load_llama(tmp_path, max_position_embeddings=40)
    prompts = ["x" * 30, "x" * 31, "xyz"]
    done: list[int] = []
    found = score_confidence(lm, prompts, max_new_tokens=10, progress=done.append)
    assert [value.flag for value in found] == ["", "too_long", ""]
    assert math.isnan(found[1].confidence)
    assert sum(done) == 3
    alone = score_confidence(lm, ["xyz"], max_new_tokens=10)[0]
    assert found[2].confidence == pytest.approx(alone.confidence, abs=1e-5)


def test_no_prompts_give_no_results(tiny: LanguageModel) -> None:
    """An empty pool is not an error here."""
    assert score_confidence(tiny, []) == []


def test_a_prompt_without_tokens_is_named(tiny: LanguageModel) -> None:
    """The message has the number of the prompt."""
    with pytest.raises(InputError, match="prompt 2: it has no tokens"):
        score_confidence(tiny, ["ab", ""])


def test_probabilities_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """The message for a model that overflows in float16 says what to do, and float32 works."""
    path = save_llama(tmp_path / "model") / "model.safetensors"
    wide = {n: w * 1e4 if "mlp" in n else w for n, w in load_file(path).items()}
    save_file(wide, path, metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"not finite in float16. Score with --dtype float32"):
        score_confidence(load_model(str(path.parent), dtype="float16"), ["ab"], max_new_tokens=2)
    (found,) = score_confidence(load_model(str(path.parent)), ["ab"], max_new_tokens=2)
    assert 0 < found.confidence <= 1


def test_an_answer_needs_a_token(tiny: LanguageModel) -> None:
    """A limit below 1 is refused."""
    with pytest.raises(InputError, match="--max-new-tokens 0"):
        score_confidence(tiny, ["ab"], max_new_tokens=0)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=30))
def test_mean_and_perplexity_stay_in_their_ranges(probabilities: list[float]) -> None:
    """The mean lies between the smallest and the largest; perplexity is at least 1.

    By the inequality of the means 1 / perplexity never exceeds the mean.
    """
    mean, perplexity = summarise(probabilities)
    assert min(probabilities) - 1e-12 <= mean <= max(probabilities) + 1e-12
    assert perplexity >= 1 - 1e-12
    assert 1 / perplexity <= mean + 1e-9
