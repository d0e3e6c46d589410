"""From what a report says to one HTML file that asks for nothing.

Every text is escaped by jinja2; style and script are allowed by their hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import Any

from labelcast.forecast.answer import chance_in_words, shown
from labelcast.report import formatting
from labelcast.report.content import Content
from labelcast.report.frame import observed, target_in_words
from labelcast.report.page_charts import confidence_svgs, curve_svgs, similarity_svg

MARK = "<!doctype html>\n<!-- labelcast report -->\n"
"""What a report begins with, by which an older one is known."""


def render(content: Content) -> str:
    """Write a report as HTML: the same content gives the same bytes."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _template("report.css"), _template("report.js")
    charts = {name: Markup(svg) for name, svg in _charts(content).items()}
    page = environment.get_template("report.html").render(
        content=content,
        answer=content.answer,
        charts=charts,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        observed=observed(content.answer),
        **_helpers(content.answer.horizon),
    )
    return MARK + page


def _helpers(horizon: int) -> dict[str, Callable[..., Any]]:
    return {
        "chance": chance_in_words,
        "labels": partial(formatting.labels, horizon=horizon),
        "ends": partial(formatting.ends, horizon=horizon),
        "shown": shown,
        "target_in_words": target_in_words,
    }


def _charts(content: Content) -> dict[str, str]:
    """The charts as SVG by name; those without numbers are missing."""
    wide, narrow = curve_svgs(content.answer, f"The forecast curve. {content.answer.sentence()}")
    charts = {"curve_wide": wide, "curve_narrow": narrow}
    pool, found = content.confidence, content.similarity
    if pool is not None:
        label = (
            f"Histogram of the confidence of {pool.size:,} examples, from {pool.low:.2f} to "
            f"{pool.high:.2f}; examples up to {pool.limit:.3f} could be picked."
        )
        charts["confidence_wide"], charts["confidence_narrow"] = confidence_svgs(pool, label)
    if found is not None and content.labelled is not None:
        label = f"Heat map of the cosine similarities between {len(found.shown)} examples."
        charts["similarity"] = similarity_svg(found, dict(content.labelled.numbers), label)
    return charts


def _finalized(value: Any) -> Any:
    """What a template writes: texts cleaned of what HTML cannot hold; our own markup as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return formatting.clean(value)
    return value


def _template(name: str) -> str:
    return files("labelcast.report").joinpath("templates", name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """A content security policy that allows this style and this script, and nothing else."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
