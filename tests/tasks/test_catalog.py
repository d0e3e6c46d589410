"""The catalogue: the paper's tasks as task files, with data in the format that they name."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared_data import shared
from typer.testing import CliRunner

from labelcast.errors import InputError
from labelcast.tasks import generated
from labelcast.tasks.prompts import examples
from labelcast.tasks.sources import GENERATED_SIZE, open_source
from labelcast.tasks.task import Hub, Task, catalogue
from labelcast.tasks.values import as_text

NAMES = tuple(catalogue())
HUB = tuple(name for name in NAMES if Task.load(name).kind == "hub")
LOCAL = ("formal_fallacies_syllogisms_negation", "mnist_ascii", "sports_understanding")
# Marks before each choice, and a config where the hub needs one, are ours.
CONFIG_ADDED = {"mmlu": "all"}

PAIR = {"premise": "It rained all day.", "hypothesis": "The street is wet."}
TWO = {"sentence1": "She sat by the bank.", "sentence2": "The bank was closed."}
# One record a task, in the form of the hub's data set; the answers are beside it.
FORMS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "ade_corpus_v2_classification": ({"text": "A rash followed the drug."}, [1, 0]),
    "anli": ({"uid": "u", **PAIR, "reason": ""}, [0, 1, 2]),
    "banking77": ({"text": "Where is my card?"}, [0, 11, 76]),
    "boolq": ({"question": "is it so", "passage": "It is so.", "idx": 1}, [0, 1]),
    "circa": (
        {
            "context": "X asks a friend.",
            "question-X": "Do you like tea?",
            "canquestion-X": "I like tea.",
            "answer-Y": "I drink it daily.",
            "judgements": "Yes#Yes",
            "goldstandard1": 0,
        },
        [0, -1, 4],
    ),
    "commonsense_qa": (
        {
            "id": "q",
            "question": "Where do fish live?",
            "question_concept": "fish",
            "choices": {"label": list("ABCDE"), "text": ["sea", "sky", "bus", "oven", "shoe"]},
        },
        ["A", "E"],
    ),
    "fig_qa": (
        {"startphrase": "He is a rock.", "ending1": "He is firm.", "ending2": "He is soft."},
        [0, 1],
    ),
    "high": (
        {
            "example_id": "high1.txt",
            "article": "Ann went home.",
            "question": "Who went home?",
            "options": ["Ann", "Ben", "Cy", "Di"],
        },
        ["A", "D"],
    ),
    "medmcqa": (
        {"question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "exp": None},
        [0, 3],
    ),
    "mmlu": (
        {"question": "1 + 1?", "subject": "algebra", "choices": ["1", "2", "3", "4"]},
        [1, 0],
    ),
    "mnli": ({**PAIR, "idx": 0}, [0, 1, 2]),
    "mrpc": ({**TWO, "idx": 0}, [0, 1]),
    "overruling": ({"sentence1": "we overrule the earlier case."}, [1, 0]),
    "qnli": ({"question": "Who?", "sentence": "Ann did.", "idx": 0}, [0, 1]),
    "qqp": ({"question1": "How old?", "question2": "What age?", "idx": 0}, [1, 0]),
    "quail": (
        {
            "id": "f",
            "context": "Ann left.",
            "question": "Why?",
            "answers": ["tired", "ill", "late", "not enough information"],
        },
        [0, 3],
    ),
    "rte": ({**PAIR, "idx": 0}, [0, 1]),
    "sst2": ({"sentence": "a fine film", "idx": 0}, [1, 0]),
    "toxicchat0124": ({"conv_id": "c", "user_input": "hello", "jailbreaking": 0}, [0, 1]),
    "wic": ({"word": "bank", **TWO, "start1": 11, "idx": 0}, [0, 1]),
}


def render(instruction: str, user: str) -> str:
    return f"{instruction}\n\n{user}"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_follows_the_schema(name: str) -> None:
    """Each file parses, has its own name, and notes what it was not checked against."""
    task = Task.load(name)
    assert task.name == name
    assert task.instruction.strip()
    assert task.answers
    assert task.ceiling is not None
    assert task.ceiling.source
    assert task.kind in ("generated", "hub", "local")
    assert task.verified == (task.kind == "generated")
    assert task.verified or task.note


def test_instructions_differ() -> None:
    """No two tasks have the same instruction."""
    assert len({Task.load(name).instruction for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_instruction_names_every_answer(name: str) -> None:
    """Each allowed answer is in the instruction, or is the mark of a choice in the prompt."""
    task = Task.load(name)
    shown = any(item.items or item.label in ("OPTIONS", "CHOICES", "0") for item in task.inputs)
    if not shown and name not in ("object_counting", "mnist_ascii"):
        for answer in task.answers:
            assert answer in task.instruction, answer


def test_the_papers_tasks_are_all_there() -> None:
    """The 30 tasks of the paper: hub id, config, splits, fields and answer as published."""
    with (shared() / "paper" / "tasks.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["task"] for row in rows} == set(NAMES) - {"post_room"}
    for row in rows:
        name, task = row["task"], Task.load(row["task"])
        assert task.answer == row["answer_field"]
        assert _shown(task) == row["input_fields"], name
        if row["hub_id"] == "(own file)":
            assert task.kind == ("local" if name in LOCAL else "generated")
            continue
        assert task.hub is not None
        assert task.hub.id == row["hub_id"]
        assert task.hub.config == (row["config"] or CONFIG_ADDED.get(name))
        assert task.hub.splits == json.loads(row["splits"] or '{"train": "train"}')


def _shown(task: Task) -> str:
    """The input fields as the authors' table writes them."""
    if task.inputs[0].label is None:
        return task.inputs[0].field
    return "; ".join(f"{item.label}={item.field}" for item in task.inputs)


