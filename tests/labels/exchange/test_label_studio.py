"""Label Studio: tasks, configuration and annotations, checked with its own library."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
from random_label_tasks import comes_back, filled, write

from labelcast.errors import InputError
from labelcast.labels import exchange
from labelcast.labels.exchange import label_studio
from labelcast.labels.label_task import LabelTask

TASK = LabelTask("Say it.", {"text": "Text"}, "label", ("yes", "no"))
FREE = LabelTask("Say it.", {"text": "Text"}, "label", ())
ROWS = [
    {"id": "a", "set": "low", "text": '=1+1, "x"\ny', "label": ""},
    {"id": "b", "set": "low", "text": "\U0001f600", "label": "yes"},
]


def studio(*results: Any, **keys: Any) -> dict[str, Any]:
    """A Label Studio task with one annotation."""
    return {"data": {"id": "a", "text": "x"}, "annotations": [{"result": list(results), **keys}]}


def result(kind: str, value: Any, name: str = "label") -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": kind, "value": {kind: value}}


def read(path: Path, content: Any, task: LabelTask = FREE) -> list[dict[str, Any]]:
    path.write_text(json.dumps(content))
    return [record.values for record in exchange.read(path, task)]


def through(task: LabelTask, rows: list[dict[str, str]], path: Path) -> list[dict[str, Any]]:
    """Tasks as Label Studio exports them, after its library has checked them."""
    config = write(path, "label-studio", rows, task)
    assert config is not None
    interface = LabelInterface(config.read_text("utf-8"))
    interface.validate()
    tasks = json.loads(path.read_text("utf-8"))
    found = []
    for number, made in enumerate(tasks, 1):
        assert interface.validate_task({"data": made["data"]})
        annotations = made.get("annotations", [])
        assert all(interface.validate_annotation(item) for item in annotations)
        shown = [tag.value for tag in interface.load_task(made["data"]).objects]
        assert shown == [rows[number - 1][name] for name in task.fields]
        keys = {"was_cancelled": False, "ground_truth": False, "completed_by": 1, "id": number}
        given = [{**item, **keys} for item in annotations]
        found.append({"id": number, "data": made["data"], "annotations": given, "predictions": []})
    return found


@settings(max_examples=40)
@given(made=filled())
def test_through_its_own_library(made: tuple[LabelTask, list[dict[str, str]]]) -> None:
    """The library accepts configuration, tasks and annotations, and its export is read back."""
    task, rows = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        tasks = through(task, rows, path)
        comes_back(read(path, tasks, task), rows, task)


@settings(max_examples=30)
@given(made=filled())
def test_through_its_short_forms(made: tuple[LabelTask, list[dict[str, str]]]) -> None:
    """JSON-MIN, as its own converter writes it."""
    task, rows = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.with_suffix(".all.json").write_text(json.dumps(through(task, rows, path)))
        converter = Converter(path.with_suffix(".config.xml").read_text("utf-8"), folder)
        converter.convert_to_json_min(str(path.with_suffix(".all.json")), folder, is_dir=False)
        comes_back(read_file(Path(folder) / "result.json", task), rows, task)


def read_file(path: Path, task: LabelTask) -> list[dict[str, Any]]:
    return [record.values for record in exchange.read(path, task)]


def test_its_csv(tmp_path: Path) -> None:
    """The converter's CSV is recognised by our id."""
    path = tmp_path / "a.json"
    path.with_suffix(".all.json").write_text(json.dumps(through(TASK, ROWS, path)))
    converter = Converter(path.with_suffix(".config.xml").read_text("utf-8"), str(tmp_path))
    converter.convert_to_csv(
        str(path.with_suffix(".all.json")), str(tmp_path), is_dir=False, sep=","
    )
    comes_back(read_file(tmp_path / "result.csv", TASK), ROWS, TASK)


def test_tasks(tmp_path: Path) -> None:
    """Fields are in `data`; a known answer is an annotation, not a prediction."""
    path = tmp_path / "a.json"
    assert write(path, "label-studio", ROWS, TASK) == tmp_path / "a.config.xml"
    tasks = json.loads(path.read_text("utf-8"))
    text = ROWS[0]["text"]
    assert tasks[0] == {"data": {"labelcast_id": "a", "labelcast_set": "low", "text": text}}
    assert tasks[1]["annotations"][0]["result"][0]["value"] == {"choices": ["yes"]}
    assert "predictions" not in path.read_text("utf-8")


