"""The command that fits the shipped prior from the authors' results folder.

`python -m evidence.reproduce.fit_prior RESULTS --out FILE` writes what was fitted to
the published curves, with its provenance; no published score enters the file.
"""

import argparse
import hashlib
import math
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evidence.reproduce.published import PublishedCurve, read_published
from labelcast.errors import LabelcastError
from labelcast.forecast.efficiency import GRID
from labelcast.forecast.observed import SEED_SD
from labelcast.forecast.prior import COMPONENTS, CurvePrior, PriorCurve
from labelcast.json_file import write_object

SOURCE = (
    "Curves published with G. H. Je and C. Raffel, 'Efficiently Estimating Data Efficiency for "
    "Language Model Fine-tuning', arXiv 2512.24991 (2025); fitted numbers only."
)
FITTED = (
    "Kernel density over the latent curves (every task of the same weight, Scott's rule for the "
    "bandwidth), merged by Ward's rule to so many components that none is one curve alone; "
    "quantiles at equal steps of zero-shots and ceilings; seed noise from the dips."
)


def prior_curve(curve: PublishedCurve) -> PriorCurve:
    """Return what the prior takes of a published curve."""
    measured = 0 in curve.raw
    return PriorCurve(
        curve.task,
        curve.grid_gains,
        curve.curve.zero_shot if measured else None,
        curve.curve.ceiling,
    )


def seed_sd(curves: Iterable[PublishedCurve]) -> float:
    """Estimate the noise sd of a score from the dips of raw curves.

    Returns:
        The square root of the median, over the curves that dip, of the residual variance about
        the rising curve that fits best; the shipped figure where no curve dips.
    """
    variances = [v for v in (_dip_variance(curve.raw) for curve in curves) if v is not None]
    return math.sqrt(statistics.median(variances)) if variances else SEED_SD


def _dip_variance(raw: Mapping[int, float]) -> float | None:
    """Return the residual variance about the best rising curve, None where nothing dips."""
    scores = [raw[budget] for budget in sorted(raw)]
    blocks: list[list[float]] = []
    for score in scores:
        blocks.append([score])
        while len(blocks) > 1 and statistics.fmean(blocks[-2]) > statistics.fmean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    free = len(scores) - len(blocks)
    if free == 0:
        return None
    squares = (statistics.pvariance(block) * len(block) for block in blocks)
    return sum(squares) / free


def fit_published(curves: Iterable[PublishedCurve], *, components: int = COMPONENTS) -> CurvePrior:
    """Fit a prior to published curves, as the shipped one is fitted.

    Raises:
        InputError: curves of too few tasks.
    """
    known = list(curves)
    return CurvePrior.fit(
        [prior_curve(curve) for curve in known], components=components, seed_sd=seed_sd(known)
    )


def fitted_prior(curves: tuple[PublishedCurve, ...], inputs_sha256: str) -> dict[str, Any]:
    """Return the content of prior.json: the fitted numbers and where they come from."""
    return {
        "source": SOURCE,
        "fitted": FITTED,
        "command": "python -m evidence.reproduce.fit_prior RESULTS --out FILE",
        "inputs_sha256": inputs_sha256,
        "models": sorted({curve.model for curve in curves}),
        "curves": len(curves),
        "tasks": len({curve.task for curve in curves}),
        "grid": list(GRID),
    } | fit_published(curves).to_dict()


def digest(results: Path) -> str:
    """Return the SHA-256 of the score files and human scores, by name and content."""
    whole = hashlib.sha256()
    for path in [
        *sorted((results / "finetune_results").glob("*.json")),
        results / "human_eval.json",
    ]:
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m evidence.reproduce.fit_prior", description=__doc__
    )
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    options = parser.parse_args(arguments)
    try:
        curves = read_published(options.results)
        fitted = fitted_prior(curves, digest(options.results))
        write_object(options.out, fitted)
    except LabelcastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    print(f"{options.out}: {fitted['curves']} curves of {fitted['tasks']} tasks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
