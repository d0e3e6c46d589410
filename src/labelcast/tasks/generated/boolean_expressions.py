"""Expressions of True, False, and, or, not; the answer is their value."""

from random import Random
from typing import NamedTuple

_OPERANDS = (2, 8)
_CHANCE_OF_NOT = 0.3
_CHANCE_OF_SPARE_BRACKETS = 0.3
# How tightly a printed expression binds, loosest first.
_OR, _AND, _NOT, _ATOM = range(4)


class _Expression(NamedTuple):
    text: str
    value: bool
    binding: int


def draw(rng: Random, level: int, share: float) -> dict[str, str]:
    """Draw an expression of 2 to 8 operands, and `level` more; `share` below 0.5 is True."""
    want = share < 0.5
    operands = rng.randint(*_OPERANDS) + level
    expression = _build(rng, operands)
    # Redrawing, rather than steering the leaves, keeps both answers equally natural.
    while expression.value is not want:
        expression = _build(rng, operands)
    return {"input": expression.text, "target": str(expression.value)}


def _build(rng: Random, operands: int) -> _Expression:
    if operands == 1:
        value = rng.random() < 0.5
        expression = _Expression(str(value), value, _ATOM)
    else:
        left = rng.randint(1, operands - 1)
        expression = _join(rng, _build(rng, left), _build(rng, operands - left))
    return _negate(expression) if rng.random() < _CHANCE_OF_NOT else expression


def _join(rng: Random, left: _Expression, right: _Expression) -> _Expression:
    if rng.random() < 0.5:
        word, value, binding = "and", left.value and right.value, _AND
    else:
        word, value, binding = "or", left.value or right.value, _OR
    text = f"{_bracket(rng, left, binding)} {word} {_bracket(rng, right, binding)}"
    return _Expression(text, value, binding)


def _bracket(rng: Random, expression: _Expression, binding: int) -> str:
    """Bracket where the meaning needs it, and sometimes elsewhere."""
    bracketed = expression.binding < _NOT and (
        expression.binding < binding or rng.random() < _CHANCE_OF_SPARE_BRACKETS
    )
    return f"({expression.text})" if bracketed else expression.text


def _negate(expression: _Expression) -> _Expression:
    text = expression.text if expression.binding >= _NOT else f"({expression.text})"
    return _Expression(f"not {text}", not expression.value, _NOT)
