"""The tables of the card's measurements, from rows that are made up here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from evidence.own_curves.rows import FACTS
from evidence.smollm2 import finding
from evidence.smollm2.finding import aucs_of_rows
from evidence.smollm2.variants import nested_errors
from labelcast.files.json_files import read_json, write_json, write_jsonl
from labelcast.forecast.efficiency import log_position
from labelcast.sweeps.records import ScoreRow
from labelcast.tasks.task import Task

NAMES = [f"made-{number}" for number in range(10)]


def make_measured(folder: Path, *, curves: bool) -> Path:
    """Rows of ten tasks whose AUC follows CoS-Low closely."""
    rng = np.random.default_rng(0)
    values = np.linspace(0.2, 0.7, len(NAMES))
    probes, layers, zero, scores = [], [], [], []
    for name, value in zip(NAMES, values, strict=True):
        near = {"task": name, "seconds": 1.0}
        probes.append(
            near
            | {"probe": "confidence", "draw": 0, "allowed": 0.5, "examples": 1600}
            | {"mean_confidence": rng.uniform()}
        )
        for draw in range(3):
            found = value + 0.01 * draw
            sketch = {"coslow": found, "per_seed": [found - 0.001, found + 0.001]}
            ends = {"low": found - 0.05, "high": found + 0.05, "ids": [str(draw), "shared"]}
            probes.append(near | {"probe": "coslow", "draw": draw} | sketch | ends)
            layers.append(
                {"task": name, "probe": "coslow", "draw": draw, "all": [found, found]}
                | {"q_proj": [rng.uniform(), rng.uniform()], "block 0": None}
            )
        probes.append(near | {"probe": "exact", "draw": 0, "coslow": value + 0.002})
        probes.append(
            near | {"probe": "random", "draw": 0, "median": rng.uniform(), "norm": rng.uniform()}
        )
        row = {"task": name, "model": "made-up", "seed": 1, "metric": "accuracy", "error": ""}
        row |= {"test_size": 500, "seconds": 1.0, "score_sd": 0.02}
        zero.append(row | {"budget": 0, "score": 0.1 + 0.01 * rng.uniform()})
        for budget, share in ((0, 0.0), (50, value), (5000, 1.0)):
            scores.append(row | {"budget": budget, "score": 0.1 + 0.8 * share})
    write_jsonl(folder / "cpu" / "probes.jsonl", probes)
    write_jsonl(folder / "cpu" / "layers.jsonl", layers)
    write_jsonl(folder / "cpu" / "scores.jsonl", zero)
    if curves:
        text = "{name: NAME, instruction: Say it., inputs: text, answer: y}"
        tasks = {n: Task.parse(text.replace("NAME", n)).model_dump(mode="json") for n in NAMES}
        content = {
            "model": {"name": "made-up", "fingerprint": "made-up"},
            "recipe": {"name": "made-up"},
            "recipe_digest": "made-up",
            **{"test_size": 500, "split_seed": 0, "max_new_tokens": 30},
            "tasks": {
                name: {"task": task, "data": "made-up.jsonl", "test_digest": "made-up"}
                for name, task in tasks.items()
            },
            **{"budgets": [0, 50, 5000], "seeds": [1]},
        }
        write_json(folder / "curves" / "sweep.json", content)
        write_jsonl(folder / "curves" / "scores.jsonl", scores)
    return folder


def run(measured: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script as the command line runs it."""
    given = ["finding.py", "--measured", str(measured), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", given)
    finding.main()


def test_without_curves_only_the_probes_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spread of draws and sketches, difference to the exact value, and what is missing."""
    run(make_measured(tmp_path / "m", curves=False), tmp_path / "img", monkeypatch)
    text = capsys.readouterr().out
    assert "10 tasks have all their probes, 0 also a curve by" in text
    assert "| made-0 | 0.200, 0.210, 0.220 | 0.210 | 0.0100 | 0.0014 | 0.50 | +0.0020 |" in text
    assert "A card needs 8 curves by its own recipe" in text
    assert (tmp_path / "img" / "smollm2-coslow.svg").exists()
    assert not (tmp_path / "img" / "smollm2-auc.svg").exists()


def test_with_curves_every_predictor_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of each line is shown next to that of the mean, then the variants."""
    run(make_measured(tmp_path / "m", curves=True), tmp_path / "img", monkeypatch)
    text = capsys.readouterr().out
    for words in ("CoS-Low, exact", "zero-shot score", "the mean of the other tasks"):
        assert f"| {words} |" in text
    assert "Nested validation over 4 variants" in text
    assert (tmp_path / "img" / "smollm2-auc.svg").exists()


def test_a_variant_is_chosen_without_the_task_it_predicts() -> None:
    """Noise that fits one task by chance is not chosen for it; a true variant always is."""
    rng = np.random.default_rng(1)
    aucs = rng.uniform(0.2, 0.8, 12)
    values = {"true": aucs + 0.01 * rng.normal(size=12), "all, median": rng.uniform(size=12)}
    default, chosen, picks = nested_errors(values, aucs, "all, median")
    assert picks == {"true": 12}
    assert chosen < default / 3


def test_the_area_of_a_linear_head_starts_at_the_most_frequent_answer() -> None:
    """A head that gives only that one has an area of 0; the seeds of a task are averaged."""
    usual = read_json(FACTS)["trec"]["most frequent answer"]

    def row(budget: int, seed: int, score: float) -> ScoreRow:
        return ScoreRow(
            task="trec", model="m", budget=budget, seed=seed, metric="accuracy", score=score
        )

    never = [row(n, seed, usual) for n in (50, 5000) for seed in (0, 1)]
    assert aucs_of_rows(never) == {"trec": 0.0}
    half = (1 + usual) / 2
    two = [row(50, 0, half - 0.1), row(50, 1, half + 0.1), row(5000, 0, half)]
    [auc] = aucs_of_rows(two).values()
    at_50 = float(log_position(50))
    assert auc == pytest.approx(0.5 * at_50 / 2 + 0.5 * (1 - at_50))
    # Another task has scores at 50 labels only, so the last score of this one does not count.
    other = row(50, 0, half).model_copy(update={"task": "sst2"})
    shared = aucs_of_rows([row(50, 0, half), row(5000, 0, 1.0), other])
    assert shared["trec"] == pytest.approx(auc)
