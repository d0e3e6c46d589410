"""Recipes for fine-tuning: those that ship, or a YAML file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.tasks.schema import LARGEST, read_yaml, validated

# YAML's missing values.
_NOTHING = ("", "null", "~")


class Lora(BaseModel):
    """Low-rank adapters: rank, alpha (the update is scaled by alpha / rank) and dropout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(0.0, ge=0, lt=1)


class Linear(BaseModel):
    """Logistic regression: `c` is the inverse strength of its L2 penalty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    c: float = Field(0.01, gt=0, allow_inf_nan=False)


@dataclass(frozen=True)
class Method:
    """A value of `Recipe.method`.

    Attributes:
        causal: ``module:class`` of the `training.backend.Backend` that trains language models;
            None if there is none.
        encoder: the one that trains encoders; None if there is none.
        section: settings of this method only, the field of `Recipe` with the method's name.
    """

    causal: str | None = None
    encoder: str | None = None
    section: type[BaseModel] | None = None


_CAUSAL = "labelcast.training.finetune:CausalBackend"
_LINEAR = "labelcast.training.linear:LinearBackend"
METHODS = {
    "full": Method(_CAUSAL, "labelcast.training.encoder:EncoderBackend"),
    "lora": Method(_CAUSAL, section=Lora),
    "linear": Method(_LINEAR, _LINEAR, Linear),
    "setfit": Method(encoder="labelcast.training.setfit:SetFitBackend"),
    "t-few": Method("labelcast.training.t_few:TFewBackend"),
}


class Recipe(BaseModel):
    """One way to fine-tune. Scores depend on it, so a calibration card names it.

    Attributes:
        name: what a card calls it.
        method: a key of `METHODS`: all weights (``full``), or adapters that are merged at the end
            (``lora``), a linear classifier on frozen features (``linear``), an encoder on
            pairs of texts (``setfit``), or vectors that scale activations (``t-few``).
        learning_rate: the highest, after the warm-up; ``linear`` has none.
        head_learning_rate: the same for an encoder's head; None means `learning_rate`.
        batch_size: sequences per step on all devices together.
        max_steps: the most steps of a training.
        warmup: fraction of `max_steps` in which the learning rate rises from 0.
        schedule: how the learning rate falls after that.
        evaluate_every: steps between two measurements of the validation loss.
        patience: measurements in a row without a better one after which training stops.
        validation_share: fraction of the budget that is held out for early stopping, at most 0.5.
        validation_limit: the most labels that are held out; None for no limit.
        max_length: a sequence of this many tokens or more is left out; an encoder cuts texts off
            at this many, special tokens included.
        micro_batch: sequences at once on one device; None means the complete batch.
        gradient_checkpointing: compute activations twice to save memory.
        lora: sizes of the adapters.
        linear: settings of the classifier.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=80)
    method: str
    learning_rate: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    head_learning_rate: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    batch_size: int = Field(16, ge=1)
    max_steps: int = Field(500, ge=1)
    warmup: float = Field(0.1, ge=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    evaluate_every: int = Field(4, ge=1)
    patience: int = Field(10, ge=1)
    validation_share: float = Field(0.2, gt=0, le=0.5)
    validation_limit: int | None = Field(None, ge=1)
    max_length: int = Field(2048, ge=2)
    micro_batch: int | None = Field(None, ge=1)
    gradient_checkpointing: bool = False
    lora: Lora | None = None
    linear: Linear | None = None

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"{method!r} is not one of {', '.join(METHODS)}")
        return method

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        for name in _SECTIONS:
            if name != self.method and getattr(self, name) is not None:
                raise ValueError(f"{name} is given, but the method is {self.method}")
        if (self.method == "linear") != (self.learning_rate == 0):
            raise ValueError(
                f"learning_rate {self.learning_rate:g}: {self.method} needs "
                + ("none" if self.method == "linear" else "one above 0")
            )
        if self.head_learning_rate is not None and self.method != "full":
            raise ValueError(f"head_learning_rate is for method full, not {self.method}")
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}"
            )
        return self

    @property
    def adapters(self) -> Lora | None:
        """The adapters to train; None if all weights are trained.

        The vectors of T-Few take no more memory than adapters of rank 1.
        """
        if self.method == "t-few":
            return Lora(rank=1)
        return (self.lora or Lora()) if self.method == "lora" else None

    def held_out(self, budget: int) -> float:
        """The fraction of a budget that is held out for early stopping."""
        limit = self.validation_limit or budget
        return min(self.validation_share, limit / max(budget, 1))

    @property
    def most_steps(self) -> int:
        """The most steps of a training; `linear` counts as one."""
        return 1 if self.method == "linear" else self.max_steps

    @property
    def digest(self) -> str:
        """16 hexadecimal digits for what changes a result: not the name or memory savings."""
        saves = {"name", "micro_batch", "gradient_checkpointing"}
        kept = self.model_dump(mode="json", exclude=saves | _SECTIONS.keys())
        if self.method in _SECTIONS:
            section = getattr(self, self.method) or _SECTIONS[self.method]()
            kept[self.method] = section.model_dump(mode="json")
        kept.setdefault("lora", None)  # older digests have it
        # They came later, and None is what recipes without them did.
        for name in ("head_learning_rate", "validation_limit"):
            if kept[name] is None:
                del kept[name]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def load(cls, spec: str | Path) -> Recipe:
        """A recipe by name (a key of `METHODS`) or from a YAML file.

        Raises:
            InputError: no such name or file, or a wrong key, which it names.

        Examples:
            >>> Recipe.load("full").learning_rate
            1e-05
        """
        for recipe in (FULL, LORA, LINEAR, SETFIT, T_FEW):
            if str(spec).lower() in (recipe.method, recipe.name.lower()):
                return recipe
        path = Path(spec)
        try:
            text = read_small(path, LARGEST)
        except FileNotFoundError:
            raise InputError(
                f"recipe {str(spec)!r}: no such file, and not one of {', '.join(METHODS)}."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"recipe {spec}: cannot be read ({error}).") from None
        where = f"recipe {spec}"
        data = read_yaml(text, where, tuple(cls.model_fields))
        given = {key: value for key, value in data.items() if value not in _NOTHING}
        return validated(cls, {"name": path.stem} | given, where, _SECTIONS)


_SECTIONS = {name: method.section for name, method in METHODS.items() if method.section}

# The paper's recipe (appendix on fine-tuning); the published calibrations are for this one only.
FULL = Recipe(name="full fine-tuning", method="full", learning_rate=1e-5)
LORA = Recipe(name="LoRA", method="lora", learning_rate=2e-4, lora=Lora())
LINEAR = Recipe(name="linear", method="linear", linear=Linear())
# Tunstall et al. (2022), with fewer pairs where there are many labels.
SETFIT = Recipe(name="SetFit", method="setfit", learning_rate=2e-5, max_length=256)
# Liu et al. (2022) train for 1,000 steps without validation; here the best measurement is kept.
T_FEW = Recipe(
    name="T-Few",
    method="t-few",
    learning_rate=3e-3,
    batch_size=8,
    max_steps=1000,
    warmup=0.06,
    schedule="linear",
    evaluate_every=50,
    patience=20,
)
FULL_ENCODER = Recipe(
    name="full fine-tuning of an encoder",
    method="full",
    learning_rate=1e-4,
    head_learning_rate=2e-3,
    validation_limit=200,
    max_length=256,
)
