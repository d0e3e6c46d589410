"""What labels and fine-tuning cost, and what is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from statistics import fmean
from typing import NamedTuple

from labelcast.errors import InputError
from labelcast.forecast.options import RunOptions
from labelcast.runs.records import TunedScore


class Prices(NamedTuple):
    """Prices given by the user; without them those given to the forecast are taken.

    `gpu_hours` is the time of one fine-tuning run; None takes what `labelcast tune` measured.
    """

    per_label: float | None = None
    gpu_hour: float | None = None
    gpu_hours: float | None = None
    currency: str = "$"


class CostModel(NamedTuple):
    """What labels and one fine-tuning run cost; `assumed` says what is counted and what is not."""

    per_label: float
    training: float
    currency: str
    assumed: tuple[str, ...]
    horizon: int

    def of(self, count: int | None) -> str:
        """The cost of `count` labels and one training run; None is more than the horizon."""
        if count == 0:
            return money(0, self.currency)
        amount = self.per_label * (self.horizon if count is None else count) + self.training
        return f"{'> ' if count is None else ''}{money(amount, self.currency)}"

    def between(self, low: int | None, high: int | None) -> str:
        """The cost of an interval of labels."""
        return self.of(None) if low is None else f"{self.of(low)} to {self.of(high)}"


def cost_model(
    prices: Prices, options: RunOptions, measured: Sequence[TunedScore], device: str, horizon: int
) -> CostModel | None:
    """The cost of labels at the given prices; None without prices.

    The costs among a forecast's `options` count where there is no price. The seconds of `measured`
    scores on a GPU give the GPU hours; the run's `device` counts where a score has none.

    Raises:
        InputError: a price is not a number of 0 or more, or the hours of a run are unknown.
    """
    _check(prices)
    per_run, per_label = options.get("run_cost"), prices.per_label
    per_label = options.get("label_cost") if per_label is None else per_label
    if per_label is None and prices.gpu_hour is None and per_run is None:
        return None
    assumed, training, currency = [], per_run or 0.0, prices.currency
    if per_label is not None:
        assumed.append(f"A label costs {_exact(per_label, currency)}.")
    if prices.gpu_hour is not None:
        hours, source = _hours(prices, measured, device)
        training = hours * prices.gpu_hour
        assumed.append(
            f"One fine-tuning run on the labels needed takes {hours:.3g} GPU hours ({source}) at "
            f"{_exact(prices.gpu_hour, currency)} per hour."
        )
    elif per_run is not None:
        assumed.append(f"One fine-tuning run costs {_exact(training, currency)}.")
    assumed.append(
        "Not counted: the examples labelled for CoS-Low, a test set, runs at smaller budgets."
    )
    return CostModel(per_label or 0.0, training, currency, tuple(assumed), horizon)


def _check(prices: Prices) -> None:
    given = (prices.per_label, prices.gpu_hour, prices.gpu_hours)
    for option, value in zip(("--cost-per-label", "--gpu-hour", "--gpu-hours"), given, strict=True):
        if value is not None and not (isfinite(value) and value >= 0):
            raise InputError(f"{option} {value:g}: give a number of 0 or more.")
    if prices.gpu_hours is not None and prices.gpu_hour is None:
        raise InputError("--gpu-hours: also give --gpu-hour, the price of an hour.")
    if len(prices.currency) > 8:
        raise InputError(f"--currency {prices.currency[:20]}: give a sign or a code, such as EUR.")


def _hours(prices: Prices, measured: Sequence[TunedScore], device: str) -> tuple[float, str]:
    if prices.gpu_hours is not None:
        return prices.gpu_hours, "as given"
    seconds = [
        one.seconds
        for one in measured
        if one.budget and one.seconds is not None and (one.device or device).startswith("cuda")
    ]
    if not seconds:
        raise InputError(
            "--gpu-hour: no fine-tuning in this run was measured on a GPU. Give the hours of one "
            "run with --gpu-hours."
        )
    plural = "s" * (len(seconds) > 1)
    return fmean(seconds) / 3600, f"the mean of {len(seconds)} measured run{plural}"


def money(amount: float, currency: str, number: str = "") -> str:
    """An amount, or the `number` it is written as, with a sign before it or a code after it.

    >>> money(1240.5, "$"), money(80, "EUR")
    ('$1,240', '80 EUR')
    """
    number = number or (f"{amount:,.2f}" if 0 < amount < 10 else f"{amount:,.0f}")
    return f"{number} {currency}" if currency.isalnum() else f"{currency}{number}"


def _exact(amount: float, currency: str) -> str:
    rounded = f"{amount:.2f}"
    return money(amount, currency, rounded if float(rounded) == amount else f"{amount:g}")
