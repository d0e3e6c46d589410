"""The calibration cards that ship, and a model's own, by its exact hub id or fingerprint."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.forecast.calibration import Calibration, ModelLine
from labelcast.forecast.line import Difference, TaskPoint

SHIPPED = Path(__file__).parent / "shipped_cards"
POOLED = "pooled"
"""Name of the card for models that have none."""


@cache
def shipped() -> tuple[Calibration, ...]:
    """Return the shipped cards, sorted by name, the pooled one last.

    >>> [card.name for card in shipped()][-1]
    'pooled'
    """
    cards = [_from_own(json.loads(file.read_text("utf-8"))) for file in SHIPPED.glob("*.json")]
    return tuple(sorted(cards, key=lambda card: (card.name == POOLED, card.name)))


def by_name(name_or_path: str | Path) -> Calibration:
    """Return a shipped card by name, or a card from a JSON file by path.

    Raises:
        InputError: no such name or file (the message lists the names and the closest one), or
            the file is no card.

    >>> by_name("qwen2.5-14b-instruct").slope
    0.526
    """
    known = {card.name: card for card in shipped()}
    name = str(name_or_path)
    if name in known:
        return known[name]
    if isinstance(name_or_path, Path) or name.endswith(".json") or os.sep in name:
        return Calibration.load(name_or_path)
    if Path(name).is_file():
        raise InputError(f"--calibration {name}: a card's file name ends in .json; rename it.")
    import difflib

    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(
        f"--calibration: no calibration named {name!r}{hint} "
        f"(there are {', '.join(known)}, or give the path of a card's JSON file)"
    )


def find(
    hub_id: str | None = None,
    fingerprint: str | None = None,
    architecture: Mapping[str, int | str] | None = None,
) -> tuple[Calibration, list[str]]:
    """Return the card of a model, else the pooled one, with warnings in words.

    Args:
        hub_id: the model's exact hub id.
        fingerprint: of its config and tokenizer.
        architecture: entries of its config; a likeness is named in a warning, and no more: a base
            model is not its Instruct model.

    Examples:
        >>> card, warnings = find(hub_id="mistralai/Mistral-7B-Instruct-v0.3")
        >>> card.name, warnings
        ('mistral-7b-instruct-v0.3', [])
        >>> find(hub_id="someone/model")[0].name
        'pooled'
    """
    for card in shipped():
        if hub_id in card.hub_ids or fingerprint in card.fingerprints:
            return card, []
    warnings = [
        f"no calibration exists for {hub_id or 'this model'}: the pooled card is used, whose "
        "interval includes the spread between the published models"
    ]
    warnings += [
        f"this model's architecture is like that of {card.model}, but it is not known to be that "
        f"model; if it is, choose its card with --calibration {card.name}"
        for card in shipped()
        if _is_like(card, architecture or {})
    ]
    return by_name(POOLED), warnings


def _is_like(card: Calibration, architecture: Mapping[str, int | str]) -> bool:
    return bool(card.architecture) and all(
        architecture.get(key) == value for key, value in card.architecture.items()
    )


def _from_own(content: dict[str, Any]) -> Calibration:
    """Build a shipped card without pydantic; the tests check that a strict load gives the same."""
    for key, kind in (("lines", ModelLine), ("points", TaskPoint)):
        content[key] = [kind(**entry) for entry in content.get(key, [])]
    if content.get("loto_difference"):
        content["loto_difference"] = Difference(**content["loto_difference"])
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    return Calibration(**(content | lists))
