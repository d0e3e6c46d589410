"""Loading a language model: hub id, local folder, GGUF file, or the embedded default.

No remote code is run and no pickle is read: weights are safetensors or GGUF.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelcast.errors import InputError, brief, is_out_of_memory
from labelcast.files.untrusted import no_longer_than, refuse_special
from labelcast.models import embedded
from labelcast.models.checks import (
    check_config,
    check_tokens,
    check_weights_fit,
    check_whole,
    count_weights,
)
from labelcast.models.choices import (
    SPREAD,
    Choice,
    choose_device,
    choose_dtype,
    choose_entry,
)
from labelcast.models.folder import check_folder, check_weights
from labelcast.models.four_bit import compute_alike, quiet_import
from labelcast.models.identity import Description, ModelIdentity, identify

if TYPE_CHECKING:
    import torch

_TEMPLATE_SECONDS = 10.0
# What Llama 3's template takes where it is told none.
_DAY = datetime(2024, 7, 26)
_ASKS_DATE = re.compile(r"strftime_now\(\s*(['\"])([^'\"\\]*)\1\s*\)")
_LONGEST_TURNS = 1_000_000
_HUB_ID = re.compile(r"^[\w.\-]+/[\w.\-]+$")


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer, ready to run.

    Attributes:
        model: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        identity: what it is.
        device: where it runs, with the reason.
        dtype: the dtype of its weights, with the reason.
    """

    model: Any
    tokenizer: Any
    identity: ModelIdentity
    device: Choice[str]
    dtype: Choice[torch.dtype]

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self.identity.name

    @property
    def input_device(self) -> torch.device:
        """Where token ids go. A model may be spread, and its first layer kept elsewhere still."""
        import torch

        device: torch.device = self.model.device
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
            with no_longer_than(_TEMPLATE_SECONDS):
                text = self.turns(turns)
        except TimeoutError:
            raise InputError(
                f"model {self.name}: its chat template has not ended in {_TEMPLATE_SECONDS:.0f} s."
            ) from None
        except Exception:  # a template may do anything that its sandbox allows
            return False
        if len(text) > _LONGEST_TURNS:
            raise InputError(
                f"model {self.name}: its chat template makes {len(text):,} characters of two words."
            )
        return "@sys@" in text and "@usr@" in text

    def render(self, instruction: str, user: str) -> str:
        """The prompt, through the model's chat template, up to where its answer begins.

        The instruction is the system turn; where the template has none it opens the user turn.

        Raises:
            InputError: the model has no chat template, or the template fails.
        """
        if not self.has_chat_template:
            raise InputError(
                f"model {self.name}: it has no chat template, so a task cannot be rendered for it. "
                "Use the instruction-tuned version, or give records that are already rendered "
                "(fields input_text and ground_truth)."
            )
        if self._takes_system:
            turns = [{"role": "system", "content": instruction}, {"role": "user", "content": user}]
        else:
            turns = [{"role": "user", "content": f"{instruction}\n\n{user}"}]
        return self.turns(turns, answering=True)

    def turns(self, turns: Sequence[Mapping[str, str]], *, answering: bool = False) -> str:
        """Turns of a conversation as the chat template writes them.

        A template that asks for the date (Llama 3.2's does) is told the same day for ever, so that
        a run does not depend on when it was made.

        Args:
            turns: each with `role` and `content`.
            answering: up to where the model's answer begins.

        Raises:
            InputError: the template fails.
        """
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                chat_template=_dated(self.tokenizer.get_chat_template()),
                tokenize=False,
                add_generation_prompt=answering,
            )
        except TimeoutError:  # of who waits for it
            raise
        except Exception as error:  # a template may do anything that its sandbox allows
            fault = brief(error)
            raise InputError(f"model {self.name}: its chat template fails ({fault}).") from None
        return str(text)


def _dated(template: str) -> str:
    """A chat template for which it is always the same day."""
    if "strftime_now" not in template:
        return template
    formats = sorted({found[2] for found in _ASKS_DATE.finditer(template)})
    cases = "".join(
        f"{{%- elif form == {form!r} -%}}{{{{ {_DAY.strftime(form)!r} }}}}" for form in formats
    )
    usual = f"{{%- else -%}}{{{{ {_DAY.strftime('%d %b %Y')!r} }}}}"
    macro = f"{{%- macro strftime_now(form) -%}}{{%- if false -%}}{cases}{usual}{{%- endif -%}}"
    return f"{macro}{{%- endmacro -%}}{template}"


