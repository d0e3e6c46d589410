"""The public names, and `forecast`, which is a module and a function."""

from __future__ import annotations

import inspect
import pickle
import pydoc
import subprocess
import sys

import pytest

import labelcast as lc
import labelcast.forecast as forecast_module
from labelcast.forecast import Forecast
from labelcast.forecast.calibration import POOLED
from labelcast.forecast.forecasting import forecast

IMPORTS = (
    "import labelcast as lc",
    "import labelcast as lc; lc.forecast; lc.Calibration",
    "import labelcast.forecast.calibration; import labelcast as lc",
    "import labelcast as lc; import labelcast.forecast.calibration",
    "import labelcast.forecast as f; import labelcast as lc; assert f.forecast(0.4, 'pooled')",
    "from labelcast.forecast import Forecast; import labelcast as lc",
    "from labelcast.forecast import forecast; import labelcast as lc",
    "from labelcast import forecast; import labelcast as lc; assert forecast is lc.forecast",
    "from labelcast import Run; import labelcast as lc",
)
CHECK = """
answer = lc.forecast(coslow=0.4, calibration='pooled')
import labelcast.forecast as f
import labelcast.forecast.calibration
assert f.Forecast is lc.Forecast and isinstance(answer, f.Forecast)
assert lc.forecast(coslow=0.4, calibration=f.calibration.by_name('pooled')) == answer
assert f.forecast(coslow=0.4, calibration='pooled') == answer
from labelcast.forecast import Forecast, forecast as function
assert isinstance(answer, Forecast) and function(coslow=0.4, calibration='pooled') == answer
assert 'torch' not in sys.modules
"""


def test_forecast_is_a_function_and_a_module_after_any_import() -> None:
    """Both uses work in every order of imports, each in a fresh process, without torch."""
    for imports in IMPORTS:
        done = subprocess.run(
            [sys.executable, "-c", f"import sys\n{imports}\n{CHECK}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (imports, done.stderr)


def test_the_module_looks_like_its_function() -> None:
    """It has the function's signature and help, and can be sent to another process."""
    assert callable(lc.forecast)
    assert inspect.signature(lc.forecast) == inspect.signature(forecast)
    text = pydoc.plain(pydoc.render_doc(lc.forecast))
    assert "coslow: CoS-Low of the task" in text and "Examples:" in text
    assert pickle.loads(pickle.dumps(lc.forecast)) is lc.forecast


def test_mypy_sees_the_function_and_the_module() -> None:
    """Both are typed: mypy checks this file too."""
    answer: Forecast = lc.forecast(coslow=0.4, calibration=POOLED)
    assert answer == forecast(0.4, POOLED)
    assert answer == forecast_module.forecast(0.4, POOLED)
    assert forecast_module.Calibration is lc.Calibration
    with pytest.raises(TypeError):
        lc.forecast(cosine=0.4)  # type: ignore[call-arg]


def test_every_public_name_exists() -> None:
    """The package has each name of `__all__` and offers no other."""
    assert {name for name in lc.__all__ if getattr(lc, name) is None} == set()
    assert dir(lc) == sorted(lc.__all__)
    assert all(inspect.getdoc(getattr(lc, name)) for name in lc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'forecsat'"):
        _ = lc.forecsat