def test_ceilings_follow_the_papers_rule() -> None:
    """The larger of the human and the best published score; 1 if a rule gives the answer."""
    results = shared() / "paper" / "results"
    people = json.loads((results / "human_eval.json").read_text())
    for name in NAMES:
        task = Task.load(name)
        assert task.ceiling is not None
        if task.kind == "generated":
            assert task.ceiling.score == 1
            continue
        assert people[name]["method"] == task.metric
        top = max(people[name]["score"], *_published(results / "finetune_results", name))
        assert task.ceiling.score == pytest.approx(top, abs=6e-4), name
        if top > people[name]["score"]:
            assert str(people[name]["score"]) in task.ceiling.source


def _published(folder: Path, name: str) -> list[float]:
    scores = []
    for path in folder.glob(f"*_{name}_full_result_v2.json"):
        for budget, score in json.loads(path.read_text()).items():
            if int(budget) == 0 or 50 <= int(budget) <= 5000:
                scores.append(score.get("accuracy", score.get("exact_string_match_accuracy", 0)))
    return scores


@pytest.mark.parametrize(
    "name",
    ["ade_corpus_v2_classification", "banking77", "fig_qa", "mrpc", "qnli", "rte", "sst2"],
)
def test_real_data_renders(name: str) -> None:
    """Every record of the published data renders, and every answer is allowed and occurs."""
    task = Task.load(name)
    source = open_source(shared() / "tasks" / f"{name}.jsonl")
    found = list(examples(source, task, render, need_answer=True))
    assert len(found) > 2000
    assert {example.answer for example in found} == set(task.answers)


def test_real_meanings_of_banking77() -> None:
    """The meaning that the instruction gives a number is the published name of that number."""
    lines = Task.load("banking77").instruction.splitlines()
    meanings = dict(line.split(" ", 1) for line in lines if line[:1].isdigit())
    checked = 0
    for record in open_source(shared() / "tasks" / "banking77.jsonl").records():
        name = record.values["label_name"].lower().replace("_", " ").strip("?")
        words = {word[:4] for word in name.split()}
        said = meanings[str(record.values["label"])].lower().replace("-", " ")
        assert words & {word[:4] for word in said.split()}, (name, said)
        checked += 1
    assert checked > 2000


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub library caches in a folder of the test."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def _on_disk(name: str, folder: Path) -> str:
    """The catalogue's task with a local dataset in place of the hub's."""
    task = Task.load(name)
    assert task.hub is not None
    config = task.hub.config or "default"
    record, answers = FORMS[name]
    rows = [record | {task.answer: answer} for answer in answers]
    lines = ["---", "configs:", f"- config_name: {config}", "  data_files:"]
    for split in dict.fromkeys(task.hub.splits.values()):
        path = folder / "set" / config / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
        lines += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (folder / "set" / "README.md").write_text("\n".join([*lines, "---", ""]))
    text = catalogue()[name].read_text("utf-8")
    path = folder / f"{name}.yaml"
    path.write_text(text.replace(f"  id: {task.hub.id}\n", f"  id: {folder / 'set'}\n"))
    return str(path)


def test_every_hub_task_has_test_data() -> None:
    """No task of the hub goes untested."""
    assert set(FORMS) == set(HUB)


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("name", HUB)
def test_hub_data(name: str, tmp_path: Path) -> None:
    """task:NAME reads a dataset split by split; -1 is no answer."""
    spec = _on_disk(name, tmp_path)
    task = Task.load(spec)
    assert task.hub is not None
    wanted = [str(answer) for answer in FORMS[name][1] if answer != -1]
    for role in task.hub.splits:
        source = open_source(f"task:{spec}:{role}")
        found = list(examples(source, task, render, need_answer=True))
        assert [example.answer for example in found] == wanted
        assert [example.index for example in found] == list(range(len(wanted)))
        assert all(text for example in found for text in example.fields.values())
    assert open_source(f"task:{spec}").spec == f"task:{spec}:train"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("high", "CHOICES: A. Ann\nB. Ben\nC. Cy\nD. Di"),
        ("mmlu", "CHOICES: 0. 1\n1. 2\n2. 3\n3. 4"),
        ("quail", "CHOICES: 0. tired\n1. ill\n2. late\n3. not enough information"),
        ("commonsense_qa", "CHOICES: A. sea\nB. sky\nC. bus\nD. oven\nE. shoe"),
        ("medmcqa", "0: w\n1: x\n2: y\n3: z"),
    ],
)
def test_choices_are_shown_with_their_answers(name: str, says: str) -> None:
    """Each choice comes after the answer that selects it."""
    assert Task.load(name).user_text(FORMS[name][0], "here").endswith(says)


