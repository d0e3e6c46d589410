"""How the report writes texts of others, numbers and money."""

from __future__ import annotations

from typing import NamedTuple

from labelcast.forecast.efficiency import LARGEST_BUDGET

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
_UNSEEN = _PICTURES | _SURROGATES | {0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}


class Shown(NamedTuple):
    """A text of others, and how many characters of it are left out at its end."""

    text: str
    cut: int


def clean(text: str) -> str:
    r"""A text with what HTML cannot hold made visible: control characters as their pictures.

    >>> clean("a\x00b")
    'a␀b'
    """
    return text.translate(_UNSEEN)


def shorten(text: str, limit: int) -> Shown:
    """A text of at most `limit` characters.

    >>> shorten("abcdef", 4)
    Shown(text='abcd', cut=2)
    """
    return Shown(clean(text[:limit]), max(len(text) - limit, 0))


def labels(count: int | None, horizon: int = LARGEST_BUDGET) -> str:
    """Labels needed; None is not reached within the horizon.

    >>> labels(1200), labels(None), labels(None, 20_000)
    ('1,200', '> 5,000', '> 20,000')
    """
    return f"> {horizon:,}" if count is None else f"{count:,}"


def ends(low: int | None, high: int | None, horizon: int = LARGEST_BUDGET) -> str:
    """The interval of the labels needed."""
    if low is None and high is None:
        return labels(None, horizon)
    return f"{labels(low, horizon)} to {labels(high, horizon)}"


def seconds_of(value: object) -> float | None:
    """Seconds that a file states, None where it states none that could be."""
    likely = isinstance(value, int | float) and 0 <= value < 1e12
    return float(value) if likely else None  # type: ignore[arg-type]


def money(amount: float, currency: str) -> str:
    """An amount with its currency: a sign stands before it, a code after it.

    >>> money(1240.5, "$"), money(80, "EUR")
    ('$1,240', '80 EUR')
    """
    number = f"{amount:,.2f}" if 0 < amount < 10 else f"{amount:,.0f}"
    if not currency:
        return number
    return f"{number} {currency}" if currency.isalnum() else f"{currency}{number}"
