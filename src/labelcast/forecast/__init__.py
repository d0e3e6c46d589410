"""How many labels a task needs, on numpy alone.

The package is a module that can be called as its main function, `labelcast.forecast(coslow=0.4)`:
Python sets `labelcast.forecast` to this package as soon as any module in it is imported. Its names
are loaded on first use, so that `labelcast --help` does not import numpy.
"""

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelcast.forecast.answer import Forecast
    from labelcast.forecast.calibration import Calibration
    from labelcast.forecast.efficiency import AucEstimate, EfficiencyCurve, log_position
    from labelcast.forecast.forecasting import forecast

__all__ = [
    "AucEstimate",
    "Calibration",
    "EfficiencyCurve",
    "Forecast",
    "forecast",
    "log_position",
]

_MODULE_OF = {
    "Calibration": "calibration",
    "Forecast": "answer",
    "forecast": "forecasting",
}


class _CallablePackage(ModuleType):
    """The package, which can be called as its function `forecast`."""

    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'efficiency')}"), name)
        setattr(self, name, value)
        return value

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.forecast(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.forecast)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # for help(): arguments, examples
        doc: str | None = self.forecast.__doc__
        return doc

    def __reduce__(self) -> tuple[object, ...]:
        # Other functions can be sent to another process; a module by itself cannot.
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _CallablePackage
