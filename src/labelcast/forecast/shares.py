"""How much of a forecast comes from CoS-Low, from the scores and from the prior.

Knows the variance that each of them leaves to the data efficiency. `answer.Shares` states the
definition.
"""

from labelcast.forecast.answer import Shares
from labelcast.forecast.posterior import Posterior


def shares(
    nothing: Posterior, coslow: Posterior | None, scores: Posterior | None, both: Posterior
) -> Shares:
    """Return the shares; they sum to 1.

    Args:
        nothing: the curve before anything is known.
        coslow: given CoS-Low alone, None where there is none.
        scores: given the scores alone, None where there are none.
        both: given all of it.
    """
    start, end = _variance(nothing), _variance(both)
    by_coslow = _variance(coslow) if coslow is not None else start
    by_scores = _variance(scores) if scores is not None else start
    of_coslow = max((start - by_coslow) + (by_scores - end), 0.0) / 2
    of_scores = max((start - by_scores) + (by_coslow - end), 0.0) / 2
    # A calibration may say less than the prior did: it then takes no share, and gives none.
    of_coslow = of_coslow if coslow is not None else 0.0
    of_scores = of_scores if scores is not None else 0.0
    total = of_coslow + of_scores + end
    return Shares(of_coslow / total, of_scores / total, end / total)


def _variance(posterior: Posterior) -> float:
    """Return the variance of the area."""
    areas = posterior.areas()
    mean = posterior.weights @ areas
    return float(posterior.weights @ (areas - mean) ** 2)
