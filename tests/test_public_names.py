"""The public names, and `forecast`, which is a package and a function."""

from __future__ import annotations

import inspect
import pickle
import pydoc
import subprocess
import sys

import pytest

import labelcast as lc
from labelcast.forecast import Forecast
from labelcast.forecast.cards import POOLED
from labelcast.forecast.forecasting import forecast


@pytest.mark.parametrize(
    "imports",
    [
        "import labelcast as lc",
        "import labelcast as lc; lc.forecast; lc.Calibration",
        "import labelcast.forecast.cards; import labelcast as lc",
        "import labelcast as lc; import labelcast.forecast.cards",
        "from labelcast.forecast import Forecast; import labelcast as lc",
        "from labelcast.forecast import forecast; import labelcast as lc",
        "from labelcast import forecast; import labelcast as lc; assert forecast is lc.forecast",
        "from labelcast import *; import labelcast as lc; assert forecast is lc.forecast",
    ],
)
def test_forecast_is_callable_after_any_import(imports: str) -> None:
    """The function and the modules of its package work in every order, in a fresh process."""
    code = (
        f"{imports}\n"
        "answer = lc.forecast(coslow=0.4, calibration='pooled')\n"
        "import labelcast.forecast.cards\n"
        "assert lc.forecast(coslow=0.4, calibration=labelcast.forecast.cards.by_name('pooled'))"
        " == answer\n"
        "from labelcast.forecast import Forecast, forecast as function\n"
        "assert isinstance(answer, Forecast) and isinstance(answer, lc.Forecast)\n"
        "assert function(coslow=0.4, calibration='pooled') == answer\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_looks_like_its_function() -> None:
    """Signature and help are the function's, and it can be sent to another process."""
    assert callable(lc.forecast)
    assert inspect.signature(lc.forecast) == inspect.signature(forecast)
    text = pydoc.plain(pydoc.render_doc(lc.forecast))
    assert "coslow: CoS-Low of the task" in text and "Examples:" in text
    assert pickle.loads(pickle.dumps(lc.forecast)) is lc.forecast


def test_mypy_sees_the_function() -> None:
    """The name is typed as the function: mypy checks this file too."""
    answer: Forecast = lc.forecast(coslow=0.4, calibration=POOLED)
    assert answer == forecast(0.4, POOLED)
    with pytest.raises(TypeError):
        lc.forecast(cosine=0.4)  # type: ignore[call-arg]


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` can be taken from the package, and no other is offered."""
    assert {name for name in lc.__all__ if getattr(lc, name) is None} == set()
    assert dir(lc) == sorted(lc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'forecsat'"):
        _ = lc.forecsat
