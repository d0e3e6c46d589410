"""Random labelling tasks with rows, for tests of label files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from labelcast.labels import exchange
from labelcast.labels.label_task import LabelTask

# Texts that break spreadsheets, XML, templates or the formats themselves.
ODD_TEXTS = (
    *("", " ", "null", "None", "NaN", "nan", "true", "0", "1.0", "007", "[]", "{}", "''", "'='"),
    *("=1+1", "'=1", "''=x", "+5", "-5", "@a", "\t=1", "\uff1dx", "a,b;c\td", 'say "x"', "a\r\nb"),
    *("a\rb", "a\n\nb", "\u2028", "<b>&amp;</b>", "$text", "$a.b[0]", "{{x}}", "]]>", "\u202eabc"),
    *(
        "\U0001f600",
        "e\u0301",
        "\ufeff",
        "\x01",
        "\x7f",
        "\ufffe",
        " lead",
        "trail ",
        'name="text"',
    ),
)
ODD_NAMES = (
    *("text", "Text", "Customer text", "$text", 'a"b', "<x>", "\u00e9", "a.b", "a b", "a-b", "1st"),
    *("options", "fields", "data", "accept", "answer", "annotations", "responses", "metadata"),
    *("labelcast", "labelcast_id", "annotator", "lead_time", "status", "_server_id", "meta", "="),
    *("label.responses", "field_id", "value", "user_input", " ", "=cmd", "a,b", "a;b", "__proto__"),
    *("true", "True", "FALSE", "nan", "null", "constructor", "toString"),
)
_ANY = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.one_of(st.sampled_from(ODD_TEXTS), st.text(_ANY, max_size=20))
_NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(_ANY, min_size=1, max_size=12).filter(
        lambda name: name not in ("id", "index", "set", "batch")
    ),
)
_PRINTED = st.characters(codec="utf-8", exclude_categories=("Cc", "Cn"))
ANSWERS = st.one_of(
    st.sampled_from([text for text in ODD_TEXTS if text.strip() and text.isprintable()]),
    st.text(_PRINTED, min_size=1, max_size=12).filter(lambda text: bool(text.strip())),
)


@st.composite
def filled(draw: st.DrawFn) -> tuple[LabelTask, list[dict[str, str]]]:
    """A task and rows, some of them labelled."""
    names = draw(st.lists(_NAMES, min_size=2, max_size=5, unique=True))
    fields, answer = names[:-1], names[-1]
    answers = tuple(draw(st.lists(ANSWERS, max_size=12, unique=True)))
    titles = {name: draw(TEXTS) for name in fields}
    task = LabelTask(draw(TEXTS), titles, answer, answers)
    given = st.sampled_from(answers) if answers else TEXTS.filter(lambda text: bool(text.strip()))
    rows = []
    for number in range(draw(st.integers(1, 4))):
        row: dict[str, Any] = {"id": f"{number}{draw(TEXTS)}", "set": "low"}
        row |= {name: draw(TEXTS) for name in fields}
        rows.append(row | {answer: draw(st.one_of(st.just(""), given))})
    return task, rows


def comes_back(read: list[dict[str, Any]], rows: list[dict[str, str]], task: LabelTask) -> None:
    """Assert that ids, input fields and answers are read back as they were written."""
    assert [{n: r[n] for n in ("id", *task.fields)} for r in read] == [
        {n: r[n] for n in ("id", *task.fields)} for r in rows
    ]
    assert [r[task.answer] or "" for r in read] == [r[task.answer] for r in rows]


def write(path: Path, file_format: str, rows: list[dict[str, str]], task: LabelTask) -> Path | None:
    """Write rows to a label file; returns the tool's configuration file, if it has one."""
    for file, text in exchange.texts(path, file_format, rows, task).items():
        file.write_text(text, "utf-8", newline="")
    return exchange.config_path(path, file_format)
