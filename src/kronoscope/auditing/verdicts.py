"""Questions and answers in plain words."""

from __future__ import annotations

from .questions import Cell

TITLES = {
    "mean": "Are the means right, in every frame and feature?",
    "covariance": "Is the covariance right, at every lag and for every pair of features?",
    "autocorrelation": "Does each feature remember its past as it should?",
    "cross-correlation": "Do features follow each other as they should?",
    "spectrum": "Is the power right at every frequency?",
    "coherence": "Do features move together at every frequency as they should?",
    "separability": "Is dependence in time and between features interwoven as it should be?",
    "stationarity": "Does the variance change along the frames as it should?",
    "time-asymmetry": "Is the time asymmetry reproduced?",
    "marginals": "Does each value occur as often as it should?",
    "tails": "Are extremes as frequent and as far as they should be?",
    "energy distance": "Are whole sequences distributed alike (energy distance)?",
    "kernel distance": "Are whole sequences distributed alike (kernel distance)?",
    "classifier": "Can a classifier tell the sets apart?",
    "diversity": "Are the generated sequences as different from each other as real ones?",
    "memorisation": "Do the generated sequences repeat those trained on?",
}


def verdict(name: str, worst: Cell, rejected: bool, alone: bool, compared: tuple[str, str]) -> str:
    """One or two sentences: what differs most and by how much, or what would have been found.

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
        return f"Not counted as a difference, since so many questions were asked: {_what(worst, compared)}."
    unit = _unit(worst)
    detectable = f"a difference of {_number(worst.detectable)}{unit}"
    if worst.real is None:
        detectable = f"{_number(worst.detectable)}{unit} more than equal laws give"
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
