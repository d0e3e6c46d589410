"""How often scores that do not rise belong to a task that is never learned.

    python -m evidence.own_curves.flat

Of each committed curve the scores at 50 and 100 labels are looked at, as the forecast's warning
does, and the task counts as learned as in `trial`.
"""

from __future__ import annotations

from collections import Counter

from evidence.own_curves.rows import ROWS, Rows
from evidence.own_curves.trial import HEADLINE, group_of, learned, own_curves
from labelcast.forecast.observed import Noise, NoisyScore, Scores


def main() -> None:
    """Print the counts for each file of rows."""
    for file in sorted(ROWS.glob("*.jsonl")):
        curves = own_curves(group_of(file), Rows(file).rows())
        taught, counts = learned(curves), Counter[tuple[bool, bool]]()
        for own in curves:
            noise = Noise(own.curve.test_size or 0)
            found = [NoisyScore(n, s, noise) for n, s in own.curve.scores if n in HEADLINE]
            if len(found) == len(HEADLINE):
                flat = Scores(tuple(found)).are_flat
                counts[flat, (own.group, own.curve.task) in taught] += 1
        for flat in (True, False):
            never, total = counts[flat, False], counts[flat, False] + counts[flat, True]
            words = "do not rise" if flat else "rise"
            print(f"{file.stem}: scores {words} in {total}: {never} are of tasks never learned")


if __name__ == "__main__":
    main()
