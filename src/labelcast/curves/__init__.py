"""The science, on numpy and scipy alone."""

from labelcast.curves.answer import Forecast
from labelcast.curves.auc_estimate import AucEstimate
from labelcast.curves.calibration import Calibration
from labelcast.curves.efficiency import GRID, LARGEST_BUDGET, EfficiencyCurve, log_position
from labelcast.curves.forecast import forecast

__all__ = [
    "GRID",
    "LARGEST_BUDGET",
    "AucEstimate",
    "Calibration",
    "EfficiencyCurve",
    "Forecast",
    "forecast",
    "log_position",
]
