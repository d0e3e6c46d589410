"""The typed records behind a run folder's JSON files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    ValidationError,
)

from labelcast.errors import InputError
from labelcast.files.json_files import read_json
from labelcast.files.validation import faults
from labelcast.tasks.task import Task

Natural = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
TaskPart = Annotated[
    Task,
    BeforeValidator(lambda value: value if isinstance(value, Task) else Task.build(value, "task")),
    PlainSerializer(lambda task: task.model_dump(mode="json")),
]
"""A task, written with all its keys."""


RANDOM = "random"
"""How labels are drawn as the prior of a forecast takes them to be: at random."""

FREE, CONSTRAINED = "free", "constrained"
"""How a model's answers are decoded; see `Task.constrain`."""


class Form(BaseModel):
    """A frozen record of a JSON object; keys that are not named are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: the fields that were given, in the order of the class."""
        return self.model_dump(mode="json", exclude_unset=True)


class OpenForm(Form):
    """A record that also keeps the keys that are not named, for a file that is written again."""

    model_config = ConfigDict(extra="allow")


class ModelPart(Form):
    """What a run or a sweep records about its model; see `ModelIdentity`."""

    name: str
    hub_id: str | None = None
    fingerprint: str
    architecture: dict[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells models apart: the last part of the name, and the fingerprint.

        Models with other weights have the same fingerprint if one was trained from the other.
        """
        return Path(self.name).name, self.fingerprint

    @property
    def is_encoder(self) -> bool:
        """Whether CoS-Low is not defined for it."""
        return (self.architecture or {}).get("kind") == "encoder"


class RunQuestion(Form):
    """What a run is about: calls with an equal question belong to one run.

    The task is None if the pool is already rendered; `runtime` is ``transformers`` or ``vllm``.
    """

    task: TaskPart | None = None
    pool_digest: str = ""
    model_fingerprint: str = ""
    dtype: str = ""
    n_label: Natural = 0
    seed: Natural = 0
    max_new_tokens: Natural = 30
    runtime: str = "transformers"


class RunFacts(Form):
    """What may change between two calls of one run; `pool` is as `open_source` takes it."""

    pool: str = ""
    size: Natural = 0
    model: ModelPart | None = None
    device: str = ""
    engine: str = ""
    batch_size: Natural | None = None


class RunFile(Form):
    """`run.json`."""

    question: RunQuestion
    facts: RunFacts


class Asked(OpenForm):
    """The options of a forecast; `Question.of` checks those that are not named here."""

    calibration: str | None = None
    recipe: str | None = None


class Manifest(OpenForm):
    """`manifests/STEP.json`, written last: when a step finished and how it was run.

    `allowed` is of score: how often the model's free answer is an allowed one. `labels` and `gram`
    are digests that only coslow has. `asked` is what a forecast was asked;
    earlier versions have it in `options`.
    """

    step: str
    finished: str = ""
    versions: dict[str, str] = {}
    seconds: Seconds | None = None
    allowed: Share | None = None
    labels: str | None = None
    gram: str | None = None
    asked: Asked | None = None
    options: Asked | None = None


class CosLowFile(Form):
    """`coslow.json`, the fields of `CosLow` that other steps use."""

    coslow: Cosine
    low: Finite | None = None
    high: Finite | None = None
    examples: Natural | None = None
    pairs: Natural | None = None
    method: str | None = None
    seed_sd: Finite | None = None
    ids: Annotated[tuple[str, ...], Strict(False)] = ()


class TunedScore(OpenForm):
    """A row of `observations.jsonl`: the score of one fine-tuned model.

    Attributes:
        budget: labels used, validation included; 0 is zero-shot.
        score: on the test set, in [0, 1], higher is better.
        test_size: examples in the test set.
        seconds: seconds of training and evaluation, None if unknown.
        device: what it trained on; None in rows of an earlier version.
        score_sd: standard error of the score, from the test set's size.
        method: training method of the recipe; None in rows of an earlier version.
        decoding: decoding of the answers; ``free``, or ``constrained`` to the allowed ones.
        train_set: the set that the labels come from, named after the method that chose it.
    """

    budget: Natural
    score: Share
    test_size: Annotated[int, Field(ge=1, lt=2**63)]
    metric: str = ""
    seed: int | None = None
    recipe: str
    seconds: Seconds | None = None
    device: str | None = None
    score_sd: Finite | None = None
    method: str | None = None
    recipe_digest: str | None = None
    test_digest: str | None = None
    decoding: str = FREE
    train_set: str = RANDOM


Record = TypeVar("Record", bound=BaseModel)


def parse(form: type[Record], content: object, where: str, fix: str) -> Record:
    """A record from untrusted JSON; the InputError names place, key, fault and `fix`."""
    try:
        return form.model_validate(content)
    except RecursionError:
        raise InputError(f"{where}: damaged (nested too deep). {fix}") from None
    except ValidationError as error:
        raise InputError(f"{where}: damaged ({faults(error)[0]}). {fix}") from None


def parse_file(form: type[Record], path: Path, fix: str) -> Record:
    """A record from a JSON file. Raises as `parse`, and where the file cannot be read."""
    return parse(form, read_json(path, fix), str(path), fix)


def parse_rows(form: type[Record], rows: Iterable[object], path: Path) -> list[Record]:
    """Records from the rows of a JSONL file. Raises as `parse`."""
    fix = "Fix or remove that line."
    return [parse(form, row, f"{path} line {n}", fix) for n, row in enumerate(rows, 1)]
