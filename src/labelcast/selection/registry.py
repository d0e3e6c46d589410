"""Selection methods by name: those of labelcast, and those of installed packages.

A package adds one with an entry point of the group ``labelcast.selectors``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from labelcast.errors import InputError

if TYPE_CHECKING:
    from labelcast.selection.selector import Selector

GROUP = "labelcast.selectors"
# Name to ``module:class``; a module is imported when its method is used.
METHODS = {
    "random": "labelcast.selection.random:Random",
}


def selector_names() -> list[str]:
    """The names that `selector` takes."""
    return [*METHODS, *(p.name for p in entry_points(group=GROUP) if p.name not in METHODS)]


def selector(name: str) -> Selector:
    """A method with its default settings.

    Raises:
        InputError: no such method; lists those there are.
    """
    found = {point.name: point.value for point in entry_points(group=GROUP)} | METHODS
    if name not in found:
        raise InputError(f"--method {name}: no such method. Choose {', '.join(selector_names())}.")
    module, _, attribute = found[name].partition(":")
    made: Selector = getattr(import_module(module), attribute)()
    return made
