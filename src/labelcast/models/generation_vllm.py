"""Greedy answers by vLLM: paged attention, continuous batches, shared beginnings kept by itself.

Untested here: no GPU was at hand. Written to vLLM's documented interface (`LLM`, `SamplingParams`,
`TokensPrompt`, `RequestOutput`); what it gives back is read by `generated`, which is tested.

Needs the extra `labelcast[vllm]`. The values are vLLM's own: its kernels and its batches, which
form as requests come, round otherwise than transformers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from labelcast.errors import InputError, RunError, brief
from labelcast.models.generation import Generated, end_tokens
from labelcast.models.loading import LanguageModel, weights_folder

BATCH = 256
"""Prompts that run at once where no number is given: vLLM fills the GPU's memory by itself."""
_TOP = 2
# It would log to standard output, where a command's answer belongs.
_QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}


class Logprob(Protocol):
    """What vLLM says of one token at one step: the log of its probability."""

    @property
    def logprob(self) -> float: ...  # noqa: D102


class Completion(Protocol):
    """One answer as vLLM gives it.

    Attributes:
        token_ids: the generated tokens, the one that ended the answer included.
        logprobs: at each of them the most probable tokens, the generated one among them.
    """

    @property
    def token_ids(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def logprobs(self) -> Sequence[Mapping[int, Logprob]] | None: ...  # noqa: D102


class VllmAnswers:
    """A model that vLLM runs in this process; see `Answers`."""

    def __init__(self, lm: LanguageModel, batch_size: int = BATCH):
        """Load the weights.

        Args:
            lm: the model's tokenizer, end tokens and dtype; its weights are not used.
            batch_size: most prompts that run at once.

        Raises:
            InputError: vllm is not installed.
            RunError: vLLM cannot run the model here; says why.
        """
        vllm = import_vllm()
        try:
            self._llm = vllm.LLM(
                model=weights_folder(lm.name),
                dtype=str(lm.dtype.value).removeprefix("torch."),
                enable_prefix_caching=True,
                # The sampling that a model's authors recommend must not change greedy answers.
                generation_config="vllm",
                trust_remote_code=False,
                seed=0,
                max_num_seqs=batch_size,
            )
        except Exception as error:  # the library raises a dozen unrelated kinds
            raise _fault(lm, error) from None
        self._lm, self._vllm = lm, vllm

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generated]:
        """Greedy answers to prompts, in order; see `Answers`."""
        if not prompts:
            return []
        ends = end_tokens(self._lm)
        sampling = self._vllm.SamplingParams(
            temperature=0.0,
            max_tokens=max_new_tokens,
            logprobs=_TOP,
            # Which tokens end an answer is said here alone, as for every other engine.
            ignore_eos=True,
            stop_token_ids=sorted(ends),
            detokenize=False,
        )
        requests = [self._vllm.TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        try:
            outputs = self._llm.generate(requests, sampling, use_tqdm=False)
        except Exception as error:  # the library raises a dozen unrelated kinds
            raise _fault(self._lm, error) from None
        progress(len(prompts))
        return [generated(output.outputs[0]) for output in outputs]


def import_vllm() -> Any:
    """The package, told to keep quiet and to send nothing.

    Raises:
        InputError: it is not installed; says how to install it.
    """
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


def generated(completion: Completion) -> Generated:
    """One answer of vLLM's as every engine gives it.

    Args:
        completion: with the two most probable tokens at each step.

    Raises:
        RunError: it lacks the probabilities.
    """
    steps = completion.logprobs
    if steps is None or len(steps) != len(completion.token_ids) or not len(steps):
        raise RunError("vLLM gave an answer without the probabilities of its tokens.")
    probabilities, margins = [], []
    for step in steps:
        # A token that is not among the most probable may stand there beside them.
        first, second = sorted(math.exp(value.logprob) for value in step.values())[-1:-3:-1]
        probabilities.append(min(first, 1.0))
        margins.append(first - second)
    return Generated(list(completion.token_ids), probabilities, min(margins))


def _fault(lm: LanguageModel, error: Exception) -> RunError:
    text = brief(error, 2000) or type(error).__name__
    return RunError(f"model {lm.name}: vLLM cannot run it here ({text[:300]}).")
