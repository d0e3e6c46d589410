"""`python -m evidence.reproduce`: the published figures, on any folder in the authors' format."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Outcome, check_message, run
from published_folder import write_coslow, write_folder
from shared_data import shared

from evidence.reproduce import __main__ as command
from evidence.reproduce import figures
from evidence.reproduce.published import PublishedCurve
from labelcast.forecast.families import Prior


@pytest.fixture(autouse=True)
def _shipped_scores(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Use the shipped score curves instead of a fit that takes minutes."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(command, "fit_scores", lambda *folders: lambda task: Prior.load())


COMPUTED: dict[Any, Any] = {}


@pytest.fixture(autouse=True)
def _compute_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the figures of equal curves once: the tests here are about the command."""

    def once(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
        def cached(curves: Sequence[PublishedCurve], *args: Any, **more: Any) -> Any:
            numbers = tuple(arg for arg in args if isinstance(arg, int))
            key = (name, numbers, tuple(repr(curve.raw) for curve in curves))
            if key not in COMPUTED:
                COMPUTED[key] = compute(curves, *args, **more)
            return COMPUTED[key]

        return cached

    for name in ("measure_all", "simulate"):
        monkeypatch.setattr(figures, name, once(name, getattr(figures, name)))


def reproduce(*args: object) -> Outcome:
    """Run the command in this process."""
    return run(command.main, *args)


def test_json_of_a_made_up_folder(tmp_path: Path) -> None:
    """One JSON object with every part; the AUCs and the fitted line are right."""
    results = write_folder(tmp_path / "results", models=("solo",), tasks=4)
    write_coslow(tmp_path / "coslow_llama_figure.csv")
    done = reproduce(results, "--draws", 1, "--json")
    assert done.status == 0, done.err
    found = done.json
    assert found["counts"]["by_model"] == {"solo": 4}
    assert found["counts"]["tasks"] == 4
    assert found["auc_max_abs_error"] < 1e-9
    assert found["calibration"]["slope"] == pytest.approx(0.5, abs=0.01)
    assert {row["method"] for row in found["refinement"]} == {"table", "labelcast", "power law"}
    assert set(found["comparison"]) == {"known", "unknown"}
    assert len(found["policy"]) == 28
    assert found["notes"] == []


def test_tables_for_people(tmp_path: Path) -> None:
    """Without --json: tables on stdout, and notes on what is missing on stderr."""
    results = write_folder(tmp_path / "results", models=("solo",), tasks=4)
    shutil.rmtree(results / "auc_res")
    done = reproduce(results, "--draws", 1)
    assert done.status == 0, done.err
    for words in ("4 curves of 4 tasks (solo 4)", "none published", "labelcast", "fixed grid"):
        assert words in done.out
    assert "note: no published AUC" in done.err
    assert "note: no calibration" in done.err


def test_another_coslow_file(tmp_path: Path) -> None:
    """--coslow takes any file; an error names the file and line."""
    results = write_folder(tmp_path / "results", models=("solo",), tasks=4)
    own = write_coslow(tmp_path / "own.csv")
    done = reproduce(results, "--coslow", own, "--draws", 1, "--json")
    assert done.json["calibration"]["tasks"] == 10
    own.write_text("task,coslow,auc\na,0.1,0.2\nb,x,0.3\n")
    done = reproduce(results, "--coslow", own)
    check_message(done, 2, ("own.csv, line 3", "coslow"))
    own.write_text("task,coslow\na,0.1\n")
    check_message(reproduce(results, "--coslow", own), 2, ("own.csv", "no column auc"))
    missing = tmp_path / "none.csv"
    check_message(reproduce(results, "--coslow", missing), 2, ("none.csv",))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--draws", 0), "--draws"), (("--seed", -1), "--seed")],
)
def test_options_out_of_range(tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    """The message names the option."""
    results = write_folder(tmp_path / "results", models=("solo",), tasks=4)
    check_message(reproduce(results, *arguments), 2, (words,))


def test_usage_errors_name_the_command(tmp_path: Path) -> None:
    """A missing folder, an unknown option and a path that is too long: one line, status 2."""
    see = "See `python -m evidence.reproduce --help`"
    check_message(reproduce(), 2, ("RESULTS", see))
    check_message(reproduce(tmp_path, "--drawz", 1), 2, ("--drawz", see))
    check_message(reproduce("--draws"), 2, ("--draws", see))
    check_message(reproduce("x" * 300), 2, ("too long", "shorter"))


def test_help_shows_every_option() -> None:
    """It also has an example, like every command's help."""
    done = reproduce("--help")
    assert done.status == 0
    for words in (
        "Usage: python -m evidence.reproduce",
        "--coslow",
        "--draws",
        "--json",
        "Example:",
    ):
        assert words in done.out


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """No results, no human scores, an unreadable curve, too few tasks: status 2 and the reason."""
    check_message(reproduce(tmp_path), 2, ("finetune_results",))
    results = write_folder(tmp_path / "few", models=("solo",), tasks=2)
    check_message(reproduce(results), 2, ("2 tasks", "4 tasks or more"))
    results = write_folder(tmp_path / "results", models=("solo",), tasks=4)
    broken = results / "finetune_results" / "solo_task_1_full_result_v2.json"
    broken.write_text("{")
    check_message(reproduce(results), 2, (broken.name,))
    (results / "human_eval.json").unlink()
    check_message(reproduce(results), 2, ("human_eval.json",))


@pytest.mark.slow
def test_one_published_model_under_another_name(tmp_path: Path) -> None:
    """A folder with one model gives the same figures if the model is renamed."""
    found = []
    for name in ("mistral", "my_other_model"):
        results = tmp_path / name
        (results / "finetune_results").mkdir(parents=True)
        (results / "auc_res").mkdir()
        source = shared() / "paper" / "results"
        shutil.copy(source / "human_eval.json", results)
        for path in sorted(source.glob("*/mistral_*.json")):
            copy = path.name.replace("mistral_", f"{name}_", 1)
            shutil.copy(path, results / path.parent.name / copy)
        done = reproduce(results, "--draws", 3, "--json")
        assert done.status == 0, done.err
        found.append(done.json)
    assert found[1]["counts"]["by_model"] == {"my_other_model": 30}
    assert found[1]["auc_max_abs_error"] < 1e-9
    for part in ("refinement", "comparison", "policy"):
        assert json.dumps(found[0][part]) == json.dumps(found[1][part])
