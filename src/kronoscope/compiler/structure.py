"""What the compiler takes from a process: its covariance as Kronecker products, and as functions of the lag."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._display import Displayed
from .._errors import InputError
from ..processes import BlockToeplitzSequence, GaussianLaw, GaussianSequence, KroneckerSum, SeparableGaussian
from .operators import KroneckerTerms, LagTables, distance_bound

TOEPLITZ_ROUND_OFF = 1e-12
LARGEST_ENTRY = 1e100  # of covariances and means: squares of its sums must stay finite


@dataclass(frozen=True, eq=False, repr=False)
class Structure(Displayed):
    """What attention can use of a process.

    Attributes:
        covariance: Sum of Kronecker products.
        at_lags: Tables at the signed lags -(N-1)..N-1, (terms, 2N-1), where every temporal matrix is Toeplitz.
        times: Of the frames, (frames,), where the kernels are stationary but the times irregular.
        mean: (frames, features), or None where it is zero.
    """

    covariance: KroneckerTerms
    at_lags: Tensor | None
    times: Tensor | None
    mean: Tensor | None

    def toeplitz(self, max_lag: int) -> tuple[KroneckerTerms, float]:
        """The covariance cut off behind a lag, and a bound of what that changes in spectral norm.

        Gershgorin's theorem for blocks: at most 2 sum_{m > J} |C(m)| with C(m) = sum_r table_r(m) V_r.
        """
        assert self.at_lags is not None
        frames = self.covariance.shape[0]
        knots = torch.arange(-max_lag - 1, max_lag + 2, dtype=torch.float64)
        values = torch.zeros(len(self.at_lags), len(knots), dtype=torch.float64)
        values[:, 1:-1] = self.at_lags[:, frames - 1 - max_lag : frames + max_lag]
        tables = LagTables(torch.arange(frames, dtype=torch.float64), knots, values)
        kept = KroneckerTerms.of_lags(tables, self.covariance.spatial)
        return kept, float(self.tails()[max_lag]) + self._toeplitz_round_off()

    def tails(self) -> Tensor:
        """2 sum_{m > J} |C(m)| for J = 0..N-1."""
        assert self.at_lags is not None
        frames = self.covariance.shape[0]
        positive = self.at_lags[:, frames - 1 :]
        sizes = torch.linalg.matrix_norm(torch.einsum("rm,rab->mab", positive, self.covariance.spatial), 2)
        return torch.cat([2 * sizes.flip(0).cumsum(0).flip(0)[1:], torch.zeros(1, dtype=torch.float64)])

    def interpolated(self, accuracy: float) -> tuple[KroneckerTerms, float]:
        """The covariance with its kernels replaced by linear interpolants, off by at most ``accuracy`` in spectral
        norm.

        Knots are lags between frames; the worst-served lag of every piece becomes a knot until all are served. With all
        lags as knots nothing is left to interpolate.
        """
        assert self.times is not None
        rows, columns = torch.tril_indices(len(self.times), len(self.times))
        lags, order = torch.sort(self.times[rows] - self.times[columns], stable=True)
        values = self.covariance.temporal[:, rows, columns][:, order]
        first = torch.cat([torch.ones(1, dtype=torch.bool), lags.diff() > 0])
        lags, values = lags[first], values[:, first]
        weights = torch.linalg.matrix_norm(self.covariance.spatial, 2)
        allowed = accuracy / (len(self.times) * max(float(weights.sum()), 1e-300))
        knots = _adaptive_knots(lags, values, allowed)
        beyond = lags[-1:] + (lags[-1] / max(1, len(lags) - 1) if len(lags) > 1 else 1.0)
        half, half_values = torch.cat([lags[knots], beyond]), values[:, knots]
        half_values = torch.cat([half_values, torch.zeros_like(half_values[:, :1])], dim=1)
        both = torch.cat([-half.flip(0)[:-1], half])
        table = LagTables(self.times, both, torch.cat([half_values.flip(1)[:, :-1], half_values], dim=1))
        interpolant = KroneckerTerms.of_lags(table, self.covariance.spatial)
        return interpolant, distance_bound(self.covariance, interpolant)

    def _toeplitz_round_off(self) -> float:
        assert self.at_lags is not None
        frames = torch.arange(self.covariance.shape[0])
        ideal = self.at_lags[:, frames[:, None] - frames + len(frames) - 1]
        return distance_bound(self.covariance, KroneckerTerms(ideal, self.covariance.spatial))


def structure_of(process: GaussianLaw) -> Structure:
    """The structure of any Gaussian law; what has no structure that attention can use becomes d^2 tables.

    Raises:
        InputError: Its covariance or mean is not finite, or larger than 1e100.
    """
    covariance, times = _covariance(process)
    for name, values in (
        ("kernel between frames", covariance.temporal),
        ("covariance between features", covariance.spatial),
        ("mean", process.mean),
    ):
        bad = int((~(values.abs() <= LARGEST_ENTRY)).sum())
        if bad:
            raise InputError(
                f"process must have a finite {name}, but {bad} of its {values.numel()} values are NaN, infinite or "
                f"beyond 1e100{_of_kernel(process)}"
            )
    mean = process.mean.cpu() if bool(process.mean.any()) else None
    at_lags = _at_lags(covariance.temporal)
    irregular = None if at_lags is not None or times is None else times - times[0]
    return Structure(covariance, at_lags, irregular, mean)


def is_separable(process: GaussianLaw) -> bool:
    """Whether the covariance is one Kronecker product, so that nothing of N d rows is decomposed."""
    return isinstance(process, (GaussianSequence, SeparableGaussian))


def _of_kernel(process: GaussianLaw) -> str:
    return f" (kernel {process.kernel!r})" if isinstance(process, GaussianSequence) else ""


def _covariance(process: GaussianLaw) -> tuple[KroneckerTerms, Tensor | None]:
    """The covariance, and the times of stationary kernels."""
    if isinstance(process, (GaussianSequence, SeparableGaussian)):
        terms = KroneckerTerms(process.temporal_covariance.cpu()[None], process.spatial_covariance.cpu()[None])
        stationary = isinstance(process, GaussianSequence) and process.kernel.is_stationary
        return terms, process.times.cpu() if isinstance(process, GaussianSequence) and stationary else None
    if isinstance(process, KroneckerSum):
        temporal = torch.stack([kernel.covariance(process.times).cpu() for kernel, _ in process.terms])
        spatial = torch.stack([matrix.cpu() for _, matrix in process.terms])
        stationary = all(kernel.is_stationary for kernel, _ in process.terms)
        return KroneckerTerms(temporal, spatial), process.times.cpu() if stationary else None
    if isinstance(process, BlockToeplitzSequence):
        blocks = process.blocks.cpu()
        both = torch.cat([blocks[1:].mT.flip(0), blocks])  # C(-(N-1))..C(N-1)
        frames = torch.arange(len(blocks))
        temporal = both.flatten(1).T[:, frames[:, None] - frames + len(blocks) - 1]
        features = blocks.shape[1]
        return KroneckerTerms(
            temporal, torch.eye(features**2, dtype=torch.float64).reshape(-1, features, features)
        ), None
    return KroneckerTerms.of_dense(process.covariance().cpu(), process.num_features), None


def _at_lags(temporal: Tensor) -> Tensor | None:
    """The tables of Toeplitz matrices, (terms, 2N-1); None if one is not Toeplitz up to round-off."""
    moved = (temporal[:, 1:, 1:] - temporal[:, :-1, :-1]).abs()
    if moved.numel() and float(moved.max()) > TOEPLITZ_ROUND_OFF * float(temporal.abs().max()):
        return None
    return torch.cat([temporal[:, 0, 1:].flip(1), temporal[:, :, 0]], dim=1)


def _adaptive_knots(lags: Tensor, values: Tensor, allowed: float) -> Tensor:
    """Indices of lags such that linear interpolation between them is within ``allowed`` at all others, in every row."""
    if len(lags) < 3:
        return torch.arange(len(lags))
    knots = torch.tensor([0, len(lags) - 1])
    while True:
        piece = torch.bucketize(torch.arange(len(lags)), knots, right=True).clamp(max=len(knots) - 1)
        left, right = knots[piece - 1], knots[piece]
        share = (lags - lags[left]) / (lags[right] - lags[left])
        error = (values[:, left] * (1 - share) + values[:, right] * share - values).abs().amax(0)
        error[knots] = 0.0
        worst = torch.zeros(len(knots), dtype=torch.float64).scatter_reduce(0, piece, error, "amax")
        chosen = (error > allowed) & (error == worst[piece])
        if not bool(chosen.any()):
            return knots
        knots = torch.unique(torch.cat([knots, chosen.nonzero()[:, 0]]))
