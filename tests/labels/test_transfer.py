"""Exports and imports: matched by content, all or nothing, no answer lost."""

from __future__ import annotations

import csv
import random
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from example_runs import TASK, run_of, scored_run
from hypothesis import given, settings
from hypothesis import strategies as st
from random_label_tasks import write

from labelcast.errors import InputError
from labelcast.labels import exchange, transfer
from labelcast.labels.draw import draw_more
from labelcast.labels.label_task import LabelTask
from labelcast.runs import label_store
from labelcast.runs.run import Run
from labelcast.tasks.sources import Record
from labelcast.tasks.task import Task

ANSWERS = ("yes", "no", "1", "=2")
# Texts that break spreadsheets and labelling tools.
TEXTS = st.text(
    st.one_of(
        st.sampled_from('",;\n\r\t=+-@\u2028\u00e9\U0001f600 '), st.characters(codec="utf-8")
    ).filter(lambda c: c != "\0"),
)


def records(rows: list[dict[str, Any]]) -> list[Record]:
    return [Record(n, f"row {n + 1}", row) for n, row in enumerate(rows)]


def known(run: Run) -> dict[str, str]:
    return {row["id"]: row["label"] for row in run.rows("labels.jsonl")}


@settings(max_examples=25)
@given(
    texts=st.lists(TEXTS, min_size=2, max_size=6),
    shuffle=st.randoms(use_true_random=False),
    drop=st.integers(0, 3),
)
def test_labels_find_their_examples(texts: list[str], shuffle: random.Random, drop: int) -> None:
    """In any order, with other columns, without ids, with missing rows, numbers as numbers."""
    with tempfile.TemporaryDirectory() as folder:
        run = scored_run(Path(folder), texts, len(texts))
        rows: list[dict[str, Any]] = list(transfer.export_rows(run))
        wanted = {}
        for number, row in enumerate(rows):
            wanted[row["id"]] = ANSWERS[number % 4]
            row["label"] = 1 if number % 4 == 2 else ANSWERS[number % 4]
            row["more"] = int(row["more"])
            row["note"] = None
            del row["set"]
        shuffle.shuffle(rows)
        kept = rows[drop:]
        wanted = {row["id"]: wanted[row["id"]] for row in kept}
        for row in kept:
            del row["id"]
        done = transfer.import_labels(run, records(kept))
        assert (done.taken, done.blank, done.unmatched) == (len(kept), 0, ())
        assert known(run) == wanted


