"""A card from sweeps, beside its baselines."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sweeps import Place, make_place

from labelcast.errors import InputError
from labelcast.files.json_files import read_jsonl
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.line import fit_line
from labelcast.models.coslow import cosine, median_cosine
from labelcast.sweeps.calibrate import (
    TaskCurve,
    calibrate,
    estimate_calibration,
    fit_card,
    measure_sweeps_probes,
)
from labelcast.sweeps.probes import Probes, ProbeSettings
from labelcast.sweeps.records import SweepFile
from labelcast.sweeps.sweep import Sweep
from labelcast.training.recipe import LORA

TASKS = tuple(f"task-{number}" for number in range(8))
SMALL = ProbeSettings(
    draws=2, sketch_seeds=2, pool=60, n_label=5, rank=8, max_new_tokens=2, device="cpu"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place for all tests of this module."""
    return make_place(tmp_path_factory.mktemp("place"))


def test_a_card_is_fitted_on_what_was_measured(place: Place) -> None:
    """The card is `Calibration.fit` of mean CoS-Low and AUC; a second call measures nothing."""
    begun = place.filled("card", place.parts(8))
    said: list[str] = []
    done = calibrate([begun.sweep.path], "mine", SMALL, said.append)
    assert len([line for line in said if "coslow" in line]) == 2 * len(TASKS)
    points = done.card.points
    assert [p.task for p in points] == list(TASKS)
    again = Calibration.fit([p.coslow for p in points], [p.auc for p in points], name="mine")
    assert (done.card.slope, done.card.loto_mae) == (again.slope, again.loto_mae)
    assert done.card.recipe == "short"
    assert done.card.fingerprints == (begun.sweep.read().model.fingerprint,)
    row = done.tasks["task-0"]
    assert len(row.coslow) == 2
    assert row.overlap is not None and 0 <= row.overlap <= 1
    assert {error.name for error in done.errors} >= {"coslow", "random_cosine", "mean"}
    file = begun.sweep.path / "probes.jsonl"
    before = file.read_bytes()
    file.write_bytes(before + b'{"task": "ta')
    assert calibrate([begun.sweep.path], "mine", SMALL) == done
    assert file.read_bytes() == before


def test_too_few_tasks_are_refused_before_measuring(place: Place) -> None:
    """With fewer than 8 curves the error says why, and no model is loaded."""
    begun = place.filled("few", TASKS[:7])
    said: list[str] = []
    with pytest.raises(InputError, match="7 tasks have a measured curve, and a card needs 8"):
        calibrate([begun.sweep.path], "mine", SMALL, said.append)
    assert said == []
    assert not (begun.sweep.path / "probes.jsonl").exists()


