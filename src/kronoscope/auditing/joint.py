"""Whole sequences: energy distance, kernel distance, a cross-fitted classifier, and diversity."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .moments import lag_products
from .pool import Pool
from .resampling import DTYPE, Relabelling
from .tally import CellStatistic, Tally

NEIGHBOURS = 3
BANDWIDTHS = (0.5, 1.0, 2.0)
SEGMENTS, FOURIER, FOLDS = 16, 128, 5
FEATURE_LAGS = 5


def distances(pool: Pool, energy: Tally, diversity: Tally) -> None:
    """Energy distance between the sets, and the diversity of each set.

    Distances are Euclidean between whole sequences, per value: root mean square, in standard deviations of a feature.
    The energy distance is 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo 2013). Diversity compares E|X - X'|
    with E|Y - Y'|, and the shares of sequences whose nearest neighbours are of their own set (Schilling 1986).
    """
    relabelling = energy.relabelling
    flat = pool.x.flatten(1).to(DTYPE) / math.sqrt(pool.frames * pool.features)
    distance = torch.cdist(flat, flat)
    relabelling.part(distance, 0.0)
    weights = relabelling.weights
    product = weights @ distance
    between = -(product * weights).sum(dim=1)
    within = _within(distance, relabelling)
    energy.statistic(between, _quadratic(relabelling, -product[0], between, within, -1.0, "energy distance", "sd"))
    spread = -(product * weights.abs()).sum(dim=1)  # real less generated mean distance, whatever the labels
    first, second = within[0], within[1]
    centre = (2 * (distance @ relabelling.share.to(DTYPE)))[:, None].double()
    error = float(relabelling.standard_error(centre))
    statistic = CellStatistic(
        "mean distance between two sequences of a set", "sd", first, second, second - first, error,
        float(spread.std()), abs(float(_standard(spread)[0])),
    )  # fmt: skip
    diversity.statistic(spread, statistic, toward=0)
    relabelling.part(distance, torch.inf)
    _neighbours(distance, diversity)


def _neighbours(distance: Tensor, tally: Tally) -> None:
    """Sequences whose nearest neighbours are of their own set: generated less real."""
    relabelling = tally.relabelling
    number = min(NEIGHBOURS, len(distance) - 1)
    order = torch.randperm(len(distance), generator=torch.Generator().manual_seed(0))  # ties must not follow the labels
    index = order[distance[:, order].topk(number, largest=False).indices]
    generated = relabelling.weights < 0
    shares: list[Tensor] = []
    for side in (~generated, generated):
        inside = side.to(DTYPE)
        own = sum((inside * inside[:, index[:, k]]).sum(dim=1) for k in range(number))
        shares.append(100 * own / (number * inside.sum(dim=1)))
    gap = shares[1] - shares[0]
    real, made = float(shares[0][0]), float(shares[1][0])
    spread = float(gap.std())
    statistic = CellStatistic(
        "share of nearest neighbours that are in the same set", "%", real, made, made - real,
        spread, spread, abs(float(_standard(gap)[0])),
    )  # fmt: skip
    tally.statistic(gap, statistic, toward=0)


def kernel_distance(pool: Pool, tally: Tally) -> None:
    """Squared maximum mean discrepancy of the innovations, features uncorrelated.

    Gaussian kernels of half, once and twice the median distance, averaged (Gretton et al., JMLR 13, 2012, lemma 6).
    """
    relabelling = tally.relabelling
    flat = pool.u.flatten(1).to(DTYPE)
    kernel = torch.cdist(flat, flat).square_()
    some = kernel[: min(len(kernel), 1000), : min(len(kernel), 1000)]
    median = float(some[some > 0].median()) if bool((some > 0).any()) else 1.0
    total = torch.zeros_like(kernel)
    for width in BANDWIDTHS:
        total += torch.exp(kernel / (-2 * width**2 * median)) / len(BANDWIDTHS)
    del kernel
    relabelling.part(total, 0.0)
    product = relabelling.weights @ total
    values = (product * relabelling.weights).sum(dim=1)
    within = _within(total, relabelling)
    tally.statistic(values, _quadratic(relabelling, product[0], values, within, 1.0, "squared kernel distance", ""))


def classifier(pool: Pool, tally: Tally, generator: torch.Generator) -> None:
    """Area under the ROC curve of a cross-fitted classifier of real against generated sequences.

    Ridge regression on means, products of frames, shares below quantiles and random Fourier features, each fold
    scored by the coefficients of the others. The fit is linear in the labels, so every relabelling is fitted anew for
    the price of a matrix product. Effect: area under the curve, the probability that a generated sequence looks more
    generated than a real one.
    """
    relabelling = tally.relabelling
    phi = _features(pool, generator)
    target = -relabelling.weights.T.double() * len(phi) / 2
    scores = torch.empty_like(target)
    ridge = float(max(phi.shape[1], len(phi) // 4))
    for fold in relabelling.folds(FOLDS):
        inside = torch.ones(len(phi), dtype=torch.bool)
        inside[fold] = False
        centre, base = phi[inside].mean(dim=0), target[inside].mean(dim=0)
        known = phi[inside] - centre
        gram = known.T @ known
        gram.diagonal().add_(ridge)
        coefficients = torch.cholesky_solve(known.T @ (target[inside] - base), torch.linalg.cholesky(gram))
        scores[fold] = (phi[fold] - centre) @ coefficients
    gap = -(scores.T * relabelling.weights).sum(dim=1) / scores.std(dim=0).clamp_min(1e-30)
    area, error = _area(scores[:, 0], relabelling)
    null = float(gap.std()) * (area - 0.5) / float(gap[0]) if float(gap[0]) else error
    null = min(max(null, error / 2), 2 * error)  # the areas of relabellings are not computed: near chance, about this
    statistic = CellStatistic(
        "area under the ROC curve of the classifier", "", None, None, area,
        error, null, float(_standard(gap)[0]), True,
    )  # fmt: skip
    tally.statistic(gap, statistic)


def _features(pool: Pool, generator: torch.Generator) -> Tensor:
    x, u, d = pool.x, pool.u, pool.features
    parts = [torch.stack([part.mean(dim=1) for part in x.tensor_split(min(SEGMENTS, pool.frames), dim=1)], dim=1)]
    lags = list(range(min(FEATURE_LAGS, pool.frames)))
    for z in (x, u):
        phi = lag_products(z.to(DTYPE), lags)
        parts += [phi[:, :2] if d <= 8 else phi[:, :2].diagonal(dim1=2, dim2=3)]
        parts += [phi[:, 2:].diagonal(dim1=2, dim2=3), phi.diagonal(dim1=2, dim2=3).mean(dim=-1)]
    levels = torch.tensor([-2.5, -1.0, 0.0, 1.0, 2.5], dtype=torch.float64)
    parts += [torch.stack([(x <= level).double().mean(dim=1) for level in levels], dim=1)]
    flat = x.flatten(1)
    wave = torch.randn(flat.shape[1], FOURIER, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    phase = 2 * math.pi * torch.rand(FOURIER, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    parts += [torch.cos(flat @ wave / flat.square().sum(dim=1).mean().sqrt() + phase)]
    phi = torch.cat([part.flatten(1).double() for part in parts], dim=1)
    phi = phi - phi.mean(dim=0)
    size = phi.square().mean(dim=0).sqrt()
    return phi[:, size > 1e-9] / size[size > 1e-9]


def _area(scores: Tensor, relabelling: Relabelling) -> tuple[float, float]:
    """Area under the curve and its standard error (Hanley and McNeil 1982, by the placements of DeLong 1988)."""
    n = relabelling.num_first
    real, generated = scores[:n], scores[n:]
    placed = _below(real, generated)
    passed = 1 - _below(generated, real)
    return float(placed.mean()), math.sqrt(float(placed.var() / len(generated) + passed.var() / n))


def _below(values: Tensor, thresholds: Tensor) -> Tensor:
    """Share of ``values`` below each threshold, equal ones counted half."""
    ordered = values.sort().values
    places = [torch.searchsorted(ordered, thresholds, side=side) for side in ("left", "right")]
    return (places[0] + places[1]) / (2 * len(values))


def _within(kernel: Tensor, relabelling: Relabelling) -> tuple[float, float, float]:
    """Means of ``kernel`` over the pairs within each set and between them, pairs that were parted left out."""
    n = relabelling.num_first
    blocks = ((slice(None, n), slice(None, n)), (slice(n, None), slice(n, None)), (slice(None, n), slice(n, None)))
    means = [float(kernel[a, b].sum(dim=1).double().sum()) / c for (a, b), c in zip(blocks, relabelling.pairs_left())]
    return means[0], means[1], means[2]


def _quadratic(
    relabelling: Relabelling,
    product: Tensor,
    values: Tensor,
    means: tuple[float, float, float],
    sign: float,
    label: str,
    unit: str,
) -> CellStatistic:
    """The unbiased estimate sign (E k(X, X') + E k(Y, Y') - 2 E k(X, Y)), with the error of its linear part."""
    effect = sign * (means[0] + means[1] - 2 * means[2])
    linear = float(relabelling.standard_error((2 * product[:, None]).double()))
    null = float(values.double().std())
    return CellStatistic(
        label, unit, None, None, effect, math.hypot(linear, null), null, float(_standard(values)[0]), one_sided=True
    )


def _standard(values: Tensor) -> Tensor:
    values = values.double()
    return (values - values.mean()) / values.std().clamp_min(1e-300)
