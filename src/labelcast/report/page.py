"""The report as one HTML file that requests nothing from the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import write_text
from labelcast.files.untrusted import refuse_run_file, refuse_special
from labelcast.forecast.answer import chance_in_words, shown
from labelcast.forecast.efficiency import LARGEST_BUDGET
from labelcast.report.content import Content, gather
from labelcast.report.costs import Prices
from labelcast.report.frame import observed
from labelcast.runs.run import Run

NAME = "report.html"
_START, _END = "<!doctype html>\n<!-- labelcast report", " -->\n"

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_REPLACED = (*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_CLEAN = _PICTURES | {0x7F: 0x2421} | dict.fromkeys(_REPLACED, 0xFFFD)


def write_report(
    run: Run | None = None,
    out: str | Path | None = None,
    *,
    asked: Mapping[str, Any] | None = None,
    prices: Prices | None = None,
    force: bool = False,
) -> tuple[Path, Content]:
    """Write the report of a run, or of scores alone, as one HTML file that opens offline.

    The forecast is made again and is not saved in the run.

    Args:
        run: with CoS-Low or observed scores; None makes a report of the scores in `asked`.
        out: the file; by default `RUN/report.html`, or `report.html` without a run.
        asked: options of the forecast, as `labelcast.forecast` takes them; None repeats the run's
            last forecast, else the defaults.
        prices: of labels and GPU hours.
        force: replace `out` also if it is another file, or a report that was edited.

    Raises:
        InputError: there is no forecast yet, an option is wrong, or `out` is in the way.
        RunError: the file cannot be written, or a chart cannot be drawn.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> scores = {"observations": [(50, 0.71), (200, 0.79)], "target_score": 0.85}
        >>> with TemporaryDirectory() as folder:
        ...     path, content = write_report(out=f"{folder}/report.html", asked=scores)
        >>> path.name, content.answer.target.score
        ('report.html', 0.85)
    """
    path = Path(out) if out is not None else Path(NAME) if run is None else run.file(NAME)
    _check_replaceable(path, force=force)
    content = gather(run, asked, prices)
    write_text(path, render(content))
    return path, content


def _check_replaceable(path: Path, *, force: bool) -> None:
    """Refuse a file that is no report, or was edited since; raises InputError."""
    if path.is_dir():
        raise InputError(f"--out {path}: a folder. Give the name of a file, such as {NAME}.")
    refuse_special(path)
    if force:
        return
    if not path.exists():
        refuse_run_file(path)
        return
    content = path.read_bytes()
    if content == _marked(content.partition(_END.encode())[2].decode("utf-8", "replace")).encode():
        return
    if not content.startswith(_START.encode()):
        why = "already exists and is not a labelcast report"
    else:
        why = "was edited since labelcast wrote it, or an earlier version of labelcast wrote it"
    raise InputError(f"--out {path}: {why}. Choose another name, or replace it with --force.")


def _marked(page: str) -> str:
    """A page behind a comment with its digest, which shows whether it was edited."""
    digest = hashlib.sha256(page.encode()).hexdigest()[:16]
    return f"{_START} {digest}{_END}{page}"


def render(content: Content) -> str:
    """A report as HTML; the same content gives the same bytes.

    jinja2 escapes every text. Only the report's own style and script are allowed, by their hash.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    from labelcast.report.page_charts import charts

    drawn = charts(content.answer, content.confidence)
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _template("report.css"), _template("report.js")
    page = environment.get_template("report.html").render(
        content=content,
        answer=content.answer,
        charts={name: Markup(svg) for name, svg in drawn.items()},
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        observed=observed(content.answer),
        chance=chance_in_words,
        labels=partial(labels, horizon=content.answer.horizon),
        ends=partial(ends, horizon=content.answer.horizon),
        shown=shown,
    )
    return _marked(page)


def labels(count: int | None, horizon: int = LARGEST_BUDGET) -> str:
    """A number of labels; None is more than the horizon.

    >>> labels(1200), labels(None, 20_000)
    ('1,200', '> 20,000')
    """
    return f"> {horizon:,}" if count is None else f"{count:,}"


def ends(low: int | None, high: int | None, horizon: int = LARGEST_BUDGET) -> str:
    """An interval of labels."""
    if low is None and high is None:
        return labels(None, horizon)
    return f"{labels(low, horizon)} to {labels(high, horizon)}"


def clean(text: str) -> str:
    r"""Replace what HTML cannot hold: control characters become their pictures.

    >>> clean("a\x00b")
    'a␀b'
    """
    return text.translate(_CLEAN)


def _finalize(value: Any) -> Any:
    """Clean each text that the template writes; markup of our own stays as it is."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _template(name: str) -> str:
    return files("labelcast.report").joinpath("templates", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
