"""README and docs match the code (commands, links, keys); the site needs no other host."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from command_line import SOURCE

import labelcast as lc
from labelcast.cli.app import build
from labelcast.forecast import Forecast
from labelcast.forecast.calibration import shipped
from labelcast.tasks.guess import guess_task
from labelcast.tasks.prompts import examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


def blocks(language: str | None = None) -> Iterator[Block]:
    for page in PAGES:
        for found in _FENCE.finditer(page.read_text("utf-8")):
            if language is None or found[2] == language:
                yield Block(page.name, found[2], found[3])


def command_lines() -> Iterator[tuple[str, str]]:
    """Every command in a code block, with the page's name."""
    for page in PAGES:
        text = page.read_text("utf-8")
        shown = [block[3] for block in _FENCE.finditer(text)]
        shown += re.findall(r"^    labelcast .*$", _FENCE.sub("", text), re.MULTILINE)
        for line in "\n".join(shown).replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = part.strip().removeprefix("$ ")
                if words.startswith("labelcast "):
                    yield page.name, words


def inline_commands() -> Iterator[tuple[str, str]]:
    """Every command within a sentence."""
    for page in PAGES:
        for text in re.findall(r"`(labelcast [^`]+)`", _FENCE.sub("", page.read_text("utf-8"))):
            yield page.name, " ".join(text.split())


@cache
def commands() -> Any:
    """The command line as click sees it."""
    return typer.main.get_command(build())


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_a_shown_command_line_can_be_run(page: str, line: str) -> None:
    """The command exists and takes the shown options and arguments."""
    words = shlex.split(line, comments=True)[1:]
    group = commands()
    above = typer.Context(group, info_name="labelcast")
    command = group.get_command(above, words[0])
    assert command is not None or words[0].startswith("--"), f"{page}: {line}"
    if command is None:
        assert words[0] in {name for p in group.get_params(above) for name in p.opts}
        return
    try:
        command.make_context(words[0], words[1:], parent=above)
    except _USAGE_ERROR as error:
        pytest.fail(f"{page}: {line}: {error.format_message()}")


@pytest.mark.parametrize(("page", "line"), sorted(set(inline_commands())))
def test_a_command_in_a_sentence_exists_with_its_options(page: str, line: str) -> None:
    """A sentence may leave out values, but every option exists."""
    words = line.split()[1:]
    if words[0] == "COMMAND":
        return
    group = commands()
    above = typer.Context(group, info_name="labelcast")
    command = group if words[0].startswith("-") else group.get_command(above, words[0])
    assert command is not None, f"{page}: {line}"
    known = {name for parameter in command.get_params(above) for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known, f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """In the repository and in the site (mkdocs checks the anchors)."""
    text = re.sub(r"<!--.*?-->", "", _FENCE.sub("", page.read_text("utf-8")), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("block", [*blocks("python")], ids=lambda block: block.page)
def test_python_blocks_use_public_names(block: Block) -> None:
    """Each block compiles and uses only public names of the package."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "lc":
            assert node.attr in lc.__all__


def test_the_shown_task_file_is_valid() -> None:
    """The block on the page about data is a task, and the page explains every key."""
    (shown,) = [block for block in blocks("yaml") if block.page == "your-data.md"]
    assert Task.parse(shown.text).answers[0] == "refund"
    text = (ROOT / "docs/your-data.md").read_text("utf-8")
    assert [key for key in Task.model_fields if f"`{key}`" not in text] == []


def test_the_five_formats_are_recognised(tmp_path: Path) -> None:
    """Each shown record has the input and the answer that the page names after it."""
    page = (ROOT / "docs/your-data.md").read_text("utf-8")
    shown = re.findall(r"```json\n(.*?)\n```\n\nInput (.*?), answer `(.*?)`\.", page, re.DOTALL)
    assert len(shown) == 5 == page.count("```json")
    assert page.index("```json") < page.index("## Data files")
    for record, inputs, answer in shown:
        file = tmp_path / "train.jsonl"
        rows = [record.replace("parcel", f"parcel {n}").replace("nine", str(n)) for n in range(20)]
        file.write_text("\n".join(rows))
        task = guess_task(open_source(file), "t").task
        assert [item.field for item in task.inputs] == re.findall(r"`(.*?)`", inputs)
        assert task.answer == answer
        render = lambda instruction, user: json.dumps([instruction, user])  # noqa: E731
        found = list(examples(open_source(file), task, render, need_answer=True))
        assert len(found) == 20 and all(one.answer for one in found)
        assert not any("delivery" in one.prompt for one in found)


def test_the_shown_recipe_is_valid(tmp_path: Path) -> None:
    """The block on the page about models is the LoRA recipe with every key."""
    (shown,) = [block for block in blocks("yaml") if block.page == "your-model.md"]
    file = tmp_path / "recipe.yaml"
    file.write_text(shown.text)
    recipe = Recipe.load(file)
    assert recipe.digest == Recipe.load("lora").digest
    keys = Recipe.model_fields.keys() - {"linear"}  # on the page about encoders
    assert [key for key in keys if f"\n{key}:" not in f"\n{shown.text}"] == []


def test_every_card_is_in_the_table_with_its_line() -> None:
    """The page about models lists the shipped cards."""
    text = (ROOT / "docs/your-model.md").read_text("utf-8")
    for card in shipped():
        line = f"AUC' = {card.slope:.3f} CoS-Low + {card.intercept:.3f}"
        row = re.search(rf"^\| `{re.escape(card.name)}` \|.*$", text, re.MULTILINE)
        assert row, card.name
        assert card.lines or line in row[0]


def test_every_field_of_a_forecast_is_explained() -> None:
    """The table of the JSON has each field of a forecast."""
    text = (ROOT / "docs/reading-the-answer.md").read_text("utf-8").split("## As JSON")[1]
    assert [name for name in Forecast.__dataclass_fields__ if f"`{name}`" not in text] == []


def test_every_explained_warning_is_in_the_code() -> None:
    """The texts that the page quotes are in the code."""
    text = (ROOT / "docs/reading-the-answer.md").read_text("utf-8")
    part = text.split("## Warnings, one by one")[1].split("## When")[0]
    quoted = re.findall(r"^\| `([^`]+)`", part, re.MULTILINE)
    code = "".join(file.read_text("utf-8") for file in SOURCE.rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", code)
    assert len(quoted) > 15
    assert [words for words in quoted if words not in said] == []


class _Assets(HTMLParser):
    """Collects what a browser loads for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(given.get("href") or "")
        elif tag != "a":
            self.found += [given.get(name) or "" for name in ("src", "srcset", "data", "poster")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without torch and transformers."""
    folder = tmp_path_factory.mktemp("site")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers')));"
        "from mkdocs.__main__ import cli; cli()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(SOURCE), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    """Scripts, styles, fonts and pictures are local; only links lead elsewhere."""
    for page in site.rglob("*.html"):
        assets = _Assets()
        assets.feed(page.read_text("utf-8"))
        assert [a for a in assets.found if re.match(r"(https?:)?//", a)] == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text("utf-8"))


def test_the_site_has_every_command_and_public_name(site: Path) -> None:
    """The references, generated from the code, are complete."""
    commands = (site / "cli.html").read_text("utf-8")
    names = [str(command.name) for command in build().registered_commands]
    assert [name for name in names if f'id="labelcast-{name}"' not in commands] == []
    api = (site / "api.html").read_text("utf-8")
    assert [
        name for name in lc.__all__ if not re.search(rf'id="labelcast[\w.]*\.{name}"', api)
    ] == []
