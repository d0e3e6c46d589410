"""Calibration cards: the published fit, prediction, files, and which card a model gets."""

import csv
import json
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from shared_data import shared

from labelcast.errors import InputError, RunError
from labelcast.forecast.calibration import Calibration, by_name, find, shipped
from labelcast.forecast.line import fit_points

PUBLISHED = {
    "llama-3.1-8b-instruct": (0.545, 0.310),
    "mistral-7b-instruct-v0.3": (0.797, 0.357),
    "qwen2.5-14b-instruct": (0.526, 0.305),
}

X = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7]
Y = [0.33, 0.36, 0.40, 0.52, 0.49, 0.60, 0.58, 0.71, 0.66]


def _mine(**options: object) -> Calibration:
    return Calibration.fit(X, Y, name="mine", **options)  # type: ignore[arg-type]


def _published_figure() -> Calibration:
    path = shared() / "paper" / "coslow_llama_figure.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Calibration.fit(
        [float(row["coslow"]) for row in rows],
        [float(row["auc"]) for row in rows],
        name="figure",
        tasks=[row["task"] for row in rows],
    )


def test_published_figure_to_the_printed_digits() -> None:
    """The points of the published figure give the published line, errors and outlier."""
    card = _published_figure()
    line = fit_points(card.points)
    assert card.tasks == 28
    assert (round(card.slope, 3), round(line.slope_se, 3)) == (0.625, 0.121)
    assert (round(card.intercept, 3), round(line.intercept_se, 3)) == (0.291, 0.034)
    assert (round(line.r, 3), round(card.residual_sd, 3)) == (0.713, 0.112)
    assert card.loto_mae is not None and round(card.loto_mae, 4) == 0.0760
    assert round(line.loo_mae_of_mean, 3) == 0.128


def test_without_the_outlier() -> None:
    """Without temporal_sequences the correlation is 0.853, as stated."""
    points = [p for p in _published_figure().points if p.task != "temporal_sequences"]
    card = Calibration.fit([p.coslow for p in points], [p.auc for p in points], name="without")
    line = fit_points(card.points)
    assert round(line.r, 3) == 0.853


def test_prediction_is_the_parametric_interval() -> None:
    """A fitted card predicts with the line's own t interval, leverage included."""
    card = _mine()
    line = fit_points(card.points)
    estimate = card.predict(0.45, level=0.8)
    middle, n = line.slope * 0.45 + line.intercept, len(X)
    sd = line.residual_sd * math.sqrt(1 + 1 / n + (0.45 - line.mean_x) ** 2 / line.sxx)
    half = scipy.stats.t.ppf(0.9, n - 2) * sd
    assert (estimate.low, estimate.high) == pytest.approx((middle - half, middle + half))
    assert estimate.df == len(X) - 2 and not estimate.clipped


@given(st.floats(-1, 1), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_intervals_nest_as_the_level_grows(coslow: float, a: float, b: float) -> None:
    """The interval of a higher level contains that of a lower one; all lie within 0.05 to 0.95."""
    inner, outer = (_mine().predict(coslow, level) for level in sorted((a, b)))
    assert 0.05 <= outer.low <= inner.low + 1e-9 and inner.high <= outer.high + 1e-9 <= 0.95 + 1e-9
    assert inner.low <= inner.mean == outer.mean <= inner.high


def test_caveats_are_warnings() -> None:
    """A CoS-Low beyond the tasks' and an AUC outside its range give a warning."""
    card = Calibration.fit(X, [1.2 * x + 0.05 for x in X], name="steep")
    estimate = card.predict(0.95)
    assert estimate.clipped and estimate.mean == 0.95
    assert any("beyond" in w for w in estimate.warnings)
    assert any("clipped" in w for w in estimate.warnings)
    assert card.predict(0.5).warnings == ()


@pytest.mark.parametrize(
    ("coslow", "auc", "tasks", "words"),
    [
        (X[:7], Y[:7], None, "too few"),
        ([0.3] * 9, Y, None, "does not vary"),
        ([0.3] * 8 + [0.4], Y, None, "does not vary"),
        (X, Y[:8], None, "9, 8"),
        ([*X[:8], 1.5], Y, None, "1.5"),
        ([*X[:8], math.nan], Y, None, "nan"),
        (X, [*Y[:8], -0.1], None, "-0.1"),
        (X, [*Y[:8], math.nan], None, "nan"),
        (X, Y, ["a"] * 9, "twice"),
    ],
)
def test_unusable_tasks_are_refused(
    coslow: list[float], auc: list[float], tasks: list[str] | None, words: str
) -> None:
    """Too few tasks, a CoS-Low that does not vary, and bad values: the message gives the reason."""
    with pytest.raises(InputError, match=words):
        Calibration.fit(coslow, auc, name="bad", tasks=tasks)


@pytest.mark.parametrize("coslow", [-1.1, 1.1, math.nan])
def test_coslow_out_of_range(coslow: float) -> None:
    """A CoS-Low outside -1 to 1 is refused."""
    with pytest.raises(InputError, match="--coslow"):
        _mine().predict(coslow)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_level_out_of_range(level: float) -> None:
    """A level outside (0, 1) is refused."""
    with pytest.raises(InputError, match="--level"):
        _mine().predict(0.3, level)


def _fitted() -> Calibration:
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 0.7, 12)
    y = np.clip(0.3 + 0.5 * x + rng.normal(0, 0.1, 12), 0, 1)
    return Calibration.fit(x.tolist(), y.tolist(), name="mine", architecture={"model_type": "x"})


