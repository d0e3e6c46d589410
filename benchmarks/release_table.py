"""The table of ratios next to those of the last release, and the history of releases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outcome import Ratio, ratio_of

WORSE = 0.1
"""A ratio that is worse by more than this share is marked; less is the machine's noise."""


@dataclass(frozen=True)
class Record:
    """The ratios of one release.

    Attributes:
        version: of labelcast.
        date: ISO, of the measurement.
        commit: the measured commit, short.
        machine: in words.
        ratios: value by name, `BENCHMARK: NAME`; None without a value.
    """

    version: str
    date: str
    commit: str
    machine: str
    ratios: dict[str, float | None]


def ratios_of(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Ratio]:
    """The ratios in the lines of JSON, by `BENCHMARK: NAME`."""
    return {
        f"{outcome['benchmark']}: {name}": ratio_of(values)
        for outcome in outcomes
        for name, values in outcome["ratios"].items()
    }


def read_history(path: Path) -> list[Record]:
    """The recorded releases, oldest first."""
    if not path.exists():
        return []
    return [Record(**json.loads(line)) for line in path.read_text("utf-8").splitlines() if line]


def record(path: Path, new: Record) -> None:
    """Append a release, or replace the one with the same version and commit."""
    kept = [r for r in read_history(path) if (r.version, r.commit) != (new.version, new.commit)]
    lines = [json.dumps(asdict(one)) + "\n" for one in [*kept, new]]
    path.write_text("".join(lines), "utf-8")


def change(ratio: Ratio, earlier: float | None) -> str:
    """How a ratio changed from an earlier release, in words; `worse` if it regressed."""
    if ratio.value is None or not earlier or not ratio.compared:
        return ""
    share = ratio.value / earlier - 1
    text = f"{share:+.0%}"
    if ratio.better is None:
        return text
    gain = share if ratio.better == "higher" else -share
    # By factors: halved is as bad as doubled is good.
    if gain < 0:
        gain = -(max(ratio.value, earlier) / min(ratio.value, earlier) - 1)
    return f"**worse** {text}" if gain < -WORSE else text


def regressions(ratios: Mapping[str, Ratio], last: Record | None) -> list[str]:
    """Names of the ratios marked as worse than at the last release."""
    if last is None:
        return []
    return [n for n, r in ratios.items() if change(r, last.ratios.get(n)).startswith("**worse")]


def release_table(ratios: Mapping[str, Ratio], last: Record | None) -> str:
    """Markdown: one row per ratio, with its goal, the last release's value and the change."""
    then = f"{last.version} ({last.date})" if last else "last release"
    lines = [f"| what | now | goal | {then} | change |", "|---|---|---|---|---|"]
    for name, ratio in ratios.items():
        earlier = last.ratios.get(name) if last else None
        missed = " (missed)" if ratio.met is False else ""
        note = f" ({ratio.note})" if ratio.note and ratio.value is not None else ""
        cells = [
            name,
            ratio.text() + note,
            ratio.goal_text() + missed,
            "none" if earlier is None else f"{earlier:.4g}",
            change(ratio, earlier),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def growth_table(growth: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: one row per series of `growth.py`."""
    lines = [
        "| what grows | cost | from, to | CPU seconds | exponent, all | exponent, larger half "
        "| operations alone | memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in growth:
        seconds, megabytes = row["seconds"], row["megabytes"]
        lines.append(
            f"| {row['axis']} ({row['fixed']}) | {row['cost']} "
            f"| {row['from']:,.0f}, {row['to']:,.0f} | {seconds[0]:.3g}, {seconds[1]:.3g} "
            f"| {row['exponent']:.2f} ± {row['error']:.2f} "
            f"| {row['upper_exponent']:.2f} ± {row['upper_error']:.2f} "
            f"| {row['expected']} | {megabytes[0]:.3g}, {megabytes[1]:.3g} |"
        )
    return "\n".join(lines)


def put(page: str, mark: str, text: str) -> str:
    """The page with the text between `<!-- MARK -->` and `<!-- end MARK -->` replaced.

    Raises:
        ValueError: the page has no such part.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page has no text between {begin} and {end}")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
