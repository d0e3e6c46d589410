"""`labelcast compare`."""

from __future__ import annotations

from pathlib import Path

from command_line import labelcast
from small_comparisons import make_sweep, select_sweep


def test_compare(tmp_path: Path) -> None:
    """A table, JSON and a chart; what cannot be compared has exit status 2."""
    one, two = make_sweep(tmp_path / "one", 0.34), make_sweep(tmp_path / "two", 0.24)
    given = ("compare", f"first={one}", two, "--target-score", 0.75, "--budget", 400)
    chart = tmp_path / "chart.svg"
    shown = labelcast(*given, "--label-cost", 0.5, "--chart", chart)
    assert shown.status == 0, shown.err
    assert "first needs fewer labels" in shown.out and "3 shared seeds" in shown.out
    assert chart.exists()
    found = labelcast(*given, "--json").json
    assert [each["name"] for each in found["candidates"]] == ["first", str(two)]
    assert found["candidates"][0]["labels"] < found["candidates"][1]["labels"]
    other = make_sweep(tmp_path / "other", 0.3, digest="f" * 16)
    refused = labelcast("compare", one, other, "--target-score", 0.75)
    assert refused.status == 2 and "different test sets" in refused.err
    twice = labelcast("compare", f"a={one}", f"a={two}", "--target-score", 0.75)
    assert twice.status == 2 and "given twice" in twice.err


def test_compare_selectors(tmp_path: Path) -> None:
    """One sweep is enough: a table of the labels that each saves, also in JSON and the chart."""
    lifts = {"random": 0.24, "typical": 0.34, "less": 0.3}
    folder = select_sweep(tmp_path / "sweep", lifts, ["less"])
    given = ("compare", folder, "--target-score", 0.77)
    chart = tmp_path / "chart.svg"
    shown = labelcast(*given, "--chart", chart)
    assert shown.status == 0, shown.err
    assert "Labels saved against random" in shown.out
    assert "Examples saved against random" in shown.out and "labelled pool" in shown.out
    assert "needs fewer labels than" not in shown.out
    assert "typical chose the labels" in shown.err
    assert "typical (saved: " in chart.read_text()
    chart.write_text("mine")
    refused = labelcast(*given, "--chart", chart)
    assert refused.status == 2 and "already exists" in refused.err and chart.read_text() == "mine"
    assert labelcast(*given, "--chart", chart, "--force").status == 0
    saved = labelcast(*given, "--json").json["savings"]
    assert {one["name"]: one["baseline"] for one in saved} == dict.fromkeys(
        ("typical", "less"), "random"
    )


def test_compare_page(tmp_path: Path) -> None:
    """A page beside the usual result; a file of someone else stays, before anything is compared."""
    folder = select_sweep(tmp_path / "sweep", {"random": 0.24, "typical": 0.34})
    out = tmp_path / "page.html"
    given = ("compare", folder, "--target-score", 0.77, "--out", out)
    done = labelcast(*given, "--json")
    assert done.status == 0, done.err
    assert len(done.json["candidates"]) == 2
    assert "Does selection save labels on" in out.read_text()
    out.write_text("mine")
    refused = labelcast(*given)
    assert (refused.status, refused.out, out.read_text()) == (2, "", "mine")
    assert "--force" in refused.err
    assert labelcast(*given, "--force").status == 0
    assert "Does selection save labels on" in out.read_text()
