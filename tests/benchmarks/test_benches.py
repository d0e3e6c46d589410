"""Parts of the benchmarks: fits, tables, history, resuming, inputs, and what each peer computes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import bench_examples
import exponents
import growth
import growth_lines
import numpy as np
import outcome
import peer_ways
import pytest
import release_table
from hypothesis import given
from hypothesis import strategies as st
from outcome import Ratio
from tiny_model import load_llama

from labelcast.models.coslow import encode_labelled, median_cosine
from labelcast.models.encoding import shared_prefix
from labelcast.models.loading import LanguageModel

BENCHES = Path(exponents.__file__).parent


@pytest.fixture
def fresh(tmp_path: Path) -> LanguageModel:
    """A tiny model with a long context that a test may change."""
    return load_llama(tmp_path / "fresh", max_position_embeddings=2048)


@given(st.floats(-2, 3), st.floats(1e-3, 1e3))
def test_a_fit_recovers_the_exponent(b: float, factor: float) -> None:
    """Without noise, the fit recovers the exponent and extrapolates exactly."""
    x = [10.0, 30, 100, 300, 1000]
    found = exponents.fit(x, [factor * v**b for v in x])
    assert found.exponent == pytest.approx(b, abs=1e-9)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.at(1e5) == pytest.approx(factor * 1e5**b, rel=1e-6)


def test_the_standard_error_of_a_fit() -> None:
    """It equals the spread of the exponent over draws of the noise."""
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 1000, 8)
    draws = x**1.5 * np.exp(rng.normal(0, 0.1, (2000, 8)))
    fits = [exponents.fit(x.tolist(), y.tolist()) for y in draws]
    spread = np.std([one.exponent for one in fits])
    mean_square = np.mean([one.error**2 for one in fits])
    assert np.sqrt(mean_square) == pytest.approx(spread, rel=0.1)


def test_the_larger_half_ignores_a_constant() -> None:
    """y = 10 + x^2 is flat at first: the larger half gives an exponent closer to 2."""
    x = [1.0, 3, 10, 30, 100, 300]
    y = [10 + v**2 for v in x]
    assert exponents.fit(x, y).exponent < exponents.upper(x, y).exponent < 2.01
    assert exponents.upper(x, y).exponent > 1.8


@pytest.mark.parametrize(
    ("ratio", "earlier", "marked"),
    [
        (Ratio(2.0, "higher"), 3.0, True),
        (Ratio(2.9, "higher"), 3.0, False),
        (Ratio(4.0, "higher"), 3.0, False),
        (Ratio(1.5, "lower"), 1.2, True),
        (Ratio(1.0, "lower"), 1.2, False),
        (Ratio(9.0), 3.0, False),
        (Ratio(9e-6, "lower", compared=False), 1e-6, False),
        (Ratio(None, "higher", note="not installed"), 3.0, False),
    ],
)
def test_only_a_regression_is_marked(ratio: Ratio, earlier: float, marked: bool) -> None:
    """Worse by more than a tenth, for ratios that have a direction and are compared."""
    last = release_table.Record("1", "2026-01-01", "abc", "m", {"b: r": earlier})
    assert release_table.regressions({"b: r": ratio}, last) == (["b: r"] if marked else [])
    assert ("**worse**" in release_table.release_table({"b: r": ratio}, last)) == marked


def test_the_table_shows_missed_goals_and_missing_peers() -> None:
    """A missed goal is marked; a missing value gives its reason."""
    ratios = {"a": Ratio(2.0, "higher", 3.0), "b": Ratio(None, note="not installed")}
    table = release_table.release_table(ratios, None)
    assert "| a | 2 | at least 3 (missed) |" in table
    assert "| b | not installed |" in table


def test_the_history_is_read_back(tmp_path: Path) -> None:
    """Releases stay in order; the same commit recorded again replaces its row."""
    path = tmp_path / "history.jsonl"
    records = [
        release_table.Record(v, "2026-01-01", c, "m", {"b: r": value, "b: none": None})
        for v, c, value in [("1", "a", 1.0), ("2", "b", 2.0), ("2", "b", 2.5)]
    ]
    for one in records:
        release_table.record(path, one)
    assert release_table.read_history(path) == [records[0], records[2]]


def test_ratios_survive_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of a benchmark is read back as the same ratios."""
    ratios = {
        "r": Ratio(2.0, "higher", 3.0),
        "s": Ratio(None, "lower", note="not installed", compared=False),
    }
    outcome.tell("b", ratios, turns=1)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert release_table.ratios_of([line]) == {f"b: {name}": r for name, r in ratios.items()}