@settings(max_examples=25)
@given(texts=st.lists(TEXTS, min_size=2, max_size=5), file_format=st.sampled_from(exchange.FORMATS))
def test_a_round_trip_through_a_file(texts: list[str], file_format: str) -> None:
    """Exported, filled in, imported: every example gets its answer."""
    ending = {"jsonl": "jsonl", "csv": "csv"}.get(file_format, "json")
    with tempfile.TemporaryDirectory() as folder:
        run = scored_run(Path(folder), texts, len(texts))
        path = Path(folder) / f"out.{ending}"
        assert transfer.write_export(run, path, file_format) == len(texts)
        blank = transfer.import_labels(run, transfer.read_file(run, path))
        assert (blank.taken, blank.blank, blank.unmatched) == (0, len(texts), ())
        filled = [
            row | {"label": ANSWERS[number % 4]}
            for number, row in enumerate(transfer.export_rows(run))
        ]
        write(path, file_format, filled, LabelTask.of(run.task))
        done = transfer.import_labels(run, transfer.read_file(run, path))
        assert (done.taken, done.changed, done.unmatched) == (len(texts), 0, ())
        assert known(run) == {row["id"]: row["label"] for row in filled}
        again = path.with_stem("again")
        transfer.write_export(run, again, file_format)
        assert transfer.import_labels(run, transfer.read_file(run, again)).same == len(texts)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with four drawn examples."""
    return scored_run(tmp_path, ["a", "b", "c", "d", "e", "f"], 4)


def filled(run: Run, *answers: str) -> list[dict[str, Any]]:
    rows = transfer.export_rows(run)
    return [row | {"label": answer} for row, answer in zip(rows, answers, strict=False)]


def test_records_without_a_match_are_listed(run: Run) -> None:
    """Another text is another example, even with a known id; a known id alone matches."""
    rows = filled(run, "yes", "yes", "yes", "no")
    rows[0] |= {"text": "changed"}
    rows[1] |= {"id": "unknown"}
    rows[2] = {"id": rows[2]["id"], "label": "yes"}
    rows.append({"text": "x", "more": 9, "label": "not even allowed"})
    done = transfer.import_labels(run, records(rows))
    assert done.taken == 3
    assert done.unmatched == (f"row 1 (id {rows[0]['id']})", "row 5")


def test_a_second_import_changes_only_what_differs(run: Run) -> None:
    """New, changed, same and blank answers are counted; a blank removes nothing."""
    transfer.import_labels(run, records(filled(run, "yes", "no", "1")))
    before = run.file("labels.jsonl").stat().st_mtime_ns
    same = transfer.import_labels(run, records(filled(run, "yes", "no", "1")))
    assert (same.taken, same.same) == (0, 3)
    assert run.file("labels.jsonl").stat().st_mtime_ns == before
    done = transfer.import_labels(run, records(filled(run, "yes", "1", " ", "no")))
    assert (done.taken, done.changed, done.same, done.blank) == (2, 1, 1, 1)
    assert list(known(run).values()) == ["yes", "1", "1", "no"]
    assert label_store.count_labels(run).left == 0


def test_nothing_is_imported_if_one_answer_is_wrong(run: Run) -> None:
    """Or if the answer field is missing."""
    with pytest.raises(InputError, match="row 3, field 'label'"):
        transfer.import_labels(run, records(filled(run, "yes", "no", "maybe")))
    rows = filled(run, "yes", "no")
    del rows[1]["label"]
    with pytest.raises(InputError, match="row 2: no field 'label'"):
        transfer.import_labels(run, records(rows))
    assert not run.file("labels.jsonl").exists()


def test_the_same_example_twice(run: Run) -> None:
    """One answer counts once; for two different ones the error names both places."""
    rows = filled(run, "yes", "no")
    assert transfer.import_labels(run, records([*rows, rows[0]])).taken == 2
    with pytest.raises(InputError, match=r"row 3: .*'no' here and 'yes' at row 1"):
        transfer.import_labels(run, records([*rows, rows[0] | {"label": "no"}]))


def test_only_one_set_is_exported(run: Run, tmp_path: Path) -> None:
    """Each set can be exported alone."""
    draw_more(run, {"test": 2})
    assert len(transfer.export_rows(run)) == 6
    assert {row["set"] for row in transfer.export_rows(run, ["test"])} == {"test"}
    assert transfer.write_export(run, tmp_path / "t.csv", "csv", ["test"]) == 2
    with pytest.raises(InputError, match="nothing has been drawn for random"):
        transfer.write_export(run, tmp_path / "r.csv", "csv", ["random"])


def test_an_edited_export_is_not_replaced(run: Run, tmp_path: Path) -> None:
    """An untouched export is replaced; one with answers or a new column only by force."""
    path = tmp_path / "out.csv"
    transfer.write_export(run, path, "csv")
    transfer.write_export(run, path, "csv")
    write(path, "csv", filled(run, "yes", "", "", ""), LabelTask.of(run.task))
    transfer.import_labels(run, transfer.read_file(run, path))
    text = path.read_text("utf-8-sig").replace("label", "label,comment", 1)
    path.write_text(text, "utf-8-sig")
    with pytest.raises(InputError, match="was edited"):
        transfer.write_export(run, path, "csv")
    assert path.read_text("utf-8-sig") == text
    transfer.write_export(run, path, "csv", force=True)
    assert "yes" in path.read_text("utf-8-sig")
    transfer.write_export(run, path, "csv")


@pytest.mark.parametrize("name", ["draws.jsonl", "confidence.parquet", "run.json"])
def test_a_file_of_a_run_is_not_replaced(name: str, run: Run) -> None:
    """Nor the pool, of which every example may be drawn."""
    pool = Path(run.facts.pool)
    for file in (run.file(name), pool):
        before = file.read_bytes()
        with pytest.raises(InputError, match="is not an export of this run"):
            transfer.write_export(run, file, "jsonl")
        assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["labels.jsonl", "observations.jsonl", "coslow.json"])
def test_no_file_is_put_in_the_place_of_one_of_a_run(name: str, run: Run, tmp_path: Path) -> None:
    """A run's folder keeps its own names, also before it has such a file."""
    for folder in (run.path, tmp_path / "sweep"):
        folder.mkdir(exist_ok=True)
        (folder / ("run.json" if folder == run.path else "sweep.json")).touch()
        with pytest.raises(InputError, match="belongs to labelcast"):
            transfer.write_export(run, folder / name, "jsonl")
        assert not (folder / name).exists()


@pytest.mark.parametrize("text", ["text,more,label\nother,1,yes\n", "x\n1\n", "text,more\na,0\n"])
def test_another_file_is_not_replaced(text: str, run: Run, tmp_path: Path) -> None:
    """Only an export of this run is replaced."""
    path = tmp_path / "out.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="already exists"):
        transfer.write_export(run, path, "csv")
    assert path.read_text() == text


def test_another_configuration_is_not_replaced(run: Run, tmp_path: Path) -> None:
    """Only the same configuration is replaced."""
    path, second = tmp_path / "t.json", tmp_path / "t.config.xml"
    for _ in range(2):
        transfer.write_export(run, path, "label-studio")
        assert second.exists()
    second.write_text("mine")
    with pytest.raises(InputError, match=r"t\.config\.xml: was edited"):
        transfer.write_export(run, path, "label-studio")
    assert second.read_text() == "mine"


