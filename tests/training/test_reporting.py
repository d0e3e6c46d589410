"""Trackers get the losses of a training."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers.integrations
from small_training import QUICK, fresh, load, made_examples, records, save_model
from transformers import TrainerCallback

from labelcast.errors import InputError
from labelcast.training import reporting
from labelcast.training.backend import Fit, Placement
from labelcast.training.finetune import CausalBackend
from labelcast.training.reporting import PACKAGES, Reports, trackers
from labelcast.training.splits import Budget


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to install it."""
    monkeypatch.setattr(reporting, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"--report-to {name}: .* \(pip install {name}\)"):
        trackers(name)


def test_a_list_of_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, in order; an unknown one is refused with the known ones."""
    monkeypatch.setattr(reporting, "find_spec", lambda package: True)
    assert trackers(" wandb,trackio,wandb,") == ("wandb", "trackio")
    assert trackers(None) == trackers("") == ()
    with pytest.raises(InputError, match="--report-to wand: choose from trackio, wandb"):
        trackers("wand")


def test_a_tracker_gets_the_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the name of the run, with a folder for its files, and not on standard output."""
    seen: list[dict[str, Any]] = []

    class Tracker(TrainerCallback):  # type: ignore[misc]
        logging_dir: str | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            print("a tracker says hello")
            seen.append({"name": args.run_name, "folder": self.logging_dir})

        def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            seen.append(others["logs"])

    def chosen(names: list[str]) -> list[type[TrainerCallback]]:
        assert names == ["tensorboard"]
        return [Tracker]

    monkeypatch.setattr(transformers.integrations, "get_reporting_integration_callbacks", chosen)
    for variable in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(variable, "mine")
    lm = load(save_model(tmp_path / "model"))
    rows = made_examples(lm, records(24))
    labels = Budget(tuple(rows[:16]), tuple(rows[16:]))
    recipe = QUICK.model_copy(update={"max_steps": 4, "evaluate_every": 2})
    placement = Placement("cpu", "float32")
    fit = CausalBackend().fit
    plain = fit(fresh(lm), Fit(labels, recipe, 1, placement))
    assert seen == []
    told = replace(placement, reports=Reports(("tensorboard",), "run-50-1", "here"))
    tuned = fit(fresh(lm), Fit(labels, recipe, 1, told))
    assert seen[0] == {"name": "run-50-1", "folder": "here"}
    losses = [logs["eval_loss"] for logs in seen[1:] if "eval_loss" in logs]
    assert losses == [loss for _, loss in tuned.log.losses]
    assert any("loss" in logs for logs in seen[1:])
    assert tuned.log.losses == plain.log.losses
    out = capsys.readouterr()
    assert "hello" not in out.out and "hello" in out.err
    assert os.environ["WANDB_PROJECT"] == "mine"
