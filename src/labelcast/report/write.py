"""The step of `labelcast report`: from a run, or scores, to a report on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import write_text
from labelcast.report.content import Content, gather, gather_scores
from labelcast.report.costs import Prices
from labelcast.report.page import MARK, render
from labelcast.runs.run import Run

NAME = "report.html"


def write_report(
    run: Run | None = None,
    out: str | Path | None = None,
    *,
    asked: Mapping[str, Any] | None = None,
    prices: Prices | None = None,
) -> tuple[Path, Content]:
    """Write the report of a run, or of scores alone, as one HTML file, which opens offline.

    The forecast is made anew and not kept in the run: only the report is written.

    Args:
        run: with CoS-Low, or with observed scores; None makes a report of the scores in `asked`.
        out: the file; `RUN/report.html` by default, `report.html` without a run.
        asked: options of the forecast, as `labelcast.forecast` takes them; None asks what the
            run's last forecast was asked, else the defaults.
        prices: of labels and GPU hours.

    Returns:
        The file, and what it says.

    Raises:
        InputError: there is no answer yet, an option is wrong, or `out` is some other file.
        RunError: the file cannot be written.
    """
    path = Path(out) if out is not None else Path(NAME) if run is None else run.file(NAME)
    _check_replaceable(path)
    content = gather_scores(asked or {}, prices) if run is None else gather(run, asked, prices)
    write_text(path, render(content))
    return path, content


def _check_replaceable(path: Path) -> None:
    """Refuse to replace what is no report."""
    if path.is_dir():
        raise InputError(f"--out {path}: a folder; give the name of a file, such as {NAME}.")
    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(len(MARK)) != MARK.encode():
                raise InputError(f"--out {path}: is there already and is no report of labelcast.")