def test_a_spreadsheet_may_change_white_space_and_normal_form(tmp_path: Path) -> None:
    """Other line ends, spaces at the ends and composed letters; with an id and without one."""
    texts = ["caf\u00e9 one\r\ntwo", " \ufb01ve\u00a0six ", "seven  eight", "seven eight", "nine"]
    run = scored_run(tmp_path, texts, 5)
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(transfer.export_rows(run)):
        text = unicodedata.normalize("NFKD", row["text"]).replace("\r\n", "\n").strip()
        rows.append(row | {"text": text, "label": ANSWERS[number % 4]})
    for own in (True, False):
        kept = [{k: v for k, v in row.items() if own or k != "id"} for row in rows]
        found = transfer.import_labels(run, records(kept))
        assert (found.taken + found.same, found.unmatched) == (5, ())
        assert known(run) == {row["id"]: row["label"] for row in rows}


def test_texts_that_differ_in_white_space_only_need_their_ids(tmp_path: Path) -> None:
    """A third form of two such texts is matched by the id, and to neither without one."""
    run = run_of(tmp_path, [{"text": text, "more": 0} for text in ("a  b", "a b", "c")], 3, TASK)
    first = next(row for row in transfer.export_rows(run) if row["text"] == "a  b")
    changed = first | {"text": "a\tb", "label": "yes"}
    found = transfer.import_labels(run, records([changed | {"id": None}]))
    assert (found.taken, found.lost) == (0, 1)
    assert transfer.import_labels(run, records([changed])).taken == 1
    assert known(run) == {first["id"]: "yes"}


def test_an_export_saved_as_a_workbook(tmp_path: Path) -> None:
    """Texts and answers that begin like a formula have a mark in CSV, which stays in a cell."""
    openpyxl = pytest.importorskip("openpyxl")
    run = scored_run(tmp_path, ["@anna thanks!", "=1+1", "plain"], 3)
    path = tmp_path / "to_label.csv"
    transfer.write_export(run, path, "csv")
    book = openpyxl.Workbook()
    with path.open(newline="", encoding="utf-8-sig") as stream:
        head, *rows = csv.reader(stream)
    book.active.append(head)
    for row in rows:
        book.active.append([*row[:-1], "'=2"])
    book.save(tmp_path / "to_label.xlsx")
    done = transfer.import_labels(run, transfer.read_file(run, tmp_path / "to_label.xlsx"))
    assert (done.taken, done.unmatched) == (3, ()) and set(known(run).values()) == {"=2"}


def test_an_optional_field_may_be_missing(tmp_path: Path) -> None:
    """A record without it is that example whose field is blank, or the one with its id."""
    task = Task.parse(
        "{name: t, instruction: Say it., answer: label, answers: [yes, no], inputs:"
        " [{field: text, label: T}, {field: more, label: M, optional: true}]}"
    )
    run = run_of(tmp_path, [{"text": "a"}, {"text": "b", "more": "c"}], 2, task)
    ids = {row["text"]: row["id"] for row in transfer.export_rows(run)}
    found = transfer.import_labels(
        run, records([{"text": "a", "label": "yes"}, {"text": "b", "more": None, "label": "no"}])
    )
    assert (found.taken, found.lost) == (1, 1) and known(run) == {ids["a"]: "yes"}
    found = transfer.import_labels(run, records([{"text": "b", "id": ids["b"], "label": "no"}]))
    assert found.taken == 1 and known(run)[ids["b"]] == "no"


def test_a_list_finds_its_example_whatever_its_marks(tmp_path: Path) -> None:
    """The user's own file matches by content where the pool's lists are read with marks."""
    for marks in ("letters", "numbers"):
        task = Task.parse(
            "{name: t, instruction: Say it., answer: y, inputs: [{field: q, label: Q}, "
            f"{{field: choices, label: C, items: {marks}}}]}}"
        )
        rows = [{"q": f"which {n}?", "choices": [f"a{n}", "b"], "y": "A"} for n in range(3)]
        (tmp_path / marks).mkdir()
        run = run_of(tmp_path / marks, rows, 2, task)
        done = transfer.import_labels(run, transfer.read_file(run, tmp_path / marks / "pool.jsonl"))
        assert (done.taken, done.unmatched) == (2, ("pool.jsonl line 3",))


def test_an_empty_list_of_answers_is_blank(run: Run) -> None:
    """As doccano exports it: one list of labels for each example, empty without a label."""
    rows = [
        row | {"label": [row["label"]] if row["label"] else []} for row in filled(run, "no", "")
    ]
    done = transfer.import_labels(run, records(rows))
    assert (done.taken, done.blank) == (1, 1)
