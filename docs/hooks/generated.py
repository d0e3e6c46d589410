"""An mkdocs hook that inserts the command line's reference and the changelog into the site.

Generated at every build, so they cannot be out of date. Reading the commands imports nothing heavy.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from labelcast.cli.app import build

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

COMMANDS = "<!-- commands -->"
CHANGES = "<!-- changes -->"
_EXAMPLE = "Example: "


def on_page_markdown(markdown: str, *, config: MkDocsConfig, **_: Any) -> str:
    """Replace the marks on a page by the generated text."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    if CHANGES in markdown:
        changelog = Path(config.config_file_path).with_name("CHANGELOG.md").read_text("utf-8")
        markdown = markdown.replace(CHANGES, changelog.split("\n", 1)[1].strip())
    return markdown


def on_post_page(output: str, **_: Any) -> str:
    """Give the theme's search dialog a name for screen readers."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"', 1)


def command_reference() -> str:
    """Every command as Markdown: what it does, usage, arguments, options, examples."""
    group: Any = typer.main.get_command(build())
    above = typer.Context(group, info_name="labelcast")
    names = group.list_commands(above)
    return "\n\n".join(_command(group.get_command(above, name), above) for name in names)


def _command(command: Any, above: typer.Context) -> str:
    context = typer.Context(command, info_name=command.name, parent=above)
    blocks = [block.replace("\b\n", "") for block in command.help.split("\n\n")]
    texts = [block for block in blocks if not block.startswith(_EXAMPLE)]
    examples = [
        line.removeprefix(_EXAMPLE)
        for block in blocks
        if block.startswith(_EXAMPLE)
        for line in block.splitlines()
    ]
    usage = command.get_usage(context).removeprefix("Usage: ")
    # The options of every command are listed once, at the top of the page.
    own = [p for p in command.get_params(context) if p.name not in ("help", "as_json")]
    return "\n\n".join(
        [
            f"## labelcast {command.name}",
            *texts,
            _code([usage]),
            _table(own, context),
            _code(examples),
        ]
    )


def _code(lines: list[str]) -> str:
    return "\n".join(["```text", *lines, "```"]) if lines else ""


def _table(parameters: list[Any], context: typer.Context) -> str:
    if not parameters:
        return ""
    rows = ["| argument or option | what it is | default |", "|---|---|---|"]
    for parameter in parameters:
        name, text = parameter.get_help_record(context)
        said, _, more = f"  {text}".rpartition("  [")
        said, more = (said, more.removesuffix("]")) if more.endswith("]") else (text, "")
        cells = (f"<code>{_cell(name)}</code>", _cell(said.strip()), _cell(_default(more)))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(more: str) -> str:
    """The default from typer's brackets, without the words that the table's header already says."""
    return more.removeprefix("default: ").replace("x>=", "at least ")


def _cell(text: str) -> str:
    """Text that is safe in a cell of a Markdown table."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return plain.replace("|", "&#124;").replace("[", "&#91;")
