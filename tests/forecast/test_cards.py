"""Calibration cards: the shipped ones, files, and which card a model gets."""

import json
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from labelcast.errors import InputError, RunError
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.cards import by_name, find, shipped

PUBLISHED = {
    "llama-3.1-8b-instruct": (0.545, 0.310),
    "mistral-7b-instruct-v0.3": (0.797, 0.357),
    "qwen2.5-14b-instruct": (0.526, 0.305),
}


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


def test_names() -> None:
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
        ({"slope": "0.5"}, "'slope'"),
        ({"slope": math.nan}, "'slope'"),
        ({"residual_sd": -1.0}, "residual_sd"),
        ({"residual_sd": math.inf}, "residual_sd"),
        ({"tasks": 1, "points": []}, "tasks"),
        ({"tasks": 5}, "points"),
        ({"tasks": 12.5}, "'tasks'"),
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
    for given in ({}, {"hub_id": "a/b"}, {"fingerprint": "0" * 64}):
        card, warnings = find(**given)  # type: ignore[arg-type]
        assert card.name == "pooled" and "no calibration exists" in warnings[0]
