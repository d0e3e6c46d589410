"""The options of `labelcast forecast`: what each changes, and that all share one list."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path

import pytest
from command_line import labelcast

from labelcast.forecast import forecast
from labelcast.forecast.given_scores import Scale
from labelcast.forecast.observed import MISFIT, SMALLEST_SD
from labelcast.forecast.options import Options
from labelcast.forecast.score_files import read_scores

ONE = ("forecast", "--observe", "50=0.7", "--target-score", "0.85")


def test_one_list_of_options_serves_python_and_both_commands() -> None:
    """`lc.forecast` names every option, and `forecast` and `report` show each of them."""
    named = inspect.signature(forecast).parameters
    assert list(named) == ["coslow", "calibration", *Options.__annotations__]
    assert named["level"].default == 0.9 and named["target"].default is None
    with pytest.raises(TypeError, match="no option 'tagret'"):
        forecast(0.4, tagret=0.9)  # type: ignore[call-arg]
    names = {"observe", "scores", "calibration", *Options.__annotations__} - {"observations"}
    for command in ("forecast", "report"):
        shown = labelcast(command, "--help").out
        for name in names:
            assert f"--{name.replace('_', '-')}" in shown, (command, name)


def test_several_scores_at_one_budget() -> None:
    """Each counts: the forecast is that of `labelcast.forecast` with all of them."""
    more = ("--observe", "50=0.71", "--observe", "200=0.79", "--observe-size", "500")
    done = labelcast(*ONE, *more, "--json")
    direct = forecast(
        observations=[(50, 0.7), (50, 0.71), (200, 0.79)], observe_size=500, target_score=0.85
    )
    assert done.json == json.loads(json.dumps(direct.to_dict()))
    assert [o["budget"] for o in done.json["observations"]] == [50, 50, 200]


@pytest.mark.parametrize("names", [("n", "score"), ("budget", "Score"), (" Labels ", "score")])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_scores_from_a_file_equal_scores_given_one_by_one(
    tmp_path: Path, form: str, names: tuple[str, str]
) -> None:
    """CSV or JSON Lines, whatever the column of labels is called; other columns are ignored."""
    rows = [(50, 0.7), (50, 0.71), (200, 0.79)]
    labels, score = (name.strip() if form == "jsonl" else name for name in names)
    lines = [json.dumps({"seed": 1, labels: n, score: s, "note": "a,b"}) for n, s in rows]
    if form == "csv":
        lines = [f"seed,{labels},{score},note", *(f'1,{n},{s},"a,b"' for n, s in rows), ""]
    path = tmp_path / f"scores.{form}"
    path.write_text("\ufeff" + "\n".join(lines), "utf-8")
    one_by_one = [word for n, s in rows for word in ("--observe", f"{n}={s}")]
    of_file = labelcast("forecast", "--target-score", 0.85, "--scores", path, "--json")
    assert of_file.status == 0, of_file.err
    direct = labelcast("forecast", "--target-score", 0.85, *one_by_one, "--json")
    assert of_file.json == direct.json
    assert any("500 test examples are assumed" in text for text in of_file.json["warnings"])


def test_a_file_can_give_the_noise_of_each_score(tmp_path: Path) -> None:
    """A larger test set or a smaller sd means less noise; with either, nothing is assumed.

    The reported sd includes the misfit of the curves.
    """
    path = tmp_path / "s.csv"
    path.write_text(
        "n,score,sd,size\n50,0.7,,100\n100,0.75,,10000\n200,0.8,0.002,\n500,0.82,0.08,\n"
    )
    done = labelcast("forecast", "--scores", path, "--target-score", 0.9, "--json").json
    sds = [o["sd"] for o in done["observations"]]
    assert sds[0] > sds[1]
    for sd, given in zip(sds[2:], (0.002, 0.08), strict=True):
        assert given <= sd <= math.hypot(given, SMALLEST_SD + MISFIT)
    assert not any("are assumed" in text for text in done["warnings"])


def test_the_observations_of_a_run_are_a_file_of_scores(tmp_path: Path) -> None:
    """`observations.jsonl`, as `labelcast tune` writes it, can be used directly."""
    path = tmp_path / "observations.jsonl"
    row = {"budget": 50, "score": 0.7, "test_size": 200, "metric": "accuracy", "score_sd": 0.03}
    path.write_text(json.dumps(row) + "\n")
    assert read_scores(path) == [(50, 0.7, None, 200)]


def test_a_file_and_options_combine(tmp_path: Path) -> None:
    """--observe adds a score to --scores; both are on the given scale."""
    path = tmp_path / "s.csv"
    path.write_text("n,score\n50,70\n")
    options = ("--scale", 100, "--target-score", 85, "--json")
    both = labelcast("forecast", "--scores", path, "--observe", "200=79", *options)
    assert (
        both.json
        == labelcast(*("forecast", "--observe", "50=70", "--observe", "200=79"), *options).json
    )


def test_thousands_of_scores(tmp_path: Path) -> None:
    """All of them are read, and an error in the last line is located."""
    path = tmp_path / "s.csv"
    lines = [f"{50 + n},{0.5 + n / 20_000}" for n in range(5000)]
    path.write_text("\n".join(["n,score", *lines]))
    assert len(read_scores(path)) == 5000
    path.write_text("\n".join(["n,score", *lines, "7,1.5"]))
    done = labelcast("forecast", "--scores", path)
    assert done.status == 2 and "s.csv line 5002" in done.err


def test_the_horizon_limits_the_forecast() -> None:
    """Text, table, curve and JSON end at it; a farther one never lowers the chance."""
    chances = []
    for horizon in (500, 5000, 100_000):
        found = labelcast(*ONE, "--horizon", horizon, "--json").json
        assert found["horizon"] == horizon
        assert found["curve"][-1]["n"] == max(horizon, 5000)
        needed = found["labels_needed"]
        ends = [needed[name] for name in ("median", "low", "high", "if_reached_high")]
        assert all(n is None or n <= horizon for n in ends)
        chances.append(needed["reachable"])
        said = labelcast(*ONE, "--horizon", horizon).out
        point = needed["point"]
        suffice = f"chance that {horizon:,} suffice." if point is None else f"that {horizon:,} do."
        assert suffice in said.splitlines()[0]
        assert point is None or 0 < needed["point_chance"] <= needed["reachable"]
        assert re.search(rf"^  if {horizon:,} suffice +[\d,]+  [\d,]+ to [\d,]+$", said, re.M)
    assert chances == sorted(chances)


def test_a_scale_changes_the_scores_not_the_labels() -> None:
    """From 0 to 100, 0 to 1, or as an error rate: the labels needed are the same."""
    of_one = labelcast(*ONE, "--zero-shot", 0.5, "--json").json
    of_hundred = labelcast(
        *("forecast", "--observe", "50=70", "--target-score", 85, "--zero-shot", 50),
        *("--scale", 100, "--json"),
    ).json
    errors = labelcast(
        *("forecast", "--observe", "50=0.3", "--target-score", 0.15, "--zero-shot", 0.5),
        *("--metric", "error", "--json"),
    ).json
    answers = {"of 1": of_one, "of 100": of_hundred, "errors": errors}
    means = {name: [band["mean"] for band in found["curve"]] for name, found in answers.items()}
    assert [value / 100 for value in means["of 100"]] == pytest.approx(means["of 1"])
    assert [1 - value for value in means["errors"]] == pytest.approx(means["of 1"])
    for found in answers.values():
        assert found["labels_needed"] == of_one["labels_needed"]
    assert (of_one["lower_is_better"], errors["lower_is_better"]) == (False, True)


def test_a_loss_falls() -> None:
    """In text, JSON and drawing the target is below the scores so far."""
    asked = ("--observe", "50=2.1", "--observe", "200=1.7", "--target-score", 1.5)
    found = labelcast("forecast", *asked, "--lower-is-better", "--json").json
    means = [band["mean"] for band in found["curve"]]
    assert means == sorted(means, reverse=True) and means[0] > 1.7
    said = labelcast("forecast", *asked, "--lower-is-better").out
    assert "to reach 1.5" in said.splitlines()[0]
    dots = [line.index("●") for line in said.splitlines() if "●" in line]
    assert dots == sorted(dots)


def test_the_budget_forecasts_a_measured_score() -> None:
    """The interval includes the noise of the run, unlike the curve's band."""
    found = labelcast(*ONE, "--budget", 500, "--observe-size", 100, "--json").json
    at = found["at_budget"]
    (band,) = (band for band in found["curve"] if band["n"] == 500)
    assert at["mean"] == band["mean"] and at["high"] - at["low"] > band["high"] - band["low"]
    said = labelcast(*ONE, "--budget", 500).out
    assert "With 500 labels: a training run would measure a score of 0." in said


def test_costs_give_a_plan_in_money() -> None:
    """The plan adds up and is printed, and costlier labels never make the next step larger."""
    steps = []
    for cost in (0.1, 1.0, 10.0):
        options = ("--label-cost", cost, "--run-cost", 30, "--value", 4000)
        found = labelcast(*ONE, *options, "--json").json
        steps.append(found["next_budget"] or 0)
        plan = found["plan"]
        if plan is not None:
            assert plan["labels"] == found["next_budget"] - 50
            assert plan["label_cost"] == pytest.approx(cost * plan["labels"])
            assert plan["total"] == pytest.approx(plan["label_cost"] + 30)
            said = " ".join(labelcast(*ONE, *options).out.split())
            assert f"a training run for 30.00: {plan['total']:,.2f} in all." in said
    assert steps == sorted(steps, reverse=True) and steps[0] > 0
    assert labelcast(*ONE, "--json").json["plan"] is None


def test_a_scale_converts_both_ways() -> None:
    """Converting to 0 to 1 and back changes nothing."""
    for scale in (Scale(), Scale("score", 100.0), Scale("error", 1.0), Scale("loss")):
        assert scale.from_unit(scale.to_unit(0.37)) == pytest.approx(0.37)
