"""`labelcast select`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from bad_input import LABELLED, TASK, lines
from command_line import check_message, labelcast
from example_selectors import register
from small_encoders import save_encoder

from labelcast.cli.signal_bars import SignalBars
from labelcast.selection.registry import own_names

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a labelled pool and its task; the example methods are registered."""
    monkeypatch.chdir(tmp_path)
    register(monkeypatch)
    (tmp_path / "pool.jsonl").write_text(lines(*LABELLED))
    (tmp_path / "task.yaml").write_text(TASK)
    return tmp_path


POOL = ("select", "pool.jsonl", "--task", "task.yaml", "--out", "chosen.jsonl")


def test_a_selection_is_written(here: Path) -> None:
    """The rows by rank; the same command again replaces them by the same."""
    done = labelcast(*POOL, "--n", 3, "--json")
    assert done.json == {
        "file": "chosen.jsonl",
        "method": "random",
        "n": 3,
        "seed": 0,
        "values": None,
    }
    before = (here / "chosen.jsonl").read_bytes()
    rows = [json.loads(line) for line in before.splitlines()]
    assert [list(row) for row in rows] == [["id", "index", "rank", "value", "of"]] * 3
    assert [(row["rank"], row["value"]) for row in rows] == [(1, None), (2, None), (3, None)]
    done = labelcast(*POOL, "--n", 3)
    assert (done.status, done.out) == (0, "")
    assert "Wrote 3 examples, chosen by random, to chosen.jsonl." in done.err
    assert (here / "chosen.jsonl").read_bytes() == before


def test_signals_are_kept_in_a_folder(here: Path) -> None:
    """And used by the next method."""
    model = save_encoder(here / "encoder")
    given = ("--model", model, "--signals", "kept", "--n", 2)
    done = labelcast(*POOL, *given, "--method", "outliers", "--json")
    assert done.json["values"]["first"] >= done.json["values"]["last"] > 0
    (kept,) = (here / "kept").glob("*.safetensors")
    before = kept.stat().st_mtime_ns
    assert labelcast(*POOL, *given, "--method", "middle").status == 0
    assert [path.stat().st_mtime_ns for path in (here / "kept").glob("*.safetensors")] == [before]


def test_a_run_is_selected_from(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own model and task; the signals are kept in the run."""
    register(monkeypatch)
    out = tmp_path / "chosen.jsonl"
    done = labelcast("select", place / "run", "--method", "outliers", "--n", 5, "--out", out)
    assert done.status == 0, done.err
    assert len(out.read_text().splitlines()) == 5
    assert list((place / "run/signals").glob("embeddings-*.safetensors"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--n", 3, "--method", "best"), ("--method best: no such method", "random", "outliers")),
        (("--n", 0), ("'--n'", "0")),
        (("--n", 9), ("--n 9: more than the pool's 8 examples",)),
        (("--n", 2, "--method", "outliers"), ("needs embeddings", "--model minilm")),
        (("--n", 2, "--method", "by-task"), ("needs task ids", "--group-by FIELD")),
        (("--n", 2, "--method", "longest-answers"), ("needs a target set", "--target FILE")),
        (("--n", 2, "--method", "longest-answers", "--target", "none.jsonl"), ("none.jsonl",)),
        (("--n", 2, "--target", "task.yaml"), ("--target", "random does not use it")),
        (("--n", 2, "--group-by", "label"), ("--group-by", "random does not use it")),
        (
            ("--n", 2, "--method", "by-task", "--group-by", "none"),
            ("--group-by", "line 1: no field 'none'", "text, label"),
        ),
        (("--n", 2, "--out", "."), ("folder",)),
        (("--n", 2, "--out", "task.yaml"), ("task.yaml: already exists", "--force")),
        (("--n", 2, "--dtype", "int3"), ("int3",)),
        (("--n", 2, "--method", "outliers", "--model", "none"), ("none",)),
    ],
)
def test_bad_input_is_one_message(
    options: tuple[object, ...], says: tuple[str, ...], here: Path
) -> None:
    """With exit status 2 and nothing written."""
    check_message(labelcast(*POOL, *options), 2, says)
    assert not (here / "chosen.jsonl").exists()
    assert (here / "task.yaml").read_text() == TASK


def test_an_unreadable_pool(here: Path) -> None:
    """A missing file, and a broken record."""
    asked = ("--task", "task.yaml", "--n", 2, "--out", "chosen.jsonl")
    check_message(labelcast("select", "none.jsonl", *asked), 2, ("none.jsonl",))
    (here / "broken.jsonl").write_text('{"text": "a"}\n{"text"\n')
    check_message(labelcast("select", "broken.jsonl", *asked), 2, ("broken.jsonl line 2",))


def test_names_from_the_data_cannot_control_the_terminal(here: Path) -> None:
    """They are escaped in messages."""
    (here / "pool.jsonl").write_text(lines({"text": "a", "\x1b[2J<b>": 1}, {"text": "b"}))
    done = labelcast(*POOL, "--n", 1, "--method", "stratified", "--group-by", "no\x1bne")
    assert done.status == 2
    assert "\x1b" not in done.err
    assert "\\x1b[2J<b>" in done.err


def test_a_long_signal_announces_its_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, after some seconds, if the rest takes a minute or more."""
    times = iter(range(0, 10_000, 3))
    clock = SimpleNamespace(monotonic=lambda: float(next(times)))
    monkeypatch.setattr("labelcast.cli.signal_bars.time", clock)
    with SignalBars() as bars:
        progress = bars.show("embeddings", 200)
        progress(1)
        assert "about" not in capsys.readouterr().err
        progress(1)
        assert "embeddings: about" in capsys.readouterr().err
        progress(1)
        assert "about" not in capsys.readouterr().err
        bars.show("confidence", 0)(0)


def test_the_page_has_every_method() -> None:
    """With what each needs."""
    page = (DOCS / "select.md").read_text("utf-8")
    assert [name for name in own_names() if f"| `{name}` |" not in page] == []
