"""A first task file from the columns of a data file."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from labelcast.errors import InputError
from labelcast.tasks.guess import guess_task as guess
from labelcast.tasks.guess import task_file
from labelcast.tasks.prompts import examples
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task


def guess_task(source: Source, name: str, **options: Any) -> Task:
    """The guessed task without the notes."""
    return guess(source, name, **options).task


def source(*rows: dict[str, Any]) -> Source:
    """A source in memory."""
    return Source("memory", lambda: (Record(n, f"row {n + 1}", row) for n, row in enumerate(rows)))


TICKETS = [
    {"id": n, "body": f"ticket number {n} is long", "label": n % 3, "label_name": "abc"[n % 3]}
    for n in range(30)
]


def test_texts_are_inputs_and_words_are_answers() -> None:
    """Ids are not inputs; a column of codes is the answer, with names where a column has them."""
    task = guess_task(source(*TICKETS), "my tickets!")
    assert [item.field for item in task.inputs] == ["body"]
    assert (task.name, task.answer, task.answers) == ("my_tickets", "label", ("a", "b", "c"))
    assert task.values == ("0", "1", "2")
    assert "body" in task.instruction
    renamed = [row | {"label_name": "abc"[n % 2]} for n, row in enumerate(TICKETS)]
    task = guess_task(source(*renamed), "t")
    assert (task.answer, task.answers, task.values) == ("label_name", ("a", "b"), ())


def test_blank_answers_are_ignored() -> None:
    """In a partly labelled file the blank is not an allowed answer."""
    rows = [
        row | {"label": "", "label_name": ""} if n % 2 else row for n, row in enumerate(TICKETS)
    ]
    assert guess_task(source(*rows), "t").answers == ("a", "b", "c")


def test_numbers_are_sorted_as_numbers() -> None:
    """Ratings from 1 to 10 are in that order."""
    rows = [{"text": f"review {n} of many", "label": n % 10 + 1} for n in range(60)]
    assert guess_task(source(*rows), "t").answers == tuple(str(n) for n in range(1, 11))


def test_no_answer_column_yet() -> None:
    """A pool without labels gets an answer field to fill in."""
    task = guess_task(source(*({"text": f"text {n}"} for n in range(9))), "t")
    assert (task.answer, task.answers) == ("label", ())


def test_several_inputs_have_labels() -> None:
    """Two text columns are labelled with their names."""
    rows = [{"question": f"what is {n}?", "the_context": f"{n} is a number"} for n in range(9)]
    task = guess_task(source(*rows), "t", answer="answer")
    assert [(item.field, item.label) for item in task.inputs] == [
        ("question", "QUESTION"),
        ("the_context", "THE CONTEXT"),
    ]


def test_codes_are_inputs_only_without_texts() -> None:
    """A column of codes is an input only if there is nothing else."""
    rows: list[dict[str, Any]] = [{"ticket": f"T-{n}", "text": f"text {n}"} for n in range(9)]
    assert [item.field for item in guess_task(source(*rows), "t").inputs] == ["text"]
    for row in rows:
        del row["text"]
    assert [item.field for item in guess_task(source(*rows), "t").inputs] == ["ticket"]


def test_unusual_values_are_ignored() -> None:
    """Missing values, NaN and nested values."""
    rows = [{"text": f"text {n}", "x": None, "y": float("nan"), "z": {"a": 1}} for n in range(9)]
    assert [item.field for item in guess_task(source(*rows), "t").inputs] == ["text"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inputs": ["nope"]}, "--input nope: no such field"),
        ({"inputs": ["body"], "answer": "body"}, "'body' is also an input field"),
        ({"inputs": ["body", "body"]}, "named twice"),
    ],
)
def test_wrong_choices(options: dict[str, Any], says: str) -> None:
    """The message names the option or the field."""
    with pytest.raises(InputError, match=says):
        guess_task(source(*TICKETS), "t", **options)


def test_the_file_is_the_task() -> None:
    """The written file, with its comments, parses to the task that was guessed."""
    for options in ({}, {"instruction": "Say: yes # no\nor 'no'"}, {"inputs": ["body", "label"]}):
        task = guess_task(source(*TICKETS), "t", **options)
        assert Task.parse(task_file(task)) == task


TEXT = "the long text number {} about many things that happened"
ANSWER = "a long answer number {} that nobody would call a class"
FORMATS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "messages": (
        {"messages": [{"role": "user", "content": TEXT}, {"role": "assistant", "content": ANSWER}]},
        ["messages.prompt"],
        "messages.answer",
    ),
    "messages in parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": TEXT}]},
                {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]},
            ]
        },
        ["messages.prompt"],
        "messages.answer",
    ),
    "ShareGPT": (
        {"conversations": [{"from": "human", "value": TEXT}, {"from": "gpt", "value": ANSWER}]},
        ["conversations.prompt"],
        "conversations.answer",
    ),
    "prompt and completion": ({"prompt": TEXT, "completion": ANSWER}, ["prompt"], "completion"),
    "prompt and completion as turns": (
        {
            "prompt": [{"role": "user", "content": TEXT}],
            "completion": [{"role": "assistant", "content": ANSWER}],
        },
        ["prompt.prompt"],
        "completion.answer",
    ),
    "Alpaca": (
        {"instruction": TEXT, "input": "", "output": ANSWER, "text": TEXT + ANSWER},
        ["instruction"],
        "output",
    ),
    "question and answer": (
        {"question": TEXT, "context": "in " + TEXT, "answer": ANSWER},
        ["question", "context"],
        "answer",
    ),
    "SQuAD": (
        {"question": TEXT, "context": "in " + TEXT, "answers": {"text": [ANSWER]}},
        ["question", "context"],
        "answers.text.0",
    ),
    "summaries": ({"article": TEXT, "highlights": ANSWER}, ["article"], "highlights"),
    "nested": ({"data": {"text": TEXT}, "meta": {"output": ANSWER}}, ["data.text"], "meta.output"),
}


CHAT = [{"role": "user", "content": "a text {}"}, {"role": "assistant", "content": "an answer"}]


def numbered(value: Any, number: int) -> Any:
    """A record with a number in each of its texts."""
    if isinstance(value, dict):
        return {key: numbered(part, number) for key, part in value.items()}
    if isinstance(value, list):
        return [numbered(part, number) for part in value]
    return value.replace("{}", str(number)) if isinstance(value, str) else value


@pytest.mark.parametrize("name", FORMATS)
def test_the_formats_of_fine_tuning(name: str) -> None:
    """The right parts are prompt and answer, and no answer is in a prompt."""
    record, inputs, answer = FORMATS[name]
    rows = [numbered(record, number) for number in range(12)]
    task = guess_task(source(*rows), "t")
    assert [item.field for item in task.inputs] == inputs
    assert (task.answer, task.metric) == (answer, "rouge_l")
    assert Task.parse(task_file(task)) == task
    found = list(examples(source(*rows), task, lambda *parts: repr(parts), need_answer=True))
    assert [one.answer for one in found] == [ANSWER.format(n) for n in range(12)]
    assert all(TEXT.format(n) in one.prompt for n, one in enumerate(found))
    assert not any("nobody would call" in one.prompt for one in found)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"prompt": "a text {}", "chosen": "good", "rejected": "bad"}, "preference pairs"),
        ({"chosen": CHAT, "rejected": CHAT}, "preference pairs"),
        ({"q": "a text {}", "response_a": "one", "response_b": "two"}, "preference pairs"),
        ({"prompt": "a text {}", "completion": "a {}", "label": True}, "preference judgements"),
        ({"text": "a text {}", "label": ["one", "two"]}, "multi-label"),
        ({"text": "a text {}", "hate": 1, "threat": 0, "insult": 0}, "multi-label"),
        ({"text": "a text {}", "similarity": "0.5{}"}, "'similarity'.*regression"),
        ({"text": "a text {}", "label": "0.5{}"}, "regression"),
    ],
)
def test_data_for_other_methods_is_refused(record: dict[str, Any], says: str) -> None:
    """With the reason."""
    with pytest.raises(InputError, match=says):
        guess(source(*(numbered(record, n) for n in range(40))), "t")


def test_labels_joined_in_one_text_are_refused() -> None:
    """``a|b`` is several labels; a comma inside the name of a class is not."""
    joined = ["joy", "fear", "joy|fear", "fear|joy|anger", "anger", "anger;joy"]
    rows = [{"text": f"a text {n}", "emotions": joined[n % 6]} for n in range(40)]
    with pytest.raises(InputError, match="multi-label"):
        guess(source(*rows), "t", answer="emotions")
    names = ["Books, Music", "Games", "Tools"]
    rows = [{"text": f"a text {n}", "category": names[n % 3]} for n in range(40)]
    assert guess_task(source(*rows), "t").answers == tuple(names)


def test_a_number_is_a_class_an_answer_or_a_measurement() -> None:
    """Few whole numbers are classes, answers to questions are compared, prices are refused."""
    rows: list[dict[str, Any]] = [
        {"text": f"a text {n}", "stars": n % 5 + 1, "answer": 7 * n, "price": 90 * n}
        for n in range(40)
    ]
    assert guess_task(source(*rows), "t", answer="stars").answers == ("1", "2", "3", "4", "5")
    assert guess_task(source(*rows), "t", answer="answer").metric == "exact_match"
    with pytest.raises(InputError, match=r"'price'.*regression"):
        guess(source(*rows), "t", answer="price")


@pytest.mark.parametrize(
    "value", [datetime(2024, 1, 1), Decimal("1.5"), [["a"]], b"x"], ids=lambda v: type(v).__name__
)
def test_values_that_are_no_text_are_refused(value: Any) -> None:
    """As an answer and as an input, in the words that `score` uses; elsewhere they do no harm."""
    rows = [{"text": f"a text {n}", "x": value, "label": "ab"[n % 2]} for n in range(20)]
    assert guess_task(source(*rows), "t").answers == ("a", "b")
    for options in ({"answer": "x"}, {"inputs": ["x"]}):
        with pytest.raises(InputError, match=r"row 1, field 'x'.* cannot be shown"):
            guess(source(*rows), "t", **options)
    with pytest.raises(InputError, match=r"--input meta.* type dict cannot be shown"):
        guess(source({"meta": {"a": "b"}}), "t", inputs=["meta"])


@pytest.mark.parametrize(
    "header", [("ham", "call me now"), ("17", "please call me back as soon as you can")]
)
def test_a_table_without_a_header_is_noticed(header: tuple[str, str]) -> None:
    """The message says how to name the columns; fields that are named are taken as they are."""
    rows = [{header[0]: ("ham", "spam")[n % 2], header[1]: f"text {n} is here"} for n in range(20)]
    if header[0] == "17":
        rows = [{header[0]: str(n), header[1]: f"text {n} is here"} for n in range(20)]
    with pytest.raises(InputError, match=r"no header.* such as text,label"):
        guess(source(*rows), "t")
    named = guess_task(source(*rows), "t", inputs=[header[1]], answer="label")
    assert named.inputs[0].field == header[1]


def test_questions_may_be_the_names_of_columns() -> None:
    """A survey has sentences in its header, beside columns with names."""
    asked = "What did you like most about our shop?"
    rows = [{"when": "today", asked: f"the bread number {n} was good"} for n in range(20)]
    assert guess_task(source(*rows), "t").inputs[0].field == asked


def test_answers_that_differ_in_case_are_one() -> None:
    """The form that occurs most often is the allowed answer."""
    rows = [{"text": f"a text {n}", "label": ("Yes", "yes", "No", "Yes")[n % 4]} for n in range(40)]
    assert guess_task(source(*rows), "t").answers == ("No", "Yes")


def test_a_column_of_few_values_may_be_the_answer() -> None:
    """Without an answer by its name, and a note says so."""
    rows = [{"text": f"a text {n} is here", "tier": ("gold", "tin")[n % 2]} for n in range(40)]
    rows = [row | {"language": "en" if n % 3 else "de"} for n, row in enumerate(rows)]
    found = guess(source(*rows), "t")
    assert (found.task.answer, found.task.answers) == ("tier", ("gold", "tin"))
    assert any("'tier' has a few values" in note for note in found.notes)


def test_many_classes_in_few_records() -> None:
    """A field called a label has classes even where most occur once or twice; the note says so."""
    rows = [{"text": f"ticket {n} is here", "intent": f"intent {n % 111}"} for n in range(200)]
    found = guess(source(*rows), "t")
    assert len(found.task.answers) == 111
    assert any("111 allowed answers, found in 200 records" in note for note in found.notes)


def test_a_second_text_field_may_be_the_answer() -> None:
    """If no field is called an answer, a note says how to name it."""
    rows = [{"source": f"text {n} is here", "body": f"another text {n}"} for n in range(9)]
    assert any("--answer" in note for note in guess(source(*rows), "t").notes)


@pytest.mark.parametrize("choices", [["a {}", "b"], {"label": ["A", "B"], "text": ["a {}", "b"]}])
def test_a_note_names_the_lists_that_are_left_out(choices: Any) -> None:
    """Choices belong in the prompt of a question; an input that is named needs no note."""
    record = {"question": "which is {}?", "choices": choices, "chat": CHAT}
    rows = [numbered(record, n) | {"answer": "AB"[n % 2]} for n in range(20)]
    (note,) = (note for note in guess(source(*rows), "t").notes if "Lists" in note)
    assert "left out of the prompt: choices. If they are choices, add them under 'inputs'" in note
    named = guess(source(*rows), "t", inputs=["question"]).notes
    assert not any("Lists" in note for note in named)


@pytest.mark.parametrize("marks", ["ABC", "_123"])
def test_three_answers_are_options_and_no_preference_pair(marks: str) -> None:
    """As in multiple choice, with the options as inputs; of two, the message says what to do."""
    names = [f"answer{marks[0] * (marks[0] == '_')}{mark}" for mark in marks.strip("_")]
    rows = [
        {"question": f"what is number {n}?", **{name: f"the {name} is {n}" for name in names}}
        | {"label": str(n % 3 + 1)}
        for n in range(20)
    ]
    task = guess_task(source(*rows), "t")
    assert [item.field for item in task.inputs] == ["question", *names]
    assert (task.answer, task.answers) == ("label", ("1", "2", "3"))
    for row in rows:
        del row[names[-1]]
    with pytest.raises(InputError, match="or, for multiple choice, name the fields with --input"):
        guess(source(*rows), "t")


def test_long_answers_need_more_tokens() -> None:
    """Twice the mean length of an answer, at four characters a token; none for a class."""
    rows = [
        {"text": f"article {n} of many", "summary": f"{n:03} " + "word " * 39} for n in range(40)
    ]
    assert guess(source(*rows), "t").answer_tokens == 100
    assert guess(source(*TICKETS), "t").answer_tokens == 0
