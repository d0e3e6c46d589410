"""A forecast from a run folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelcast.errors import InputError
from labelcast.files.json_files import read_json, write_json, write_jsonl
from labelcast.forecast import forecast
from labelcast.forecast.calibration import by_name
from labelcast.forecast.options import Observed
from labelcast.runs.forecast import answer_run, asked_again, forecast_run, last_asked
from labelcast.runs.records import ModelPart, RunFacts, RunQuestion
from labelcast.runs.run import Run
from labelcast.selection.measured import measured
from labelcast.tasks.task import Task

TASK = {
    "name": "t",
    "instruction": "Say it.",
    "inputs": [{"field": "text"}],
    "answer": "y",
    "ceiling": {"score": 0.9, "source": "people"},
}


def made(path: Path, coslow: float | None = 0.4, task: dict[str, Any] = TASK, **model: Any) -> Run:
    """A run of some model, with or without CoS-Low."""
    identity = {"hub_id": None, "fingerprint": "x", "architecture": {}, "name": "m"} | model
    question = RunQuestion(task=Task.build(task))
    run = Run.create(path / "run", question, RunFacts.model_validate({"model": identity}))
    write_jsonl(run.file("labels.jsonl"), [{"set": "low", "id": "a", "y": "b"}])
    if coslow is not None:
        write_json(run.file("coslow.json"), {"coslow": coslow})
        run.finish("coslow", labels=run.labels_digest("low"))
    return run


def test_it_is_the_forecast_of_its_parts(tmp_path: Path) -> None:
    """CoS-Low, the model's card and the task's ceiling come from the run."""
    run = made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct")
    answer, warnings = forecast_run(run, target_score=0.8, zero_shot=0.5)
    direct = forecast(
        0.4, by_name("llama-3.1-8b-instruct"), target_score=0.8, zero_shot=0.5, ceiling=0.9
    )
    assert answer == direct
    assert warnings == ()
    kept = read_json(run.file("forecast.json"))
    assert kept == json.loads(json.dumps(answer.to_dict()))
    assert run.is_done("forecast")


def test_a_given_ceiling_takes_precedence(tmp_path: Path) -> None:
    """The task's ceiling is only the default."""
    answer, _ = forecast_run(made(tmp_path), target_score=0.8, zero_shot=0.5, ceiling=0.85)
    assert answer.target.gain == pytest.approx(0.3 / 0.35)


def test_a_model_without_a_card_gets_the_pooled_one(tmp_path: Path) -> None:
    """A warning says so, and the user can name another card."""
    answer, warnings = forecast_run(made(tmp_path))
    assert answer.calibration == "pooled"
    assert "no calibration exists" in warnings[0]
    answer, warnings = forecast_run(made(tmp_path), calibration="qwen2.5-14b-instruct")
    assert (answer.calibration, warnings) == ("qwen2.5-14b-instruct", ())


def test_changed_labels_are_a_warning(tmp_path: Path) -> None:
    """If labels have changed since CoS-Low, a warning is given and kept with the forecast."""
    run = made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct")
    write_jsonl(run.file("labels.jsonl"), [{"set": "low", "id": "a", "y": "c"}])
    _, warnings = forecast_run(run)
    assert "labels have changed" in warnings[0]
    assert warnings[0] in read_json(run.file("forecast.json"))["warnings"]


def test_few_examples_are_a_warning(tmp_path: Path) -> None:
    """CoS-Low from fewer examples than the calibrations had gives a warning."""
    run = made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct")
    for examples, warned in ((3, True), (32, False)):
        write_json(run.file("coslow.json"), {"coslow": 0.4, "examples": examples})
        _, warnings = forecast_run(run)
        assert any(f"rests on {examples} examples" in w for w in warnings) == warned


def test_before_coslow_observed_scores_are_enough(tmp_path: Path) -> None:
    """Without either, the message says which commands come first."""
    run = made(tmp_path, coslow=None)
    with pytest.raises(InputError, match=r"CoS-Low is not measured yet.*labelcast coslow"):
        forecast_run(run)
    assert not run.file("forecast.json").exists()
    answer, _ = forecast_run(run, zero_shot=0.4, observations=[(50, 0.6), (100, 0.7)])
    assert "CoS-Low" not in answer.answered_by


