"""Fine-tuning on a run's own labels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import SHORT, Place, make_place
from small_training import TASK, load, records

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import write_json, write_jsonl
from labelcast.forecast.options import Options
from labelcast.models.loading import LanguageModel
from labelcast.runs import label_store
from labelcast.runs.forecast import answer_run, with_observations
from labelcast.runs.records import ModelPart, RunFacts, RunQuestion
from labelcast.runs.run import Run
from labelcast.runs.tune import check_labels, tune
from labelcast.training.finetune import CausalBackend


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A model and data for all tests of this module."""
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def lm(place: Place) -> LanguageModel:
    """The model, loaded for each test because tuning changes it."""
    return load(Path(place.model))


def make_run(folder: Path, lm: LanguageModel, random: int = 12, test: int = 10) -> Run:
    """A run with 2 labelled low examples and as many random and test ones as given."""
    question = RunQuestion(task=TASK, seed=0, max_new_tokens=3)
    model = ModelPart(name=lm.name, fingerprint=lm.identity.fingerprint)
    run = Run.create(folder / "run", question, RunFacts(model=model))
    names = ["low"] * 2 + ["random"] * random + ["test"] * test
    rows: list[dict[str, Any]] = [
        {"id": f"e{n}", "index": n, "set": name, "batch": 0, **record}
        for n, (name, record) in enumerate(zip(names, records(len(names)), strict=True))
    ]
    write_jsonl(run.file("draws.jsonl"), rows)
    run.finish("score")
    label_store.save_labels(run, {row["id"]: row["y"] for row in rows})
    return run


def test_a_score_is_kept(tmp_path: Path, lm: LanguageModel) -> None:
    """The run's file has everything that the call returns."""
    run = make_run(tmp_path, lm)
    score = tune(run, 10, model=lm, recipe=SHORT)
    kept = [json.loads(line) for line in run.file("observations.jsonl").read_text().splitlines()]
    assert kept == [score.to_dict()]
    assert run.tuned_scores() == [score]
    found = (score.budget, score.test_size, score.metric, score.seed, score.recipe)
    assert found == (10, 10, "accuracy", 1, "short")
    assert 0 <= score.score <= 1
    assert score.seconds is not None and score.seconds > 0
    assert kept[0]["steps"] == 4


def test_an_early_stop_without_learning_is_a_warning(tmp_path: Path, lm: LanguageModel) -> None:
    """Steps that are too large make every later measurement worse."""
    changes = {"learning_rate": 1.0, "evaluate_every": 1, "patience": 1, "max_steps": 40}
    run = make_run(tmp_path, lm)
    with pytest.warns(LabelcastWarning, match=r"stopped early, after \d+ steps, .*`patience`"):
        tune(run, 10, model=lm, recipe=SHORT.model_copy(update=changes))


