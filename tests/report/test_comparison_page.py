"""The page of a comparison: what it says, safe with any names, and what it may replace."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import browser, open_page, serious_faults
from small_comparisons import make_sweep, select_sweep

from labelcast.errors import InputError
from labelcast.report.comparison_page import render_comparison, write_comparison
from labelcast.sweeps.compare import compare

BAD = "<script>window.hacked=1</script>{{ 7*7 }}\u202e\x00\x1b" + "w" * 300
LIFTS = {"random": 0.24, "margin": 0.2, "typical": 0.34, "less": 0.3}


def words(page: str) -> str:
    """The text of a page, without its style."""
    text = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", text)).split())


def test_models(tmp_path: Path) -> None:
    """The headline, the labels with interval and cost, each chance and each difference."""
    paths = {"g": make_sweep(tmp_path / "g", 0.34), "p": make_sweep(tmp_path / "p", 0.24)}
    found = compare(paths, target_score=0.77, budget=400, label_cost=0.5)
    page = render_comparison(found)
    said = words(page)
    best, pair = found.candidates[0], found.pairs[0]
    assert f"g needs the fewest labels for accuracy of 0.77: {best.labels:,}." in said
    assert f"{best.low:,} to {best.high:,}" in said
    assert f"the chance that it needs fewer than p is {pair.fewer:.0%}" in said or pair.fewer > 0.99
    assert best.cost is not None and f"{best.cost.total:,.2f}" in said
    assert f"{pair.differences[-1].mean:+.3f}" in said
    assert all(warning in said for one in found.candidates for warning in one.warnings)
    assert "saved" not in said.lower()
    assert page == render_comparison(found)
    assert page.count("<svg") == 4 and "NaN" not in page


def test_selectors(tmp_path: Path) -> None:
    """Labels saved come first; methods that choose among labelled examples have their tables."""
    found = compare([select_sweep(tmp_path / "s", LIFTS, ["less"])], target_score=0.77)
    said = words(render_comparison(found))
    saved = found.savings[0]
    assert saved.name == "typical"
    assert f"typical saves {saved.saved:,} labels against random for accuracy of 0.77." in said
    assert "Examples needed" in said and "Examples saved" in said
    assert "typical chose the labels" in said
    worse = compare(
        [select_sweep(tmp_path / "w", {"random": 0.3, "margin": 0.2})], target_score=0.77
    )
    said = words(render_comparison(worse))
    assert "No method is likely to save labels against random" in said


def test_a_target_out_of_reach(tmp_path: Path) -> None:
    """The headline says so."""
    paths = {name: make_sweep(tmp_path / name, 0.02) for name in "ab"}
    said = words(render_comparison(compare(paths, target_score=0.99)))
    assert "None is likely to reach accuracy of 0.99 within 5,000 labels." in said


def test_more_candidates_than_colours(tmp_path: Path) -> None:
    """Each line still differs, by its dashes."""
    lifts = {"random": 0.24} | {f"method {n}": 0.24 + n / 100 for n in range(9)}
    found = compare([select_sweep(tmp_path / "s", lifts)], target_score=0.77)
    keys = re.findall(r'<svg class="key".*?</svg>', render_comparison(found))
    assert len(set(keys)) == len(keys) == 10


def test_what_is_replaced(tmp_path: Path) -> None:
    """A page that labelcast wrote; another file, or an edited page, only with `force`."""
    paths = {name: make_sweep(tmp_path / name, 0.3) for name in "ab"}
    found = compare(paths, target_score=0.7)
    out = write_comparison(found, tmp_path / "page.html")
    write_comparison(found, out)
    for text, says in (("mine", "is not a labelcast report"), (None, "was edited")):
        out.write_text(text or f"{write_comparison(found, out, force=True).read_text()} ")
        before = out.read_text()
        with pytest.raises(InputError, match=says):
            write_comparison(found, out)
        assert out.read_text() == before
    with pytest.raises(InputError, match="belongs to labelcast"):
        write_comparison(found, tmp_path / "a" / "page.json")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of selectors, and one whose names are hostile."""
    folder = tmp_path_factory.mktemp("pages")
    plain = compare([select_sweep(folder / "s", LIFTS, ["less"])], target_score=0.77)
    sweeps = {f"a{BAD}": make_sweep(folder / "a", 0.3)}
    sweeps |= {f"b{BAD}": select_sweep(folder / "b", {"random": 0.24, f"c{BAD}": 0.3})}
    for number, sweep in enumerate(sweeps.values()):
        content = json.loads((sweep / "sweep.json").read_text())
        content["model"]["name"] = f"{number} model {BAD}"
        content["recipe"]["name"] = f"{number} recipe {BAD}"
        (sweep / "sweep.json").write_text(json.dumps(content))
    nasty = compare(sweeps, target_score=0.77)
    return {
        "plain": write_comparison(plain, folder / "plain.html"),
        "nasty": write_comparison(nasty, folder / "nasty.html"),
    }


def test_it_opens_offline_and_for_everyone(pages: dict[str, Path]) -> None:
    """Light and dark, no request, an empty console, no serious fault, nothing hostile runs."""
    with browser() as started:
        for name, scheme in (("plain", "light"), ("plain", "dark"), ("nasty", "light")):
            with open_page(started, color_scheme=scheme) as (page, heard):
                page.goto(pages[name].as_uri())
                page.evaluate("document.querySelectorAll('details').forEach((d) => {d.open=true})")
                assert serious_faults(page) == []
                assert heard.requests == [pages[name].as_uri()]
                assert heard.console == []
                assert page.locator("script, img, iframe").count() == 0
                assert page.evaluate("window.hacked") is None
        said = pages["nasty"].read_text()
        assert "\x00" not in said and "\x1b" not in said and "{{ 7*7 }}" in said


@pytest.mark.parametrize("name", ["plain", "nasty"])
def test_a_phone_needs_no_sideways_scroll(pages: dict[str, Path], name: str) -> None:
    """The page is as wide as the screen; wider tables scroll inside their own frame."""
    options: dict[str, Any] = {"viewport": {"width": 390, "height": 740}, "is_mobile": True}
    with browser() as started, open_page(started, **options) as (page, _):
        page.goto(pages[name].as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("figure .narrow").first.is_visible()
