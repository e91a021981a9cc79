"""Published metrics that compare a few summaries of the sets: histograms, autocorrelations, correlations at lag 0."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 20


def marginal_difference(real: Tensor, other: Tensor) -> float:
    """Mean over frames, features and bins of |share of real values in the bin - share of the others|.

    Bins are equal cells between the smallest and the largest real value of the feature; what lies outside counts in
    the outermost. The published one compares densities at bin centres of each frame; shares do not change with units.

    Args:
        real, other: (n, N, d) and (m, N, d).

    Source: Ang et al., "TSGBench", PVLDB 17 (2023), section 4.2, metric M4.
    """
    shares = []
    low, high = real.amin(dim=(0, 1)), real.amax(dim=(0, 1))
    for x in (real, other):
        bins = ((x - low) / (high - low) * BINS).floor().clamp(0, BINS - 1).long()
        counts = torch.zeros(*x.shape[1:], BINS, dtype=torch.float64)
        counts.scatter_add_(2, bins.permute(1, 2, 0), torch.ones(x.shape[1], x.shape[2], len(x), dtype=torch.float64))
        shares.append(counts / len(x))
    return float((shares[0] - shares[1]).abs().mean())


def autocorrelation_difference(real: Tensor, other: Tensor) -> float:
    """Mean over features and lags 1 to N - 1 of the absolute difference of autocorrelations; 0 where N = 1.

    Every set is centred by feature, and a lag is averaged over all sequences and pairs of frames. The published ones
    sum over lags or take a root of squares.

    Args:
        real, other: (n, N, d) and (m, N, d).

    Source: Ni et al., "Conditional Sig-Wasserstein GANs" (2020), section 4, "autocorrelation".
    """
    if real.shape[1] < 2:
        return 0.0
    return float((_autocorrelation(real) - _autocorrelation(other)).abs().mean())


def correlational_score(real: Tensor, other: Tensor) -> float:
    """(1/10) sum_{a, b} |corr_ab(real) - corr_ab(other)|, correlations at lag 0 over all frames and sequences.

    Published programs average it over five random subsets; this takes all sequences at once.

    Args:
        real, other: (n, N, d) and (m, N, d).

    Source: Liao et al. (2020); in this form Yuan and Qiao, "Diffusion-TS", ICLR 2024, appendix.
    """
    return float((_correlation(real) - _correlation(other)).abs().sum()) / 10


def _autocorrelation(x: Tensor) -> Tensor:
    z = x - x.mean(dim=(0, 1))
    frames = x.shape[1]
    variance = z.square().mean(dim=(0, 1)).clamp_min(1e-300)
    return torch.stack([(z[:, : frames - k] * z[:, k:]).mean(dim=(0, 1)) / variance for k in range(1, frames)])


def _correlation(x: Tensor) -> Tensor:
    z = (x - x.mean(dim=(0, 1))).flatten(0, 1)
    covariance = z.T @ z / len(z)
    root = covariance.diagonal().clamp_min(1e-300).sqrt()
    return covariance / root / root[:, None]