def test_configuration() -> None:
    """It shows the instruction, every field with its title, and ten answers with keys."""
    answers = tuple(f"answer {number}" for number in range(12))
    task = LabelTask("Say <it>.", {"Customer text": "Text:", "$b": "B"}, "=", answers)
    interface = LabelInterface(text := label_studio.config(task))
    assert [tag.attr["value"] for tag in interface.objects] == ["$customer_text", "$b"]
    assert interface.get_control().to_name == ["customer_text"]
    assert interface.get_control().labels == list(answers)
    hotkeys = [tag.get("hotkey") for tag in interface._tree.iter("Choice")]
    assert hotkeys == [*"1234567890", None, None]
    digits = LabelTask("Say.", {"Text": "Text:", "b": "B"}, "=", ("-1", "0", "1"))
    choices = LabelInterface(label_studio.config(digits))._tree.iter("Choice")
    assert [tag.get("hotkey") for tag in choices] == ["2", "0", "1"]
    assert 'value="Say &lt;it&gt;."' in text and 'value="Text:"' in text
    free = LabelInterface(label_studio.config(FREE))
    assert free.get_control().tag == "TextArea"


def test_a_dollar_is_not_a_variable() -> None:
    """Label Studio would replace `$name`; an answer that contains it is kept as it is."""
    task = LabelTask("Pay $text?", {"text": "$text"}, "label", ("$text", "a"))
    text = label_studio.config(task)
    assert text.count("$text") == 2  # the field itself, and the alias of the answer
    assert LabelInterface(text).get_control().labels == ["$text", "a"]


def test_an_answer_that_xml_cannot_contain(tmp_path: Path) -> None:
    """The error names it, and nothing is written."""
    task = LabelTask("", {"text": "T"}, "label", ("a\x01", "b"))
    with pytest.raises(InputError, match=r"allowed answer 'a.*XML"):
        write(tmp_path / "a.json", "label-studio", ROWS, task)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (studio(result("choices", ["yes"])), "yes"),
        (studio(result("choices", "yes")), "yes"),
        (studio(result("text", ["a b"])), "a b"),
        (studio(result("number", 3)), "3"),
        (studio(), None),
        (studio(result("choices", [])), None),
        (studio(result("choices", ["no"]), was_cancelled=True), None),
        ({"data": {"text": "x"}, "annotations": []}, None),
        ({"data": {"text": "x"}}, None),
        ({"data": {"text": "x"}, "annotations": [{"result": None}, {}]}, None),
        ({"id": 1, "text": "x", "label": "yes"}, "yes"),
    ],
)
def test_answers(task: dict[str, Any], answer: str | None, tmp_path: Path) -> None:
    """Choices, texts and numbers; unlabelled and cancelled tasks are blank."""
    (values,) = read(tmp_path / "a.json", [task])
    assert values["label"] == answer
    assert values["text"] == "x"


def test_people_who_agree_or_disagree(tmp_path: Path) -> None:
    """The same answer twice is one answer; two different ones are an error."""
    both = studio(result("choices", ["yes"]))
    both["annotations"] *= 2
    assert read(tmp_path / "a.json", [both])[0]["label"] == "yes"
    both["annotations"].append({"result": [result("choices", ["no"])]})
    with pytest.raises(InputError, match=r"a\.json record 2: several answers \(no, yes\)"):
        read(tmp_path / "a.json", [studio(), both])


def test_the_ground_truth_takes_precedence(tmp_path: Path) -> None:
    """It settles a disagreement; predictions never count."""
    task = studio(result("choices", ["yes"]))
    task["annotations"].append({"result": [result("choices", ["no"])], "ground_truth": True})
    task["predictions"] = [{"result": [result("choices", ["maybe"])]}]
    assert read(tmp_path / "a.json", [task])[0]["label"] == "no"
    task["annotations"][1]["was_cancelled"] = True
    assert read(tmp_path / "a.json", [task])[0]["label"] == "yes"
    del task["annotations"]
    assert read(tmp_path / "a.json", [task])[0]["label"] is None


def test_other_controls_are_ignored(tmp_path: Path) -> None:
    """A note is not a second answer."""
    task = studio(result("choices", ["yes"]), result("text", ["a note"], "note"))
    assert read(tmp_path / "a.json", [task])[0]["label"] == "yes"


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (
            {"data": {"text": "x"}, "annotations": 3},
            "record 1, field 'annotations': must be a list",
        ),
        (
            {"data": {"text": "x"}, "annotations": [3]},
            "field 'annotations' item 1: must be an object",
        ),
        (studio() | {"annotations": [{"result": 5}]}, "item 1, field 'result': must be a list"),
        (studio(5), "field 'result' item 1: must be an object"),
        (studio({"value": 5}), "field 'value': must be an object"),
        (studio(result("choices", [{"a": 1}, "yes", ["no"]])), "several answers"),
        (
            {"data": [1], "annotations": [], "annotation_id": 1, "lead_time": 2},
            "'data': must be an object",
        ),
    ],
)
def test_wrong_shapes(task: Any, says: str, tmp_path: Path) -> None:
    """The error names the record and the field."""
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.json", [task])
