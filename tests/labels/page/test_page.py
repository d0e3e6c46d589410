"""The label page in a real browser, served as the user starts it."""

from __future__ import annotations

import json
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from browser import open_page, serious_faults
from example_runs import run_of
from label_pages import PLAIN, on_disk, plain_run, press, quiet, started, title
from label_server import serving
from shared_data import shared

from labelcast.labels.draw import draw_more
from labelcast.labels.session import LabelSession, load_notes
from labelcast.runs import label_store
from labelcast.tasks.task import Task

NASTY = (
    "<script>window.hacked = 1</script>",
    '<img src="nowhere" onerror="window.hacked = 1">',
    "{{ 7 * 7 }} ${window.hacked = 1} {% raw %} <%= 1 %>",
    "null\0byte",
    "\u05e9\u05dc\u05d5\u05dd \u202eevil\u202c \U0001f600\U0001f468\u200d\U0001f469",
    "]]></script><script>window.hacked = 1</script>",
    "javascript:window.hacked=1",
    "long " * 20_000,
    "a line\n\n   and\tanother ",
)
NASTY_TASK = {
    **{"name": "t", "instruction": "<b onclick=x>Choose</b> {{ it }}", "answer": "<u>y</u>"},
    "inputs": [
        {"field": "<b onmouseover=window.hacked=1>", "label": "<i>Text</i>"},
        {"field": "more", "label": '"><script>window.hacked=1</script>'},
    ],
    "answers": [
        "<svg onload=window.hacked=1>",
        '"><script>',
        "javascript:alert(1)",
        "</button>",
        "5",
    ],
}


def test_a_short_pass(chromium: Any, tmp_path: Path) -> None:
    """By keyboard, with a reload; hostile texts are shown as text."""
    one, two = (item["field"] for item in NASTY_TASK["inputs"])  # type: ignore[index]
    rows = [{one: text, two: f"{n} {text[:50]}"} for n, text in enumerate(NASTY)]
    run = run_of(tmp_path, [*rows, {one: "x", two: "y"}], len(NASTY), Task.build(NASTY_TASK))
    with serving(run.path) as server, open_page(chromium) as (page, heard):
        started(page, server.link)
        assert page.url == server.origin + "/"
        for place, text in enumerate(NASTY):
            assert title(page) == f"Example {place + 1} of {len(NASTY)}"
            shown = page.locator(".field .text").first.text_content()
            assert shown == text.replace("\0", "\ufffd")
            if place == 0:
                assert page.locator(".field h2").all_text_contents() == [
                    item["label"]  # type: ignore[index]
                    for item in NASTY_TASK["inputs"]
                ]
                page.keyboard.press("n")
                page.keyboard.type("<b>12</b> s")
                page.keyboard.press("Enter")
                page.wait_for_selector(".mark.note")
                page.keyboard.press("?")
                page.wait_for_selector(".mark.unsure")
            if place in (1, 7):
                assert serious_faults(page) == []
            if place == 4:
                page.reload()
                page.wait_for_selector("#answers > *")
            press(page, "s" if place == 3 else str(place % 5 + 1))
            assert len(on_disk(run)) == place + (place < 3)
        assert page.text_content("#result-title") == "8 of 9 are labelled"
        page.wait_for_selector("#measure")
        assert serious_faults(page) == []
        assert page.evaluate("window.hacked") is None
        assert quiet(heard), heard
    answers = NASTY_TASK["answers"]
    assert on_disk(run) == [answers[n % 5] for n in range(len(NASTY)) if n != 3]  # type: ignore[index]
    entry = LabelSession(run).snapshot().items[0].entry
    assert (entry.note, entry.unsure) == ("<b>12</b> s", True)


def test_the_server_is_stopped_by_ctrl_c(tmp_path: Path) -> None:
    """It says how to continue, without a traceback, and exits with status 0."""
    run = plain_run(tmp_path, 2)
    with serving(run.path) as server:
        # Once it answers, it has taken over the signal from asyncio, which may lose one.
        ask = HTTPConnection("127.0.0.1", server.port)
        ask.request("GET", "/")
        ask.getresponse().read()
        ask.close()
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=60)
        assert server.process.returncode == 0
        assert out == ""
        assert "To continue:" in err
        assert f"labelcast label {run.path}" in err
        assert "Traceback" not in err


