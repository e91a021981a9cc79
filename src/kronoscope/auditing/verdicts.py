"""The questions of an audit and the sentences that answer them."""

from __future__ import annotations

from .questions import Cell

TITLES = {
    "mean": "Are the means reproduced, in every frame and feature?",
    "covariance": "Is the covariance reproduced, at every lag and for every pair of features?",
    "autocorrelation": "Is the autocorrelation of each feature reproduced?",
    "cross-correlation": "Are the lagged correlations between features reproduced?",
    "spectrum": "Is the power spectrum reproduced at every frequency?",
    "coherence": "Is the coherence between features reproduced at every frequency?",
    "separability": "Is the departure from a separable covariance reproduced?",
    "stationarity": "Is the change of the variance along the frames reproduced?",
    "time-asymmetry": "Is the time asymmetry reproduced?",
    "marginals": "Is the distribution of the values of each feature reproduced?",
    "tails": "Are extreme values as frequent and as large as in the real sequences?",
    "energy distance": "Do whole sequences have the same distribution (energy distance)?",
    "kernel distance": "Do whole sequences have the same distribution (kernel distance)?",
    "classifier": "Can a classifier distinguish real from generated sequences?",
    "diversity": "Are the generated sequences as diverse as the real ones?",
    "memorisation": "Do the generated sequences copy the training sequences?",
}


def verdict(name: str, worst: Cell, rejected: bool, alone: bool, compared: tuple[str, str]) -> str:
    """One or two sentences: the largest difference, or the smallest difference that would have been found.

    Args:
        name: Of the question.
        worst: Its worst cell.
        rejected: After correction for all questions.
        alone: Whether the question by itself would be rejected.
        compared: Names of the two sets.
    """
    if rejected:
        return f"Differs: {_what(worst, compared)}."
    if alone:
        return f"Not significant after the correction for all questions: {_what(worst, compared)}."
    unit = _unit(worst)
    detectable = f"a difference of {_number(worst.detectable)}{unit}"
    if worst.real is None:
        detectable = f"{_number(worst.detectable)}{unit} more than under equal distributions"
    return f"No difference found. In the {worst.label}, {detectable} would have been found with probability 0.9."


def _what(cell: Cell, compared: tuple[str, str]) -> str:
    unit = _unit(cell)
    interval = f"interval {_number(cell.lower)} to {_number(cell.upper)}"
    if cell.real is None or cell.generated is None:
        return f"{cell.label} {_number(cell.effect)}{unit} ({interval})"
    values = f"{compared[0]} {_number(cell.real)}, {compared[1]} {_number(cell.generated)}{unit}"
    return f"{cell.label}: {values} (difference {_number(cell.effect, signed=True)}, {interval})"


def _unit(cell: Cell) -> str:
    return f" {cell.unit}" if cell.unit else ""


def _number(value: float, signed: bool = False) -> str:
    text = f"{value:+.3g}" if signed else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")
