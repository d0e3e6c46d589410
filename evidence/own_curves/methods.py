"""The methods that forecast the own curves, and their errors, kept between runs."""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from evidence import development, fit_prior, transport
from evidence.development import PUBLISHED
from evidence.fit_prior import ScoreFit
from evidence.own_curves import curves as own_curves
from evidence.own_curves import headline
from evidence.own_curves.curves import HEADLINE, Own, above_zero_shot, started
from evidence.own_curves.headline import row_of
from evidence.own_curves.rows import HERE
from evidence.transport import (
    LEVEL,
    Case,
    Predicted,
    Way,
    errors,
    headroom_rule,
    labelcast_way,
    last_value,
    power_law,
)
from labelcast.files.json_files import JsonLines
from labelcast.forecast import families
from labelcast.forecast.families import Prior
from labelcast.forecast.question import FROZEN

FORECAST = Path(families.__file__).parent
LEVELS = (LEVEL, 0.8, 0.5)
SHIPPED = "labelcast"
LEFT_OUT = "labelcast, task left out"
"""Tried with two scores only, for the answer is that of the shipped prior."""
CEILING_KNOWN = "labelcast, ceiling known"
WITHOUT_FROZEN = "labelcast, without --frozen"


class Ways:
    """The methods that are compared on a task."""

    def __init__(self, fit: ScoreFit | None, ceilings: dict[str, float]) -> None:
        """Prepare.

        Args:
            fit: of the prior; None leaves out methods that need its curves.
            ceilings: see `best_known`.
        """
        self._fit, self._ceilings = fit, ceilings
        self._without = lru_cache(1)(fit.prior_without) if fit else None

    def of(self, own: Own) -> list[Way]:
        """The methods for a curve; those that are fitted leave its task out."""
        shipped = Prior.load()
        forecast = partial(labelcast_way, levels=LEVELS, recipe=own.recipe)
        found = [
            Way("last value", last_value),
            Way("power law", power_law),
            Way(SHIPPED, forecast(shipped)),
        ]
        top = self._ceilings[own.task]
        # Nothing can be gained where no score is above 0.
        if top > 0:
            found.append(Way(CEILING_KNOWN, forecast(shipped, ceiling=top), top))
        start = own.curve.zero_shot
        if start is not None:
            found.append(Way(f"{SHIPPED}, zero-shot known", forecast(shipped, zero_shot=True)))
        if start is not None and start < top:
            both = forecast(shipped, zero_shot=True, ceiling=top)
            found.append(Way(f"{SHIPPED}, zero-shot and ceiling known", both, top))
        if own.recipe == FROZEN:
            found.append(Way(WITHOUT_FROZEN, labelcast_way(shipped, levels=LEVELS)))
        if self._fit is None or self._without is None:
            return found
        prior_without = self._without
        others = [c for c in self._fit.curves if c.source == PUBLISHED and c.task != own.task]

        def left_out(case: Case) -> Predicted:
            # Refitted only where the answer is not known from before.
            return forecast(prior_without(own.task))(case)

        return [
            *found,
            Way("headroom rule", headroom_rule(others)),
            Way(LEFT_OUT, left_out),
        ]


class Kept:
    """What was computed before with the same code and priors, in `evidence/.cache`."""

    def __init__(self, fit: ScoreFit | None) -> None:
        """Read what there is."""
        modules = (own_curves, headline, development, fit_prior, transport)
        code = [Path(__file__), *(Path(module.__file__ or "") for module in modules)]
        code += [*FORECAST.glob("*.py"), FORECAST / "prior.json"]
        content = b"".join(file.read_bytes() for file in sorted(code))
        content += repr(fit and fit.curves).encode()
        digest = hashlib.sha256(content).hexdigest()[:16]
        self._file = JsonLines(HERE.parent / ".cache" / f"own-{digest}.jsonl")
        self._file.path.parent.mkdir(exist_ok=True)
        self._known = {row["key"]: row["found"] for row in self._file.read()}

    def tried(self, own: Own, way: Way) -> list[dict[str, Any]]:
        """What `tried` returns."""
        key = hashlib.sha256(repr((own, way.name, way.ceiling)).encode()).hexdigest()[:32]
        if key not in self._known:
            self._known[key] = tried(own, way)
            self._file.add({"key": key, "found": self._known[key]})
        found: list[dict[str, Any]] = self._known[key]
        return found


def tried(own: Own, way: Way) -> list[dict[str, Any]]:
    """The errors of a method on a curve from each start, and its forecast for the headline."""
    found = []
    for case in started(own.curve):
        if way.name == LEFT_OUT and len(case.budgets) != len(HEADLINE):
            continue
        predicted = way.predict(case)
        if predicted is not None:
            found.append(
                {
                    "from": ", ".join(f"{n:.0f}" for n in case.budgets),
                    "errors": errors(case, predicted, above_zero_shot(case)),
                    "headline": row_of(own, case, predicted) if way.name == SHIPPED else [],
                }
            )
    return found