@pytest.mark.slow
def test_32_by_keyboard_with_a_crash_in_the_middle(chromium: Any, tmp_path: Path) -> None:
    """Killed and restarted on its port: the open window says so, and works again."""
    run = plain_run(tmp_path)
    with serving(run.path) as server, open_page(chromium) as (page, heard):
        started(page, server.link)
        for place in range(16):
            press(page, str(place % 3 + 1))
            assert len(on_disk(run)) == place + 1
        for undone in (1, 2):
            page.keyboard.press("u")
            page.wait_for_function(
                "n => document.getElementById('example-title').textContent.startsWith(n)",
                arg=f"Example {17 - undone} ",
            )
        assert quiet(heard), heard
        page.keyboard.press("n")
        page.keyboard.type("half a thought")
        server.kill()
        page.wait_for_selector("#banner:not([hidden]) >> text=server has stopped")
        assert len(on_disk(run)) == 14
        with serving(run.path, "--port", server.port) as again:
            page.wait_for_selector("#banner:not([hidden]) >> text=new link")
            other = page.context.new_page()
            other.goto(again.link)
            other.close()
            page.wait_for_selector("#banner", state="hidden")
            assert page.input_value("#note") == "half a thought"
            page.keyboard.press("Enter")
            page.wait_for_selector(".mark.note")
            # Changes made before the crash can still be undone: the note, then an answer.
            page.keyboard.press("u")
            page.wait_for_selector(".mark.note", state="detached")
            for place in range(14, 32):
                press(page, str(place % 3 + 1))
            assert page.text_content("#result-title") == "All 32 are labelled"
            assert page.is_visible("#measure")
    assert on_disk(run) == [PLAIN["answers"][n % 3] for n in range(32)]


def test_answers_named_like_parts_of_the_language(chromium: Any, tmp_path: Path) -> None:
    """The buttons show the answers themselves."""
    answers = ["constructor", "__proto__", "toString", "b"]
    rows = [{"text": f"text {n}"} for n in range(4)]
    run = run_of(tmp_path, rows, 2, Task.build(PLAIN | {"answers": answers}))
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        assert page.locator(".answer span").all_text_contents() == answers
        press(page, "2")
        assert on_disk(run) == ["__proto__"]


@pytest.mark.slow
def test_two_windows(chromium: Any, tmp_path: Path) -> None:
    """The second shows what the first changed, and the user decides; nothing is overwritten."""
    run = plain_run(tmp_path, 6)
    with serving(run.path) as server, open_page(chromium) as (one, heard):
        started(one, server.link)
        two = one.context.new_page()
        # So that the second sees no change before it acts.
        two.route(
            "**/api/state", lambda route: route.fulfill(json=kept) if kept else route.continue_()
        )
        kept: dict[str, Any] = {}
        started(two, server.origin)
        kept |= two.evaluate("async () => (await fetch('/api/state')).json()")
        press(one, "1")
        two.keyboard.press("2")
        two.wait_for_selector("#notice:not([hidden])")
        assert on_disk(run) == ["billing"]
        assert "labelled “billing” now; you chose “returns”" in two.text_content("#notice")
        assert two.evaluate("document.activeElement.textContent") == "Keep “billing”"
        two.keyboard.press("2")  # ignored until the question is answered
        two.keyboard.press("Tab")
        press(two, "Enter")
        assert on_disk(run) == ["returns"]
        kept.clear()
        one.wait_for_function("() => document.querySelectorAll('#strip .labelled').length === 1")
        # A new draw and an import show up by themselves.
        draw_more(run, {"random": 2})
        ids = [item.id for item in LabelSession(run).snapshot().items]
        with run.locked(wait=5):
            label_store.save_labels(run, dict.fromkeys(ids[:6], "account"))
        one.wait_for_function("() => document.querySelectorAll('#strip .labelled').length === 6")
        one.wait_for_selector("#to-result:not([hidden])")
        one.click("#to-result")
        one.click("text=Label the random examples")
        one.wait_for_selector("text=Example 1 of 2")
        assert quiet(heard), heard


@pytest.mark.slow
def test_an_answer_of_one_digit_is_its_own_key(chromium: Any, tmp_path: Path) -> None:
    """The others get the digits that are left."""
    rows = [{"text": f"text {n}"} for n in range(4)]
    run = run_of(tmp_path, rows, 3, Task.build(PLAIN | {"answers": ["0", "1", "unclear"]}))
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        assert page.locator(".answer kbd").all_text_contents() == ["0", "1", "2"]
        for key in "102":
            press(page, key)
    assert on_disk(run) == ["1", "0", "unclear"]


