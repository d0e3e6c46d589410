"""A task and its file: instruction, fields, allowed answers, metric, data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.tasks.conversations import Turn, is_conversation, turns
from labelcast.tasks.metrics import Metric
from labelcast.tasks.schema import LARGEST, did_you_mean, read_yaml, validated
from labelcast.tasks.values import Marks, as_text, field_or, need_field, some, valid_text

Role = Literal["train", "valid", "test"]
ROLES: tuple[Role, ...] = get_args(Role)

_blank_is_none = BeforeValidator(lambda value: None if value == "" else value)
_OptionalText = Annotated[str | None, _blank_is_none]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    alone: ClassVar[str] = ""
    """The key that a plain value stands for; none if the keys are always written."""
    left_out: ClassVar[tuple[str, ...]] = ()
    """Keys not written if they have their default, so that files of earlier versions compare."""

    @model_validator(mode="before")
    @classmethod
    def _from_plain(cls, value: Any) -> Any:
        return {cls.alone: value} if cls.alone and isinstance(value, str | int | float) else value

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields, written = type(self).model_fields, handler(self)
        same = [k for k in self.left_out if getattr(self, k) == fields[k].default]
        return {key: value for key, value in written.items() if key not in same}


class InputField(_Section):
    """One field of a record that the model sees.

    Attributes:
        field: its name in the record; alone, for a field without a label.
        label: precedes it in the prompt.
        items: for a list of choices, the mark before each: ``letters`` from A, ``numbers`` from 0,
            or none.
        optional: left out of the prompt where it is blank or missing.
    """

    alone = "field"
    left_out = ("optional",)
    field: str = Field(min_length=1)
    label: str | None = None
    items: Marks | None = None
    optional: bool = False


class Ceiling(_Section):
    """The highest score to expect with any number of labels, in units of the metric."""

    alone = "score"
    score: float = Field(gt=0, le=1, allow_inf_nan=False)
    source: str = ""


class Hub(_Section):
    """A dataset on the hub.

    Attributes:
        id: OWNER/NAME.
        config: its configuration, if it has several.
        splits: its split for each role; ``train`` is the pool.
        unlabelled: the answer that means "not labelled"; records with it are left out.
    """

    id: str = Field(min_length=1)
    config: _OptionalText = None
    splits: dict[Role, str] = {"train": "train"}
    unlabelled: _OptionalText = None

    @field_validator("splits")
    @classmethod
    def _has_a_pool(cls, value: dict[Role, str]) -> dict[Role, str]:
        if "train" not in value:
            raise ValueError("the split for train is missing")
        return value

    def spec(self, role: Role = "train") -> str:
        """The data of a role, for `sources.open_source`: ``hub:ID[:CONFIG]:SPLIT``."""
        if role not in self.splits:
            raise InputError(f"{self.id}: no split for {role!r}; it has {', '.join(self.splits)}.")
        return ":".join(part for part in ("hub", self.id, self.config, self.splits[role]) if part)


class Task(_Section):
    """A task: instruction, input fields, answer field, allowed answers, metric, ceiling.

    Attributes:
        name: short name, used in files and tables.
        instruction: the system turn of every prompt; may be empty if the data has its own.
        inputs: the fields a prompt shows, in order.
        answer: the field with the answer.
        answers: the allowed answers; empty if any text is allowed. A task file may give each
            value of the data a name: ``{0: World, 1: Sports}``; then these are the names.
        values: the values in the data, in the order of their names; empty if they are the same.
        constrain: whether a model decodes along the allowed answers only.
        metric: how an answer is scored.
        ceiling: the score that is 1 on the curve, in (0, 1], with its source.
        data: where examples come from if no pool is given, as in `sources.open_source`.
        hub: the same for a dataset on the hub; ``task:NAME`` reads either as a pool.
        verified: whether the file was checked against the data that it names.
        note: for users of the task, such as what was not checked.
    """

    left_out = ("values", "constrain")
    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")
    instruction: str
    inputs: tuple[InputField, ...] = Field(min_length=1)
    answer: str = Field(min_length=1)
    answers: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    constrain: bool = False
    metric: Metric = "accuracy"
    ceiling: Annotated[Ceiling | None, _blank_is_none] = None
    data: _OptionalText = None
    hub: Annotated[Hub | None, _blank_is_none] = None
    verified: bool = True
    note: str = ""

    @property
    def kind(self) -> str:
        """The source of its examples: ``generated``, ``hub``, or ``local`` (the user's file)."""
        if self.hub is not None:
            return "hub"
        return "generated" if (self.data or "").startswith("generated:") else "local"

    @property
    def decoded(self) -> tuple[str, ...]:
        """The answers to decode along; empty if a model answers freely."""
        return self.answers if self.constrain else ()

    @model_validator(mode="before")
    @classmethod
    def _named_answers(cls, data: Any) -> Any:
        """Split a mapping of values to names."""
        answers = data.get("answers") if isinstance(data, Mapping) else None
        if not isinstance(answers, Mapping):
            return data
        values = tuple(as_text(value, "answers") for value in answers)
        return {**data, "answers": tuple(answers.values()), "values": values}

    @field_validator("inputs", mode="before")
    @classmethod
    def _one_input(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("instruction")
    @classmethod
    def _has_text(cls, value: str) -> str:
        return valid_text(value, "the text")

    @field_validator("answers", mode="before")
    @classmethod
    def _answers_as_text(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [as_text(item, "answers") for item in value]
        if value:
            raise ValueError(
                f"{value!r:.60} is a text; write a list, such as [yes, no], or names: "
                "{0: no, 1: yes}"
            )
        return ()

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        names = [item.field for item in self.inputs]
        if len(set(names)) < len(names):
            raise ValueError(f"an input field is named twice: {names}")
        if self.answer in names:
            raise ValueError(f"the answer field {self.answer!r} is also an input field")
        if len(names) > 1 and any(item.label is None for item in self.inputs):
            raise ValueError("with several input fields each needs a label")
        if any(answer != answer.strip() or not answer for answer in self.answers):
            raise ValueError("an allowed answer is blank, or begins or ends with a space")
        by_form: dict[str, str] = {}
        for answer in self.answers:
            form = answer_form(answer)
            if form in by_form:
                first = by_form[form]
                same = "is listed twice" if first == answer else f"is also listed as {first!r}"
                raise ValueError(f"the allowed answer {answer!r} {same}")
            by_form[form] = answer
        if self.constrain and len(self.answers) < 2:
            raise ValueError("'constrain' needs two allowed answers or more")
        values = [answer_form(value) for value in self.values]
        if values and len(set(values)) < len(self.answers):
            raise ValueError("'values' needs a different value for each allowed answer")
        forms = [*by_form]
        if any(forms.index(value) != n for n, value in enumerate(values) if value in forms):
            raise ValueError("the value of one answer is the name of another")
        if self.data is not None and self.hub is not None:
            raise ValueError("both 'data' and 'hub' say where the examples come from; keep one")
        return self

    @classmethod
    def load(cls, spec: str | Path) -> Task:
        """A task from a task file, or from the catalogue by its name.

        Raises:
            InputError: no such file or name, or the file does not match the schema.
        """
        path = Path(spec)
        if not path.is_file() and str(spec) in catalogue():
            return cls.parse(catalogue()[str(spec)].read_text("utf-8"), f"task {spec}")
        if not path.exists():
            raise InputError(
                f"task {str(spec)!r}: no such file, and no such task in the catalogue (`labelcast "
                "tasks` lists it; `labelcast init DATA` writes a task file)."
                f"{did_you_mean(str(spec), catalogue())}"
            )
        try:
            text = read_small(path, LARGEST)
        except UnicodeDecodeError:
            raise InputError(f"task file {spec}: not UTF-8 text. Save it as UTF-8.") from None
        except OSError as error:
            raise InputError(f"task file {spec}: cannot be read ({error.strerror}).") from None
        return cls.parse(text, f"task file {spec}")

    @classmethod
    def parse(cls, text: str, where: str = "task") -> Task:
        """A task from the text of a task file (YAML).

        Every plain value is read as text, so ``answers: [yes, no]`` means the two words.

        Raises:
            InputError: names the key, what is wrong with it and what is allowed.

        Examples:
            >>> Task.parse("{name: t, instruction: Say it., inputs: [text], answer: y}").answer
            'y'
        """
        return cls.build(read_yaml(text, where, tuple(cls.model_fields)), where)

    @classmethod
    def build(cls, data: object, where: str = "task") -> Task:
        """A task from its keys and values; raises as `parse`."""
        return validated(cls, data, where, _INNER)

    def without_note(self) -> Task:
        """The task without its note, to compare it with another."""
        return self.model_copy(update={"note": ""})

    def user_text(self, record: Mapping[str, object], where: str) -> str:
        """The user turn: one line per field, after its label if it has one."""
        fields = self.input_fields(record, where)
        shown = [i for i in self.inputs if not i.optional or fields[i.field].strip()]
        return "\n".join(
            fields[i.field] if i.label is None else f"{i.label}: {fields[i.field]}" for i in shown
        )

    def user_part(self, record: Mapping[str, object], where: str) -> str | list[Turn]:
        """The user turn, or the turns of a conversation that is the only input field."""
        text = self.user_text(record, where)
        if len(self.inputs) > 1:
            return text
        value = field_or(record, self.inputs[0].field)
        return turns(value, where) if is_conversation(value) else text

    def input_fields(self, record: Mapping[str, object], where: str) -> dict[str, str]:
        """The text of each input field of a record."""
        fields: dict[str, str] = {}
        for item in self.inputs:
            hint = f" Task {self.name!r} needs {', '.join(i.field for i in self.inputs)}."
            if item.optional:
                value = field_or(record, item.field, "")
                value = "" if value is None else value
            else:
                value = need_field(record, item.field, where, hint)
            fields[item.field] = as_text(value, f"{where}, field {item.field!r}", item.items)
        if not any(text.strip() for text in fields.values()):
            raise InputError(f"{where}: every input field is blank. Drop the record.")
        return fields

    def check_answer(self, value: Any, where: str) -> str:
        """An answer as text: the allowed answer, whether its value or its name is given."""
        text = as_text(value, where).strip()
        if not text:
            raise InputError(f"{where}: the answer is empty.")
        if not self.answers:
            return text
        found = self._answers_by_form.get(answer_form(text))
        if found is None:
            raise InputError(
                f"{where}: the answer {text[:60]!r} is not among the allowed answers "
                f"({some(self.answers)}).{did_you_mean(text, self.answers)}"
            )
        return found

    def value_of(self, answer: str) -> str:
        """The value that the data has for an allowed answer; the answer itself without names."""
        found = dict(zip(self.answers, self.values, strict=False))
        return found.get(answer, answer)

    def name_of(self, text: str) -> str:
        """The allowed answer that a text gives, by its value or name; else the text."""
        return self._answers_by_form.get(answer_form(text.strip()), text)

    @cached_property
    def _answers_by_form(self) -> dict[str, str]:
        names = dict(zip(map(answer_form, self.values), self.answers, strict=False))
        return names | {answer_form(answer): answer for answer in self.answers}


def answer_form(answer: str) -> str:
    """The form in which an answer is compared: in any case, and 1.0 as 1."""
    return _WHOLE.sub(r"\1", answer.casefold())


_WHOLE = re.compile(r"^(-?\d+)\.0+$")
_INNER: dict[str, type[BaseModel]] = {"inputs": InputField, "ceiling": Ceiling, "hub": Hub}


@cache
def catalogue() -> dict[str, Traversable]:
    """The task files that ship with the package, by name."""
    folder = resources.files("labelcast.tasks") / "catalog"
    files = [item for item in folder.iterdir() if item.name.endswith(".yaml")]
    return {item.name.removesuffix(".yaml"): item for item in sorted(files, key=lambda f: f.name)}
