"""Label files that a user may get wrong: our own, and those of other tools."""

from __future__ import annotations

import json
from typing import Any

from cases import (
    IMPORT,
    LABELLED,
    WORDS,
    Case,
    labelled,
    lines,
    plain,
)

STUDIO = {"data": {"text": "word 1"}, "annotations": [{"result": []}]}
CHOICE = {"text": "word 1", "options": [{"id": "yes", "text": "yes"}], "answer": "accept"}
RECORD = {"id": "1", "fields": {"text": "word 1"}, "responses": {"label": []}}


def foreign(name: str, record: Any, *says: str, form: str = "") -> Case:
    """A label file of another tool whose third record is wrong."""
    option = f" --format {form}" if form else ""
    good = STUDIO if "data" in record else CHOICE if "text" in record else RECORD
    content = json.dumps([good, good, record])
    return Case(f"import: {name}", IMPORT + option, ("a.json record 3", *says), "a.json", content)


def studio(**annotation: Any) -> dict[str, Any]:
    return STUDIO | {"annotations": [annotation]}


def answered(*values: Any) -> dict[str, Any]:
    return RECORD | {"responses": {"label": [{"value": v, "status": "submitted"} for v in values]}}


FOREIGN = [
    foreign("Label Studio, annotations", STUDIO | {"annotations": 3}, "'annotations'", "a list"),
    foreign("Label Studio, annotation", STUDIO | {"annotations": [3]}, "item 1", "an object"),
    foreign("Label Studio, result", studio(result="yes"), "'result'", "a list", "str"),
    foreign("Label Studio, region", studio(result=["yes"]), "'result' item 1", "an object"),
    foreign("Label Studio, value", studio(result=[{"value": "yes"}]), "'value'", "an object"),
    foreign(
        "Label Studio, two choices",
        studio(result=[{"value": {"choices": ["yes", "no"]}}]),
        "several answers (no, yes)",
    ),
    foreign("Label Studio, data", {"data": 3}, "'data'", "an object", form="label-studio"),
    foreign("Prodigy, accept", CHOICE | {"accept": "yes"}, "'accept'", "a list"),
    foreign("Prodigy, two accepted", CHOICE | {"accept": ["yes", "no"]}, "'accept'", "several"),
    foreign("Prodigy, an option", CHOICE | {"accept": [{}]}, "'accept'", "ids"),
    foreign("Prodigy, a decision", CHOICE | {"answer": 1}, "'answer'", "accept, reject, ignore"),
    foreign("Prodigy, meta", CHOICE | {"meta": []}, "'meta'", "an object"),
    foreign("Argilla, responses", RECORD | {"responses": {"label": 3}}, "'label'", "a list"),
    foreign("Argilla, response", RECORD | {"responses": {"label": [3]}}, "item 1", "an object"),
    foreign("Argilla, value", answered({"a": 1}), "'label'", "dict"),
    foreign("Argilla, two users", answered("yes", "no"), "'label'", "several answers (no, yes)"),
    foreign("Argilla, fields", RECORD | {"fields": 3}, "'fields'", "an object", form="argilla"),
    foreign("Argilla, metadata", RECORD | {"metadata": 3}, "'metadata'", "an object"),
    plain("import: unknown form", "label run --import pool.jsonl --format xml", "--format", "csv"),
    plain("import: unknown ending", "label run --import a.txt", "'.txt'", a_dot_txt="x"),
    plain(
        "export: over a configuration",
        "label run --export a.json",
        "a.config.xml",
        "already",
        a_dot_config_dot_xml="<View/>",
    ),
]

LABELS = [
    labelled("no answer field", lines(*WORDS[:8]), "l.jsonl line 1", "'label'"),
    labelled(
        "empty answer", lines(*LABELLED, {"text": "x", "label": " "}), "line 9", "'label'", "empty"
    ),
    labelled("null answer", lines(*LABELLED, {"text": "x", "label": None}), "line 9", "missing"),
    labelled(
        "not allowed", lines(*LABELLED, {"text": "x", "label": "yess"}), "line 9", "mean 'yes'"
    ),
    labelled("one alone", lines(LABELLED[0]), "2"),
    labelled(
        "longer than the context",
        lines(*LABELLED[:3], {"text": "x" * 400, "label": "yes"}),
        "l.jsonl line 4",
        "reads at most 256",
    ),
    labelled("one id twice", lines(*({"id": 1, **row} for row in LABELLED)), "id"),
    Case("import: missing file", IMPORT, ("no.jsonl", "no such file"), "no.jsonl"),
    Case("import: broken JSON", IMPORT, ("a.json after record 0", "valid JSON"), "a.json", "[{"),
    Case("import: JSON, no array", IMPORT, ("a.json", "array"), "a.json", "{}"),
    Case("import: JSON, no records", IMPORT, ("a.json", "no records"), "a.json", "[]"),
    Case("import: JSON, number in it", IMPORT, ("a.json record 1", "object"), "a.json", "[3]"),
    plain("import with --more", "label run --import pool.jsonl --more 2", "--import"),
    plain("label: no such run", "label nowhere --export a.csv", "nowhere", "no such run"),
    plain("label: no run folder", "label .", "not a run folder"),
    plain("label: unknown form", "label run --export a.csv --format xml", "label-studio"),
    plain("label: unknown ending", "label run --more 2 --export a.xml", "--format"),
    plain("label: unknown set", "label run --export a.csv --set all", "--set all", "random"),
    plain("label: none drawn", "label run --export a.csv --set test", "test"),
    plain("label: more than left", "label run --more 33", "33", "32 left"),
    plain("label: both, more than left", "label run --more 20 --test 20", "20", "12 left"),
    plain("label: --more 0", "label run --more 0", "0 examples"),
    plain("label: --test -1", "label run --test -1", "-1"),
    plain("label: over the pool", "label run --export pool.jsonl", "pool.jsonl", "already"),
    plain(
        "label: over other data",
        "label run --export other.csv",
        "other.csv",
        "already",
        other_dot_csv="text,label\nx,yes\n",
    ),
]
