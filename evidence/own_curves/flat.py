"""How often the forecast warns that scores do not rise, on tasks that a model learns and on others.

    python -m evidence.own_curves.flat

Of each committed curve the scores at 50 and 100 labels are looked at, as the forecast's warning
does, by whether the task is above the majority baseline at 1,000 labels.
"""

from __future__ import annotations

from evidence.own_curves.curves import HEADLINE, above_majority, curves_of
from evidence.own_curves.headline import tasks_of
from evidence.own_curves.rows import ROWS
from labelcast.forecast.observed import Noise, NoisyScore, Scores


def main() -> None:
    """Print the counts for each file of rows."""
    for file in sorted(ROWS.glob("*.jsonl")):
        curves = curves_of(file)
        above = above_majority(curves)
        rows = []
        for own in curves:
            noise = Noise(own.curve.test_size or 0)
            found = [NoisyScore(n, s, noise) for n, s in own.curve.scores if n in HEADLINE]
            key = own.group, own.task
            if len(found) == len(HEADLINE) and key in above:
                flat = Scores(tuple(found)).are_flat
                rows.append({"task": own.task, "flat": flat, "above": above[key]})
        for kind, words in ((False, "not above"), (True, "above")):
            of = [row for row in rows if row["above"] is kind]
            warned = sum(bool(row["flat"]) for row in of)
            print(
                f"{file.stem}: warned for {warned} of {len(of)} curves of {tasks_of(of)} {words} "
                "the majority baseline"
            )


if __name__ == "__main__":
    main()
