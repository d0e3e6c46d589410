"""Selection methods by name: those of labelcast, and those of installed packages.

A method of labelcast is a module in `methods` with its name, in which the class `name` is the same.
A package adds one with an entry point of the group ``labelcast.selectors``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from labelcast.errors import InputError, brief
from labelcast.selection import methods

if TYPE_CHECKING:
    from labelcast.selection.selector import Selector

GROUP = "labelcast.selectors"


def own_names() -> list[str]:
    """The names of labelcast's own methods, in alphabetical order."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(methods.__path__))


def _installed() -> dict[str, EntryPoint]:
    """The methods of other packages, by name; they cannot replace labelcast's own."""
    own = own_names()
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in own}


def selector_names() -> list[str]:
    """The names that `selector` takes."""
    return [*own_names(), *_installed()]


def selector(name: str, option: str = "--method") -> Selector:
    """A method with its default settings; its module is imported now. `option` is for messages.

    Raises:
        InputError: no such method, or that of another package cannot be loaded.
    """
    if name in own_names():
        module = import_module(f"{methods.__name__}.{name.replace('-', '_')}")
        classes = [one for one in vars(module).values() if isinstance(one, type)]
        made: Selector = next(one for one in classes if getattr(one, "name", None) == name)()
        return made
    point = _installed().get(name)
    if point is None:
        raise InputError(f"{option} {name}: no such method. Choose {', '.join(selector_names())}.")
    try:
        made = point.load()()
    except Exception as error:  # whatever the package does
        package = point.dist.name if point.dist else point.module
        raise InputError(
            f"{option} {name}: the package {package} cannot be loaded ({brief(error)}). Update or "
            "remove it."
        ) from error
    return made
