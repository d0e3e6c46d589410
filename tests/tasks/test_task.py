"""Task files: what they may contain, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.tasks import generated
from labelcast.tasks.guess import task_file
from labelcast.tasks.task import InputField, Task, catalogue

PLAIN = "name: t\ninstruction: Say it.\ninputs: [text]\nanswer: label\n"
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)


def test_plain_words_stay_words() -> None:
    """YAML's yes, no, null, 1.0 and dates are read as text."""
    task = Task.parse(PLAIN + "answers: [yes, no, null, 1.0, 2024-01-01, ~, on]\n")
    assert task.answers == ("yes", "no", "null", "1.0", "2024-01-01", "~", "on")


def test_short_forms() -> None:
    """A name alone is a field without a label; a number alone is a ceiling's score."""
    task = Task.parse(PLAIN + "ceiling: 0.95\n")
    assert task.inputs == (InputField(field="text"),)
    assert task.ceiling is not None
    assert (task.ceiling.score, task.ceiling.source) == (0.95, "")


def test_answers_must_be_a_list() -> None:
    """A text is refused in our own words, with an example."""
    with pytest.raises(InputError, match=r"answers: 'yes, no' is a text; write a list"):
        Task.parse(PLAIN + "answers: yes, no\n")


@pytest.mark.parametrize("line", ["ceiling:", "data:", "answers:", "answers: []"])
def test_an_empty_optional_key_is_ignored(line: str) -> None:
    """It means the same as leaving the key out."""
    assert Task.parse(f"{PLAIN}{line}\n") == Task.parse(PLAIN)


def test_yaml_tags_are_ignored(tmp_path: Path) -> None:
    """Python tags make and run nothing; their content is read as text."""
    mark = tmp_path / "hit"
    text = PLAIN.replace("Say it.", f'!!python/object/apply:os.mkdir ["{mark}"]')
    with pytest.raises(InputError, match="instruction"):
        Task.parse(text)
    assert Task.parse(PLAIN.replace("Say it.", "!!python/name:os.system Say.")).instruction
    assert not mark.exists()


def test_user_text() -> None:
    """One field without a label is the user turn; several have a labelled line each."""
    one = Task.parse(PLAIN)
    assert one.user_text({"text": "hello"}, "here") == "hello"
    two = Task.parse(PLAIN.replace("[text]", "[{field: b, label: B}, {field: a, label: A}]"))
    assert two.user_text({"a": 1.0, "b": ["x", "y"]}, "here") == "B: x\ny\nA: 1"


def test_a_blank_field_beside_a_filled_one_is_allowed() -> None:
    """A record is refused only if all its input fields are blank."""
    task = Task.parse(PLAIN.replace("[text]", "[{field: a, label: A}, {field: b, label: B}]"))
    assert task.user_text({"a": "", "b": "x"}, "here") == "A: \nB: x"
    with pytest.raises(InputError, match="here: every input field is blank"):
        task.user_text({"a": "", "b": " \n"}, "here")


def test_an_answer_is_trimmed_and_compared_as_text() -> None:
    """Numbers become text; outer space and case do not count, nor does 1.0 for 1."""
    task = Task.parse(PLAIN + "answers: [1, 2, Yes, true]\n")
    assert task.check_answer(1, "here") == task.check_answer(" 1\n", "here") == "1"
    assert task.check_answer(2.0, "here") == task.check_answer("2.0", "here") == "2"
    assert task.check_answer("YES", "here") == "Yes"
    assert task.check_answer(True, "here") == task.check_answer("TRUE", "here") == "true"
    with pytest.raises(InputError, match="Did you mean 'Yes'"):
        task.check_answer("Yess", "here")


def test_answers_with_names() -> None:
    """The data's values and the names are accepted; the name is the answer."""
    task = Task.parse(PLAIN + "answers: {0: World, 1: Sports}\n")
    assert (task.answers, task.values) == (("World", "Sports"), ("0", "1"))
    for value in (1, "1", 1.0, "1.0", "Sports", "sports"):
        assert task.check_answer(value, "here") == "Sports"
    assert Task.build(task.model_dump(mode="json")) == task


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ("[yes, Yes]", "also listed as 'yes'"),
        ("[1, 1.0]", "also listed as '1'"),
        ("[a, a]", "listed twice"),
        ("{0: a, 1: a}", "listed twice"),
        ("{a: b, b: a}", "the name of another"),
        ("{a: B, b: A}", "the name of another"),
        ("{1: a, 1.0: b}", "a different value"),
        ("{true: a, True: b}", "a different value"),
        ("yes, no", r"answers: .* is a text; write a list"),
    ],
)
def test_answers_that_cannot_be_told_apart(answers: str, says: str) -> None:
    """The message names the answer."""
    with pytest.raises(InputError, match=says):
        Task.parse(PLAIN + f"answers: {answers}\n")


def test_an_optional_field_is_left_out_where_it_is_blank() -> None:
    """As the input of an Alpaca record often is."""
    inputs = "[{field: a, label: A}, {field: b, label: B, optional: true}]"
    task = Task.parse(f"{{name: t, instruction: x, inputs: {inputs}, answer: y}}")
    assert task.user_text({"a": "1", "b": "2"}, "here") == "A: 1\nB: 2"
    for record in ({"a": "1", "b": ""}, {"a": "1", "b": None}, {"a": "1"}):
        assert task.user_text(record, "here") == "A: 1"


@given(
    WORDS.filter(str.strip),
    st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=4, unique_by=lambda pair: pair[0]),
    st.lists(WORDS.map(str.strip).filter(bool), unique_by=str.casefold, max_size=5),
)
def test_a_task_comes_back_from_its_file(
    instruction: str, inputs: list[tuple[str, str]], answers: list[str]
) -> None:
    """What `task_file` writes parses to the same task, whatever its texts."""
    names = {name for name, _ in inputs}
    task = Task.build(
        {
            "name": "t",
            "instruction": instruction,
            "inputs": [{"field": name, "label": label} for name, label in inputs],
            "answer": next(name for name in ("label", "x", "y", "z", "w") if name not in names),
            "answers": answers,
        }
    )
    assert Task.parse(task_file(task)) == task


@pytest.mark.parametrize("name", generated.NAMES)
def test_the_catalogue_fits_the_generated_tasks(name: str) -> None:
    """Each generated task has a task file whose fields and answers fit its records."""
    task = Task.load(name)
    assert task.name == name
    for number, record in enumerate(generated.generate(name, 50)):
        assert task.user_text(record, f"record {number}")
        task.check_answer(record[task.answer], f"record {number}")


def test_a_folder_of_that_name_does_not_hide_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder named like a catalogue task does not hide it; a file does."""
    name = next(iter(catalogue()))
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert Task.load(name).name == name
    Path(name).rmdir()
    Path(name).write_text(PLAIN)
    assert Task.load(name).name == "t"
