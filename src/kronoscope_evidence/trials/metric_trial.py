"""``kronoscope reproduce metric-trial``: what each question of the audit and each published metric detects."""

from __future__ import annotations

import torch
from torch import Tensor

from kronoscope import metrics
from kronoscope.auditing import audit
from kronoscope.metrics.published import standardised

from ..stages import Show
from ..study import Run, Study
from .metric_trial_page import ALPHA, FalseAlarms, Power, Result, Size, checks, page
from .planted import Defect, planted

DRAWS = 199
WHOLE = "whole audit"
FULL = Size(500, 32, 4, 200, 200, 40, 40)
QUICK = Size(100, 16, 3, 12, 20, 3, 10)

Values = dict[str, float]  # p-values of questions and values of metrics, for one pair of sets


def measure(run: Run[Size]) -> Result:
    """Draw, audit and score until every rate is known; each metric gets the threshold that suits it best."""
    size = run.size
    nothing, *defects = planted(size.frames, size.features)
    reals = list({id(defect.real): defect for defect in (nothing, *defects)}.values())
    with run.stage("equal distributions") as show:
        nulls = []
        for k, each in enumerate(reals):
            part, same = _part(show, k, len(reals)), _without_defect(each)
            nulls.append(_repeat(same, size.null_runs, size.trained_null_runs, size, run.seed + 1, part))
    with run.stage("planted defects") as show:
        trials = [
            _repeat(defect, size.runs, size.trained_runs, size, run.seed + 2, _part(show, k, len(defects)))
            for k, defect in enumerate(defects)
        ]
    thresholds = [_thresholds(values) for values in nulls]
    by_real = {id(each.real): threshold for each, threshold in zip(reals, thresholds)}
    questions = [name for name in nulls[0][0] if name not in metrics.PUBLISHED]
    names = (WHOLE, *sorted(name for name in questions if name != WHOLE), *metrics.PUBLISHED)
    return Result(
        size,
        tuple(defect.name for defect in defects),
        len(names) - len(metrics.PUBLISHED),
        tuple(_false_alarms(name, nulls, thresholds) for name in names),
        tuple(
            Power(name, tuple(_power(name, v, by_real[id(d.real)]) for d, v in zip(defects, trials))) for name in names
        ),
    )


def _without_defect(defect: Defect) -> Defect:
    def generated(real: Tensor, count: int, generator: torch.Generator) -> Tensor:
        return defect.real(count, generator)

    return Defect("none", defect.real, generated)


def _part(show: Show, k: int, parts: int) -> Show:
    return lambda fraction, words: show((k + fraction) / parts, words)


def _repeat(defect: Defect, runs: int, trained: int, size: Size, seed: int, show: Show) -> list[Values]:
    """Values of every number in each run; metrics that train a network in the first ``trained`` runs only."""
    every, n = [], size.sequences
    for k in range(runs):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + k)
        x = defect.real(n, generator)
        y = defect.generated(x, n, generator)
        result = audit(x, y, defect.real(n // 2, generator), generator=generator, num_draws=DRAWS)
        values: Values = {WHOLE: 1.0 if result.passed else 0.0}
        values |= {question.name: question.p_value for question in result.questions}
        real, generated = standardised(x, y)
        for name, score in metrics.PUBLISHED.items():
            if name not in metrics.TRAINED or k < trained:
                values[name] = score(real, generated, generator)
        every.append(values)
        show((k + 1) / runs, defect.name)
    return every


def _thresholds(runs: list[Values]) -> dict[str, float]:
    """By metric, what even runs of equal distributions exceed with probability ALPHA; odd ones measure the rate."""
    thresholds = {}
    for name in metrics.PUBLISHED:
        values = torch.tensor([run[name] for run in runs[::2] if name in run], dtype=torch.float64)
        thresholds[name] = float(torch.quantile(values, 1 - ALPHA))
    return thresholds


def _rejections(runs: list[Values], name: str, threshold: float | None) -> list[bool]:
    values = [run[name] for run in runs if name in run]
    return [value <= ALPHA if threshold is None else value > threshold for value in values]


def _false_alarms(name: str, nulls: list[list[Values]], thresholds: list[dict[str, float]]) -> FalseAlarms:
    published = name in metrics.PUBLISHED
    rejected: list[bool] = []
    for runs, threshold in zip(nulls, thresholds):
        rejected += _rejections(runs[1::2] if published else runs, name, threshold.get(name))
    return FalseAlarms(name, published, sum(rejected) / len(rejected), len(rejected))


def _power(name: str, runs: list[Values], thresholds: dict[str, float]) -> float:
    rejected = _rejections(runs, name, thresholds.get(name))
    return sum(rejected) / len(rejected)


STUDY = Study(
    claim="A published metric detects the defect that it was made for; the audit detects all, at a known rate "
    "of false alarms.",
    full=FULL,
    quick=QUICK,
    minutes=(90, 2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
