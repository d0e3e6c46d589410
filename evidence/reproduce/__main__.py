"""`python -m evidence.reproduce`: recompute the published figures and test the forecast on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evidence.fit_prior import CURVES
from evidence.reproduce.figures import calibration_figures, find_coslow, reproduce, steps
from evidence.reproduce.labelcast_method import fit_scores
from evidence.reproduce.published import read_published
from labelcast.cli.app import command_help
from labelcast.cli.console import bar, print_json, run_app, say, stdout, tell
from labelcast.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

PROGRAM = "python -m evidence.reproduce"
WIDTH = 110


def command(
    results: Annotated[Path, typer.Argument(help="The authors' results folder, as published.")],
    coslow: Annotated[
        Path | None,
        typer.Option(help="CSV of task, coslow, auc. Default: the one in or next to RESULTS."),
    ] = None,
    measured: Annotated[
        Path, typer.Option("--curves", help="The folder of other models' curves behind the prior.")
    ] = CURVES,
    draws: Annotated[int, typer.Option(help="Draws of the AUC's error.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of these draws and of the bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Recompute the published figures and test the forecast on them, leaving one task out.

    Example: python -m evidence.reproduce results
    Example: python -m evidence.reproduce results --coslow points.csv --json
    """
    curves = read_published(results)
    found = coslow or find_coslow(results)
    calibration = None if found is None else calibration_figures(found)
    without_task = fit_scores(results, measured)
    with bar("Leaving one task out", steps(curves)) as progress:
        figures = reproduce(curves, calibration, without_task, draws, seed, progress)
    if as_json:
        print_json(figures)
        return
    _tell(figures)


def _tell(figures: dict[str, Any]) -> None:
    console = stdout()
    # Never cut the tables, even for a file or a narrow window.
    console.width = max(console.width, WIDTH)
    tell(_summary(figures))
    for ceiling in ("known", "unknown"):
        console.print(_refinement(figures["refinement"], ceiling))
        tell(_comparison(figures["comparison"][ceiling]))
    console.print(_policy(figures["policy"]))
    for note in figures["notes"]:
        say(f"note: {note}")


def _summary(figures: dict[str, Any]) -> str:
    curves, line = figures["counts"], figures["calibration"]
    models = ", ".join(f"{model} {count}" for model, count in curves["by_model"].items())
    error = figures["auc_max_abs_error"]
    lines = [
        f"{curves['curves']} curves of {curves['tasks']} tasks ({models})",
        "AUC recomputed: " + ("none published" if error is None else f"largest error {error:.1e}"),
    ]
    if line is not None:
        lines.append(
            f"calibration on {line['tasks']} tasks: slope {line['slope']:.3f}, intercept "
            f"{line['intercept']:.3f}, r {line['r']:.3f}, leave-one-task-out MAE "
            f"{line['loto_mae']:.4f}"
        )
    return "\n".join(lines)


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=f"\n{title}", title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    return table


def _refinement(rows: list[dict[str, Any]], ceiling: str) -> Table:
    table = _table(
        f"Ceiling {ceiling}: errors, coverage of 90% intervals, and interval scores (lower is "
        "better)\nof the AUC, of log2 of the labels needed (n) and of the score at 5,000 (s)",
        *("what is known", "method", "AUC MAE", "log2 n at .5/.7/.9"),
        *("covers AUC", "n", "s", "score AUC", "n", "s"),
    )
    for row in sorted((r for r in rows if r["ceiling"] == ceiling), key=_order):
        covers = (row[f"coverage_{name}"] or {"value": None} for name in ("auc", "n", "score_5000"))
        scores = row["interval_score"]
        table.add_row(
            _known(row),
            row["method"],
            _number(row["auc_mae"], 4),
            "/".join(_number(value, 2) for value in row["log2_n_mae"].values()),
            *(_number(found["value"], 2) for found in covers),
            *(_number(scores[name], 2) for name in ("auc", "log2_n", "score_5000")),
        )
    return table


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return (bool(row["observed"]), row["auc_known"], len(row["observed"]), row["auc_error_sd"] or 0)


def _known(row: dict[str, Any]) -> str:
    """What is known in a row; a budget stands for the score there."""
    auc = [] if not row["auc_known"] else ["AUC" if row["auc_error_sd"] else "true AUC"]
    return ", ".join([*auc, *(str(n) for n in row["observed"])]) or "nothing"


def _comparison(comparison: dict[str, Any]) -> str:
    pooled = comparison["pooled"]
    ratio, plain = pooled["log2_n_ratio"], pooled["log2_n_ratio_plain_median"]
    lines = [
        "Labelcast against the table's method, seven rows, task-clustered 95% intervals:",
        f"  log2 n, mean ratio over rows {_with_interval(ratio['mean_of_rows'], 3, 'value')}, "
        f"worst row {_number(ratio['worst_row'], 3)}",
        f"  the same with the plain median {_with_interval(plain['mean_of_rows'], 3, 'value')}, "
        f"worst row {_number(plain['worst_row'], 3)}",
        f"  AUC MAE, difference {_with_interval(pooled['auc_mae'], 4, 'difference')}",
    ]
    for name, found in pooled["interval_score"].items():
        words = _with_interval(found, 3, "difference")
        lines.append(f"  interval score of {name}, difference {words}")
    for method, coverage in pooled["coverage"].items():
        words = "; ".join(f"{name} {_with_interval(found, 3)}" for name, found in coverage.items())
        lines.append(f"  90% intervals of {method} cover: {words}")
    return "\n".join(lines)


def _policy(rows: list[dict[str, Any]]) -> Table:
    table = _table(
        "Labels bought until a target is met, on the raw scores of curves that reach it",
        *("way", "known", "target", "needed", "bought", "beyond", "runs", "missed"),
        "saved against the grid",
    )
    for row in rows:
        known = ["AUC"] if row["auc_known"] else []
        known += [f"ceiling {row['ceiling']}"] if row["ceiling"] else []
        table.add_row(
            row["way"],
            ", ".join(known),
            row["target"],
            _number(row["labels_needed"], 0),
            *(_number(row[name]["value"], 0) for name in ("labels_bought", "beyond_need")),
            _number(row["runs"]["value"], 1),
            _number(row["missed"]["value"], 3),
            _with_interval(row["saved"], 0),
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _with_interval(found: dict[str, Any] | None, digits: int, key: str = "value") -> str:
    if found is None or found[key] is None:
        return "-"
    low, high = (_number(found[end], digits) for end in ("low", "high"))
    return f"{_number(found[key], digits)} ({low} to {high})"


def main() -> None:
    """Entry point of `python -m evidence.reproduce`."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(help=command_help(command))(command)
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
