"""labelcast: how many labelled examples will this fine-tuning task need?

The names below are the public API. Each is loaded when it is first used, so that importing the
package costs nothing and the forecast never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelcast.errors import InputError, LabelcastError, LabelcastWarning, RunError
    from labelcast.forecast import Calibration, EfficiencyCurve, Forecast, forecast
    from labelcast.models.confidence import Confidence, score_confidence
    from labelcast.models.coslow import CosLow, cos_low
    from labelcast.models.likelihood import answer_log_likelihoods, mean_hidden_states
    from labelcast.models.loading import LanguageModel, load_model
    from labelcast.report.chart import plot
    from labelcast.report.write import write_report
    from labelcast.selection.low_confidence import pick_low_confidence
    from labelcast.tasks.prompts import Example, examples
    from labelcast.tasks.sources import open_source
    from labelcast.tasks.task import Task

_HOMES = {
    "labelcast.forecast": ("Calibration", "EfficiencyCurve", "Forecast", "forecast"),
    "labelcast.errors": ("InputError", "LabelcastError", "LabelcastWarning", "RunError"),
    "labelcast.models.likelihood": ("answer_log_likelihoods", "mean_hidden_states"),
    "labelcast.models.loading": ("LanguageModel", "load_model"),
    "labelcast.models.confidence": ("Confidence", "score_confidence"),
    "labelcast.models.coslow": ("CosLow", "cos_low"),
    "labelcast.selection.low_confidence": ("pick_low_confidence",),
    "labelcast.report.chart": ("plot",),
    "labelcast.report.write": ("write_report",),
    "labelcast.tasks.prompts": ("Example", "examples"),
    "labelcast.tasks.sources": ("open_source",),
    "labelcast.tasks.task": ("Task",),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Calibration",
    "Confidence",
    "CosLow",
    "EfficiencyCurve",
    "Example",
    "Forecast",
    "InputError",
    "LabelcastError",
    "LabelcastWarning",
    "LanguageModel",
    "RunError",
    "Task",
    "answer_log_likelihoods",
    "cos_low",
    "examples",
    "forecast",
    "load_model",
    "mean_hidden_states",
    "open_source",
    "pick_low_confidence",
    "plot",
    "score_confidence",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        home = import_module(_WHERE[name])
        # The package `labelcast.forecast` is the function of that name.
        return home if home.__name__ == f"labelcast.{name}" else getattr(home, name)
    raise AttributeError(f"module 'labelcast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
