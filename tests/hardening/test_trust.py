"""No code from files runs, no text steers the terminal, and nothing calls the network."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from bad_input import LABELLED, TASK, lines
from command_line import Models, Outcome, check_message, fill, in_process, labelcast, snapshot
from hostile_input import ENTRY, ESC, SWEEP

from labelcast.files.untrusted import escaped
from labelcast.forecast.calibration import by_name
from labelcast.sweeps.sweep import Sweep

# Ends the process before anything forbidden happens. A failed request to a hub would go unnoticed.
WATCH = """
import json, os, sys
def watch(event, args):
    if event == "socket.connect" and args[1] and args[1][0] not in ("127.0.0.1", "::1"):
        forbidden("connect", args[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and args[0] not in LOCAL:
        forbidden("look up", args[0])
    elif event == "pickle.find_class":
        forbidden("unpickle", args)
def forbidden(*what):
    os.write(2, f"FORBIDDEN {what}".encode())
    os._exit(99)
LOCAL = (None, "localhost", "127.0.0.1", "::1", b"localhost")
sys.addaudithook(watch)
from labelcast.cli.app import main
def run(*words):
    sys.argv = ["labelcast", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""


class Mine:
    """An object whose unpickling would leave a file named `hit`."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("hit", "w")


def score_with(model: Path, place: Path) -> Outcome:
    return labelcast(
        *("score", place / "pool.jsonl", "--task", place / "task.yaml", "--model", model),
        *("--out", place / "new", "--n-label", 8, "--max-new-tokens", 2),
    )


def test_no_command_calls_the_network(
    place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the task file to the report, with the hub allowed: no name is looked up."""
    monkeypatch.chdir(place)
    fill(place, {n: "yes" if n % 2 else "no" for n in range(8)})
    score = f"score pool.jsonl --task task.yaml --model {models.tiny} --out new --n-label 8"
    commands = (
        *("init pool.jsonl --out new.yaml", f"{score} --max-new-tokens 2"),
        *("label run --import filled.jsonl", "label run --more 4 --export more.csv"),
        *("coslow run", "forecast run", "tasks", "models", "calibrations"),
    )
    code = WATCH + "".join(f"run(*{command.split()!r})\n" for command in commands)
    done = in_process(["report", "run"], code=code, HF_HUB_OFFLINE="0")
    assert (done.status, "FORBIDDEN" in done.err) == (0, False), done.err[-2000:]


@pytest.mark.slow
def test_the_embedded_model_calls_no_network(place: Path) -> None:
    """Its weights are part of the installation."""
    args = ["score", place / "pool.jsonl", "--task", place / "task.yaml", "--out", place / "new"]
    args += ["--n-label", 8, "--max-new-tokens", 2]
    done = in_process(args, code=WATCH, HF_HUB_OFFLINE="0")
    assert (done.status, "FORBIDDEN" in done.err) == (0, False), done.err[-2000:]


def test_pickles_in_a_model_are_not_read(
    place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even under the names that a library looks for next to the weights."""
    monkeypatch.chdir(place)
    shutil.copytree(models.tiny, place / "m")
    names = ("pytorch_model.bin", "optimizer.pt", "rng_state.pth", "training_args.bin", "a.pkl")
    for name in names:
        (place / "m" / name).write_bytes(pickle.dumps(Mine()))
    assert score_with(place / "m", place).status == 0
    assert not (place / "hit").exists()


def test_pickles_in_a_run_are_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of objects is damaged, and so is one whose header claims more than the file has."""
    monkeypatch.chdir(place)
    (place / "run/coslow.json").write_text('{"coslow": 0.3, "examples": 2, "ids": ["a", "b"]}')
    np.save(place / "run/gram.npy", np.array([[Mine()] * 2] * 2), allow_pickle=True)
    check_message(labelcast("report", "run"), 2, ("gram.npy", "damaged"))
    with (place / "run/gram.npy").open("wb") as stream:
        head = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(stream, head)
    check_message(labelcast("report", "run"), 2, ("gram.npy", "damaged"))
    assert not (place / "hit").exists()


def test_tags_make_no_objects(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A YAML tag in a task file makes no object."""
    monkeypatch.chdir(place)
    text = TASK.replace("[yes, no]", "!!python/object/apply:os.mkdir [hit]")
    (place / "bad.yaml").write_text(text)
    labelcast("score", "pool.jsonl", "--task", "bad.yaml", "--out", "new", "--model", "nothing")
    assert not (place / "hit").exists()


def with_template(models: Models, place: Path, template: str, *, own_file: bool) -> Path:
    """A copy of the tiny model with another chat template."""
    shutil.copytree(models.tiny, place / "m")
    file = place / "m/tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("chat_template", None)
    (place / "m/chat_template.jinja").unlink(missing_ok=True)
    if own_file:
        (place / "m/chat_template.jinja").write_text(template)
    else:
        settings["chat_template"] = template
    file.write_text(json.dumps(settings))
    return place / "m"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "chat template fails"),
        ("{{ messages.append(1) }}", "chat template fails"),
        ("{{ cycler.__init__.__globals__.os.mkdir('hit') }}", "chat template fails"),
        ("{% for i in range(10**9) %}x{% endfor %}", "chat template fails"),
        ("{{ 1 / 0 }}", "chat template fails"),
        ("{{ messages[99].role.x.y }}", "chat template fails"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "chat template fails"),
        ("{{ messages ", "chat template fails"),
        ("{% include '/etc/passwd' %}", "chat template fails"),
    ],
)
def test_a_chat_template_stays_in_its_sandbox(
    template: str,
    says: str,
    place: Path,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it tries, one line says that it failed, and no run is created."""
    monkeypatch.chdir(place)
    folder = with_template(models, place, template, own_file=template.startswith("{%"))
    before = snapshot(place)
    check_message(score_with(folder, place), 2, ("model ", says))
    assert snapshot(place) == before


def test_a_card_cannot_steer_the_terminal(place: Path, tmp_path: Path) -> None:
    """Its name, source and model are shown with control characters written out."""
    card = asdict(by_name("llama-3.1-8b-instruct"))
    card |= {"name": f"{ESC}[red]mine[/red]", "source": ESC, "model": ESC}
    (tmp_path / "card.json").write_text(json.dumps(card))
    command = ("forecast", "--coslow", 0.4, "--calibration", tmp_path / "card.json")
    done = labelcast(*command)
    assert done.status == 0
    for text in (done.out, done.err):
        assert text == escaped(text)
    assert "\\x1b]0;owned\\x07\\x1b[2J[red]mine[/red]" in done.out
    as_json = labelcast(*command, "--json")
    assert as_json.out == escaped(as_json.out)
    assert as_json.json["calibration"] == card["name"]


def test_data_cannot_steer_the_terminal(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and answers in messages are written out; the labels are stored exactly."""
    monkeypatch.chdir(place)
    (place / "a.jsonl").write_text(lines({"id": ESC, "text": ESC, "label": "yes"}))
    done = labelcast("label", "run", "--import", "a.jsonl")
    assert done.status == 2
    assert "\\x1b]0;owned" in done.err
    assert done.err == escaped(done.err)


def test_formulas_come_back_exactly(place: Path, models: Models) -> None:
    """No cell of an exported sheet is a formula, and an import restores every text."""
    texts = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''=1", "\uff1d1"]
    pool = [{"id": f"{text}../../{n}", "text": text} for n, text in enumerate(texts)]
    (place / "p.jsonl").write_text(lines(*pool))
    (place / "f.yaml").write_text(TASK.replace("answers: [yes, no]\n", ""))
    done = labelcast(
        *("score", place / "p.jsonl", "--task", place / "f.yaml", "--model", models.tiny),
        *("--out", place / "new", "--n-label", 8, "--max-new-tokens", 2),
    )
    assert done.status == 0, done.err
    sheet = place / "a.csv"
    assert labelcast("label", place / "new", "--export", sheet).status == 0
    text = sheet.read_text("utf-8-sig")
    cells = [cell.strip('"') for line in text.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t")]
    sheet.write_text("\ufeff" + text.replace(",\n", ",=1+1\n"), "utf-8")
    done = labelcast("label", place / "new", "--import", sheet, "--json")
    assert (done.json["imported"]["taken"], done.json["imported"]["unmatched"]) == (8, [])
    rows = [json.loads(line) for line in (place / "new/labels.jsonl").read_text().splitlines()]
    assert {row["text"] for row in rows} == set(texts)
    assert sorted(p.name for p in place.iterdir() if p.is_dir()) == ["new", "run"]


def test_a_task_name_is_not_a_path(tmp_path: Path) -> None:
    """A task's name cannot lead out of the sweep's folder."""
    content = SWEEP | {"tasks": {"../../t": ENTRY}}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="another task's"):
        Sweep(tmp_path).read()


def test_a_card_of_another_model_warns(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forecast with a card for another model warns."""
    monkeypatch.chdir(place)
    (place / "run/coslow.json").write_text('{"coslow": 0.3, "examples": 32}')
    content = json.loads((place / "run/run.json").read_text())
    content["facts"]["model"]["hub_id"] = "somebody/another"
    (place / "run/run.json").write_text(json.dumps(content))
    done = labelcast("forecast", "run", "--calibration", "llama-3.1-8b-instruct", "--json")
    assert any("another model" in warning for warning in done.json["warnings"])
    assert labelcast("forecast", "run", "--calibration", "pooled").status == 0


def test_labels_are_matched_by_content(place: Path) -> None:
    """A label file with other texts changes no example."""
    (place / "a.jsonl").write_text(lines(*(row | {"text": "other"} for row in LABELLED)))
    before = snapshot(place)
    assert labelcast("label", place / "run", "--import", place / "a.jsonl").status == 2
    assert snapshot(place) == before