def settle(page: Any) -> None:
    """Wait until a click is not the second one of a double click on the example before."""
    now = page.evaluate("performance.now()")
    page.wait_for_function("now => performance.now() - now > 350", arg=now)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("button", "before", "labels"),
    [
        (".answer", "", ["billing", "returns"]),
        ("[data-key=s]", "", ["returns"]),
        ("[data-key=u]", "12", ["billing", "returns"]),
    ],
)
def test_a_double_click_changes_one_example(
    button: str, before: str, labels: list[str], chromium: Any, tmp_path: Path
) -> None:
    """The second click, on an example that was just shown, is ignored; a number key is not."""
    run = plain_run(tmp_path, 3)
    click = """async (button) => {
        const press = () => document.querySelector(button).dispatchEvent(
            new MouseEvent("click", { detail: 1, bubbles: true }));
        const next = new Promise((done) => new MutationObserver(done).observe(
            document.getElementById("example-title"), { childList: true }));
        press();
        await next;
        press();
    }"""
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        for key in before:
            press(page, key)
        settle(page)
        page.evaluate(click, button)
        press(page, "2")
        assert title(page).startswith("Example 3")
    assert on_disk(run) == labels


def test_undo_leaves_the_answers_of_others(chromium: Any, tmp_path: Path) -> None:
    """A window undoes what it did itself, and nothing that is done elsewhere meanwhile."""
    run = plain_run(tmp_path, 4)
    session = LabelSession(run)
    first, _, third, _ = session.snapshot().items
    session.label(first.id, "returns", seen=first.entry.version)
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        press(page, "1")
        session.label(third.id, "account", seen=third.entry.version)
        page.reload()
        page.wait_for_selector("#answers > *")
        press(page, "u")
        assert on_disk(run) == ["returns", "account"]
        assert title(page).startswith("Example 2")
        assert page.is_disabled("#actions [data-key=u]")


def test_a_damaged_file_is_reported(chromium: Any, tmp_path: Path) -> None:
    """The page says which, and works once it is put right."""
    run = plain_run(tmp_path, 2)
    with serving(run.path) as server, open_page(chromium) as (page, _):
        run.file("remarks.jsonl").write_text("no\n")
        page.goto(server.link)
        page.wait_for_selector("#banner:not([hidden]) >> text=remarks.jsonl line 1: damaged")
        run.file("remarks.jsonl").unlink()
        page.wait_for_selector("#answers > *")
        assert page.is_hidden("#banner")


@pytest.mark.slow
def test_a_phone(chromium: Any, tmp_path: Path) -> None:
    """By touch: nothing is wider than the window, and every button is large enough."""
    run = plain_run(tmp_path, 4)
    window = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}
    with serving(run.path) as server, open_page(chromium, **window) as (page, heard):
        started(page, server.link)
        for name in PLAIN["answers"]:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            for button in page.locator(".controls button").all():
                assert button.bounding_box()["height"] >= 44
            before = title(page)
            settle(page)
            page.tap(f".answer >> text={name}")
            page.wait_for_function(
                "before => document.getElementById('example-title').textContent !== before",
                arg=before,
            )
        settle(page)
        page.tap("text=Skip")
        page.wait_for_selector("#result-title")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert serious_faults(page) == []
        assert quiet(heard), heard
    assert on_disk(run) == PLAIN["answers"]


@pytest.mark.slow
def test_many_answers_are_searched(chromium: Any, tmp_path: Path) -> None:
    """By their meaning, by their number, and with the arrow keys."""
    lines = (shared() / "tasks/banking77.jsonl").read_text("utf-8").splitlines()[:9]
    task = Task.load("banking77")
    run = run_of(tmp_path, [json.loads(line) for line in lines], 5, task)
    with serving(run.path) as server, open_page(chromium) as (page, heard):
        started(page, server.link)
        assert page.locator(".option").count() == 77
        for typed in ("not arrived", "7", "contactless", ""):
            page.keyboard.type(typed)
            if not typed:
                page.keyboard.press("ArrowDown")
                page.keyboard.press("ArrowDown")
            assert serious_faults(page) == []
            press(page, "Enter")
        page.keyboard.type("sub s")  # in the field, action keys type letters
        assert page.input_value("#find") == "sub s"
        page.keyboard.press("Escape")
        press(page, "u")
        assert title(page).startswith("Example 4")
        assert quiet(heard), heard
    assert on_disk(run) == ["11", "7", "23"]


