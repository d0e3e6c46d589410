"""CPU seconds of forecasts in a row, with shared and with new draws of the prior, in turns.

    python benchmarks/shared_draws.py [--turns 5] [--forecasts 12]

The forecasts have the same ends and different scores, as the rows of a report have.
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median

from forecasts import new_draws

from labelcast.forecast.answer import Forecast
from labelcast.forecast.forecasting import forecast


def forecasts(count: int, *, shared: bool) -> tuple[float, list[Forecast]]:
    """CPU seconds, and the forecasts."""
    begin, found = time.process_time(), []
    for n in range(count):
        if not shared:
            new_draws()
        scores = [(50, 0.6 + n / 100), (100, 0.7)]
        found.append(forecast(target_score=0.85, observations=scores, observe_size=500))
    return time.process_time() - begin, found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--forecasts", type=int, default=12)
    given = parser.parse_args()
    forecasts(1, shared=False)
    times = []
    for _ in range(given.turns):
        (new, one), (kept, two) = (
            forecasts(given.forecasts, shared=shared) for shared in (False, True)
        )
        assert one == two, "the forecasts differ"
        times.append((new, kept))
    new, kept = (median(column) for column in zip(*times, strict=True))
    sys.stdout.write(
        f"{given.forecasts} forecasts: new draws {new:.2f} CPU s, shared {kept:.2f}: "
        f"{new / kept:.2f} times faster, equal\n"
    )


if __name__ == "__main__":
    main()
