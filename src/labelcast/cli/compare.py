"""`labelcast compare`: what models, recipes or selectors need on one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from labelcast.cli.console import print_json, print_table, say, tell, waiting, warn
from labelcast.cli.options import Json
from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_target
from labelcast.forecast.wording import chance_in_words

if TYPE_CHECKING:
    from labelcast.sweeps.compare import Comparison, Group, Outcome
    from labelcast.sweeps.pairs import Difference


def compare(
    candidates: Annotated[
        list[str],
        Argument(help="Folders of sweeps or runs, each as FOLDER or NAME=FOLDER."),
    ],
    target_score: Annotated[float, Option(help="The score to reach, in units of the metric.")],
    task: Annotated[
        str | None, Option("--task", help="Which task to compare, if a sweep has several.")
    ] = None,
    budget: Annotated[
        int | None, Option(help="Also show the score with this many labels.", min=0)
    ] = None,
    level: Annotated[float, Option(help="Confidence level of the intervals.")] = 0.9,
    horizon: Annotated[
        int | None,
        Option(help="Most labels to consider.  [default: 5,000, or four times what was tried]"),
    ] = None,
    ceiling: Annotated[float | None, Option(help="Best possible score, if it is known.")] = None,
    label_cost: Annotated[float | None, Option(help="What a label costs.")] = None,
    gpu_hour: Annotated[
        float | None, Option(help="Cost of an hour of training; the hours are measured.")
    ] = None,
    chart: Annotated[
        Path | None, Option(help="Save the curves as a chart: .svg, .png or .html.")
    ] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write the comparison as one HTML page.")
    ] = None,
    force: Annotated[
        bool,
        Option(
            "--force",
            help="Replace an existing --chart, and an --out that is not a report or was edited.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare models, recipes or selectors: labels needed, score, cost.

    All must have been scored on the same test set with the same metric. Where they share seeds,
    scores are compared seed by seed. A sweep with several selectors is enough alone: then the
    labels that each saves against random ones are shown too.

    Example: labelcast compare minilm=curves-minilm smollm2=curves-smollm2 --target-score 0.85
    Example: labelcast compare curves-selected --target-score 0.85 --out comparison.html
    """
    from labelcast.sweeps.compare import compare as compared

    named: dict[str, str | Path] = {}
    for word in candidates:
        name, equals, path = word.partition("=")
        # A folder may have = in its name.
        key, folder = (name, path) if equals and not Path(word).exists() else (word, word)
        if key in named:
            raise InputError(f"candidate {key}: given twice.")
        named[key] = folder
    if out is not None:
        from labelcast.report.html import check_replaceable

        check_replaceable(out, force=force)
    if chart is not None:
        refuse_target(chart)
        if chart.exists() and not force:
            raise InputError(
                f"--chart {chart}: already exists. Choose another name, or replace it with --force."
            )
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
        if out is not None:
            from labelcast.report.comparison_page import write_comparison

            write_comparison(found, out, force=force)
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found)
    for one in found.candidates:
        for warning in one.warnings:
            warn(f"{one.name}: {warning}")
    if chart is not None:
        say(f"The chart is in {chart}.")
    if out is not None:
        say(f"The page is in {out}.")


def _show(found: Comparison) -> None:
    tell(f"{found.task}: {found.metric} of {found.target_score:g}")
    for number, group in enumerate(found.groups()):
        if number:
            tell()
        _show_needed(found, group)
        if group.savings:
            _show_saved(found, group)
    for pair in found.unsaved_pairs():
        fewer, more = chance_in_words(pair.fewer), chance_in_words(pair.more)
        tell(f"{pair.first} needs fewer labels than {pair.second}: chance {fewer}; more: {more}.")
        for gap in pair.differences:
            plural = "s" * (gap.seeds > 1)
            tell(f"  at {gap.budget:,} labels: {gap.text()}, {gap.seeds} shared seed{plural}")


def _show_needed(found: Comparison, group: Group) -> None:
    heads = ["", group.unit, f"{100 * found.level:g}% interval", "chance"]
    heads += [] if found.budget is None else [f"with {found.budget:,} {group.unit}"]
    prices = [group.price(one) for one in group.candidates]
    costs = any(price is not None for price in prices)
    heads += ["cost"] if costs else []
    if group.unit != "labels":
        tell("Chosen from a labelled pool: examples to train on.")
    rows = []
    for one, price in zip(group.candidates, prices, strict=True):
        cells = [one.name, *_needed(one)]
        if one.at_budget is not None:
            cells.append("{:.3f} ({:.3f} to {:.3f})".format(*one.at_budget))
        if costs:
            cells.append("" if price is None else f"{price:,.2f}")
        rows.append(cells)
    print_table(heads, rows)


def _show_saved(found: Comparison, group: Group) -> None:
    tell()
    tell(f"{group.unit.capitalize()} saved against random, and scores minus those of random:")
    budgets = sorted({gap.budget for one in group.savings for gap in one.differences})
    heads = ["", "saved", f"{100 * found.level:g}% interval", "saves any"]
    heads += [f"at {n:,}" for n in budgets]
    rows = []
    for one in group.savings:
        measured = {gap.budget: _short_gap(gap) for gap in one.differences}
        cells = [one.name, f"{one.saved:,}", f"{one.low:,} to {one.high:,}"]
        cells += [chance_in_words(one.chance), *(measured.get(n, "") for n in budgets)]
        rows.append(cells)
    print_table(heads, rows)


def _short_gap(gap: Difference) -> str:
    return f"{gap.mean:+.3f}" if gap.high is None else f"{gap.mean:+.3f} ±{gap.high - gap.mean:.3f}"


def _needed(one: Outcome) -> tuple[str, str, str]:
    beyond = f"more than {one.horizon:,}"
    ends = (beyond if n is None else f"{n:,}" for n in (one.low, one.high))
    labels = beyond if one.labels is None else f"{one.labels:,}"
    interval = " to ".join(dict.fromkeys(ends))
    return labels, interval, chance_in_words(one.reachable)
