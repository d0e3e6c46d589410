"""The report in a real browser: offline, accessible, and safe with any data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import browser, open_page, serious_faults
from coslow_runs import MODEL, TASK, answered_run

from labelcast.files.json_files import write_jsonl
from labelcast.forecast.calibration import by_name
from labelcast.report.costs import Prices
from labelcast.report.html import clean
from labelcast.report.page import write_report

NASTY = [
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "<svg onload=window.hacked=1></svg></svg>",
    "</style></script></td></table></svg><b>out</b>",
    "{{ 7 * 7 }}{% for a in b %}{# c #}${hacked}",
    "null \x00 escape \x1b[31m bell \x07",
    "\u202ethgir ot tfel\u202c שלום עולם مرحبا",
    "🎉👩‍👩‍👧‍👦 e\u0301 \u2028 line \u0085 next",
    "javascript:window.hacked=1",
    "<!-- --><![CDATA[ ]]>&lt;&amp;&#0;",
    "=HYPERLINK(1) ' \" ` \\ / %00",
    "x" * 100_000,
    "w" * 300 + " <i>after a long word</i>",
]
TEXT = 400
"""Characters that the table shows of a text."""
BAD = "<script>window.hacked=1</script>{{ 7*7 }}\u202e"


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with observed scores, costs and notes."""
    run = answered_run(tmp_path_factory.mktemp("plain"))
    ids = [row["id"] for row in run.rows("labels.jsonl")]
    write_jsonl(run.file("remarks.jsonl"), [{"id": ids[0], "note": "hm", "unsure": True}])
    asked = {"zero_shot": 0.5, "observations": [(50, 0.6)], "target_score": 0.8}
    return write_report(run, asked=asked, prices=Prices(per_label=0.4))[0]


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run in which all untrusted text is hostile."""
    fields = [{"field": f"a{BAD}", "label": "A"}, {"field": "b'\"></th>", "label": "B"}]
    task = TASK | {
        "instruction": f"{BAD}\n" + "i" * 100_000,
        "inputs": fields,
        "answers": [f"yes{BAD}", "no</td>"],
        "ceiling": {"score": 0.9, "source": BAD},
    }
    rows = [
        {"id": f"{n}{BAD}", fields[0]["field"]: f"{n} {text}", fields[1]["field"]: text}
        | {"said": text}
        for n, text in enumerate(NASTY * 4)
    ]
    folder = tmp_path_factory.mktemp("nasty")
    model = MODEL | {"name": f"m{BAD}", "hub_id": f"h{BAD}"}
    run = answered_run(
        folder, rows, task=task, facts={"model": model, "pool": f"p{BAD}", "device": BAD}
    )
    ids = [row["id"] for row in run.rows("labels.jsonl")]
    notes = [{"id": key, "note": NASTY[n % len(NASTY)]} for n, key in enumerate(ids)]
    write_jsonl(run.file("remarks.jsonl"), notes)
    card = replace(by_name("pooled"), name=f"card{BAD}", model=BAD, source=BAD, recipe=BAD)
    return write_report(run, asked={"calibration": card, "recipe": f"r{BAD}"})[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_offline_and_for_everyone(started: Any, plain: Path, scheme: str) -> None:
    """No request but the file, an empty console, no serious fault, with details open or closed."""
    with open_page(started, color_scheme=scheme) as (page, heard):
        page.goto(plain.as_uri())
        assert serious_faults(page) == []
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert serious_faults(page) == []
        assert heard.requests == [plain.as_uri()]
        assert heard.console == []
        levels = [int(h.evaluate("e => e.tagName[1]")) for h in page.locator("h1,h2,h3").all()]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))


def test_no_column_is_clipped_at_1280_pixels(started: Any, plain: Path) -> None:
    """Examples are collapsed at first; opened, every table fits into the window."""
    with open_page(started, viewport={"width": 1280, "height": 900}) as (page, _):
        page.goto(plain.as_uri())
        assert not page.is_visible("table.examples")
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.is_visible("table.examples")
        clipped = page.evaluate(
            "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)"
            ".map((e) => e.getAttribute('aria-label'))"
        )
        assert clipped == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_pairs_are_shown_by_pointer_keyboard_and_touch(started: Any, plain: Path) -> None:
    """The examples of a square and their cosine, as in the table."""
    with open_page(started, has_touch=True) as (page, heard):
        page.goto(plain.as_uri())
        heat = page.locator("#heat")
        order = (heat.get_attribute("data-order") or "").split()
        cosines = (heat.get_attribute("data-cosines") or "").split()

        def check(row: int, column: int) -> None:
            assert (
                page.locator("[data-pair=cosine]").text_content()
                == cosines[row * len(order) + column]
            )
            for place, number in enumerate((order[row], order[column])):
                example = page.locator(".pair .example").nth(place)
                line = page.locator(f"#example-{number}")
                assert example.locator("[data-pair=number]").text_content() == number
                assert example.locator("[data-pair=text]").text_content() == "\n".join(
                    line.locator("td.long").all_text_contents()
                )

        heat.focus()
        check(0, 1)
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp"):
            page.keyboard.press(key)
        check(1, 1)
        box = heat.locator("svg").bounding_box()
        side = box["width"] / (len(order) + 1)

        def place(row: int, column: int) -> dict[str, float]:
            return {"x": (column + 1.5) * side, "y": (row + 1.5) * side}

        heat.locator("svg").hover(position=place(3, 30))
        check(3, 30)
        heat.locator("svg").tap(position=place(31, 4))
        check(31, 4)
        assert heard.console == []


@pytest.mark.parametrize("name", ["plain", "nasty"])
def test_a_phone_needs_no_sideways_scroll(
    started: Any, name: str, request: pytest.FixtureRequest
) -> None:
    """The page is as wide as the screen; wider parts scroll inside their own frame."""
    with open_page(started, viewport={"width": 360, "height": 740}, is_mobile=True) as (page, _):
        page.goto(request.getfixturevalue(name).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("figure .narrow").first.is_visible()
        assert not page.locator("figure .wide").first.is_visible()


def test_hostile_data_is_text(started: Any, nasty: Path) -> None:
    """None of it runs, loads or makes an element; all of it can be read."""
    assert nasty.stat().st_size < 3_000_000
    with open_page(started) as (page, heard):
        page.goto(nasty.as_uri())
        page.locator("#heat").focus()
        for _ in range(14):
            page.keyboard.press("ArrowDown")
        assert page.evaluate("window.hacked") is None
        assert page.locator("script").count() == 1
        assert page.locator("img, iframe, object, embed, main b, main i, form").count() == 0
        assert heard.console == []
        assert heard.requests == [nasty.as_uri()]
        assert page.locator("tbody tr[id^=example]").count() == 32
        for number, text in enumerate(NASTY, 1):
            cell = page.locator(f"#example-{number} td.long").nth(1)
            shown = cell.locator("bdi").text_content()
            # An HTML parser turns every line end into a newline.
            assert shown == clean(text[:TEXT]).replace("\r", "\n")
            cut = cell.locator(".cut")
            left = len(text) - TEXT
            assert cut.count() == (left > 0)
            assert left <= 0 or f"{left:,} more characters" in (cut.text_content() or "")
        said = page.locator("main").inner_text()
        for mark in (f"m{BAD}", f"p{BAD}", f"card{BAD}", "no</td>", "b'\"></th>"):
            assert json.dumps(mark)[1:-1] in json.dumps(said)
        assert serious_faults(page) == []


def test_it_prints_completely(started: Any, plain: Path, tmp_path: Path) -> None:
    """On paper no chart or table is cut off at the right."""
    with open_page(started, viewport={"width": 650, "height": 900}) as (page, heard):
        page.goto(plain.as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 650
        cut = page.evaluate(
            "[...document.querySelectorAll('.scroll, pre')]"
            ".filter((e) => e.scrollWidth > e.clientWidth + 1).length"
        )
        assert cut == 0
        assert len(page.pdf(format="A4")) > 10_000
        assert heard.console == []


def test_only_its_own_style_and_script_are_allowed(plain: Path) -> None:
    """The policy names them by hash, and no attribute asks for a style or a script."""
    text = unescape(plain.read_text("utf-8"))
    assert "default-src 'none'" in text and "unsafe" not in text
    assert " style=" not in text and " onclick" not in text and "http-equiv" in text
    assert text.count("<script>") == text.count("<style>") == 1
    assert "url(" not in text and "@import" not in text
