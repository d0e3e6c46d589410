"""A causal language model with its tokenizer and chat template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from labelcast.errors import InputError, brief
from labelcast.models.choices import Choice
from labelcast.models.identity import ModelIdentity
from labelcast.models.protocols import Predict, Progress
from labelcast.tasks.conversations import Turn

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from labelcast.models.encoding import Encoded
    from labelcast.models.gradients import Gram, Method

# The date that Llama 3's template shows by default.
_DAY = datetime(2024, 7, 26)
_ASKS_DATE = re.compile(r"strftime_now\(\s*(['\"])([^'\"\\]*)\1\s*\)")


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer, ready to run; has every protocol of `protocols`.

    Attributes:
        model: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        identity: which model it is.
        device: where it runs, with the reason.
        dtype: the dtype of its weights, with the reason.
        answers: the allowed answers, from `for_answers`; it may still generate any text.
    """

    model: Any
    tokenizer: Any
    identity: ModelIdentity
    device: Choice[str]
    dtype: Choice[torch.dtype]
    answers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self.identity.name

    @property
    def input_device(self) -> torch.device:
        """Where token ids go."""
        import torch

        device: torch.device = self.model.device  # meta if the first layer is offloaded
        return torch.device(self.device.value) if device.type == "meta" else device

    @cached_property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model can read."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 0) or 2**31)

    @cached_property
    def has_chat_template(self) -> bool:
        """Whether prompts can be rendered from an instruction and a user text."""
        return bool(self.tokenizer.chat_template)

    @cached_property
    def _takes_system(self) -> bool:
        """Whether the chat template shows a system turn."""
        turns = [{"role": "system", "content": "@sys@"}, {"role": "user", "content": "@usr@"}]
        try:
            text = self.turns(turns)
        except InputError:  # some templates refuse a system turn
            return False
        return "@sys@" in text and "@usr@" in text

    @cached_property
    def _shows_text(self) -> bool:
        """Whether the chat template shows a user turn."""
        return "@usr@" in self.turns([{"role": "user", "content": "@usr@"}], answering=True)

    def render(self, instruction: str, user: str | Sequence[Turn]) -> str:
        """The prompt in the model's chat template, up to where the answer begins.

        The instruction is the system turn, with a system turn of the conversation's own after it.
        If the template has no system turn, both open the first user turn.

        Args:
            instruction: instruction of the task; may be empty.
            user: the text of the user turn, or the turns of a conversation up to the answer.

        Raises:
            InputError: the model has no chat template, the template fails, or it drops the text.
        """
        if not self.has_chat_template:
            raise InputError(
                f"model {self.name}: it has no chat template, so a task cannot be rendered for it. "
                "Use the instruction-tuned version, or give records that are already rendered "
                "(fields input_text and ground_truth)."
            )
        if not self._shows_text:
            raise InputError(
                f"model {self.name}: its chat template leaves out the user's text, so every prompt "
                "would be the same. Correct the template (chat_template.jinja, or "
                "tokenizer_config.json)."
            )
        turns = [{"role": "user", "content": user}] if isinstance(user, str) else user
        first = [instruction, *(t["content"] for t in turns if t["role"] == "system")]
        system = "\n\n".join(filter(None, first))
        rest = [dict(turn) for turn in turns if turn["role"] != "system"]
        if system and self._takes_system:
            rest.insert(0, {"role": "system", "content": system})
        elif system and rest:
            rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
        return self.turns(rest, answering=True)

    def turns(self, turns: Sequence[Turn], *, answering: bool = False) -> str:
        """Turns, each with `role` and `content`, as the chat template writes them.

        `answering` adds the beginning of the model's answer. A template that asks for the date
        (Llama 3.2's does) always gets the same day, so that runs on different days are equal. A
        reasoning model is asked to answer without thinking.
        """
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                chat_template=_with_fixed_date(self.tokenizer.get_chat_template()),
                tokenize=False,
                add_generation_prompt=answering,
                # Qwen3 and SmolLM3 read the first, DeepSeek V3.1 and Granite the second.
                enable_thinking=False,
                thinking=False,
            )
        except Exception as error:  # a template may do anything that its sandbox allows
            fault = brief(error)
            raise InputError(f"model {self.name}: its chat template fails ({fault}).") from None
        return str(text)

    def for_answers(self, answers: Sequence[str]) -> LanguageModel:
        """The same model for a task with these allowed answers; none if any text is one."""
        return self if tuple(answers) == self.answers else replace(self, answers=tuple(answers))

    def predictor(self, batch_size: int | None) -> Predict:
        """Answers prompts greedily; see `confidence.score_confidence`."""
        from labelcast.models.choices import choose_batch
        from labelcast.models.confidence import confidences
        from labelcast.models.generation import LocalAnswers

        size = choose_batch(batch_size, self.device.value, "confidence").value
        return partial(confidences, self, LocalAnswers(self, size))

    def gram(
        self,
        pairs: Sequence[Encoded],
        *,
        method: Method,
        rank: int,
        seeds: Sequence[int],
        batch_size: int | None,
        progress: Progress,
    ) -> Gram:
        """Inner products of the gradients of the examples; see `gradients.gram`."""
        from labelcast.models.gradients import gram

        return gram(self, pairs, method, rank, seeds, batch_size, progress)

    def embed(
        self, texts: Sequence[str], *, batch_size: int | None, progress: Progress
    ) -> NDArray[np.float32]:
        """Mean last hidden state of each text, [N,F]; see `likelihood.mean_hidden_states`."""
        from labelcast.models.likelihood import embed

        found: NDArray[np.float32] = embed(self, texts, batch_size, progress)
        return found


def _with_fixed_date(template: str) -> str:
    """A chat template in which the date is always `_DAY`."""
    if "strftime_now" not in template:
        return template
    formats = sorted({found[2] for found in _ASKS_DATE.finditer(template)})
    cases = "".join(
        f"{{%- elif form == {form!r} -%}}{{{{ {_DAY.strftime(form)!r} }}}}" for form in formats
    )
    usual = f"{{%- else -%}}{{{{ {_DAY.strftime('%d %b %Y')!r} }}}}"
    macro = f"{{%- macro strftime_now(form) -%}}{{%- if false -%}}{cases}{usual}{{%- endif -%}}"
    return f"{macro}{{%- endmacro -%}}{template}"
