"""`labelcast calibrate`: its card, and what it refuses."""

from __future__ import annotations

import json

import pytest
from command_line import labelcast
from small_sweeps import Place, make_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The folder of all tests in this module."""
    return make_place(tmp_path_factory.mktemp("place"))


def test_a_card_is_written_and_can_be_used_by_its_path(place: Place) -> None:
    """The card has its recipe and error; `calibrations` and `forecast` take its path."""
    card = place.path / "card.json"
    sizes = ("--draws", 2, "--pool", 60, "--n-label", 5, "--device", "cpu")
    given = (
        "calibrate",
        place.filled("eight", place.parts(8)).sweep.path,
        "--name",
        "mine",
        "--out",
        card,
        *sizes,
    )
    dry = labelcast(*given, "--dry-run", "--json")
    assert dry.status == 0 and dry.json["seconds"] > 0, dry.err
    assert not card.exists()
    done = labelcast(*given, "--json")
    assert done.status == 0, done.err
    assert "roughly" in done.err
    assert done.json["card"]["recipe"] == "short"
    assert {error["name"] for error in done.json["errors"]} >= {"coslow", "zero_shot", "mean"}
    shown = labelcast("calibrations", card)
    assert shown.json["loto_mae"] == done.json["card"]["loto_mae"]
    forecast = labelcast("forecast", "--coslow", 0.4, "--calibration", card, "--json")
    assert forecast.json["calibration"] == "mine"
    kept = card.read_bytes()
    assert labelcast(*given).status == 2
    assert card.read_bytes() == kept
    table = labelcast(*given, "--force")
    assert table.status == 0
    assert "the mean of the other tasks" in table.out
    assert json.loads(card.read_bytes()) == json.loads(kept)


def test_too_few_tasks_are_refused_with_the_reason(place: Place) -> None:
    """Seven tasks are too few: nothing is written."""
    card = place.path / "few.json"
    done = labelcast(
        "calibrate",
        place.filled("seven", place.parts(7)).sweep.path,
        "--name",
        "few",
        "--out",
        card,
    )
    assert done.status == 2
    assert "needs 8 or more" in done.err
    assert not card.exists()


def test_probes_only(place: Place) -> None:
    """--probes-only measures a sweep without curves; options of a card are refused with it."""
    sweep = place.filled("probes", place.parts(2)).sweep.path
    sizes = ("--draws", 2, "--pool", 60, "--n-label", 5, "--device", "cpu")
    done = labelcast("calibrate", sweep, "--probes-only", "--task", "task-1", *sizes, "--json")
    assert done.status == 0, done.err
    assert list(done.json) == ["task-1"] and len(done.json["task-1"]["coslow"]) == 2
    assert labelcast("calibrate", sweep, "--probes-only", *sizes).out.count("task-") == 2
    assert "--name" in labelcast("calibrate", sweep).err
    for option in ("--name", "--out", "--probes"):
        refused = labelcast("calibrate", sweep, "--probes-only", option, "mine")
        assert refused.status == 2 and f"{option}: not with" in refused.err
    refused = labelcast("calibrate", sweep, "--name", "mine", "--task", "task-1")
    assert refused.status == 2 and "--probes-only" in refused.err
