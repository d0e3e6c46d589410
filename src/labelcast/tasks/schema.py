"""Reading a user's YAML file against a schema: plain values in, one clear fault out.

Knows YAML and pydantic; knows neither tasks nor recipes.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from labelcast.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


class _PlainLoader(yaml.BaseLoader):
    """YAML without types or tags: text, lists and mappings alone; a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key!r} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def read_yaml(text: str, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """A mapping of keys from YAML text, every plain value as text.

    Raises:
        InputError: it is no valid YAML, or no mapping.
    """
    try:
        data = _PlainLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a mapping of keys: {', '.join(keys)}.")
    return data


def validated(
    kind: type[Model],
    data: Mapping[str, Any],
    where: str,
    inner: Mapping[str, type[BaseModel]],
) -> Model:
    """An instance of a schema.

    Args:
        kind: the schema.
        data: the keys and values.
        where: what to call the place in an error.
        inner: the schema of each key that holds keys of its own.

    Raises:
        InputError: names the key, what is wrong with it and what is allowed.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(error, tuple(kind.model_fields), inner)}") from None


def _explain(
    error: ValidationError, keys: Sequence[str], inner: Mapping[str, type[BaseModel]]
) -> str:
    """The first fault in one sentence that names the key.

    An unknown key comes before a missing one, which it may be a slip for.
    """
    faults = error.errors()
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        whole = len(fault["loc"]) == 1
        known = keys if whole else tuple(inner[str(fault["loc"][0])].model_fields)
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"unknown key {key!r}.{hint} Keys: {', '.join(known)}."
    if fault["type"] == "missing":
        return f"the key {key!r} is missing. Keys: {', '.join(keys)}."
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key + ': ' if key else ''}{message}."
