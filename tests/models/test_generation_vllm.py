"""What vLLM gives back, as every engine gives it. vLLM itself does not run here."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from transformers import LlamaConfig

from labelcast.errors import InputError, RunError
from labelcast.models.causal import LanguageModel
from labelcast.models.generation_vllm import generated, import_vllm, parallel_gpus


@dataclass
class Logprob:
    """The form of `vllm.logprobs.Logprob`."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    """The form of `vllm.outputs.CompletionOutput`."""

    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None


def step(**probabilities: float) -> dict[int, Logprob]:
    return {int(name[1:]): Logprob(math.log(p)) for name, p in probabilities.items()}


def test_an_answer_keeps_tokens_and_largest_probabilities() -> None:
    """The order within a step and a third token do not matter."""
    found = generated(
        CompletionOutput(
            [7, 3, 2], [step(t7=0.6, t1=0.3), step(t4=0.2, t3=0.5, t9=0.1), step(t2=0.9, t5=0.04)]
        )
    )
    assert found.tokens == [7, 3, 2]
    assert found.probabilities == pytest.approx([0.6, 0.5, 0.9])
    assert found.margin == pytest.approx(0.3)


def test_a_certain_token() -> None:
    """Its probability is 1, even if rounding would give more."""
    found = generated(CompletionOutput([2], [{2: Logprob(1e-9), 5: Logprob(-math.inf)}]))
    assert found.probabilities == [1.0]
    assert found.margin == pytest.approx(1.0)


@pytest.mark.parametrize(("gpus", "used"), [(0, 1), (1, 1), (2, 2), (3, 2), (5, 4), (8, 4)])
def test_gpus_divide_the_attention_heads(tiny: LanguageModel, gpus: int, used: int) -> None:
    """vLLM refuses a number of GPUs that does not."""
    assert tiny.model.config.num_attention_heads == 4
    assert parallel_gpus(tiny, gpus) == used


@pytest.mark.parametrize(
    ("heads", "keys", "gpus", "used"), [(28, 4, 8, 4), (24, 8, 3, 2), (14, 2, 8, 2), (64, 8, 8, 8)]
)
def test_gpus_divide_the_keys_too(
    tiny: LanguageModel, heads: int, keys: int, gpus: int, used: int
) -> None:
    """vLLM gives each GPU as many heads of keys, or a copy of one."""
    sizes = {"num_attention_heads": heads, "num_key_value_heads": keys, "intermediate_size": 1024}
    config = LlamaConfig(hidden_size=64 * heads, **sizes)
    assert parallel_gpus(replace(tiny, model=SimpleNamespace(config=config)), gpus) == used


def test_an_answer_without_probabilities_is_refused() -> None:
    """Missing, too few or empty probabilities are an error."""
    for logprobs in (None, [], [step(t7=0.6, t1=0.3)]):
        with pytest.raises(RunError, match="without the probabilities"):
            generated(CompletionOutput([7, 3], logprobs))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
def test_a_missing_package() -> None:
    """The message has the command that installs it."""
    with pytest.raises(InputError, match=r"pip install 'labelcast\[vllm\]'"):
        import_vllm()
