"""The command that fits the shipped prior from the authors' results folder.

`python -m labelcast.curves.fit_prior RESULTS --out FILE` writes mean and covariance of the
published curves with their provenance; no published score enters the file.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from labelcast.curves.efficiency import GRID
from labelcast.curves.json_file import write_object
from labelcast.curves.prior import DIAGONAL, CurvePrior
from labelcast.curves.published import PublishedCurve, read_published
from labelcast.errors import LabelcastError

SOURCE = (
    "Curves published with G. H. Je and C. Raffel, 'Efficiently Estimating Data Efficiency for "
    "Language Model Fine-tuning', arXiv 2512.24991 (2025); fitted numbers only."
)


def fitted_prior(curves: tuple[PublishedCurve, ...]) -> dict[str, Any]:
    """Return the content of prior.json: the fitted numbers and where they come from."""
    prior = CurvePrior.from_curves([curve.grid_gains for curve in curves])
    return {
        "source": SOURCE,
        "command": "python -m labelcast.curves.fit_prior RESULTS --out FILE",
        "models": sorted({curve.model for curve in curves}),
        "curves": len(curves),
        "tasks": len({curve.task for curve in curves}),
        "grid": list(GRID),
        "diagonal": DIAGONAL,
        "mean": prior.mean.tolist(),
        "covariance": prior.covariance.tolist(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m labelcast.curves.fit_prior", description=__doc__
    )
    parser.add_argument("results", help="the authors' results folder")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    options = parser.parse_args(arguments)
    try:
        fitted = fitted_prior(read_published(options.results))
        write_object(options.out, fitted)
    except LabelcastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    print(f"{options.out}: {fitted['curves']} curves of {fitted['tasks']} tasks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
