r"""The picture of a report: its first screen, from a real run, by Debian's chromium.

    python benchmarks/screenshot.py RUN [--out docs/img/report.png] [--dark]

The run behind docs/img/report.png: 1,200 questions of TREC with their kinds as words, the embedded
model, and scores that `labelcast tune` measured (zero-shot, 50 and 200 labels, 150 test examples):

    labelcast score questions.jsonl --task task.yaml --model smollm2 --out question-kinds \
        --max-new-tokens 8
    labelcast label question-kinds --import questions.jsonl
    labelcast coslow question-kinds
    labelcast label question-kinds --more 200 --test 150
    labelcast label question-kinds --import questions.jsonl
    labelcast tune question-kinds --budget 0      # then 50 and 200
    labelcast forecast question-kinds --target-score 0.85
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from labelcast.report.write import write_report
from labelcast.runs.run import Run

WIDTH, SCALE = 700, 2
MARGIN = 14


def photograph(report: Path, out: Path, scheme: str) -> None:
    """Write the report down to the end of its curve as a PNG, 1,400 pixels wide."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 1000},
            device_scale_factor=SCALE,
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page.goto(report.as_uri())
        end = page.locator("figcaption").first.bounding_box()
        assert end is not None
        height = end["y"] + end["height"] + MARGIN
        out.parent.mkdir(parents=True, exist_ok=True)
        clip = {"x": 0.0, "y": 0.0, "width": float(WIDTH), "height": height}
        page.screenshot(path=out, full_page=True, clip=clip)  # type: ignore[arg-type]
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/img/report.png"))
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report, _ = write_report(Run.open(options.run), Path(folder, "report.html"))
        photograph(report, options.out, "dark" if options.dark else "light")
    print(options.out)


if __name__ == "__main__":
    main()
