"""How many labels a task needs, on numpy and scipy alone.

The package is its main function too: `labelcast.forecast(coslow=0.4)`.
"""

import inspect
import sys
from importlib import import_module
from types import ModuleType

from labelcast.forecast.answer import Forecast
from labelcast.forecast.calibration import AucEstimate, Calibration
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, EfficiencyCurve, log_position
from labelcast.forecast.forecasting import forecast

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


class _ForecastPackage(ModuleType):
    """A package that can be called as its function `forecast`.

    Python sets `labelcast.forecast` to this package as soon as any module in it is imported, so the
    public function of that name has to be the package.
    """

    __call__ = staticmethod(forecast)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(forecast)

    def __reduce__(self) -> tuple[object, ...]:
        # Other functions can be sent to another process; a module by itself cannot.
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _ForecastPackage
# For help(): arguments and examples.
__doc__ = forecast.__doc__ or __doc__