def test_a_task_with_too_few_examples_is_named_before_it_is_scored(place: Place) -> None:
    """The error names a task with too few examples for a draw; no confidence is measured."""
    begun = place.begin("short", TASKS[:1])
    said: list[str] = []
    greedy = replace(SMALL, pool=5000, n_label=4000)
    with pytest.raises(InputError, match=r"task task-0: .* fewer than the 4000 of a draw"):
        measure_sweeps_probes([begun.sweep.path], greedy, said.append)
    assert not [line for line in said if "confidence" in line]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_label": 1}, "--n-label: must be at least 2"),
        ({"pool": 4}, "--pool 4: fewer than"),
        ({"draws": 0}, "--draws: must be at least 1"),
        ({"sketch_seeds": 101}, "--sketch-seeds: must be at most 100"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    """They are refused before a curve is written or a model loaded."""
    with pytest.raises(InputError, match=said):
        replace(SMALL, **wrong)


def test_sweeps_of_two_recipes_are_refused(place: Place) -> None:
    """A card is for one model and one recipe, and no task may be in two sweeps."""
    one = place.filled("one", TASKS)
    other = place.begin("other", recipe=LORA)
    with pytest.raises(InputError, match="its recipe is 'LoRA'"):
        calibrate([one.sweep.path, other.sweep.path], "mine", SMALL)
    with pytest.raises(InputError, match="Give each task once"):
        calibrate([one.sweep.path, one.sweep.path], "mine", SMALL)


@given(st.integers(0, 1000))
def test_every_baseline_is_judged_leave_one_task_out(seed: int) -> None:
    """Each error equals that of lines refitted here without the task."""
    rng = np.random.default_rng(seed)
    table = rng.uniform(0.1, 0.9, (10, 6))
    names = [f"t{number}" for number in range(10)]
    curves = [
        TaskCurve(Sweep("x"), name, auc=row[0], zero_shot=row[1], censored=False)
        for name, row in zip(names, table, strict=True)
    ]
    probes = {
        name: Probes((row[2],), None, None, None, row[3], row[4], row[5])
        for name, row in zip(names, table, strict=True)
    }
    sizes = {"test_size": 1, "split_seed": 0, "max_new_tokens": 1}
    parts = {"model": {"name": "m", "fingerprint": "f"}, "recipe": {"name": "LoRA"}}
    rest: dict[str, Any] = {"recipe_digest": "r", "tasks": {}, "budgets": [], "seeds": []}
    content = SweepFile.model_validate(sizes | parts | rest)
    done = fit_card(curves, probes, "mine", SMALL, content)
    columns = {"coslow": 2, "random_cosine": 3, "gradient_norm": 4, "mean_confidence": 5}
    for error in done.errors:
        if error.name == "mean":
            by_hand = [abs(table[i, 0] - np.delete(table[:, 0], i).mean()) for i in range(10)]
        else:
            x = table[:, columns.get(error.name, 1)]
            by_hand = []
            for i in range(10):
                line = fit_line(np.delete(x, i), np.delete(table[:, 0], i))
                by_hand.append(abs(table[i, 0] - line.slope * x[i] - line.intercept))
        assert error.loto_mae == pytest.approx(np.mean(by_hand))


def test_probes_are_measured_without_curves(place: Place) -> None:
    """Probes need no scores, and a later call measures only what is missing."""
    begun = place.begin("no-curves", TASKS[:3])
    said: list[str] = []
    some = measure_sweeps_probes([begun.sweep.path], SMALL, said.append, tasks=["task-1"])
    assert list(some) == ["task-1"]
    assert not any("task-0" in line for line in said)
    every = measure_sweeps_probes([begun.sweep.path], SMALL)
    assert list(every) == list(TASKS[:3])
    assert every["task-1"] == some["task-1"]
    with pytest.raises(InputError, match="--task other: not in these sweeps"):
        measure_sweeps_probes([begun.sweep.path], SMALL, tasks=["other"])
    with pytest.raises(InputError, match="--task other: not in these sweeps"):
        estimate_calibration([begun.sweep.path], SMALL, ["other"])


def test_kept_grams_give_the_coslow(place: Place) -> None:
    """Summed over layers, each sketch's matrix has the median cosine of its row."""
    begun = place.begin("grams", TASKS[:1])
    kept = replace(SMALL, keep_grams=True, exact=True)
    measure_sweeps_probes([begun.sweep.path], kept)
    rows = read_jsonl(begun.sweep.path / "probes.jsonl")
    layers = json.loads((begun.sweep.path / "grams" / "layers.json").read_text())
    assert len(layers) == 2 * 7
    for row in rows:
        if row["probe"] in ("coslow", "exact"):
            name = f"{row['task']}-{row['probe']}-{row['draw']}.npy"
            grams = np.load(begun.sweep.path / "grams" / name)  # [L,K,N,N]
            assert len(grams) == len(layers)
            medians = [median_cosine(cosine(one.astype(np.float64))) for one in grams.sum(axis=0)]
            assert medians == pytest.approx(row["per_seed"], abs=1e-5)


def test_grams_are_kept_of_what_is_measured_already(place: Place) -> None:
    """Its numbers stay."""
    begun = place.begin("grams-later", TASKS[:1])
    measure_sweeps_probes([begun.sweep.path], SMALL)
    rows = (begun.sweep.path / "probes.jsonl").read_text()
    measure_sweeps_probes([begun.sweep.path], replace(SMALL, keep_grams=True))
    assert (begun.sweep.path / "probes.jsonl").read_text() == rows
    assert list((begun.sweep.path / "grams").glob("*.npy"))


def test_a_curve_without_zero_shot_is_left_out(place: Place) -> None:
    """Its area and its zero-shot score would be those of the first labels.

    A curve without other budgets of its sweep is named; a sweep that was interrupted has some.
    """
    begun = place.filled("no-start", place.parts(8))
    path = begun.sweep.scores.path
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    missing = [("task-0", 0), ("task-1", 20)]
    kept = [row for row in rows if (row["task"], row["budget"]) not in missing]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    with pytest.raises(InputError, match="task-0 is left out: no zero-shot score") as error:
        calibrate(str(begun.sweep.path), "mine", SMALL)
    assert "task-1 has no score at 20 labels, which its sweep lists" in str(error.value)


def test_the_pool_is_scored_too(place: Place) -> None:
    """The confidence row has the pool's score and the fraction of allowed answers."""
    begun = place.begin("pool-score", TASKS[:1])
    measure_sweeps_probes([begun.sweep.path], SMALL)
    row = json.loads((begun.sweep.path / "probes.jsonl").read_text().splitlines()[0])
    assert row["metric"] == "accuracy"
    assert 0 <= row["score"] <= row["allowed"] <= 1


def test_probes_of_another_sweep_are_taken_where_they_fit(place: Place) -> None:
    """Probes of the same tasks under another recipe are used; other data is refused."""
    curves = place.filled("curves", place.parts(8))
    probed = place.begin("probed", place.parts(8), recipe=LORA)
    measure_sweeps_probes([probed.sweep.path], SMALL)
    said: list[str] = []
    done = calibrate([curves.sweep.path], "mine", SMALL, said.append, probed.sweep.path)
    assert said == [] and done.card.tasks == 8
    assert not (curves.sweep.path / "probes.jsonl").exists()
    assert done.card.loto_difference is not None
    assert "bootstrap over tasks" in done.card.source
    other = place.begin("other-data", TASKS)
    with pytest.raises(InputError, match="another task file or test set"):
        calibrate([curves.sweep.path], "mine", SMALL, probes_of=other.sweep.path)
