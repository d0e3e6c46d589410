"""The paper's one-shot curve."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.forecast.power_law import clip_auc, exponent, gain, labels_for_gain

AUCS = st.floats(0.05, 0.95)
FRACTIONS = st.floats(0.01, 1.0)


@given(AUCS, FRACTIONS)
def test_inverse(auc: float, fraction: float) -> None:
    """The gain at the labels needed is the gain asked for."""
    labels = labels_for_gain(fraction, auc)
    # Nearer to one label than this, the logarithm of the labels has too few digits left.
    if labels > 1.001:
        assert float(gain(min(labels, 5000), auc)) == pytest.approx(fraction, rel=1e-6)


@given(AUCS, FRACTIONS, FRACTIONS)
def test_more_gain_never_needs_fewer_labels(auc: float, f: float, g: float) -> None:
    """Labels rise with the gain and stay within 1 to 5,000."""
    low, high = (labels_for_gain(v, auc) for v in sorted((f, g)))
    assert 1 <= low <= high <= 5000 * (1 + 1e-12)


@given(AUCS, AUCS, FRACTIONS)
def test_more_efficient_tasks_need_fewer_labels(a: float, b: float, fraction: float) -> None:
    """A larger AUC never needs more labels."""
    low, high = sorted((a, b))
    assert labels_for_gain(fraction, high) <= labels_for_gain(fraction, low) * (1 + 1e-12)


def test_published_example() -> None:
    """CoS-Low 0.65 on the line (0.54, 0.31) gives AUC' 0.661; the inverse follows the formula."""
    auc = 0.54 * 0.65 + 0.31
    assert round(auc, 3) == 0.661
    expected = 2 ** (math.log2(5000) * 0.9 ** (auc / (1 - auc)))
    assert labels_for_gain(0.9, auc) == pytest.approx(expected, rel=1e-12)


def test_clipping_says_so() -> None:
    """An AUC within the range is kept; one outside is clipped with a warning."""
    assert clip_auc(0.5) == (0.5, None)
    for auc, clipped in ((-0.2, 0.05), (1.3, 0.95)):
        value, warning = clip_auc(auc)
        assert value == clipped and warning is not None and "clipped" in warning


@pytest.mark.parametrize("auc", [0.0, 1.0, -0.1, math.nan])
def test_auc_out_of_range(auc: float) -> None:
    """The exponent is refused where the power law is not defined."""
    with pytest.raises(InputError):
        exponent(auc)


@pytest.mark.parametrize("fraction", [0.0, 1.01, math.nan])
def test_fraction_out_of_range(fraction: float) -> None:
    """A target outside (0, 1] is refused."""
    with pytest.raises(InputError):
        labels_for_gain(fraction, 0.5)


@pytest.mark.parametrize("n", [-1, 5001, math.nan])
def test_budget_out_of_range(n: float) -> None:
    """A budget outside 0 to 5,000 is refused."""
    with pytest.raises(InputError):
        gain(n, 0.5)


def test_clip_refuses_nan() -> None:
    """NaN does not become a number."""
    with pytest.raises(InputError):
        clip_auc(math.nan)
