"""The command that fits the shipped prior."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared

from evidence.reproduce.fit_prior import fit_published, main, prior_curve, seed_sd
from evidence.reproduce.published import PublishedCurve, read_published
from labelcast.errors import InputError
from labelcast.forecast.efficiency import EfficiencyCurve
from labelcast.forecast.observed import SEED_SD


def _curve(scores: dict[int, float], task: str = "task", ceiling: float = 1.0) -> PublishedCurve:
    return PublishedCurve(
        "model", task, scores, None, EfficiencyCurve.from_scores(scores, ceiling), None
    )


def _numbers(content: object) -> list[float]:
    """Return every number of a JSON value, in order."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return [number for part in content for number in _numbers(part)]
    return [float(content)] if isinstance(content, int | float) else []


def test_shipped_prior_is_that_of_the_kept_command(tmp_path: Path) -> None:
    """The kept command, run on the published results, writes the file that ships."""
    out = tmp_path / "prior.json"
    assert main([str(shared() / "paper" / "results"), "--out", str(out)]) == 0
    fitted = json.loads(out.read_text(encoding="utf-8"))
    ships = json.loads(files("labelcast.forecast").joinpath("prior.json").read_text("utf-8"))
    np.testing.assert_allclose(_numbers(ships), _numbers(fitted), rtol=1e-7, atol=1e-9)
    for key in ("source", "command", "inputs_sha256", "models", "curves", "tasks", "grid"):
        assert ships[key] == fitted[key]


def test_no_published_curve_ships() -> None:
    """No component's centre is a published curve: each stands for two or more."""
    curves = read_published(shared() / "paper" / "results")
    prior = fit_published(curves)
    from labelcast.forecast.warp import to_latent

    latent = to_latent(np.array([c.grid_gains[1:] for c in curves]))
    distance = np.abs(prior.mixture.means[:, None] - latent[None]).max(axis=2)
    assert distance.min() > 0.02


def test_seed_noise_comes_from_the_dips() -> None:
    """A dip of 0.02 between two scores alone is a residual variance of 0.0002; none: as shipped."""
    dips = _curve({0: 0.2, 50: 0.52, 100: 0.5, 5000: 0.9})
    rises = _curve({0: 0.2, 50: 0.5, 5000: 0.9})
    assert seed_sd([dips, rises]) == pytest.approx(0.0002**0.5)
    assert seed_sd([rises]) == SEED_SD


def test_shipped_seed_noise_is_that_of_the_published_dips() -> None:
    """The constant is the published curves' own figure, rounded."""
    assert seed_sd(read_published(shared() / "paper" / "results")) == pytest.approx(
        SEED_SD, abs=1e-4
    )


def test_a_zero_shot_that_was_not_measured_is_none() -> None:
    """A curve that starts at 50 gives its shape and its ceiling, but no zero-shot."""
    assert prior_curve(_curve({50: 0.5, 5000: 0.9})).zero_shot is None
    assert prior_curve(_curve({0: 0.1, 50: 0.5, 5000: 0.9})).zero_shot == 0.1


def test_too_few_tasks_are_refused(tmp_path: Path) -> None:
    """A prior is not fitted to two tasks; the command says so with status 2 and writes nothing."""
    scores = {0: 0.1, 50: 0.5, 5000: 0.9}
    with pytest.raises(InputError, match="three tasks"):
        fit_published([_curve(scores, "a"), _curve(scores, "b")])
    assert main([str(tmp_path), "--out", str(tmp_path / "prior.json")]) == 2
    assert not (tmp_path / "prior.json").exists()