def with_scores(run: Run, *rows: tuple[int, float, int], train_set: str = "random") -> Run:
    """A run with scores that `labelcast tune` measured: budget, score, test size."""
    names, same = ("budget", "score", "test_size"), {"recipe": "LoRA", "train_set": train_set}
    named = [dict(zip(names, row, strict=True)) | same for row in rows]
    write_jsonl(run.file("observations.jsonl"), named)
    return run


def test_every_measured_score_counts_with_its_own_test_set(tmp_path: Path) -> None:
    """Several seeds at one budget are several scores, as if all were given."""
    rows = [(50, 0.62, 200), (50, 0.58, 200), (100, 0.66, 1000)]
    run = with_scores(made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct"), *rows)
    answer, _ = forecast_run(run, zero_shot=0.5)
    scores = [(n, score, None, size) for n, score, size in rows]
    asked: dict[str, Any] = {"zero_shot": 0.5, "ceiling": 0.9, "recipe": "LoRA"}
    direct = forecast(0.4, by_name("llama-3.1-8b-instruct"), observations=scores, **asked)
    assert answer == direct
    found = [(o.budget, o.score) for o in answer.observations]
    assert found == [(50, 0.58), (50, 0.62), (100, 0.66)]
    assert answer.observations[2].sd < answer.observations[0].sd
    assert not any("test examples are assumed" in warning for warning in answer.warnings)


def test_scores_of_other_settings_are_a_warning(tmp_path: Path) -> None:
    """They are left out, and it says how many."""
    run = with_scores(made(tmp_path), *[(50, 0.62, 200)] * 3)
    digests = zip(run.rows("observations.jsonl"), ("old", "old", "new"), strict=True)
    rows = [row | {"recipe_digest": digest} for row, digest in digests]
    write_jsonl(run.file("observations.jsonl"), rows)
    assert any("are left out (2)" in one for one in answer_run(run).warnings)
    assert len(answer_run(run).forecast.observations) == 1


def test_scores_of_selected_labels_are_a_warning(tmp_path: Path) -> None:
    """It says how far the method's measured scores differ from random ones, at the last budget."""
    rows = [(20, 0.62, 200), (200, 0.66, 200)]

    def warning(name: str) -> str:
        run = with_scores(made(tmp_path / name), *rows, train_set=name)
        [found] = [one for one in answer_run(run).warnings if "drawn at random" in one]
        return found

    at = measured().methods["typical"]
    assert at[200].rise.high < 0
    said = warning("typical")
    assert f"typical with 200 labels scored {at[200].score.text()} against random" in said
    assert f"with 1,000 {at[1000].score.text()}: expect more labels" in said
    assert "no curve of labels that dlc chose was measured" in warning("dlc")


def test_values_of_the_run_are_put_on_the_users_scale(tmp_path: Path) -> None:
    """The task's ceiling and the measured scores are from 0 to 1, whatever the user's scale is."""
    run = with_scores(made(tmp_path), (50, 0.6, 200))
    plain, _ = forecast_run(run, target_score=0.8)
    percent, _ = forecast_run(run, target_score=80, scale=100)
    errors, _ = forecast_run(run, target_score=20, scale=100, lower_is_better=True)
    assert percent.labels_needed == errors.labels_needed == plain.labels_needed
    assert percent.ceiling is not None and percent.ceiling.median == pytest.approx(90)
    assert errors.observations[0].score == pytest.approx(40)


def test_a_loss_ignores_values_on_another_scale(tmp_path: Path) -> None:
    """The ceiling and scores of an accuracy are left out, with a warning."""
    run = with_scores(made(tmp_path), (50, 0.6, 200))
    answer, found = forecast_run(
        run, observations=[(50, 2.0)], target_score=1.5, lower_is_better=True
    )
    (observed,) = answer.observations
    assert observed.budget == 50 and observed.score == pytest.approx(2.0)
    assert answer.ceiling is not None and not answer.ceiling.known
    assert any("losses" in warning for warning in found)


def test_a_large_pool_is_the_horizon(tmp_path: Path) -> None:
    """A pool of more than 5,000 examples is the horizon, unless another one is given."""
    model = ModelPart(name="m", fingerprint="x", architecture={})
    for size, horizon in ((400, 5000), (20_000, 20_000), (10**7, 10**6)):
        run = Run.create(tmp_path / f"{size}", RunQuestion(), RunFacts(model=model, size=size))
        answer, _ = forecast_run(run, observations=[(50, 0.6)], target_score=0.8)
        assert (answer.horizon, answer.curve[-1].n) == (horizon, horizon)
    answer, _ = forecast_run(run, observations=[(50, 0.6)], target_score=0.8, horizon=700)
    assert answer.horizon == 700


def test_manifests_of_earlier_versions(tmp_path: Path) -> None:
    """Manifests with only `options`, or with options that no longer exist, give a forecast."""
    run = made(tmp_path)
    asked: dict[str, Any] = {
        "zero_shot": 0.4,
        "observations": [[50, 0.6], [100, 0.7, 0.03]],
        "level": 0.8,
    }
    expected = forecast_run(run, **asked)[0]
    for content in (
        {"asked": asked | {"seed": 0, "samples": 4000}},
        {"options": asked | {"ceiling": 0.9, "seed": 0}},
    ):
        run.finish("forecast", **content)
        assert not {"seed", "samples"} & last_asked(run).keys()
        assert answer_run(run, **last_asked(run)).forecast == expected
    run.finish("forecast", asked={"nonsense": 1})
    with pytest.raises(InputError, match=r"forecast\.json: damaged"):
        last_asked(run)


def test_a_forecast_is_repeated_with_every_option(tmp_path: Path) -> None:
    """The manifest is enough to make the same forecast, including the plan."""
    run = made(tmp_path)
    costs: dict[str, Any] = {"label_cost": 0.5, "run_cost": 20.0, "value": 4000.0}
    scores: list[Observed] = [(50, 60.0), (50, 62.0, None, 300), (100, 66.0, 1.5)]
    answer, _ = forecast_run(
        run, scale=100, target_score=80, observations=scores, horizon=8000, **costs
    )
    assert answer.plan is not None
    assert answer_run(run, **last_asked(run)).forecast == answer


def test_tuning_asks_what_was_asked(tmp_path: Path) -> None:
    """Options given now, the recipe and the score that are measured now come first."""
    run = made(tmp_path)
    assert asked_again(run, 50, {"target": None}) == {}
    kept: dict[str, Any] = {"level": 0.8, "label_cost": 0.5}
    forecast_run(run, target_score=0.8, zero_shot=0.4, recipe="LoRA", **kept)
    assert asked_again(run, 50, {"ceiling": 0.9}) == kept | {
        "target_score": 0.8,
        "zero_shot": 0.4,
        "ceiling": 0.9,
    }
    found = asked_again(run, 0, {"target": 0.7})
    assert found == kept | {"target": 0.7, "recipe": "LoRA"}
    forecast_run(run, observations=[(0, 0.4), (50, 0.6)])
    assert [n for n, *_ in asked_again(run, 0, {})["observations"]] == [50]


def test_tuning_beyond_the_last_horizon_looks_further(tmp_path: Path) -> None:
    """A horizon below the new budget would refuse the forecast of the score that was measured."""
    run = made(tmp_path)
    forecast_run(run, horizon=1000, target_score=0.85)
    assert asked_again(run, 1500, {}) == {"target_score": 0.85}
    assert asked_again(run, 500, {})["horizon"] == 1000


def test_tuning_keeps_the_question_about_losses(tmp_path: Path) -> None:
    """No tuned score takes the place of a loss, so the one without labels stays."""
    run = made(tmp_path)
    question = {"metric": "loss", "target_score": 1.0, "recipe": "LoRA"}
    for known in ({"zero_shot": 2.3}, {"observations": [[0, 2.3], [50, 1.5]]}):
        asked: dict[str, Any] = question | known
        forecast_run(run, **asked)
        assert asked_again(run, 0, {}) == asked_again(run, 50, {}) == asked


def test_a_small_pool_is_a_warning(tmp_path: Path) -> None:
    """The warning of `score` does not get lost: 32 are more than the lowest tenth of 100."""
    for size, small in ((100, True), (400, False)):
        run = made(tmp_path / str(size))
        content = read_json(run.file("run.json"))
        content["facts"]["size"] = size
        content["question"]["n_label"] = 32
        write_json(run.file("run.json"), content)
        found = answer_run(Run.open(run.path), target=0.9).found
        assert any("the pool is small" in text for text in found) == small


@pytest.mark.parametrize(("constrain", "of_card"), [(True, "free"), (False, "constrained")])
def test_a_card_of_another_decoding_is_a_warning(
    constrain: bool, of_card: str, tmp_path: Path
) -> None:
    """Scores of answers along the allowed ones do not follow the line of free answers."""
    task = TASK | {"answers": ["a", "b"], "constrain": constrain}
    run = made(tmp_path, task=task)
    card = replace(by_name("llama-3.1-8b-instruct"), decoding=of_card)
    card.save(tmp_path / "card.json")
    for given in (card, tmp_path / "card.json"):
        (text,) = [
            text for text in answer_run(run, calibration=given).warnings if "decoding" in text
        ]
        assert f"measured with {of_card} decoding" in text
    same = replace(card, decoding="constrained" if constrain else "free")
    assert not any("decoding" in text for text in answer_run(run, calibration=same).warnings)


@pytest.mark.parametrize(("share", "warns"), [(0.12, True), (0.9, False), (None, False)])
def test_few_allowed_answers_are_a_warning(
    share: float | None, warns: bool, tmp_path: Path
) -> None:
    """If the model mostly answers in another form, its early scores measure that."""
    run = made(tmp_path)
    run.finish("score", **({} if share is None else {"allowed": share}))
    assert any("12% of the model's answers" in t for t in answer_run(run).warnings) == warns


def test_corrected_test_labels_are_a_warning(tmp_path: Path) -> None:
    """It names the budgets to measure again; a set that grew is no reason, nor one unknown."""
    run = with_scores(made(tmp_path), (50, 0.6, 200), (0, 0.4, 200), (100, 0.7, 200))
    unmarked = run.rows("observations.jsonl")
    for digests, again in (
        (("old", "old", "new"), "0, 50"),
        (("new", "new", "new"), ""),
        ((None, "new", "new"), ""),
        (("old", "new", "new"), "50"),
    ):
        rows = [row | {"test_digest": d} for row, d in zip(unmarked, digests, strict=True)]
        write_jsonl(run.file("observations.jsonl"), rows)
        found = [text for text in answer_run(run).warnings if "test labels have changed" in text]
        assert len(found) == bool(again)
        assert not again or f"the scores with {again} labels" in found[0]
    write_jsonl(run.file("observations.jsonl"), [rows[0] | {"test_size": 100}, *rows[1:]])
    assert not any("test labels" in text for text in answer_run(run).warnings)


def test_few_examples_of_a_run_that_drew_few(tmp_path: Path) -> None:
    """The advice is to label more only where more are drawn."""
    for drawn, advice in ((32, "label more of them"), (4, "new run with --n-label 32")):
        run = made(tmp_path / str(drawn))
        write_json(run.file("coslow.json"), {"coslow": 0.4, "examples": 4})
        content = read_json(run.file("run.json"))
        content["question"]["n_label"] = drawn
        write_json(run.file("run.json"), content)
        (text,) = [t for t in answer_run(Run.open(run.path)).found if "rests on 4" in t]
        assert advice in text


def test_without_coslow_no_card_is_looked_up(tmp_path: Path) -> None:
    """There is nothing to say of a card that the user did not choose; one they chose is named."""
    run = with_scores(made(tmp_path, coslow=None), (50, 0.6, 200), (100, 0.7, 200))
    plain = answer_run(run, target_score=0.8)
    assert not any("calibration" in text or "card" in text for text in plain.warnings)
    chosen = answer_run(run, target_score=0.8, calibration="pooled")
    assert "the calibration pooled is not used" in " ".join(chosen.warnings)
    assert chosen.forecast.curve == plain.forecast.curve