@pytest.mark.slow
def test_free_text(chromium: Any, tmp_path: Path) -> None:
    """Line breaks are kept, a draft survives a reload, and a text that is too long is refused."""
    task = Task.build({k: v for k, v in PLAIN.items() if k != "answers"})
    run = run_of(tmp_path, [{"text": f"t {n}"} for n in range(5)], 3, task)
    with serving(run.path) as server, open_page(chromium) as (page, heard):
        started(page, server.link)
        page.keyboard.type("one")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("b<u>two")
        page.reload()
        page.wait_for_selector("#free")
        assert page.input_value("#free") == "one\nb<u>two"
        press(page, "Enter")
        assert on_disk(run) == ["one\nb<u>two"]
        page.keyboard.type("second")
        press(page, "Control+Enter")
        assert quiet(heard), heard
        page.fill("#free", "x" * 70_000)
        page.keyboard.press("Enter")
        page.wait_for_selector("#notice >> text=too long")
        assert len(page.input_value("#free")) == 70_000
    assert on_disk(run) == ["one\nb<u>two", "second"]


@pytest.mark.slow
def test_typing_goes_on_while_another_labels(chromium: Any, tmp_path: Path) -> None:
    """The field stays, no letter becomes a key, and saving asks which answer to keep."""
    task = Task.build({k: v for k, v in PLAIN.items() if k != "answers"})
    run = run_of(tmp_path, [{"text": f"t {n}"} for n in range(5)], 3, task)
    session = LabelSession(run)
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        page.keyboard.type("mi")
        first = session.snapshot().items[0]
        session.label(first.id, "theirs", seen=first.entry.version)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_selector("#strip .labelled")
        page.keyboard.type("ne, subs")
        assert page.input_value("#free") == "mine, subs"
        page.keyboard.press("Enter")
        page.wait_for_selector("#notice >> text=labelled “theirs” now; you chose “mine, subs”")
        assert on_disk(run) == ["theirs"]
        page.click("text=Use “mine, subs”")
        page.wait_for_function("() => document.querySelector('#free')?.value === ''")
    assert on_disk(run) == ["mine, subs"]


@pytest.mark.slow
def test_the_label_of_another_is_shown_where_nothing_is_typed(
    chromium: Any, tmp_path: Path
) -> None:
    """The field shows it too, and keeps the focus."""
    task = Task.build({k: v for k, v in PLAIN.items() if k != "answers"})
    run = run_of(tmp_path, [{"text": f"t {n}"} for n in range(5)], 3, task)
    session = LabelSession(run)
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        first = session.snapshot().items[0]
        session.label(first.id, "theirs", seen=first.entry.version)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_selector("#marks .mark.done")
        page.keyboard.type("!")
        assert page.input_value("#free") == "theirs!"


@pytest.mark.slow
def test_the_models_answer_is_hidden_until_requested(chromium: Any, tmp_path: Path) -> None:
    """It is not sent before, and never for the test set."""
    run = plain_run(tmp_path, 2)
    draw_more(run, {"test": 1})
    said: list[str] = []
    with serving(run.path) as server, open_page(chromium) as (page, heard):
        page.on("response", lambda answer: said.append(answer.url))
        started(page, server.link)
        assert not page.is_visible(".model-answer")
        assert not any("model" in url for url in said)
        page.keyboard.press("m")
        page.wait_for_selector(".model-answer >> text=returns")
        press(page, "1")
        assert not page.is_visible(".model-answer")
        press(page, "1")
        page.click("text=Label the test set examples")
        page.wait_for_selector("text=Example 1 of 1")
        assert not page.is_visible("text=Model")
        page.keyboard.press("m")
        assert quiet(heard), heard
    shown = [notes.id for notes in load_notes(run).values() if notes.model_shown]
    assert shown == [LabelSession(run).snapshot().items[0].id]


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """The message names it and says what to do."""
    from command_line import check_message, labelcast

    run = plain_run(tmp_path, 2)
    with serving(run.path) as server:
        done = labelcast("label", run.path, "--no-browser", "--port", server.port)
        check_message(done, 2, (f"--port {server.port}", "Choose another"))
