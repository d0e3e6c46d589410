"""Greedy answers by vLLM (experimental): paged attention and continuous batching.

Written to the interface of vLLM 0.33 and never run; only what needs no GPU is tested.
Its kernels round differently from transformers. Needs the extra `labelcast[vllm]`.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch

from labelcast.errors import InputError, RunError, brief
from labelcast.models.constrained import AnswerTrie
from labelcast.models.generation import Generated, Prompts, end_tokens
from labelcast.models.loading import LanguageModel, weights_folder
from labelcast.models.protocols import Progress

BATCH = 256
"""The default number of prompts at once."""
# By default it logs to standard output, where a command's result belongs.
_QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}


class VllmAnswers:
    """A model that vLLM runs in this process; see `generation.Answers`."""

    def __init__(self, lm: LanguageModel, batch_size: int = BATCH):
        """Load the weights of `lm`, and run at most `batch_size` prompts at once."""
        vllm = import_vllm()
        try:
            self._llm = vllm.LLM(
                model=weights_folder(lm.name),
                dtype=str(lm.dtype.value).removeprefix("torch."),
                # The longest context whose cache fits: Llama's 131,072 tokens take 17 GB.
                max_model_len=-1,
                tensor_parallel_size=parallel_gpus(lm, torch.cuda.device_count()),
                enable_prefix_caching=True,
                # Sampling settings in the model's folder must not change greedy answers.
                generation_config="vllm",
                trust_remote_code=False,
                seed=0,
                max_num_seqs=batch_size,
            )
        except Exception as error:  # the library raises a dozen unrelated types
            raise _fault(lm, error) from None
        self._lm, self._vllm = lm, vllm

    def answer(
        self,
        prompts: Prompts,
        max_new_tokens: int,
        progress: Progress = lambda done: None,
        trie: AnswerTrie | None = None,
    ) -> list[Generated]:
        """Greedy answers to prompts, in order, never along a trie; see `Answers`."""
        if trie is not None:
            raise InputError("constrain: needs --engine local or ray.")
        if not prompts:
            return []
        ends = end_tokens(self._lm)
        sampling = self._vllm.SamplingParams(
            temperature=0.0,
            max_tokens=max_new_tokens,
            logprobs=2,
            # Only these tokens end an answer, as in other engines.
            ignore_eos=True,
            stop_token_ids=sorted(ends),
            detokenize=False,
        )
        requests = [self._vllm.TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        try:
            outputs = self._llm.generate(requests, sampling, use_tqdm=False)
        except Exception as error:  # the library raises a dozen unrelated types
            raise _fault(self._lm, error) from None
        progress(len(prompts))
        return [generated(output.outputs[0]) for output in outputs]


def parallel_gpus(lm: LanguageModel, gpus: int) -> int:
    """How many of the GPUs share each layer: as many as divide heads and features evenly."""
    config = lm.model.config.get_text_config()
    heads = int(config.num_attention_heads)
    keys = int(getattr(config, "num_key_value_heads", None) or heads)
    block = int(getattr(config, "intermediate_size", None) or 0)

    def divides(count: int) -> bool:
        shared = keys % count == 0 or count % keys == 0
        return heads % count == 0 and block % count == 0 and shared

    return next(count for count in range(max(1, gpus), 0, -1) if divides(count))


def import_vllm() -> Any:
    """Import vllm, without its logging and usage statistics."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import vllm  # type: ignore[import-not-found]
    except ImportError:
        raise InputError(
            "--engine vllm: vllm is not installed, or cannot be imported here. Install the extra "
            "on a machine with a GPU: pip install 'labelcast[vllm]'."
        ) from None
    return vllm


def generated(completion: Any) -> Generated:
    """Convert a `CompletionOutput` of vLLM."""
    steps = completion.logprobs
    if steps is None or len(steps) != len(completion.token_ids) or not len(steps):
        raise RunError("vLLM returned an answer without the probabilities of its tokens.")
    probabilities, margins = [], []
    for step in steps:
        # The generated token may be listed in addition to the most probable ones.
        first, second = sorted(math.exp(value.logprob) for value in step.values())[-1:-3:-1]
        probabilities.append(min(first, 1.0))
        margins.append(first - second)
    return Generated(list(completion.token_ids), probabilities, min(margins))


def _fault(lm: LanguageModel, error: Exception) -> RunError:
    text = brief(error, 2000) or type(error).__name__
    return RunError(f"model {lm.name}: vLLM cannot run it here ({text[:300]}).")
