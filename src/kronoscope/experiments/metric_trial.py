"""``kronoscope reproduce metric-trial``: what does each question of the audit, and each published metric, see?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .. import metrics
from ..audit import audit
from ..metrics.published import standardised
from . import metric_trial_page
from .planted import Defect, planted
from .reproductions import Finding
from .stages import Show, Stage

ALPHA = 0.05
DRAWS = 199
WHOLE = "whole audit"


@dataclass(frozen=True)
class Size:
    """How much is drawn.

    Attributes:
        sequences: Real, and as many generated; half as many are held out.
        frames, features: Of a sequence.
        runs: With each defect.
        null_runs: Of equal laws, with each of the laws that real sequences follow.
        trained_runs, trained_null_runs: The same for metrics that train a network.
    """

    sequences: int
    frames: int
    features: int
    runs: int
    null_runs: int
    trained_runs: int
    trained_null_runs: int


FULL = Size(500, 32, 4, 200, 200, 40, 40)
QUICK = Size(100, 16, 3, 12, 20, 3, 10)


@dataclass(frozen=True)
class TrialResult:
    """Rejection rates by number and defect.

    Attributes:
        size: What was drawn.
        defects: Names, nothing wrong left out.
        questions: Of the audit, the whole of it first.
        papers: Published metrics.
        type_one: By number: share of rejections under equal laws, and out of how many runs.
        power: By number, then by defect: share of rejections.
    """

    size: Size
    defects: tuple[str, ...]
    questions: tuple[str, ...]
    papers: tuple[str, ...]
    type_one: dict[str, tuple[float, int]]
    power: dict[str, dict[str, float]]


Run = dict[str, float]  # p-values of questions, values of metrics


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Draw, audit and score until every rate is known; the metrics get the threshold that suits them best."""
    size = QUICK if quick else FULL
    defects = planted(size.frames, size.features)
    laws = list({id(one.real): Defect("none", one.real, _same(one)) for one in defects}.values())
    with stage("equal laws") as show:
        nulls = [_runs(law, size.null_runs, size.trained_null_runs, size, seed + 1, _part(show, k, len(laws)))
                 for k, law in enumerate(laws)]  # fmt: skip
    with stage("planted defects") as show:
        found = {}
        for k, defect in enumerate(wrong := defects[1:]):
            told = _part(show, k, len(wrong))
            found[defect.name] = _runs(defect, size.runs, size.trained_runs, size, seed + 2, told)
    thresholds = {id(law.real): _thresholds(runs) for law, runs in zip(laws, nulls)}
    result = _rates(size, wrong, found, nulls, thresholds)
    return Finding(metric_trial_page.page(result, ALPHA), _record(result))


def _same(defect: Defect) -> Callable:
    return lambda x, m, g: defect.real(m, g)


def _part(show: Show, k: int, parts: int) -> Show:
    return lambda fraction, words: show((k + fraction) / parts, words)


def _runs(defect: Defect, runs: int, trained: int, size: Size, seed: int, show: Show) -> list[Run]:
    found = []
    for k in range(runs):
        g = torch.Generator().manual_seed(seed * 1_000_003 + k)
        n = size.sequences
        x = defect.real(n, g)
        y = defect.generated(x, n, g)
        result = audit(x, y, defect.real(n // 2, g), generator=g, num_draws=DRAWS)
        one: Run = {WHOLE: 0.0 if not result.passed else 1.0}
        one |= {question.name: question.p_value for question in result.questions}
        real, made = standardised(x, y)
        for name, score in metrics.PUBLISHED.items():
            if name not in metrics.TRAINED or k < trained:
                one[name] = score(real, made, g)
        found.append(one)
        show((k + 1) / runs, defect.name)
    return found


def _thresholds(runs: list[Run]) -> dict[str, float]:
    """By metric: what the even runs of equal laws exceed with probability ALPHA; the odd ones measure the error."""
    found = {}
    for name in metrics.PUBLISHED:
        values = torch.tensor([one[name] for one in runs[::2] if name in one], dtype=torch.float64)
        found[name] = float(torch.quantile(values, 1 - ALPHA))
    return found


def _rejected(runs: list[Run], name: str, threshold: float | None) -> list[bool]:
    values = [one[name] for one in runs if name in one]
    return [value <= ALPHA if threshold is None else value > threshold for value in values]


def _rates(
    size: Size,
    defects: tuple[Defect, ...],
    found: dict[str, list[Run]],
    nulls: list[list[Run]],
    thresholds: dict[int, dict[str, float]],
) -> TrialResult:
    papers = tuple(metrics.PUBLISHED)
    questions = tuple(name for name in nulls[0][0] if name not in papers)
    type_one: dict[str, tuple[float, int]] = {}
    power: dict[str, dict[str, float]] = {}
    for name in (*questions, *papers):
        known = [None if name in questions else told[name] for told in thresholds.values()]
        step = 1 if name in questions else 2
        false = [r for runs, at in zip(nulls, known) for r in _rejected(runs[step - 1 :: step], name, at)]
        type_one[name] = (sum(false) / len(false), len(false))
        power[name] = {}
        for defect in defects:
            at = None if name in questions else thresholds[id(defect.real)][name]
            right = _rejected(found[defect.name], name, at)
            power[name][defect.name] = sum(right) / len(right)
    ordered = (WHOLE, *sorted(name for name in questions if name != WHOLE))
    return TrialResult(size, tuple(one.name for one in defects), ordered, papers, type_one, power)


def _record(result: TrialResult) -> dict:
    return {
        "size": vars(result.size),
        "type_one": {name: {"rate": rate, "runs": runs} for name, (rate, runs) in result.type_one.items()},
        "power": result.power,
    }
