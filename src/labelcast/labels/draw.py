"""Draw more examples of a run's pool for labelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from labelcast.errors import InputError
from labelcast.labels.store import DrawnExample, read_draws, require_scored, save_draws
from labelcast.runs.pool import fetch, pickable, survey
from labelcast.runs.run import Run
from labelcast.selection.low_confidence import draw_random
from labelcast.tasks.sources import Source, open_source


def draw_more(
    run: Run,
    counts: Mapping[str, int],
    check: Callable[[list[DrawnExample]], None] = lambda draws: None,
) -> list[DrawnExample]:
    """Draw more examples at random, none of which was drawn before. All are drawn or none.

    Args:
        run: a scored run.
        counts: how many for each set, by its name.
        check: called with the new draws before they are saved; if it raises, none is drawn.

    Returns:
        The new draws.

    Raises:
        InputError: the pool is not scored yet, has too few examples left, or has changed.
    """
    require_scored(run)
    before = read_draws(run)
    confidence = pickable(run.file("confidence.parquet"))
    taken = [*np.flatnonzero(np.isnan(confidence)).tolist(), *(draw.index for draw in before)]
    batch = max((draw.batch for draw in before), default=0)
    places: dict[int, tuple[str, int]] = {}
    for name, count in counts.items():
        batch += 1
        seed = run.question["seed"] + batch
        positions = draw_random(len(confidence), count, taken=taken, seed=seed).tolist()
        places |= dict.fromkeys(positions, (name, batch))
        taken += positions
    found = fetch(open_pool(run), run.task, [*places])
    draws = [DrawnExample.of(example, *places[example.index]) for example in found]
    check(draws)
    save_draws(run, [*before, *draws])
    return draws


def open_pool(run: Run) -> Source:
    """The run's pool.

    Raises:
        InputError: it has changed since it was scored.
    """
    source = open_source(run.facts["pool"])
    if survey(source, run.task).digest != run.question["pool_digest"]:
        raise InputError(
            f"{source.spec}: the pool has changed since it was scored. Restore the file (if it "
            "has moved, run its `labelcast score` again), or score the new one into a new run."
        )
    return source
