"""A forecast as a notebook shows it: the sentence and the curve, in HTML that stands alone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from labelcast.forecast.chart import draw
from labelcast.forecast.svg import to_svg

if TYPE_CHECKING:
    from labelcast.forecast.answer import Forecast

# A ground of its own, since a notebook's theme does not tell its outputs whether it is dark.
_STYLE = "background:#ffffff;color:#1b2026;padding:12px 16px;max-width:46rem;border-radius:4px"


def fragment(answer: Forecast) -> str:
    """The answer as an HTML fragment; it holds no script and asks for nothing."""
    sentence = answer.sentence()
    svg = to_svg(draw(answer), f"The forecast curve. {sentence}")
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in answer.warnings)
    return (
        f'<div style="{_STYLE};font-family:system-ui,sans-serif">'
        f'<p style="font-size:1.15em;margin:0 0 12px"><strong>{escape(sentence)}</strong></p>'
        f"{svg}"
        f'<p style="color:#5a646f;margin:8px 0 0">Rests on {escape(answer.basis())}. '
        f"Line: median; band: {100 * answer.level:.4g}% interval.</p>"
        f'<ul style="color:#5a646f">{notes}</ul></div>'
    )