def test_only_the_marked_part_of_a_page_is_replaced() -> None:
    """Pasting twice equals pasting once; a page without the mark is refused."""
    page = "before\n<!-- bench -->\nold\n<!-- end bench -->\nafter\n"
    once = release_table.put(page, "bench", "new")
    assert once == "before\n<!-- bench -->\nnew\n<!-- end bench -->\nafter\n"
    assert release_table.put(once, "bench", "new") == once
    with pytest.raises(ValueError, match="growth"):
        release_table.put(page, "growth", "new")


def test_a_killed_benchmark_resumes(tmp_path: Path) -> None:
    """A line that was cut off is ignored, and later lines are intact."""
    path = tmp_path / "rows.jsonl"
    growth.append(path, {"line": "pool", "point": 100, "x": 100.0})
    with path.open("a") as lines:
        lines.write('{"line": "pool", "poi')
    growth.append(path, {"line": "pool", "point": 300, "x": 300.0})
    rows = growth.read_rows(path)
    assert [row["point"] for row in rows] == [100, 300]
    assert growth.missing(rows, ["pool"], full=False) == {"pool": [1000, 3000, 10_000]}
    assert growth.missing(rows, ["pool"], full=False, most=2) == {}


def test_growth_is_measured_and_fitted(tmp_path: Path) -> None:
    """Two small pools, scored for real, give rows and an exponent."""
    rows = [growth.measure("pool", point) for point in (80, 160)]
    assert [row["x"] for row in rows] == [80.0, 160.0]
    assert all(row["seconds"] > 0 for row in rows)
    (described,) = growth_lines.describe(growth_lines.fit_lines(rows))
    assert described["line"] == "pool"
    assert described["axis"] in release_table.growth_table([described])


def test_a_generated_task_replaces_missing_records(tiny: LanguageModel) -> None:
    """It has as many labelled examples, and its source says so."""
    found = bench_examples.load(Path("absent.json"), 4, tiny, need_answer=True)
    assert "generated from post_room (absent.json is missing)" in found.source
    assert len(found.examples) == 4
    assert all(example.answer for example in found.examples)


def test_varied_prompts_share_nothing_and_keep_their_length(tiny: LanguageModel) -> None:
    """No two share their first eight tokens; lengths change by a few percent."""
    found = bench_examples.load(Path("absent.json"), 6, tiny, need_answer=True).examples
    varied = bench_examples.nothing_shared(found)
    encode = tiny.tokenizer.encode
    for one, other in combinations(varied, 2):
        assert shared_prefix([encode(one.prompt), encode(other.prompt)]) < 8
    for before, after in zip(found, varied, strict=True):
        assert len(encode(after.prompt)) == pytest.approx(len(encode(before.prompt)), rel=0.05)
        assert (after.answer, after.fields) == (before.answer, before.fields)


def found_by(way: str, lm: LanguageModel) -> Any:
    records = bench_examples.load(Path("absent.json"), 3, lm, need_answer=True).examples
    inputs = peer_ways.Inputs(lm, records, encode_labelled(lm, records), 2)
    return peer_ways.WAYS[way](inputs)()


@pytest.mark.parametrize(
    ("way", "ours"),
    [
        ("published", "labelcast"),
        ("torch.func", "labelcast"),
        ("kronfluence", "labelcast exact"),
    ],
)
def test_a_peer_finds_the_same_cosines(fresh: LanguageModel, way: str, ours: str) -> None:
    """With sketched or full gradients, one at a time or all at once, the numbers are the same."""
    if way == "kronfluence" and find_spec(way) is None:
        pytest.skip("kronfluence is not installed")
    wanted = found_by(ours, fresh)
    found = found_by(way, fresh)
    assert np.abs(found.cosines - wanted.cosines).max() < 1e-4
    if wanted.unweighted is not None:
        assert np.abs(found.unweighted - wanted.unweighted).max() < 1e-4
        assert median_cosine(found.unweighted) != pytest.approx(median_cosine(found.cosines))


def test_a_missing_peer_is_reported() -> None:
    """This is not a failure."""
    with pytest.raises(peer_ways.Absent, match="not installed"):
        peer_ways.needs("no_such_peer_of_labelcast")
