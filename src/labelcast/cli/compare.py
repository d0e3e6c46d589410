"""`labelcast compare`: what models, recipes or selectors need on one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from labelcast.cli.console import cell, print_json, say, stdout, tell, waiting
from labelcast.cli.options import Json

if TYPE_CHECKING:
    from labelcast.sweeps.compare import Comparison, Outcome


def compare(
    candidates: Annotated[
        list[str], Argument(help="Folders of sweeps or runs, each as FOLDER or NAME=FOLDER.")
    ],
    target_score: Annotated[float, Option(help="The score to reach, in units of the metric.")],
    task: Annotated[str | None, Option("--task", help="The task, of sweeps of several.")] = None,
    budget: Annotated[
        int | None, Option(help="Also show the score with this many labels.", min=0)
    ] = None,
    level: Annotated[float, Option(help="Confidence level of the intervals.")] = 0.9,
    horizon: Annotated[
        int | None, Option(help="Most labels to consider.  [default: 5,000]")
    ] = None,
    ceiling: Annotated[float | None, Option(help="Best possible score, if it is known.")] = None,
    label_cost: Annotated[float | None, Option(help="What a label costs.")] = None,
    gpu_hour: Annotated[
        float | None, Option(help="What an hour of training costs; hours as measured.")
    ] = None,
    chart: Annotated[
        Path | None, Option(help="Save the curves as a chart: .svg, .png or .html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare models, recipes or selectors: labels needed, score, cost.

    All must have been scored on the same test set with the same metric. Where they share seeds,
    scores are compared seed by seed.

    Example: labelcast compare minilm=curves-minilm smollm2=curves-smollm2 --target-score 0.85
    """
    from labelcast.errors import InputError
    from labelcast.sweeps.compare import compare as compared

    named: dict[str, str | Path] = {}
    for word in candidates:
        name, equals, path = word.partition("=")
        # A folder may have = in its name.
        key, folder = (name, path) if equals and not Path(word).exists() else (word, word)
        if key in named:
            raise InputError(f"candidate {key}: given twice.")
        named[key] = folder
    with waiting("Comparing"):
        found = compared(
            named,
            target_score=target_score,
            task=task,
            budget=budget,
            level=level,
            horizon=horizon,
            ceiling=ceiling,
            label_cost=label_cost,
            gpu_hour=gpu_hour,
        )
        if chart is not None:
            from labelcast.report.comparison import save_comparison

            save_comparison(found, chart)
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found)
    for one in found.candidates:
        for warning in one.warnings:
            say(f"warning: {one.name}: {warning}")
    if chart is not None:
        say(f"The chart is in {chart}.")


def _show(found: Comparison) -> None:
    from rich.table import Table

    from labelcast.forecast.answer import chance_in_words

    tell(f"{found.task}: {found.metric} of {found.target_score:g}")
    heads = ["", "labels", f"{100 * found.level:g}% interval", "chance"]
    heads += [] if found.budget is None else [f"with {found.budget:,} labels"]
    costs = any(one.cost for one in found.candidates)
    table = Table(*heads, *(["cost"] if costs else []), box=None, pad_edge=False)
    for one in found.candidates:
        cells = [one.name, *_needed(one)]
        if one.at_budget is not None:
            cells.append("{:.3f} ({:.3f} to {:.3f})".format(*one.at_budget))
        if costs:
            cells.append("" if one.cost is None else f"{one.cost.total:,.2f}")
        table.add_row(*map(cell, cells))
    stdout().print(table)
    for pair in found.pairs:
        fewer, more = chance_in_words(pair.fewer), chance_in_words(pair.more)
        tell(f"{pair.first} needs fewer labels than {pair.second}: chance {fewer}; more: {more}.")
        for gap in pair.differences:
            interval = "" if gap.low is None else f" ({gap.low:+.3f} to {gap.high:+.3f})"
            plural = "s" * (gap.seeds > 1)
            tell(
                f"  at {gap.budget:,} labels: {gap.mean:+.3f}{interval}, "
                f"{gap.seeds} shared seed{plural}"
            )


def _needed(one: Outcome) -> tuple[str, str, str]:
    from labelcast.forecast.answer import chance_in_words

    beyond = f"more than {one.horizon:,}"
    ends = (beyond if n is None else f"{n:,}" for n in (one.low, one.high))
    labels = beyond if one.labels is None else f"{one.labels:,}"
    interval = " to ".join(dict.fromkeys(ends))
    return labels, interval, chance_in_words(one.reachable)
