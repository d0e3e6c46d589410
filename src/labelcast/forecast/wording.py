"""Figures as people read them: labels, scores and chances with the digits that count."""


def counted(count: int) -> str:
    """Write a number of labels with two digits that mean something, and the word.

    >>> counted(1), counted(1234)
    ('1 label', '1,200 labels')
    """
    return f"{rounded(count)} label{'' if count == 1 else 's'}"


def rounded(count: int) -> str:
    """Write a number of labels with two digits that mean something."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return f"{round(count / step) * step:,}"


def labels(count: int | None, horizon: int) -> str:
    """Write a number of labels; None is more than the horizon.

    >>> labels(1200, 5000), labels(None, 20_000)
    ('1,200', '> 20,000')
    """
    return f"> {horizon:,}" if count is None else f"{count:,}"


def ends(low: int | None, high: int | None, horizon: int) -> str:
    """Write an interval of labels."""
    if low is None and high is None:
        return labels(None, horizon)
    return f"{labels(low, horizon)} to {labels(high, horizon)}"


def shown(value: float | None) -> str:
    """Write a score or a share with three digits that mean something.

    >>> shown(0.85), shown(87.25), shown(1234.0), shown(None)
    ('0.85', '87.2', '1,234', 'unknown')
    """
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def chance_in_words(share: float) -> str:
    """Write a chance in whole percent; never 0 or 1, because it comes from sampled curves.

    >>> chance_in_words(0.791), chance_in_words(1.0)
    ('79%', 'over 99%')
    """
    if share > 0.99:
        return "over 99%"
    if share < 0.01:
        return "under 1%"
    return f"{share:.0%}"
