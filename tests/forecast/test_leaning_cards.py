"""A card whose line does not beat the mean of its tasks, and what a forecast does with it.

All tasks here are made up.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forecast_helpers import made_up_card

from labelcast.errors import InputError
from labelcast.forecast import calibration
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.forecasting import forecast
from labelcast.forecast.line import ErrorDifference


def test_a_leaning_card_predicts_the_same_for_any_coslow() -> None:
    """Its AUC is the mean of its tasks with the spread of a further task; a warning says so."""
    card = made_up_card(0.0)
    assert card.leans_on_prior
    aucs = np.array([point.auc for point in card.points])
    one, other = (card.predict(value) for value in (0.2, 0.6))
    assert one == other
    assert one.mean == pytest.approx(aucs.mean())
    assert one.sd == pytest.approx(aucs.std(ddof=1) * math.sqrt(1 + 1 / 19)) and one.df == 18
    assert "CoS-Low is left out" in one.warnings[0]
    inside = np.mean([one.low <= auc <= one.high for auc in aucs])
    assert inside >= 0.8


def test_a_forecast_with_a_leaning_card_rests_on_prior_and_scores() -> None:
    """CoS-Low has no share and no formula; a score counts; the forecast says why."""
    card = made_up_card(0.0)
    alone = forecast(0.6, card, target=0.9)
    assert alone.shares.coslow == 0 and alone.shares.prior == 1
    assert alone.power_law is None and alone.answered_by == ("prior",)
    assert any("CoS-Low is left out" in warning for warning in alone.warnings)
    assert alone.labels_needed == forecast(0.1, card, target=0.9).labels_needed
    scores = forecast(0.6, card, observations=[(0, 0.5), (100, 0.7)], observe_size=1000)
    assert scores.answered_by == ("scores", "prior")
    assert scores.shares.coslow == 0
    assert sum(scores.shares) == pytest.approx(1)


def test_a_score_has_a_share_beside_a_leaning_card() -> None:
    """One precise score takes a part of the forecast over from the prior."""
    seen = [(0, 0.5), (100, 0.7)]
    answer = forecast(0.6, made_up_card(0.0), observations=seen, observe_size=1000)
    assert answer.shares.scores > 0


def test_a_card_whose_line_is_better_predicts_as_before() -> None:
    """The test changes nothing if the line passes it, nor on a card without one."""
    won = made_up_card(0.95)
    assert not won.leans_on_prior
    before = replace(won, loto_difference=None)
    assert won.predict(0.3) == before.predict(0.3)
    assert forecast(0.3, won).to_dict() == forecast(0.3, before).to_dict()


def test_a_leaning_card_must_name_its_tasks() -> None:
    """Without the tasks there is no mean to fall back on."""
    with pytest.raises(InputError, match="points"):
        replace(made_up_card(0.0), points=())


def test_a_card_with_a_test_is_saved_and_shipped_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved and loaded it is the same; in the shipped folder it is found by its model."""
    card = replace(made_up_card(0.0), hub_ids=("smollm2",), fingerprints=("0123456789abcdef",))
    folder = tmp_path / "shipped_cards"
    folder.mkdir()
    card.save(folder / "made-up.json")
    assert Calibration.load(folder / "made-up.json") == card
    for entry in calibration.SHIPPED.iterdir():
        (folder / entry.name).write_text(entry.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(calibration, "SHIPPED", folder)
    calibration.shipped.cache_clear()
    try:
        assert calibration.find(hub_id="smollm2") == (card, [])
        assert calibration.find(fingerprint="0123456789abcdef") == (card, [])
    finally:
        calibration.shipped.cache_clear()


def test_a_damaged_test_of_a_card_is_refused(tmp_path: Path) -> None:
    """The message names an unknown key."""
    path = tmp_path / "card.json"
    made_up_card(0.0).save(path)
    content = json.loads(path.read_text())
    content["loto_difference"]["middle"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="middle"):
        Calibration.load(path)
    assert ErrorDifference(0.1, 0.05, 0.2).line_is_better
