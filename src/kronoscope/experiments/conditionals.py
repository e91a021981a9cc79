"""``kronoscope reproduce conditionals``: entries filled in, graded against the exact conditional law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import metrics, sampling
from ..kernels import Cosine, Kernel, Matern, PowerExponential
from ..processes import GaussianSequence
from . import conditionals_page
from .learning import spatial_covariance
from .reproductions import Finding
from .stages import Stage

DRAWS = 199  # with it the ranks of a truth among the draws cut at 50, 90 and 95 % exactly
LEVELS = (0.5, 0.9, 0.95)
CALLS = 64
GUIDED = sampling.CONDITIONAL_METHODS
METHODS = ("exact", *GUIDED, "persistence", "marginal")

Draw = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, eq=False)
class Case:
    """A process, and which of its entries are seen.

    Attributes:
        name: As shown.
        process: The truth.
        mask: (N, d), True = observed.
    """

    name: str
    process: GaussianSequence
    mask: Tensor


@dataclass(frozen=True)
class Mean:
    """A mean over sequences with its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Grade:
    """How one method did on one case; every mean is over sequences.

    Attributes:
        case, method: Which.
        crps: Continuous ranked probability score, mean over hidden entries.
        energy_score: Of all hidden entries together.
        distance: Energy distance to the exact conditional law; 0 for a perfect method, and measured of the exact
            one against itself by other draws.
        coverage: Share of hidden entries inside the central intervals, by level.
    """

    case: str
    method: str
    crps: Mean
    energy_score: Mean
    distance: Mean
    coverage: dict[float, Mean]


@dataclass(frozen=True)
class Example:
    """One sequence of one case: feature 0 of it, and mean and 90 % interval of every method."""

    case: str
    truth: list[float]
    observed: list[int]
    bands: dict[str, tuple[list[float], list[float], list[float]]]


