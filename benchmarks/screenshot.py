r"""Take a picture of the top of a report, with Debian's chromium.

    python benchmarks/screenshot.py report.html
    python benchmarks/screenshot.py report.html --dark --out docs/img/report-dark.png

The report in docs/img is made by the command below. The scores are real: `labelcast tune` measured
them on 1,200 questions of TREC, with the question types as words, the embedded model and 150 test
examples.

    labelcast report --observe 0=0 --observe 50=0.693 --observe 200=0.807 --observe-size 150 \
        --target-score 0.85 --out report.html
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

WIDTH, SCALE = 700, 2
MARGIN = 14


def photograph(report: Path, out: Path, scheme: str) -> None:
    """Write the report up to the end of its curve as a PNG, 1,400 pixels wide."""
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
        page.goto(report.resolve().as_uri())
        end = page.locator("figcaption").first.bounding_box()
        assert end is not None
        height = end["y"] + end["height"] + MARGIN
        out.parent.mkdir(parents=True, exist_ok=True)
        clip = {"x": 0.0, "y": 0.0, "width": float(WIDTH), "height": height}
        page.screenshot(path=out, full_page=True, clip=clip)  # type: ignore[arg-type]
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/img/report.png"))
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    photograph(options.report, options.out, "dark" if options.dark else "light")
    print(options.out)


if __name__ == "__main__":
    main()