def test_seconds_of_earlier_processes_count(
    tmp_path: Path, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed training took as long as its log says."""
    fit = CausalBackend.fit

    def resumed(self: CausalBackend, *given: Any) -> Any:
        tuned = fit(self, *given)
        tuned.log.seconds += 3600
        return tuned

    monkeypatch.setattr(CausalBackend, "fit", resumed)
    score = tune(make_run(tmp_path, lm), 10, model=lm, recipe=SHORT)
    assert score.seconds is not None and 3600 < score.seconds < 7200
    assert score.device == "cpu"


def test_the_same_call_replaces_its_score(tmp_path: Path, lm: LanguageModel) -> None:
    """A budget, seed and recipe have one score, which is the same each time."""
    run = make_run(tmp_path, lm)
    zero = tune(run.path, 0, recipe=SHORT)
    found = [tune(run.path, 10, recipe=SHORT) for _ in range(2)]
    assert found[0].score == found[1].score
    assert [score.budget for score in run.tuned_scores()] == [0, 10]
    assert "steps" not in zero.to_dict()


def test_missing_labels_are_reported_with_the_commands(tmp_path: Path, lm: LanguageModel) -> None:
    """Without a test set or with too few random labels, the message has the command to run."""
    with pytest.raises(InputError, match=r"labelcast label .* --test 200"):
        check_labels(make_run(tmp_path / "a", lm, test=0), 0)
    run = make_run(tmp_path / "b", lm)
    with pytest.raises(InputError, match=r"labelcast label .* --more 38`"):
        check_labels(run, 50)
    known = {row["id"]: row["y"] for row in run.rows("labels.jsonl") if row["set"] != "random"}
    label_store.save_labels(run, known)
    with pytest.raises(InputError, match=r"0 of the 10 .* of the random set are labelled"):
        check_labels(run, 10)
    check_labels(run, 0)
    with pytest.raises(InputError, match="--budget 1"):
        check_labels(run, 1)


def observed(tmp_path: Path, rows: list[dict[str, Any]]) -> Run:
    """A run with observations."""
    run = Run.create(tmp_path / "run", RunQuestion(), RunFacts())
    base = {"test_size": 100, "recipe": "LoRA"}
    write_jsonl(run.file("observations.jsonl"), [base | row for row in rows])
    return run


def test_observations_reach_the_forecast(tmp_path: Path) -> None:
    """Each counts; zero-shot counts for every recipe; a score that is also given counts once."""
    rows: list[dict[str, Any]] = [
        {"budget": 0, "score": 0.2, "recipe": "full fine-tuning"},
        {"budget": 50, "score": 0.9, "recipe": "full fine-tuning"},
        {"budget": 50, "score": 0.4},
        {"budget": 50, "score": 0.6, "test_size": 300},
        {"budget": 100, "score": 0.7},
    ]
    run = observed(tmp_path, rows)
    found = with_observations(run.tuned_scores(), {})
    of_lora = [(50, 0.4, None, 100), (50, 0.6, None, 300), (100, 0.7, None, 100)]
    assert found["observations"] == [(0, 0.2, None, 100), *of_lora]
    assert (found.get("observe_size"), found["recipe"]) == (None, "LoRA")
    given: Options = {"observations": [(0, 0.1), (100, 0.7004), (50, 0.5)]}
    kept = [(50, 0.4, None, 100), (50, 0.6, None, 300)]
    assert with_observations(run.tuned_scores(), given)["observations"] == [
        *kept,
        *given["observations"],
    ]
    given = {"observations": [(100, 0.8)], "zero_shot": 0.1, "recipe": "full fine-tuning"}
    assert with_observations(run.tuned_scores(), given)["observations"] == [
        (50, 0.9, None, 100),
        (100, 0.8),
    ]
    given = {
        **given,
        "observations": [(100, 0.8, 0.02)],
        "observe_sd": 0.03,
    }  # with sds of its noise
    found = with_observations(run.tuned_scores(), given)
    assert found["observations"] == [(50, 0.9, None, None), (100, 0.8, 0.02)]


def test_scores_of_a_recipe_that_was_edited_are_not_mixed(tmp_path: Path) -> None:
    """The recipe as it was last counts, also under the same name."""
    rows: list[dict[str, Any]] = [
        {"budget": 50, "score": 0.4, "recipe_digest": "old"},
        {"budget": 50, "score": 0.5},
        {"budget": 50, "score": 0.6, "recipe_digest": "new"},
    ]
    found = with_observations(observed(tmp_path, rows).tuned_scores(), {})
    assert [given[1] for given in found["observations"]] == [0.5, 0.6]


def test_without_observations_nothing_changes(tmp_path: Path) -> None:
    """A run that was never tuned forecasts as before."""
    run = Run.create(tmp_path / "run", RunQuestion(), RunFacts())
    write_json(run.file("coslow.json"), {"coslow": 0.4})
    assert with_observations(run.tuned_scores(), {"level": 0.9}) == {"level": 0.9}


def test_a_folder_of_other_files_is_not_written_to(tmp_path: Path, lm: LanguageModel) -> None:
    """`keep` needs a new folder, or one in which a tuned model was saved before."""
    run = make_run(tmp_path, lm)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    for taken in (mine, mine / "config.json"):
        with pytest.raises(InputError, match=r"--keep-model .*Give a new folder"):
            tune(run, 0, model=lm, recipe=SHORT, keep=taken)
    assert (mine / "config.json").read_text() == "{}"
    for _ in range(2):
        tune(run, 0, model=lm, recipe=SHORT, keep=tmp_path / "new")
    assert (tmp_path / "new" / "model.safetensors").exists()


def test_the_files_of_an_earlier_save_do_not_stay(tmp_path: Path, lm: LanguageModel) -> None:
    """A recipe may save fewer than the one before, and a folder is one model."""
    run, kept = make_run(tmp_path, lm), tmp_path / "kept"
    tune(run, 0, model=lm, recipe=SHORT, keep=kept)
    (kept / "head.safetensors").write_text("of another recipe")
    saved = json.loads((kept / "labelcast.json").read_text())
    saved["files"]["head.safetensors"] = hashlib.sha256(b"of another recipe").hexdigest()[:16]
    (kept / "labelcast.json").write_text(json.dumps(saved))
    tune(run, 0, model=lm, recipe=SHORT, keep=kept)
    assert not (kept / "head.safetensors").exists() and (kept / "model.safetensors").exists()


def test_the_runs_own_model_may_have_moved(tmp_path: Path, lm: LanguageModel) -> None:
    """A model that is given is the one whose recipe is looked up."""
    moved = replace(lm.identity, name=str(tmp_path / "gone"))
    run = make_run(tmp_path, replace(lm, identity=moved))
    assert tune(run, 0, model=lm).budget == 0


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes(tmp_path: Path, lm: LanguageModel, seed: int) -> None:
    """It is refused before any work."""
    with pytest.raises(InputError, match=f"--seed {seed}: a whole number from 0"):
        tune(make_run(tmp_path, lm), 0, model=lm, seed=seed)


def test_a_saved_model_that_was_edited_is_kept(tmp_path: Path, lm: LanguageModel) -> None:
    """Neither an edited file nor one that was added is replaced; `force` replaces both."""
    run, kept = make_run(tmp_path, lm), tmp_path / "kept"
    tune(run, 0, model=lm, recipe=SHORT, keep=kept)
    saved = (kept / "config.json").read_text()
    for name, text in (("config.json", saved + " "), ("README.md", "mine")):
        (kept / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name} was .*--force"):
            tune(run, 0, model=lm, recipe=SHORT, keep=kept)
        assert (kept / name).read_text() == text
        tune(run, 0, model=lm, recipe=SHORT, keep=kept, force=True)
        assert (kept / "config.json").read_text() == saved


def test_a_users_file_stays_after_force(tmp_path: Path, lm: LanguageModel) -> None:
    """`force` does not make it one of the model's files, which the next save deletes."""
    run, kept = make_run(tmp_path, lm), tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.tex").write_text("mine")
    tune(run, 0, model=lm, recipe=SHORT, keep=kept, force=True)
    assert "model.safetensors" in json.loads((kept / "labelcast.json").read_text())["files"]
    with pytest.raises(InputError, match=r"thesis.tex was not saved by labelcast"):
        tune(run, 0, model=lm, recipe=SHORT, keep=kept)
    tune(run, 0, model=lm, recipe=SHORT, keep=kept, force=True)
    assert (kept / "thesis.tex").read_text() == "mine"


def test_a_set_that_a_method_chose(tmp_path: Path, lm: LanguageModel) -> None:
    """It is used by its name, or if only it has enough labels; the score records it."""
    run = make_run(tmp_path, lm)
    rows = run.rows("draws.jsonl")
    for row in rows[2:12]:
        row["set"] = "k-centre"
    write_jsonl(run.file("draws.jsonl"), rows)
    label_store.save_labels(run, {row["id"]: row["y"] for row in run.rows("labels.jsonl")})
    assert check_labels(run, 2) == "random"
    assert check_labels(run, 10) == "k-centre"
    assert check_labels(run, 0, "k-centre") == "random"
    with pytest.raises(InputError, match=r"--set low: no such training set. Choose .*k-centre"):
        check_labels(run, 2, "low")
    with pytest.raises(InputError, match=r"2 more examples of the k-centre set.*--select k-centre"):
        check_labels(run, 12, "k-centre")
    score = tune(run, 10, model=lm, recipe=SHORT)
    assert score.train_set == "k-centre"
    assert run.tuned_scores() == [score]


def test_a_forecast_says_that_labels_were_chosen(tmp_path: Path) -> None:
    """Its prior is of random draws; scores of earlier versions have no such field."""
    rows: list[dict[str, Any]] = [{"budget": 50, "score": 0.6}, {"budget": 100, "score": 0.7}]
    facts = RunFacts(model=ModelPart(name="m", fingerprint="f"))
    run = Run.create(tmp_path / "run", RunQuestion(), facts)
    base = {"test_size": 100, "recipe": "LoRA"}
    for extra, warned in (({}, False), ({"train_set": "k-centre"}, True)):
        rows[1] |= extra
        write_jsonl(run.file("observations.jsonl"), [base | row for row in rows])
        found = answer_run(run, calibration="pooled").found
        assert any("chosen by k-centre" in text for text in found) is warned
