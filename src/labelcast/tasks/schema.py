"""A user's YAML file, checked against a schema; the first error is one clear message."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from labelcast.errors import InputError, brief
from labelcast.files.validation import faults

Model = TypeVar("Model", bound=BaseModel)

LARGEST = 2**19
"""Bytes of the largest YAML file that is read."""

_MOST_NODES = 100_000


class _PlainLoader(yaml.BaseLoader):
    """YAML without types or tags: text, lists and mappings; a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise yaml.YAMLError(f"the key {key!r} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def read_yaml(text: str, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """A mapping from YAML text, every plain value as text."""
    try:
        loader = _PlainLoader(text)
        node = loader.get_single_node()
        if node is not None and _size(node, {}) > _MOST_NODES:
            raise InputError(
                f"{where}: its aliases (&, *) expand to more than {_MOST_NODES:,} values. Write "
                "the values out."
            )
        data = None if node is None else loader.construct_document(node)
    except InputError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: not valid YAML: {brief(error, 1000)}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a mapping of keys: {', '.join(keys)}.")
    return data


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node has with its aliases expanded; an alias of itself counts as one."""
    if id(node) in known or isinstance(node, yaml.ScalarNode):
        return known.get(id(node), 1)
    known[id(node)] = 1
    parts = (
        [part for pair in node.value for part in pair]
        if isinstance(node, yaml.MappingNode)
        else node.value
    )
    known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def validated(
    kind: type[Model], data: object, where: str, inner: Mapping[str, type[BaseModel]]
) -> Model:
    """An instance of a schema; `inner` has the schema of each key with nested keys.

    Raises:
        InputError: names the key, what is wrong with it and what is allowed.
    """
    try:
        return kind.model_validate(data)
    except RecursionError:
        raise InputError(f"{where}: nested too deep.") from None
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(error, tuple(kind.model_fields), inner)}") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence with the known word that is most like `word`, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _explain(
    error: ValidationError, keys: Sequence[str], inner: Mapping[str, type[BaseModel]]
) -> str:
    """The first fault, with the keys that are known if it is a key."""
    fault = faults(error)[0]
    if fault.is_unknown:
        top = len(fault.path) == 1
        known = keys if top else tuple(inner[str(fault.path[0])].model_fields)
        hint = did_you_mean(str(fault.path[-1]), known)
        return f"{fault}.{hint} Keys: {', '.join(known)}."
    return f"{fault}." + (f" Keys: {', '.join(keys)}." if fault.kind == "missing" else "")