@embedded.uncollected()
def load_model(
    spec: str = embedded.NAME,
    *,
    device: str = "auto",
    dtype: str = "auto",
) -> LanguageModel:
    """Load a model and its tokenizer.

    Args:
        spec: ``smollm2`` (embedded), a folder, a ``.gguf`` file, or a hub id ``OWNER/NAME``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...; ``spread`` shares the layers out over
            all GPUs and, where these are full, the CPU's memory.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

    Returns:
        The model in evaluation mode, with every weight frozen.

    Raises:
        InputError: no such model, or none that can be loaded safely.
        RunError: the memory of the CPU cannot hold its weights.

    Examples:
        >>> lm = load_model("smollm2", device="cpu")
        >>> lm.device.value, lm.context
        ('cpu', 8192)
    """
    folder = _locate(spec)
    spread = device == SPREAD
    chosen_device = choose_entry() if spread else choose_device(device)
    config = _config(spec, folder)
    # Weights that are quantised are unpacked on the device where they stay.
    quantised = getattr(config, "quantization_config", None) is not None
    fixed = {"": chosen_device.value} if quantised else None
    # The count decides on a GPU alone, and takes half a second.
    count = count_weights(config) if chosen_device.value.startswith("cuda") else 0
    chosen_dtype = choose_dtype(dtype, chosen_device.value, count)
    places = "auto" if spread else fixed
    if Path(folder).is_dir():
        check_weights(spec, Path(folder))
    if chosen_device.value == "cpu" and places is None:
        check_weights_fit(spec, config, chosen_dtype.value)
    model, tokenizer = _load(spec, folder, config, chosen_dtype.value, places)
    if places is None:
        model.to(chosen_device.value)
    model.eval().requires_grad_(False)
    compute_alike(model)
    return LanguageModel(
        model, tokenizer, _identity(spec, config, tokenizer), chosen_device, chosen_dtype
    )


@dataclass(frozen=True)
class Unweighted:
    """What is known of a transformers model before its weights are read."""

    config: Any
    generation_config: Any


def load_unweighted(spec: str, device: Choice[str], dtype: str = "auto") -> LanguageModel:
    """A model without its weights, for a process that has others run it.

    Args:
        spec: as in `load_model`.
        device: where it will run.
        dtype: as in `load_model`; ``auto`` chooses for confidences.

    Returns:
        All but what needs weights: `model` is an `Unweighted`.

    Raises:
        InputError: as `load_model`.
    """
    from transformers import AutoTokenizer, GenerationConfig

    folder = _locate(spec)
    config = _config(spec, folder)
    count = count_weights(config) if device.value.startswith("cuda") else 0
    chosen = choose_dtype(dtype, device.value, count)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises a dozen unrelated kinds
        raise _load_fault(spec, error) from None
    try:
        generation = GenerationConfig.from_pretrained(folder)
    except OSError:  # it has none of its own
        generation = GenerationConfig.from_model_config(config)
    check_tokens(spec, config, tokenizer, generation)
    identity = _identity(spec, config, tokenizer)
    return LanguageModel(Unweighted(config, generation), tokenizer, identity, device, chosen)


def weights_folder(spec: str) -> str:
    """The folder or hub id that holds a model's safetensors.

    Raises:
        InputError: no such model.
    """
    return _locate(spec)


def describe(spec: str) -> Description:
    """What a model is, from its config and tokenizer alone: no weights are read.

    Raises:
        InputError: as `load_model`.
    """
    from transformers import AutoTokenizer

    folder = _locate(spec)
    config = _config(spec, folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises a dozen unrelated kinds
        raise _load_fault(spec, error) from None
    return Description(_identity(spec, config, tokenizer), count_weights(config))


def _locate(spec: str) -> str:
    """The folder or hub id that transformers loads from."""
    if spec == embedded.NAME:
        return str(embedded.dequantised(embedded.gguf_file()))
    path = Path(spec)
    if path.suffix.lower() == ".gguf":
        refuse_special(path)
        if not path.is_file():
            raise InputError(f"model {spec}: no such file.")
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic != b"GGUF":
            raise InputError(f"model {spec}: not a GGUF file (it does not begin with GGUF).")
        return str(embedded.dequantised(path))
    if path.is_dir():
        check_folder(spec, path)
        return str(path)
    if path.exists():
        raise InputError(f"model {spec}: a file that is no .gguf; give a folder or a hub id.")
    if not _HUB_ID.match(spec):
        raise InputError(
            f"model {spec!r}: no such folder or file, and no hub id (OWNER/NAME). "
            "The embedded default is smollm2; `labelcast models` says more."
        )
    return spec


def _config(spec: str, folder: str) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises a dozen unrelated kinds
        raise _load_fault(spec, error) from None
    check_config(spec, config)
    return config


def _load(
    spec: str, folder: str, config: Any, dtype: torch.dtype, places: str | dict[str, str] | None
) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with embedded.quietly(), quiet_import():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, found = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                device_map=places,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:  # the library raises a dozen unrelated kinds
        raise _load_fault(spec, error) from None
    check_whole(spec, found)
    check_tokens(spec, config, tokenizer, model.generation_config)
    return model, tokenizer


def _load_fault(spec: str, error: Exception) -> InputError | MemoryError:
    if is_out_of_memory(error):
        return MemoryError(f"for model {spec}")
    text = brief(error, 2000)
    fault = f"cannot be loaded as a causal language model ({text[:240]})."
    if "trust_remote_code" in text or "custom code" in text:
        fault = "it needs code of its own to run, and labelcast runs none."
    elif isinstance(error, ImportError) and "bitsandbytes" in text:
        fault = (
            "its weights are quantised by bitsandbytes, which is not installed: "
            "pip install 'labelcast[4bit]'."
        )
    elif not Path(spec).exists() and isinstance(error, OSError):
        fault = (
            f"not found on the hub or in its cache, or the hub cannot be reached ({text[:160]})."
        )
    return InputError(f"model {spec}: {fault}")


def _identity(spec: str, config: Any, tokenizer: Any) -> ModelIdentity:
    hub_id = spec if spec == embedded.NAME or not Path(spec).exists() else None
    return identify(spec, hub_id, config, tokenizer)
