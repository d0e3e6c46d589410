"""labelcast: how many labelled examples does a fine-tuning task need?

The names below are the public API. Each is loaded on first use, so that importing the package
costs nothing and a forecast never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `X as X`: type checkers take it as exported
    from labelcast.errors import InputError as InputError
    from labelcast.errors import LabelcastError as LabelcastError
    from labelcast.errors import LabelcastWarning as LabelcastWarning
    from labelcast.errors import RunError as RunError
    from labelcast.forecast import Calibration as Calibration
    from labelcast.forecast import EfficiencyCurve as EfficiencyCurve
    from labelcast.forecast import Forecast as Forecast
    from labelcast.forecast import forecast as forecast
    from labelcast.forecast.score_files import read_scores as read_scores
    from labelcast.models.confidence import Confidence as Confidence
    from labelcast.models.confidence import score_confidence as score_confidence
    from labelcast.models.coslow import CosLow as CosLow
    from labelcast.models.coslow import cos_low as cos_low
    from labelcast.models.encoder import Encoder as Encoder
    from labelcast.models.likelihood import answer_log_likelihoods as answer_log_likelihoods
    from labelcast.models.likelihood import mean_hidden_states as mean_hidden_states
    from labelcast.models.loading import LanguageModel as LanguageModel
    from labelcast.models.loading import load_encoder as load_encoder
    from labelcast.models.loading import load_model as load_model
    from labelcast.report.chart import plot as plot
    from labelcast.report.page import write_report as write_report
    from labelcast.runs.run import Run as Run
    from labelcast.runs.score import ScoredExample as ScoredExample
    from labelcast.runs.score import score as score
    from labelcast.runs.select import SelectedExample as SelectedExample
    from labelcast.runs.select import select as select
    from labelcast.runs.tune import tune as tune
    from labelcast.selection.coslow_draws import pick_low_confidence as pick_low_confidence
    from labelcast.sweeps.calibrate import calibrate as calibrate
    from labelcast.sweeps.compare import Comparison as Comparison
    from labelcast.sweeps.compare import compare as compare
    from labelcast.sweeps.sweep import sweep as sweep
    from labelcast.tasks.prompts import Example as Example
    from labelcast.tasks.prompts import examples as examples
    from labelcast.tasks.sources import open_source as open_source
    from labelcast.tasks.task import Task as Task

_MODULES = {
    "labelcast.errors": ("InputError", "LabelcastError", "LabelcastWarning", "RunError"),
    "labelcast.forecast": ("Calibration", "EfficiencyCurve", "Forecast", "forecast"),
    "labelcast.forecast.score_files": ("read_scores",),
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
    "labelcast.selection.coslow_draws": ("pick_low_confidence",),
    "labelcast.sweeps.calibrate": ("calibrate",),
    "labelcast.sweeps.compare": ("Comparison", "compare"),
    "labelcast.sweeps.sweep": ("sweep",),
    "labelcast.tasks.prompts": ("Example", "examples"),
    "labelcast.tasks.sources": ("open_source",),
    "labelcast.tasks.task": ("Task",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'labelcast' has no attribute {name!r}")
    module = import_module(_MODULE_OF[name])
    # `labelcast.forecast` is a package that is called like its function.
    return module if module.__name__ == f"labelcast.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
