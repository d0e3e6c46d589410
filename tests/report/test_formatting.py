"""Untrusted text and money, as the report writes them."""

from hypothesis import given
from hypothesis import strategies as st

from labelcast.report.costs import money
from labelcast.report.html import clean


@given(st.text(alphabet=st.characters()))
def test_a_clean_text_can_be_written(text: str) -> None:
    """It is UTF-8 without control characters, as long as the text."""
    shown = clean(text)
    shown.encode("utf-8")
    assert not any(ord(letter) < 32 and letter not in "\t\n\r" for letter in shown)
    assert len(shown) == len(text)


def test_odd_characters_are_made_visible() -> None:
    """Null, escape and a lone surrogate are replaced; text in any script stays."""
    assert clean("a\x00\x1b\ud800") == "a␀␛�"
    kept = "\u202eשלום 🎉 naïve\n\t"
    assert clean(kept) == kept


def test_money() -> None:
    """A sign goes before the amount, a code after it."""
    assert [money(1234.5, c) for c in ("$", "EUR", "")] == ["$1,234", "1,234 EUR", "1,234"]
    assert money(0.4, "€") == "€0.40"
