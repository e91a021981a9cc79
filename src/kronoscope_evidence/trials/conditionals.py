"""``kronoscope reproduce conditionals``: missing entries filled in, graded against the exact conditional."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kronoscope import metrics, sampling
from kronoscope.kernels import Cosine, Kernel, Matern, PowerExponential
from kronoscope.processes import GaussianSequence

from ..study import Measured, Run, Study
from ..yardstick import spatial_covariance
from .conditionals_page import DRAWS, LEVELS, Band, Example, Grade, Result, checks, page

CALLS = 64
GUIDED = sampling.CONDITIONAL_METHODS
METHODS = ("exact", *GUIDED, "persistence", "marginal")

Draw = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Size:
    """Frames of a sequence, number of cases, sequences of each."""

    frames: int
    cases: int
    sequences: int


@dataclass(frozen=True, eq=False)
class Case:
    """A process, and which of its entries are observed.

    Attributes:
        name: As shown.
        process: The truth.
        mask: (N, d), True = observed.
    """

    name: str
    process: GaussianSequence
    mask: Tensor


def measure(run: Run[Size]) -> Result:
    """Draw sequences, hide entries, fill them in by every method, compare with hidden values and exact draws."""
    cases = _cases(run.size.frames, run.seed)[: run.size.cases]
    count, grades, examples = run.size.sequences, [], []
    with run.stage("conditionals") as show:
        for number, case in enumerate(cases):
            truths = case.process.sample(count, generator=torch.Generator().manual_seed(run.seed + 1))
            scores: dict[str, list[list[float]]] = {method: [] for method in METHODS}
            for k, truth in enumerate(truths):
                seed = 1000 * run.seed + k
                draws = {m: draw(truth, torch.Generator().manual_seed(seed)) for m, draw in _draws(case).items()}
                reference = _exact(case, truth, torch.Generator().manual_seed(seed + 500))
                for method in METHODS:
                    scores[method].append(score_draws(draws[method], truth, reference, ~case.mask))
                if k == 0:
                    examples.append(_example(case, truth, draws))
                show((number + (k + 1) / count) / len(cases), f"{case.name}, sequence {k + 1} of {count}")
            grades += [_grade(case.name, method, scores[method]) for method in METHODS]
    return Result(tuple(grades), tuple(examples), max(gap(case) for case in cases), count, DRAWS)


def _cases(frames: int, seed: int) -> list[Case]:
    def process(kernel: Kernel) -> GaussianSequence:
        return GaussianSequence(kernel, spatial_covariance(2), times=frames)

    def mask(hidden: slice) -> Tensor:
        observed = torch.ones(frames, 2, dtype=torch.bool)
        observed[hidden] = False
        return observed

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
    """By method, a function from the truth to ``DRAWS`` complete sequences; it reads observed entries only."""

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

    def marginal(truth: Tensor, generator: torch.Generator) -> Tensor:
        return torch.where(case.mask, truth, case.process.sample(DRAWS, generator=generator))

    return {
        "exact": lambda truth, generator: _exact(case, truth, generator),
        **{method: guided(method) for method in GUIDED},
        "persistence": lambda truth, generator: _persistence(case, truth, generator),
        "marginal": marginal,
    }


def _persistence(case: Case, truth: Tensor, generator: torch.Generator) -> Tensor:
    """The nearest observed value of the same feature, with its exact spread: N(x_j, 2 Sigma_aa (1 - gamma))."""
    out = truth.expand(DRAWS, -1, -1).clone()
    gamma, sigma = case.process.temporal_covariance, case.process.spatial_covariance
    noise = torch.randn(out.shape, dtype=torch.float64, generator=generator)
    for i, a in (~case.mask).nonzero().tolist():
        observed = case.mask[:, a].nonzero().flatten()
        if len(observed) == 0:
            out[:, i, a] = float(sigma[a, a].sqrt()) * noise[:, i, a]
            continue
        j = int(observed[(observed - i).abs().argmin()])
        spread = math.sqrt(max(0.0, float(2 * sigma[a, a] * (gamma[i, i] - gamma[i, j]))))
        out[:, i, a] = truth[j, a] + spread * noise[:, i, a]
    return out


def score_draws(draws: Tensor, truth: Tensor, reference: Tensor, hidden: Tensor) -> list[float]:
    """CRPS, energy score, energy distance to other exact draws, and coverage by level, for one sequence.

    Args:
        draws: (m, N, d).
        truth: (N, d).
        reference: Draws of the exact conditional, (m, N, d).
        hidden: (N, d), True = not observed.
    """
    values, target, other = draws[:, hidden], truth[hidden], reference[:, hidden]
    ordered = values.sort(dim=0).values
    count = len(values)
    rank_weight = 2 * torch.arange(1, count + 1, dtype=torch.float64) - count - 1
    spread = (rank_weight[:, None] * ordered).sum(0) / (count * (count - 1))  # E|X - X'| / 2, unbiased
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
    crps, energy, distance, *shares = (Measured(*pair) for pair in zip(table.mean(dim=0).tolist(), error.tolist()))
    return Grade(case, method, crps, energy, distance, tuple(shares))


def _example(case: Case, truth: Tensor, draws: dict[str, Tensor]) -> Example:
    bands = {}
    for method, values in draws.items():
        low, high = values[..., 0].quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
        mean = values[..., 0].mean(dim=0)
        rows = (mean, torch.minimum(low, mean), torch.maximum(high, mean))
        bands[method] = Band(*(tuple(row.tolist()) for row in rows))
    observed = case.mask[:, 0].nonzero().flatten().tolist()
    return Example(case.name, tuple(truth[:, 0].tolist()), tuple(observed), bands)


def gap(case: Case) -> float:
    """Largest difference, in mean or covariance, of the exact path from conditioning on the flat covariance."""
    truth = case.process.sample(1, generator=torch.Generator().manual_seed(0))[0]
    conditional = case.process.condition_on(case.mask, truth)
    covariance, observed = case.process.covariance(), case.mask.flatten()
    gain = torch.linalg.solve(covariance[observed][:, observed], covariance[observed][:, ~observed]).T
    mean = gain @ truth.flatten()[observed]
    left = covariance[~observed][:, ~observed] - gain @ covariance[observed][:, ~observed]
    differences = (conditional.mean[~case.mask] - mean).abs().max(), (conditional.covariance() - left).abs().max()
    return float(max(differences))


STUDY = Study(
    claim="The intervals of imputed values have their stated coverage.",
    full=Size(24, 3, 40),
    quick=Size(12, 1, 8),
    minutes=(6, 0.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
