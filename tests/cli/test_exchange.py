"""`labelcast label` with files for other label tools."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import check_message, labelcast, snapshot

from labelcast.labels.exchange import FORMATS
from labelcast.runs.run import Run

ENDINGS = {"csv": "csv", "jsonl": "jsonl", "prodigy": "jsonl"}
CONFIGS = {"label-studio": "t.config.xml", "argilla": "t.settings.json"}


def answer(form: str, item: dict[str, Any], text: str) -> None:
    """Add a person's answer to an exported record of a format."""
    if form == "label-studio":
        result = {"from_name": "label", "to_name": "text", "value": {"choices": [text]}}
        item["annotations"] = [{"result": [result | {"type": "choices"}]}]
    elif form == "prodigy":
        item |= {"accept": [text], "answer": "accept", "_input_hash": 1, "_task_hash": 2}
    elif form == "argilla":
        item["responses"] = {"label": [{"value": text, "status": "submitted"}]}
    else:
        item["label"] = text


def fill_in(path: Path, form: str, texts: tuple[str, ...] = ("yes", "no")) -> int:
    """Answer every exported record with these texts in turn; the number of records."""
    if form == "csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            items = list(csv.DictReader(stream))
    elif path.suffix == ".jsonl":
        items = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        items = json.loads(path.read_text())
    for number, item in enumerate(items):
        answer(form, item, texts[number % len(texts)])
    if form == "csv":
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(items[0]), delimiter=";")
            table.writeheader()
            table.writerows(items)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
    else:
        path.write_text(json.dumps(items))
    return len(items)


@pytest.mark.parametrize("form", FORMATS)
def test_export_and_import(form: str, place: Path) -> None:
    """Exported, answered elsewhere, imported: the format is recognised by the content."""
    path = place / f"t.{ENDINGS.get(form, 'json')}"
    done = labelcast("label", place / "run", "--export", path, "--format", form, "--json")
    assert done.status == 0, done.err
    exported = {"file": str(path), "format": form, "rows": 8}
    if form in CONFIGS:
        exported["config"] = str(place / CONFIGS[form])
        assert (place / CONFIGS[form]).is_file()
    assert done.json["exported"] == exported
    assert fill_in(path, form) == 8
    done = labelcast("label", place / "run", "--import", path, "--json")
    assert done.status == 0, done.err
    assert done.json["imported"]["taken"] == 8
    done = labelcast("label", place / "run", "--import", path, "--format", form, "--json")
    assert done.json["imported"]["same"] == 8


def test_the_path_of_the_configuration_is_printed(place: Path) -> None:
    """The message names the examples and the labelling configuration."""
    path = place / "t.json"
    done = labelcast("label", place / "run", "--export", path)
    assert f"Wrote 8 examples to {path}." in done.err
    assert str(place / "t.config.xml") in done.err


@pytest.mark.parametrize("form", FORMATS)
def test_an_answer_that_is_not_allowed(form: str, place: Path) -> None:
    """The message names file, record and field, and nothing is imported."""
    path = place / f"t.{ENDINGS.get(form, 'json')}"
    assert labelcast("label", place / "run", "--export", path, "--format", form).status == 0
    fill_in(path, form, ("yes", "yes", "maybe"))
    number = {"csv": "line 4", "jsonl": "line 3"}.get(path.suffix[1:], "record 3")
    before = snapshot(place)
    done = labelcast("label", place / "run", "--import", path)
    check_message(done, 2, (f"{path.name} {number}", "'label'", "'maybe'", "yes, no"))
    assert snapshot(place) == before


def test_a_file_of_other_examples_is_refused(place: Path) -> None:
    """A file of which no record matches is the wrong file, and the message names a record."""
    path = place / "other.csv"
    path.write_text("text,label\nsomething else,yes\n")
    done = labelcast("label", place / "run", "--import", path)
    check_message(done, 2, ("other.csv: none of its 1 records matches", "line 2"))
    assert labelcast("label", place / "run", "--export", path).status == 2
    assert labelcast("label", place / "run", "--export", path, "--force").status == 0
    path.write_text(path.read_text("utf-8-sig") + "x,low,something else,yes\n" * 2)
    done = labelcast("label", place / "run", "--import", path)
    check_message(done, 2, ("none of its 2 records with an answer matches", "(id x)"))


def test_the_next_step_follows_what_is_labelled(place: Path) -> None:
    """With unlabelled examples it is to label; then CoS-Low; with a test set too, training."""
    run = place / "run"
    assert "Next: label them" in labelcast("label", run, "--more", 2, "--test", 2).err
    path = place / "t.csv"
    done = labelcast("label", run, "--export", path)
    assert "Next: fill in 'label'" in done.err
    fill_in(path, "csv")
    done = labelcast("label", run, "--import", path)
    assert f"labelcast coslow {run}" in done.err and "label them" not in done.err
    Run.open(run).finish("coslow")
    done = labelcast("label", run, "--export", place / "again.csv")
    assert f"labelcast tune {run} --budget 2" in done.err


def test_the_printed_import_can_be_run(place: Path) -> None:
    """It has the format where the ending of the export does not say it."""
    for name, form in (("t.txt", "csv"), ("t.json", "jsonl"), ("t.csv", "csv")):
        path = place / name
        done = labelcast("label", place / "run", "--export", path, "--format", form)
        assert f"--import {path}" in done.err
        (command,) = re.findall(r"^  labelcast (.*)$", done.err, re.MULTILINE)
        done = labelcast(*shlex.split(command), "--json")
        assert done.status == 0, done.err
        assert done.json["imported"]["blank"] == 8


def test_a_current_coslow_is_not_suggested_again(place: Path) -> None:
    """Next is a forecast, and with labels to train on a test set; a stale one is measured again."""
    opened = Run.open(run := place / "run")
    path = place / "t.csv"
    labelcast("label", run, "--export", path)
    fill_in(path, "csv")
    labelcast("label", run, "--import", path)
    opened.finish("coslow", labels=opened.labels_digest("low"))
    assert f"labelcast forecast {run}" in labelcast("label", run, "--import", path).err
    labelcast("label", run, "--more", 2, "--export", path, "--force")
    fill_in(path, "csv")
    assert f"labelcast label {run} --test 30" in labelcast("label", run, "--import", path).err
    labelcast("label", run, "--export", path, "--force")
    fill_in(path, "csv", ("no",))
    assert f"labelcast coslow {run}" in labelcast("label", run, "--import", path).err
