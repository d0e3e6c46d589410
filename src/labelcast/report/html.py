"""A page as one HTML file that requests nothing: template, escaping, and what may be replaced."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_run_file, refuse_special

if TYPE_CHECKING:
    from jinja2 import Environment

_START, _END = "<!doctype html>\n<!-- labelcast report", " -->\n"

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_REPLACED = (*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_CLEAN = _PICTURES | {0x7F: 0x2421} | dict.fromkeys(_REPLACED, 0xFFFD)


def check_replaceable(path: Path, *, force: bool) -> None:
    """Refuse a file that labelcast did not write, or that was edited; raises InputError.

    Also refuses a folder, and the name of a file that is not HTML.
    """
    if path.is_dir():
        raise InputError(f"--out {path}: a folder. Give the name of a file, such as report.html.")
    if path.suffix.lower() in (".pdf", ".docx", ".md"):
        other = path.with_suffix(".html").name
        raise InputError(f"--out {path}: a report is HTML. Name it {other}; a browser prints it.")
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


def render_page(template: str, *, script: str = "", **values: Any) -> str:
    """A page from a template with these values, behind its mark.

    jinja2 escapes every text. Only the page's own style, and the script of that file if there is
    one, are allowed, by their hash.
    """
    from markupsafe import Markup

    style, code = _template("report.css"), _template(script) if script else ""
    scripts = _hash(code) if code else "'none'"
    file = _environment().get_template(template)
    page = file.render(
        style=Markup(style),
        script=Markup(code),
        policy=(
            f"default-src 'none'; style-src {_hash(style)}; script-src {scripts}; "
            "base-uri 'none'; form-action 'none'"
        ),
        **values,
    )
    return _marked(page)


@cache
def _environment() -> Environment:
    """jinja2 with the templates, which are compiled once."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


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
