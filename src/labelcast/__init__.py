"""labelcast: how many labelled examples does a fine-tuning task need?

The names below are the public API. Each is loaded on first use, so that importing the package
costs nothing and a forecast never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelcast.errors import InputError, LabelcastError, LabelcastWarning, RunError
    from labelcast.forecast import Calibration, EfficiencyCurve, Forecast, forecast
    from labelcast.forecast.given_scores import read_scores
    from labelcast.models.confidence import Confidence, score_confidence
    from labelcast.models.coslow import CosLow, cos_low
    from labelcast.models.encoder import Encoder
    from labelcast.models.likelihood import answer_log_likelihoods, mean_hidden_states
    from labelcast.models.loading import LanguageModel, load_encoder, load_model
    from labelcast.report.chart import plot
    from labelcast.report.page import write_report
    from labelcast.runs.run import Run
    from labelcast.runs.score import ScoredExample, score
    from labelcast.runs.select import SelectedExample, select
    from labelcast.runs.tune import tune
    from labelcast.selection.low_confidence import pick_low_confidence
    from labelcast.sweeps.calibrate import calibrate
    from labelcast.sweeps.compare import Comparison, compare
    from labelcast.sweeps.sweep import sweep
    from labelcast.tasks.prompts import Example, examples
    from labelcast.tasks.sources import open_source
    from labelcast.tasks.task import Task

_MODULES = {
    "labelcast.errors": ("InputError", "LabelcastError", "LabelcastWarning", "RunError"),
    "labelcast.forecast": ("Calibration", "EfficiencyCurve", "Forecast", "forecast"),
    "labelcast.forecast.given_scores": ("read_scores",),
    "labelcast.models.confidence": ("Confidence", "score_confidence"),
    "labelcast.models.coslow": ("CosLow", "cos_low"),
    "labelcast.models.likelihood": ("answer_log_likelihoods", "mean_hidden_states"),
    "labelcast.models.encoder": ("Encoder",),
    "labelcast.models.loading": ("LanguageModel", "load_encoder", "load_model"),
    "labelcast.report.chart": ("plot",),
    "labelcast.report.page": ("write_report",),
    "labelcast.runs.run": ("Run",),
    "labelcast.runs.score": ("ScoredExample", "score"),
    "labelcast.runs.select": ("SelectedExample", "select"),
    "labelcast.runs.tune": ("tune",),
    "labelcast.selection.low_confidence": ("pick_low_confidence",),
    "labelcast.sweeps.calibrate": ("calibrate",),
    "labelcast.sweeps.compare": ("Comparison", "compare"),
    "labelcast.sweeps.sweep": ("sweep",),
    "labelcast.tasks.prompts": ("Example", "examples"),
    "labelcast.tasks.sources": ("open_source",),
    "labelcast.tasks.task": ("Task",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Calibration",
    "Comparison",
    "Confidence",
    "CosLow",
    "EfficiencyCurve",
    "Encoder",
    "Example",
    "Forecast",
    "InputError",
    "LabelcastError",
    "LabelcastWarning",
    "LanguageModel",
    "Run",
    "RunError",
    "ScoredExample",
    "SelectedExample",
    "Task",
    "answer_log_likelihoods",
    "calibrate",
    "compare",
    "cos_low",
    "examples",
    "forecast",
    "load_encoder",
    "load_model",
    "mean_hidden_states",
    "open_source",
    "pick_low_confidence",
    "plot",
    "read_scores",
    "score",
    "score_confidence",
    "select",
    "sweep",
    "tune",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'labelcast' has no attribute {name!r}")
    module = import_module(_MODULE_OF[name])
    # `labelcast.forecast` is a package that is called like its function.
    return module if module.__name__ == f"labelcast.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
