"""The records of a JSON file that has an object: under one key, in SQuAD's form, or itself."""

from __future__ import annotations

from typing import Any

from labelcast.errors import InputError
from labelcast.tasks.conversations import is_conversation


def records_of(content: object, name: str) -> list[Any]:
    """The records of a JSON file `name` with an object, such as those under its key ``data``.

    An object without an array of records is one record.

    Raises:
        InputError: it has several arrays of records, or a list for each column.
    """
    found = content.items() if isinstance(content, dict) else ()
    arrays = {k: v for k, v in found if isinstance(v, list) and v and isinstance(v[0], dict)}
    is_chat = any(is_conversation(v) for k, v in found if k != "data")
    if "data" in arrays or (len(arrays) == 1 and not is_chat):
        records = arrays.get("data") or next(iter(arrays.values()))
        return _questions(records) if all(map(_is_article, records)) else records
    if isinstance(content, dict) and content and (is_chat or not arrays):
        if not arrays and _is_columns(list(content.values())):
            raise InputError(
                f"{name}: a list for each column. Write one object a record, with pandas "
                '`to_json(orient="records")`.'
            )
        return [content]
    names = ", ".join(repr(key) for key in arrays)
    raise InputError(
        f"{name}: expected an array of records, or an object with one such array"
        f"{f'; it has {names}. Keep one' if names else ''}."
    )


def _is_columns(values: list[Any]) -> bool:
    """Whether they are columns: lists of one length, or the objects that pandas writes."""
    lengths = {len(v) if isinstance(v, list) else 1 for v in values}
    keys = [list(v) if isinstance(v, dict) else [] for v in values]
    indices = keys[0] and all(k == keys[0] for k in keys) and all(map(str.isdecimal, keys[0]))
    return bool(indices) or (len(lengths) == 1 and max(lengths) > 1)


def _is_article(record: object) -> bool:
    """Whether it is an article of a SQuAD file: paragraphs with lists of questions."""
    paragraphs = record.get("paragraphs") if isinstance(record, dict) else None
    return isinstance(paragraphs, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("qas"), list)
        and all(isinstance(asked, dict) and _has_answers(asked) for asked in one["qas"])
        for one in paragraphs
    )


def _has_answers(question: dict[str, Any]) -> bool:
    answers = question.get("answers") or []
    return isinstance(answers, list) and all(isinstance(answer, dict) for answer in answers)


def _questions(articles: list[Any]) -> list[dict[str, Any]]:
    """The questions of a SQuAD file, which has them inside the paragraphs of articles."""
    return [
        {"id": one.get("id"), "context": paragraph.get("context"), "question": one.get("question")}
        | {"answers": {"text": [answer.get("text") for answer in one.get("answers") or []]}}
        for article in articles
        for paragraph in article["paragraphs"]
        for one in paragraph["qas"]
    ]
