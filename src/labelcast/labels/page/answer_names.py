"""What short answers stand for, where the instruction says it line by line.

Of banking77 the allowed answers are numbers, and its instruction lists what each means; a person
should not have to look a number up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def answer_names(instruction: str, answers: Sequence[str]) -> dict[str, str]:
    r"""What each answer stands for; empty unless the instruction has just one line for every one.

    Examples:
        >>> answer_names("Choose.\n0 not fair\n1: fair", ["0", "1"])
        {'0': 'not fair', '1': 'fair'}
        >>> answer_names("Is it 0 or 1?", ["0", "1"])
        {}
    """
    lines = [line.strip() for line in instruction.splitlines()]
    found = {}
    for answer in answers:
        line = re.compile(rf"{re.escape(answer)}\s*(?:[:.)=\-\u2013\u2014]\s*|\s)(\S.*)")
        meanings = [match[1] for match in map(line.fullmatch, lines) if match]
        if len(meanings) != 1:
            return {}
        found[answer] = meanings[0]
    return found