def _edited(path: Path, **changes: object) -> Path:
    card = _fitted()
    card.save(path)
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_names_of_the_shipped_cards() -> None:
    """The three published models and the pooled card ship, and one of our own once measured."""
    names = [card.name for card in shipped()]
    assert [name for name in names if name != "smollm2"] == [*PUBLISHED, "pooled"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_lines_are_the_published_ones(name: str) -> None:
    """Each card has the published line and recipe; only Llama has an error of its own."""
    card = by_name(name)
    assert (card.slope, card.intercept) == PUBLISHED[name]
    assert card.recipe == "full fine-tuning" and card.tasks == 30 and card.source
    own = name == "llama-3.1-8b-instruct"
    assert (card.loto_mae, card.borrowed_residuals_from is None) == (0.086 if own else None, own)
    assert card.residual_sd == round(0.086 * math.sqrt(math.pi / 2), 3)


def test_borrowed_residuals_give_a_warning() -> None:
    """The warning says whose they are; Llama's card has its own, and no warning."""
    assert any("borrowed from llama" in w for w in by_name("pooled").predict(0.3).warnings)
    assert by_name("llama-3.1-8b-instruct").predict(0.3).warnings == ()


@pytest.mark.parametrize("coslow", [0.0, 0.3, 0.6])
def test_the_pooled_card_follows_from_the_three(coslow: float) -> None:
    """The pooled line is the mean of the three; its error adds their spread at that CoS-Low."""
    pooled = by_name("pooled")
    values = [slope * coslow + intercept for slope, intercept in PUBLISHED.values()]
    estimate = pooled.predict(coslow)
    assert estimate.mean == pytest.approx(np.mean(values))
    variance = np.var(values, ddof=1) * 4 / 3 + 0.108**2
    assert estimate.sd == pytest.approx(math.sqrt(variance))
    assert 2 < estimate.df < 31
    for name in PUBLISHED:
        assert estimate.sd > by_name(name).predict(coslow).sd


def test_shipped_cards_pass_the_strict_check(tmp_path: Path) -> None:
    """A shipped card read as a user's file is the same card, and so is its copy."""
    for entry in files("labelcast.forecast").joinpath("shipped_cards").iterdir():
        card = Calibration.load(str(entry))
        assert card == by_name(card.name)
        card.save(tmp_path / entry.name)
        assert Calibration.load(tmp_path / entry.name) == card


def test_round_trip_is_exact(tmp_path: Path) -> None:
    """A fitted card is read back equal to the last bit, by load and by path."""
    card = _fitted()
    card.save(tmp_path / "mine.json")
    assert Calibration.load(tmp_path / "mine.json") == card
    assert by_name(str(tmp_path / "mine.json")) == card
    assert [p.name for p in tmp_path.iterdir()] == ["mine.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slop": 1.0}, "unknown key 'slop'"),
        ({"slope": "0.5"}, "slope: Input"),
        ({"slope": math.nan}, "slope: Input"),
        ({"residual_sd": -1.0}, "residual_sd"),
        ({"residual_sd": math.inf}, "residual_sd"),
        ({"tasks": 1, "points": []}, "tasks"),
        ({"tasks": 5}, "points"),
        ({"tasks": 12.5}, "tasks: Input"),
        ({"points": [{"task": "a", "coslow": 0.1}]}, "points.0.auc"),
        ({"sxx": 0.0}, "sxx"),
        ({"name": ""}, "name"),
        ({"lines": [{"name": "a", "slope": 1.0, "intercept": 0.0}]}, "lines"),
    ],
)
def test_wrong_cards_are_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    """A wrong value or unknown key is refused; the message names the file and the key."""
    path = _edited(tmp_path / "card.json", **changes)
    with pytest.raises(InputError, match=words) as error:
        Calibration.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[1]", "JSON object"),
        ("{}", "'name' is missing"),
    ],
)
def test_files_that_are_not_cards(tmp_path: Path, text: str, words: str) -> None:
    """An empty file, a list and an empty object are refused; the message names the file."""
    path = tmp_path / "card.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as error:
        Calibration.load(path)
    assert str(path) in str(error.value)


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    """A missing file and a file that is not text are refused."""
    with pytest.raises(InputError, match="no such file"):
        by_name(str(tmp_path / "none.json"))
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.json"):
        by_name(tmp_path / "bytes.json")


def test_unwritable_folder_is_a_run_error(tmp_path: Path) -> None:
    """A card that cannot be written is an error that names the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"mine\.json"):
        _fitted().save(tmp_path / "file" / "mine.json")


def test_unknown_name_lists_names_and_the_closest() -> None:
    """A mistyped name gets the list and a suggestion."""
    with pytest.raises(InputError, match=r"did you mean llama-3.1-8b-instruct\?.*pooled"):
        by_name("llama-3.1-8b-instuct")


@pytest.mark.parametrize("card", shipped()[:-1], ids=lambda card: card.name)
def test_exact_hub_id_finds_the_card(card: Calibration) -> None:
    """Each hub id of a card finds it, without a warning."""
    for hub_id in card.hub_ids:
        assert find(hub_id=hub_id) == (card, [])


def test_a_similar_model_is_not_the_same_model() -> None:
    """The base model gets the pooled card, and a warning that names the similar model's card."""
    llama = by_name("llama-3.1-8b-instruct")
    config = {**llama.architecture, "torch_dtype": "bfloat16"}
    card, warnings = find(hub_id="meta-llama/Llama-3.1-8B", architecture=config)
    assert card.name == "pooled" and len(warnings) == 2
    assert "--calibration llama-3.1-8b-instruct" in warnings[1]


def test_unknown_model_gets_the_pooled_card() -> None:
    """For a model without a card, or a run without a model's identity, a warning says so."""
    for known in ({}, {"hub_id": "a/b"}, {"fingerprint": "0" * 64}):
        card, warnings = find(**known)  # type: ignore[arg-type]
        assert card.name == "pooled" and "no calibration exists" in warnings[0]
