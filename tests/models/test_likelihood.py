"""Likelihoods of given answers and mean hidden states, against one text at a time."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from families import FAMILIES, load_family

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models import passes
from labelcast.models.encoding import encode_pair, encode_prompt, shared_prefix
from labelcast.models.generation import read_prefix
from labelcast.models.likelihood import answer_log_likelihoods, mean_hidden_states
from labelcast.models.loading import LanguageModel

START = "the same words at the beginning of every prompt, and enough of them to be worth it: "
PROMPTS = [START + word for word in ("one", "a longer one than the others", "two", "x")]
ANSWERS = ["yes", "no", "a whole sentence", "1"]


def alone(lm: LanguageModel, prompt: str, answer: str) -> float:
    """The log probability of one answer, from all logits."""
    pair = encode_pair(lm.tokenizer, prompt, answer)
    ids = torch.tensor([pair.tokens], device=lm.input_device)
    with torch.inference_mode():
        logs = lm.model(input_ids=ids).logits.double().log_softmax(dim=-1)[0, :-1]
    return float(logs.gather(1, ids[0, 1:, None])[-pair.answer_length :].sum())


def mean_state(lm: LanguageModel, text: str) -> list[float]:
    """The mean of one text's last hidden states."""
    ids = torch.tensor([encode_prompt(lm.tokenizer, text)], device=lm.input_device)
    with torch.inference_mode():
        states = lm.model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
    found: list[float] = states[0].float().mean(dim=0).tolist()
    return found


def check(lm: LanguageModel, batch_size: int | None, atol: float) -> None:
    """Both functions agree with one text at a time, in order, and report progress."""
    done: list[int] = []
    found = answer_log_likelihoods(
        lm, PROMPTS, ANSWERS, batch_size=batch_size, progress=done.append
    )
    expected = [alone(lm, p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)
    states = mean_hidden_states(lm, PROMPTS, batch_size=batch_size, progress=done.append)
    one_by_one = np.array([mean_state(lm, text) for text in PROMPTS])
    np.testing.assert_allclose(states, one_by_one, rtol=1e-3, atol=atol)
    assert sum(done) == 2 * len(PROMPTS)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_batches_and_the_shared_prefix_change_nothing(
    tiny: LanguageModel, batch_size: int | None
) -> None:
    """Values equal those of one text at a time."""
    assert shared_prefix([encode_prompt(tiny.tokenizer, text) for text in PROMPTS]) >= 64
    check(tiny, batch_size, 1e-4)


def test_a_cpu_runs_few_tokens_at_once(tiny: LanguageModel) -> None:
    """Only those after the prefix count, and values do not change."""
    ran: list[tuple[int, ...]] = []
    decoder = tiny.model.get_decoder()
    hook = decoder.register_forward_pre_hook(
        lambda module, args, given: ran.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    with patch.object(passes, "_TOKENS_AT_ONCE", 40):
        check(tiny, None, 1e-4)
        ran.clear()
        mean_hidden_states(tiny, PROMPTS)
    hook.remove()
    _, _, *tails = ran  # the prefix runs for its keys and values, and for its hidden states
    assert len(tails) > 1 and sum(rows for rows, _ in tails) == len(PROMPTS)
    assert all(rows == 1 or rows * length <= 40 for rows, length in tails)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, tmp_path: Path) -> None:
    """Also families that cannot share a prefix, and mixtures of experts."""
    check(load_family(tmp_path, family), 3, 1e-3)


def test_no_prefix_is_shared_where_long_texts_have_other_frequencies(tmp_path: Path) -> None:
    """The beginning alone is within the original context, and the texts are not."""
    original = len(START) + 4
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [8.0] * 4,
        "original_max_position_embeddings": original,
    }
    lm = load_family(
        tmp_path, "fused", original_max_position_embeddings=original, rope_parameters=rope
    )
    texts = [START + word * 8 for word in ("one", "two", "a longer one")]
    one_by_one = np.array([mean_state(lm, text) for text in texts])
    np.testing.assert_allclose(mean_hidden_states(lm, texts), one_by_one, rtol=1e-3, atol=1e-3)
    prompts = [encode_prompt(lm.tokenizer, text) for text in texts]
    assert shared_prefix(prompts) >= 64 and not read_prefix(lm, prompts).tokens


def test_the_embedded_model(smollm2: LanguageModel) -> None:
    """A right answer is likelier than a wrong one, and similar texts have similar vectors."""
    prompts = [smollm2.render("", "What is the capital of France? One word.")] * 2
    right, wrong = answer_log_likelihoods(smollm2, prompts, ["Paris", "Seven"])
    assert 0 > right > wrong
    texts = ["The cat sat on the mat.", "A dog lay on the rug.", "def f(x): return x + 1"]
    cat, dog, code = (v / np.linalg.norm(v) for v in mean_hidden_states(smollm2, texts))
    assert cat @ dog > cat @ code


def test_no_texts_give_nothing(tiny: LanguageModel) -> None:
    """An empty list is not an error."""
    assert answer_log_likelihoods(tiny, [], []).shape == (0,)
    width = tiny.model.config.hidden_size
    assert mean_hidden_states(tiny, []).shape == (0, width)


def test_what_has_no_likelihood_is_refused(tiny: LanguageModel) -> None:
    """The message has the number of the text."""
    long = "a " * tiny.context
    for prompts, answers in ((["a", "b"], ["x", ""]), (["a", ""], ["x", "y"])):
        with pytest.raises(InputError, match=r"text 2: .* empty"):
            answer_log_likelihoods(tiny, prompts, answers)
    with pytest.raises(InputError, match=r"text 1: .* tokens long"):
        answer_log_likelihoods(tiny, [long], ["x"])
    with pytest.raises(InputError, match=r"text 2: .* empty"):
        mean_hidden_states(tiny, ["a", ""])


def test_a_text_that_is_too_long_is_cut(tiny: LanguageModel) -> None:
    """To the last tokens that the model reads, with one warning for all of them."""
    end = "x " * tiny.context
    kept = tiny.tokenizer.decode(encode_prompt(tiny.tokenizer, end)[-tiny.context :])
    with pytest.warns(LabelcastWarning, match="texts are cut to their last 256") as seen:
        found = mean_hidden_states(tiny, ["b", f"a{end}", f"c{end}"])
    assert len(seen) == 1
    wanted = [mean_state(tiny, text) for text in ("b", kept, kept)]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