@pytest.mark.parametrize("name", LOCAL)
def test_local_tasks_read_a_users_file(name: str, tmp_path: Path) -> None:
    """Such a task needs a file with input and target; it has no data of its own."""
    task = Task.load(name)
    path = tmp_path / "own.jsonl"
    rows = [{"input": f"text {answer}", "target": answer} for answer in task.answers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(examples(open_source(path), task, render, need_answer=True))
    assert [example.answer for example in found] == list(task.answers)
    with pytest.raises(InputError, match=r"no data of its own.*input and target"):
        open_source(f"task:{name}")


def test_generated_tasks_are_pools() -> None:
    """task:NAME of a generated task is its first 8,000 records of seed 0."""
    name = generated.NAMES[0]
    source = open_source(f"task:{name}")
    own = [record.values for record in source.records()]
    assert own == list(generated.generate(name, GENERATED_SIZE))
    assert [r.values for r in open_source(f"task:{name}:train").records()] == own
    with pytest.raises(InputError, match="no 'test' split"):
        open_source(f"task:{name}:test")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("task:nothing", "no such task in the catalogue"),
        ("task:sst2:dev", "ROLE train, valid or test"),
        ("task:sst2:test", "nyu-mll/glue: no split for 'test'; it has train, valid"),
    ],
)
def test_wrong_pools(spec: str, says: str) -> None:
    """A wrong name or role is refused before anything is downloaded."""
    with pytest.raises(InputError, match=says):
        open_source(spec)


def test_a_task_is_not_the_data_of_a_task(tmp_path: Path) -> None:
    """A task file that names itself, or another, as its data is refused."""
    path = tmp_path / "t.yaml"
    path.write_text(f"{{name: t, instruction: Say., inputs: [a], answer: b, data: 'task:{path}'}}")
    with pytest.raises(InputError, match="cannot be a task"):
        open_source(f"task:{path}")


def test_hub_specs() -> None:
    """With a config both come after the id; without one only the split."""
    assert Hub(id="a/b").spec() == "hub:a/b:train"
    hub = Hub.model_validate({"id": "a/b", "config": "c", "splits": {"train": "t", "valid": "v"}})
    assert hub.spec("valid") == "hub:a/b:c:v"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("hub: {id: a/b, split: train}", r"unknown key 'hub.split'. Did you mean 'splits'"),
        ("hub: {id: a/b, splits: {valid: v}}", "the split for train is missing"),
        ("hub: {id: a/b, splits: {train: t, dev: v}}", "hub.splits"),
        ("hub: {id: a/b}\ndata: generated:web_of_lies", "keep one"),
        ("verified: perhaps", "verified"),
    ],
)
def test_wrong_hub_keys(more: str, says: str) -> None:
    """The message names the key."""
    plain = "name: t\ninstruction: Say it.\ninputs: [text]\nanswer: label\n"
    with pytest.raises(InputError, match=says):
        Task.parse(plain + more)


def test_lists_with_marks() -> None:
    """Letters from A, numbers from 0, or none; too many for letters are refused."""
    assert as_text(["x", 2.0], "here") == "x\n2"
    assert as_text(["x", "y"], "here", "letters") == "A. x\nB. y"
    assert as_text(["x", "y"], "here", "numbers") == "0. x\n1. y"
    with pytest.raises(InputError, match="27 choices"):
        as_text(["x"] * 27, "here", "letters")


def test_choices_with_their_own_marks() -> None:
    """A label and a text per choice make one line each; any other mapping is refused."""
    assert as_text({"label": ["1", "b"], "text": ["x", "y"]}, "here") == "1. x\nb. y"
    for wrong in (
        {"a": 1},
        {"label": ["A"], "text": ["x", "y"]},
        {"label": "A", "text": "x"},
        {"label": [["A"]], "text": ["x"]},
    ):
        with pytest.raises(InputError, match="dict cannot be shown"):
            as_text(wrong, "here")


def test_the_list_for_people_and_for_programs() -> None:
    """`labelcast tasks` shows one row per task; --json has every field."""

    from labelcast.cli.app import build

    shown = CliRunner(env={"COLUMNS": "160"}).invoke(build(), ["tasks"])
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == len(NAMES) + 1
    rows = json.loads(CliRunner().invoke(build(), ["tasks", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(NAMES)
    (anli,) = (row for row in rows if row["name"] == "anli")
    assert (anli["kind"], anli["hub"], anli["verified"]) == ("hub", "facebook/anli", False)
    assert anli["splits"]["valid"] == "dev_r1"
