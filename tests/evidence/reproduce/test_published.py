"""The authors' results folder."""

import json
import shutil
from pathlib import Path

import pytest
from shared_data import shared

from evidence.reproduce.published import auc_max_abs_error, read_published
from labelcast.errors import InputError, LabelcastWarning


def _results(folder: Path, model: str = "some_model", task: str = "my_task") -> Path:
    """Write a small results folder: one curve with a dip and missing budgets."""
    scores = {"0": 0.2, "4": 0.9, "50": 0.6, "100": 0.5, "5000": 0.7, "10000": 1.0}
    content = {n: {"exact_string_match_accuracy": s} for n, s in scores.items()}
    (folder / "finetune_results").mkdir(parents=True)
    (folder / "auc_res").mkdir()
    _score_file(folder, model, task).write_text(json.dumps(content), encoding="utf-8")
    auc = folder / "auc_res" / f"{model}_auc_logscale_by_task_5000.json"
    auc.write_text(json.dumps({task: {"extrapolation_auc": 0.5}}), encoding="utf-8")
    human = {task: {"score": 0.8}, "other": {"score": "f1"}}
    (folder / "human_eval.json").write_text(json.dumps(human), encoding="utf-8")
    return folder


def _score_file(folder: Path, model: str = "some_model", task: str = "my_task") -> Path:
    return folder / "finetune_results" / f"{model}_{task}_full_result_v2.json"


def test_every_published_auc_is_recomputed() -> None:
    """All 70 published areas follow from the raw scores to within 1e-9."""
    curves = read_published(shared() / "paper" / "results")
    assert len(curves) == 70 and len({c.task for c in curves}) == 40
    assert all(c.published_auc is not None for c in curves)
    assert auc_max_abs_error(curves) < 1e-9


def test_only_the_budgets_of_the_axis_count(tmp_path: Path) -> None:
    """Budgets below 50 and above 5,000 are left out; missing ones do not fall; dips are cleaned."""
    (curve,) = read_published(_results(tmp_path))
    assert (curve.model, curve.task, curve.human) == ("some_model", "my_task", 0.8)
    assert dict(curve.raw) == {0: 0.2, 50: 0.6, 100: 0.5, 5000: 0.7}
    assert curve.curve.scores == (0.2, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.7)
    assert curve.curve.ceiling == 0.8
    assert curve.grid_gains == pytest.approx(curve.curve.gains)


def test_any_prefix_works_with_or_without_published_aucs(tmp_path: Path) -> None:
    """A prefix is told by its AUC file; without one by a task that the human scores name."""
    folder = _results(tmp_path)
    for model, task in (("qwen_14b", "my_task"), ("qwen", "new_task")):
        shutil.copy(_score_file(folder), _score_file(folder, model, task))
    curves = read_published(folder)
    assert [(c.model, c.task) for c in curves] == [
        ("qwen", "new_task"),
        ("qwen_14b", "my_task"),
        ("some_model", "my_task"),
    ]
    assert [c.human for c in curves] == [None, 0.8, 0.8]
    assert [c.published_auc for c in curves] == [None, None, 0.5]
    assert auc_max_abs_error(curves) == abs(curves[2].curve.auc - 0.5)


def test_a_curve_with_nothing_to_gain_is_left_out(tmp_path: Path) -> None:
    """A model whose zero-shot is its best score has no area there; its other curves count."""
    folder = _results(tmp_path)
    flat = {"0": {"accuracy": 0.7}, "50": {"accuracy": 0.6}}
    _score_file(folder, task="flat").write_text(json.dumps(flat), encoding="utf-8")
    with pytest.warns(LabelcastWarning, match="flat.*left out: nothing to gain"):
        curves = read_published(folder)
    assert [c.task for c in curves] == ["my_task"]


def test_human_score_that_is_no_number_is_none(tmp_path: Path) -> None:
    """An entry that is no number counts as no human score: the best score is the ceiling."""
    (curve,) = read_published(_results(tmp_path, task="other"))
    assert curve.human is None and curve.curve.ceiling == 0.7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "JSON object"),
        ("{}", "no budget"),
        ('{"0": {"accuracy": 0.1}}', "no budget"),
        ('{"fifty": {"accuracy": 0.1}}', "'fifty'"),
        ('{"0": {"accuracy": 0.1}, "50": {"accuracy": "x"}}', "budget 50"),
        ('{"0": {"accuracy": 0.1}, "50": {"accuracy": NaN}}', "budget 50"),
        ('{"0": {"accuracy": 0.1}, "50": {"bleu": 0.1}}', "budget 50"),
    ],
)
def test_bad_score_files_are_named(tmp_path: Path, content: str, words: str) -> None:
    """A score file that cannot be used is refused; the message names it and the place."""
    path = _score_file(_results(tmp_path, task="other"), task="other")
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words) as error:
        read_published(tmp_path)
    assert str(path) in str(error.value)


def test_folders_that_are_no_results(tmp_path: Path) -> None:
    """A wrong folder, and one without human scores, are refused by name."""
    with pytest.raises(InputError, match="finetune_results"):
        read_published(tmp_path)
    folder = _results(tmp_path)
    (folder / "human_eval.json").unlink()
    with pytest.raises(InputError, match="human_eval"):
        read_published(folder)
    with pytest.raises(InputError, match="auc_res"):
        auc_max_abs_error(())
