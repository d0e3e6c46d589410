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
    "stratified": "labelcast.selection.stratified:Stratified",
    "low-confidence": "labelcast.selection.least:LowConfidence",
    "margin": "labelcast.selection.least:Margin",
    "k-centre": "labelcast.selection.k_centre:KCentre",
    "facility-location": "labelcast.selection.facility_location:FacilityLocation",
    "typical": "labelcast.selection.typical:Typical",
    "task-diversity": "labelcast.selection.task_diversity:TaskDiversity",
    "gp-variance": "labelcast.selection.gp_variance:GpVariance",
    "data-tailor": "labelcast.selection.data_tailor:DataTailor",
    "error-driven": "labelcast.selection.error_driven:ErrorDriven",
    "less": "labelcast.selection.less:Less",
    "tive": "labelcast.selection.tive:Tive",
    "dlc": "labelcast.selection.dlc:Dlc",
    "data-whisperer": "labelcast.selection.data_whisperer:DataWhisperer",
    "delift": "labelcast.selection.delift:Delift",
    "delift-targeted": "labelcast.selection.delift:DeliftTargeted",
    "delift-continual": "labelcast.selection.delift:DeliftContinual",
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