@dataclass(frozen=True)
class ConditionalsResult:
    """All that the page shows. ``gap``: largest difference of the exact path from dense conditioning, any case."""

    grades: list[Grade]
    examples: list[Example]
    gap: float
    sequences: int


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Draw sequences, hide entries, fill them in by every method, compare with what was hidden and with the law."""
    cases = _cases(12 if quick else 24, seed)[: 1 if quick else 3]
    count = 8 if quick else 40
    grades: list[Grade] = []
    examples: list[Example] = []
    with stage("conditionals") as show:
        for number, case in enumerate(cases):
            truths = case.process.sample(count, generator=torch.Generator().manual_seed(seed + 1))
            scores: dict[str, list[list[float]]] = {method: [] for method in METHODS}
            for k, truth in enumerate(truths):
                drawn = {
                    m: draw(truth, torch.Generator().manual_seed(1000 * seed + k)) for m, draw in _draws(case).items()
                }
                again = _exact(case, truth, torch.Generator().manual_seed(1000 * seed + k + 500))
                for method in METHODS:
                    scores[method].append(_score(drawn[method], truth, again, ~case.mask))
                if k == 0:
                    examples.append(_example(case, truth, drawn))
                show((number + (k + 1) / count) / len(cases), f"{case.name}, sequence {k + 1} of {count}")
            grades += [_grade(case.name, method, scores[method]) for method in METHODS]
    result = ConditionalsResult(grades, examples, max(gap(case) for case in cases), count)
    return Finding(conditionals_page.page(result), _record(result))


def _cases(frames: int, seed: int) -> list[Case]:
    def process(kernel: Kernel) -> GaussianSequence:
        return GaussianSequence(kernel, spatial_covariance(2), times=frames)

    def mask(hidden: slice) -> Tensor:
        seen = torch.ones(frames, 2, dtype=torch.bool)
        seen[hidden] = False
        return seen

    third = frames // 3
    scattered = torch.rand(frames, 2, generator=torch.Generator().manual_seed(seed)) < 0.5
    return [
        Case("exponential, a gap", process(PowerExponential(8.0)), mask(slice(third, 2 * third))),
        Case("Matérn 3/2, a forecast", process(Matern(6.0, 1.5)), mask(slice(2 * third, None))),
        Case("oscillating, half missing", process(PowerExponential(12.0) * Cosine(6.0)), scattered),
    ]


def _exact(case: Case, truth: Tensor, generator: torch.Generator) -> Tensor:
    return case.process.condition_on(case.mask, truth).sample(DRAWS, generator=generator)


def _draws(case: Case) -> dict[str, Draw]:
    """A function from the truth to ``DRAWS`` complete sequences, by method; only observed entries are read."""

    def guided(method: str) -> Draw:
        def draw(truth: Tensor, generator: torch.Generator) -> Tensor:
            return sampling.sample_given(
                case.process.score,
                case.mask,
                truth,
                DRAWS,
                method=method,
                table=sampling.exponential_sde(CALLS),
                generator=generator,
                dtype=torch.float64,
            )

        return draw

    return {
        "exact": lambda truth, generator: _exact(case, truth, generator),
        **{method: guided(method) for method in GUIDED},
        "persistence": lambda truth, generator: _persistence(case, truth, generator),
        "marginal": lambda truth, generator: torch.where(
            case.mask, truth, case.process.sample(DRAWS, generator=generator)
        ),
    }


def _persistence(case: Case, truth: Tensor, generator: torch.Generator) -> Tensor:
    """The nearest observed value of the same feature, and the exact spread about it: N(x_j, 2 Sigma_aa (1 - gamma))."""
    out = truth.expand(DRAWS, -1, -1).clone()
    gamma, sigma = case.process.temporal_covariance, case.process.spatial_covariance
    noise = torch.randn(out.shape, dtype=torch.float64, generator=generator)
    for i, a in (~case.mask).nonzero().tolist():
        seen = case.mask[:, a].nonzero().flatten()
        if len(seen) == 0:
            out[:, i, a] = float(sigma[a, a].sqrt()) * noise[:, i, a]
            continue
        j = int(seen[(seen - i).abs().argmin()])
        spread = math.sqrt(max(0.0, float(2 * sigma[a, a] * (gamma[i, i] - gamma[i, j]))))
        out[:, i, a] = truth[j, a] + spread * noise[:, i, a]
    return out


def _score(drawn: Tensor, truth: Tensor, exact: Tensor, hidden: Tensor) -> list[float]:
    """CRPS, energy score, energy distance to other exact draws, coverage by level, of one sequence."""
    values, target, other = drawn[:, hidden], truth[hidden], exact[:, hidden]
    ordered = values.sort(dim=0).values
    count = len(values)
    rank_weight = 2 * torch.arange(1, count + 1, dtype=torch.float64) - count - 1
    spread = (rank_weight[:, None] * ordered).sum(0) / (count * (count - 1))  # E|X - X'| / 2, fair
    crps = ((values - target).abs().mean(0) - spread).mean()
    energy = (values - target).norm(dim=1).mean() - torch.pdist(values).mean() / 2
    distance = metrics.energy_distance(values[:, None], other[:, None]).value
    rank = (values < target).sum(0)
    shares = []
    for level in LEVELS:
        tail = round((1 - level) / 2 * (count + 1))
        shares.append(float(((rank >= tail) & (rank <= count - tail)).double().mean()))
    return [float(crps), float(energy), distance, *shares]


def _grade(case: str, method: str, scores: list[list[float]]) -> Grade:
    table = torch.tensor(scores, dtype=torch.float64)
    error = table.std(dim=0) / math.sqrt(len(table))
    crps, energy, distance, *shares = (Mean(*pair) for pair in zip(table.mean(dim=0).tolist(), error.tolist()))
    return Grade(case, method, crps, energy, distance, dict(zip(LEVELS, shares)))


def _example(case: Case, truth: Tensor, drawn: dict[str, Tensor]) -> Example:
    bands = {}
    for method, values in drawn.items():
        low, high = values[..., 0].quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
        mean = values[..., 0].mean(dim=0)
        bands[method] = (mean.tolist(), torch.minimum(low, mean).tolist(), torch.maximum(high, mean).tolist())
    seen = case.mask[:, 0].nonzero().flatten().tolist()
    return Example(case.name, truth[:, 0].tolist(), seen, bands)


def gap(case: Case) -> float:
    """Largest difference, mean or covariance, of the exact path from textbook conditioning on the flat covariance."""
    truth = case.process.sample(1, generator=torch.Generator().manual_seed(0))[0]
    found = case.process.condition_on(case.mask, truth)
    covariance, seen = case.process.covariance(), case.mask.flatten()
    gain = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen]).T
    mean = gain @ truth.flatten()[seen]
    left = covariance[~seen][:, ~seen] - gain @ covariance[seen][:, ~seen]
    differences = (found.mean[~case.mask] - mean).abs().max(), (found.covariance() - left).abs().max()
    return float(max(differences))


def _record(result: ConditionalsResult) -> dict:
    def pair(one: Mean) -> dict[str, float]:
        return {"value": one.value, "standard_error": one.standard_error}

    rows = [
        {
            "case": one.case,
            "method": one.method,
            "crps": pair(one.crps),
            "energy_score": pair(one.energy_score),
            "energy_distance_to_exact": pair(one.distance),
            "coverage": {f"{100 * level:g} %": pair(share) for level, share in one.coverage.items()},
        }
        for one in result.grades
    ]
    return {"sequences": result.sequences, "draws": DRAWS, "exact_path_gap": result.gap, "grades": rows}
