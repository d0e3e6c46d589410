"""Figures as people read them: labels, scores and chances with the digits that count."""


def counted(labels: int) -> str:
    """Write labels with two digits that mean something, and the word.

    >>> counted(1), counted(1234)
    ('1 label', '1,200 labels')
    """
    return f"{rounded(labels)} label{'' if labels == 1 else 's'}"


def rounded(labels: int) -> str:
    """Write labels with two digits that mean something."""
    step = 10 ** max(len(str(labels)) - 2, 0)
    return f"{round(labels / step) * step:,}"


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
