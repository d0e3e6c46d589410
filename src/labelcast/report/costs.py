"""What labels and fine-tuning cost, and what is assumed in that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Any, NamedTuple

from labelcast.errors import InputError
from labelcast.forecast.efficiency import LARGEST_BUDGET
from labelcast.report.formatting import money


class Prices(NamedTuple):
    """Prices as the user gave them.

    Attributes:
        per_label: of one label, None where not given.
        gpu_hour: of one hour, None where not given.
        gpu_hours: that one fine-tuning run takes, None where the run's own are to be taken.
        currency: a sign or a code.
        per_run: of one fine-tuning run, where no price of an hour is given.
    """

    per_label: float | None = None
    gpu_hour: float | None = None
    gpu_hours: float | None = None
    currency: str = "$"
    per_run: float | None = None

    def filled(self, asked: Mapping[str, Any]) -> Prices:
        """Prices with those that a forecast was asked with in the place of missing ones."""
        label, run = asked.get("label_cost"), asked.get("run_cost")
        return self._replace(
            per_label=label if self.per_label is None else self.per_label,
            per_run=run if self.per_run is None else self.per_run,
        )


class CostModel(NamedTuple):
    """What a number of labels costs.

    Attributes:
        per_label: price of a label.
        training: price of one fine-tuning run.
        currency: a sign or a code.
        assumed: what is counted and what is not, in words.
        horizon: the most labels that the forecast looks at.
    """

    per_label: float
    training: float
    currency: str
    assumed: tuple[str, ...]
    horizon: int = LARGEST_BUDGET

    def of(self, count: int | None) -> str:
        """The cost of so many labels and one run; None is more than the horizon."""
        if count == 0:
            return money(0, self.currency)
        amount = self.per_label * (self.horizon if count is None else count) + self.training
        return f"{'> ' if count is None else ''}{money(amount, self.currency)}"

    def between(self, low: int | None, high: int | None) -> str:
        """The cost of an interval of labels."""
        return self.of(None) if low is None else f"{self.of(low)} to {self.of(high)}"


def cost_model(
    prices: Prices, observations: Sequence[dict[str, Any]], device: str, horizon: int
) -> CostModel | None:
    """Make prices a cost of labels; None where no price is given.

    Args:
        prices: as the user gave them.
        observations: what `labelcast tune` measured in the run; their seconds give the hours.
        device: that the run's model ran on.
        horizon: the most labels that the forecast looks at.

    Raises:
        InputError: a price is no number of 0 or more, or the hours of a run are unknown.
    """
    _check(prices)
    if prices.per_label is None and prices.gpu_hour is None and prices.per_run is None:
        return None
    assumed = []
    if prices.per_label is not None:
        assumed.append(f"A label costs {_exact(prices.per_label, prices.currency)}.")
    training = 0.0
    if prices.gpu_hour is not None:
        hours, source = _hours(prices, observations, device)
        training = hours * prices.gpu_hour
        assumed.append(
            f"One fine-tuning run, at the labels needed, takes {hours:.3g} GPU hours ({source}) at "
            f"{_exact(prices.gpu_hour, prices.currency)} an hour."
        )
    elif prices.per_run is not None:
        training = prices.per_run
        assumed.append(f"One fine-tuning run costs {_exact(training, prices.currency)}.")
    assumed.append(
        "Not counted: the examples labelled for CoS-Low, a test set, runs at smaller budgets."
    )
    return CostModel(prices.per_label or 0.0, training, prices.currency, tuple(assumed), horizon)


def _check(prices: Prices) -> None:
    for option, value in (
        ("--cost-per-label", prices.per_label),
        ("--gpu-hour", prices.gpu_hour),
        ("--gpu-hours", prices.gpu_hours),
    ):
        if value is not None and not (isfinite(value) and value >= 0):
            raise InputError(f"{option} {value:g}: expected a number, 0 or more.")
    if prices.gpu_hours is not None and prices.gpu_hour is None:
        raise InputError("--gpu-hours: the price of an hour is missing; give --gpu-hour too.")
    if len(prices.currency) > 8:
        raise InputError(f"--currency {prices.currency[:20]}: a sign or a code, such as EUR.")


def _hours(
    prices: Prices, observations: Sequence[dict[str, Any]], device: str
) -> tuple[float, str]:
    if prices.gpu_hours is not None:
        return prices.gpu_hours, "as given"
    measured = [float(row["seconds"]) for row in observations if row["budget"] and "seconds" in row]
    if not measured or not device.startswith("cuda"):
        raise InputError(
            "--gpu-hour: no fine-tuning of this run was measured on a GPU; say how many hours one "
            "run takes with --gpu-hours."
        )
    runs = "run" if len(measured) == 1 else "runs"
    return fmean(measured) / 3600, f"the mean of {len(measured)} measured {runs}"


def _exact(amount: float, currency: str) -> str:
    number = f"{amount:.2f}" if round(amount, 2) == amount else f"{amount:g}"
    return f"{number} {currency}" if currency.isalnum() else f"{currency}{number}"
