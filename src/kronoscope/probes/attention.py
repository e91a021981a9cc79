"""Attention maps of any network, and their partial correlation with a covariance beyond null maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks, report
from .._calls import taking
from .._display import Tabular
from .._errors import InputError
from .figures import association_figure, attention_figure

Maps = Callable[[Tensor, Tensor], Sequence[Tensor]]
MAX_PERMUTATIONS = 100_000


@dataclass(frozen=True, eq=False, repr=False)
class Association(Tabular):
    """Agreement of every head with a covariance, beyond the null maps.

    Attributes:
        correlation: (heads,), partial correlation of a head's map with Gamma over pairs of different frames, both less
            their regression on the null maps.
        p_value: (heads,), two-sided.
        family_p_value: (heads,), the same for the largest correlation of all heads (Westfall and Young's single step).
        permutations: How many relabellings, or how many null networks.
    """

    correlation: Tensor
    p_value: Tensor
    family_p_value: Tensor
    permutations: int

    def _facts(self) -> dict[str, object]:
        best = int(self.correlation.abs().argmax())
        return {
            "heads": len(self.correlation),
            "largest correlation": float(self.correlation[best]),
            "p value": float(self.p_value[best]),
            "family p value": float(self.family_p_value[best]),
            "permutations": self.permutations,
        }

    def plot(self) -> report.Plot:
        """Partial correlation of every head, those that pass the corrected test in colour."""
        return report.plot(association_figure(self.correlation, self.family_p_value))

    def _columns(self) -> dict[str, Sequence[object]]:
        return {
            "head": list(range(len(self.correlation))),
            "correlation": self.correlation.tolist(),
            "p value": self.p_value.tolist(),
            "family p value": self.family_p_value.tolist(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class AttentionProbe(Tabular):
    """Attention weights of every head, averaged over inputs.

    Attributes:
        weights: (heads of all blocks, N, N), mean over the inputs, float64.
        standard_error: Of ``weights``; 0 where the attention sees no content.
        labels: (block, head) of each, both from 0.
        t: Diffusion time.
    """

    weights: Tensor
    standard_error: Tensor
    labels: tuple[tuple[int, int], ...]
    t: float

    def _facts(self) -> dict[str, object]:
        return {
            "heads": len(self.labels),
            "blocks": len({block for block, _ in self.labels}),
            "frames": self.weights.shape[-1],
            "t": self.t,
            "largest standard error": float(self.standard_error.max()),
        }

    def plot(self) -> report.Plot:
        """The attention maps of the first twelve heads."""
        return report.plot(attention_figure(self.weights, self.labels, self.t))

    def _columns(self) -> dict[str, Sequence[object]]:
        frames, profile = self.weights.shape[-1], self.lag_profile()
        lags = range(1 - frames, frames)
        return {
            "block": [block for block, _ in self.labels for _ in lags],
            "head": [head for _, head in self.labels for _ in lags],
            "lag": [lag for _ in self.labels for lag in lags],
            "mean weight": profile.flatten().tolist(),
        }

    def lag_profile(self) -> Tensor:
        """Means along the signed lags i - j = -(N-1)..N-1, (heads, 2 N - 1)."""
        frames = self.weights.shape[-1]
        return torch.stack([self.weights.diagonal(-lag, 1, 2).mean(-1) for lag in range(1 - frames, frames)], dim=1)

    def partial_correlation(self, covariance: Tensor, nulls: Sequence[Tensor] = ()) -> Tensor:
        """Of every head with a covariance beyond the null maps, (heads,), as in :meth:`association`, untested."""
        self._check(covariance, nulls)
        maps, target = _parts(self.weights, covariance, nulls)
        return torch.einsum("mij,ij->m", maps, target) / _norms(maps)

    def association(
        self,
        covariance: Tensor,
        nulls: Sequence[Tensor] = (),
        *,
        permutations: int = 2000,
        generator: torch.Generator | None = None,
    ) -> Association:
        """Partial Mantel test of every head against a temporal covariance.

        Over the N(N-1)/2 pairs of different frames, a head's map (its symmetric part) and ``covariance`` are freed of
        their means and of their regression on ``nulls``, and correlated; then the frames of the head's residual map
        are relabelled at random. Under the null that what a head holds beyond the null maps knows nothing of the order
        of the frames, every relabelling is as likely as the other, so the p-values are uniform. That can be so only
        where nothing in the network treats near frames alike before it is trained: without positions, or with learnt
        embeddings of them. For heads with a table of the lag use :meth:`against`. A head that is constant, or holds
        nothing beyond the nulls, has correlation 0 and p = 1.

        Args:
            covariance: Gamma, (N, N), as the truth or an estimate says.
            nulls: Maps (N, N) of what would be there without learning the dependence: an untrained network's same
                head, one trained on white sequences, a function of the lag alone.
            permutations: Relabellings, at least 19.
            generator: None means seed 0.

        Raises:
            InputError: Shapes that differ, maps that are not finite, fewer than 4 frames, a covariance without
                variation beyond the nulls, or a head that is a function of the lag alone: relabelled frames are no null
                for it, and through the largest correlation it would spoil the other heads' corrected p-values.

        Source: Mantel (1967); Smouse, Long and Sokal (1986), for the partial form.
        """
        count = _checks.count("permutations", permutations, least=19)
        if count > MAX_PERMUTATIONS:
            raise InputError(f"permutations must be at most {MAX_PERMUTATIONS}, got {count}")
        self._check(covariance, nulls)
        for (block, head), weights in zip(self.labels, self.weights, strict=True):
            if _is_of_the_lag(weights):
                raise InputError(
                    f"head {head} of block {block} is a function of the lag alone, so frames cannot be relabelled; use "
                    "against(networks, covariance) with untrained networks"
                )
        maps, target = _parts(self.weights, covariance, nulls)
        generator = _checks.generator_or_seed_zero(generator)
        norms = _norms(maps)
        observed = torch.einsum("mij,ij->m", maps, target) / norms
        frames = self.weights.shape[-1]
        beyond = torch.ones(len(maps))
        largest = torch.ones(len(maps))
        for _ in range(count):
            order = torch.randperm(frames, generator=generator)
            drawn = (torch.einsum("mij,ij->m", maps, target[order][:, order]) / norms).abs()
            beyond += drawn >= observed.abs() - 1e-12
            largest += drawn.max() >= observed.abs() - 1e-12
        return Association(observed, beyond / (count + 1), largest / (count + 1), count)

    def against(
        self, networks: Sequence[AttentionProbe], covariance: Tensor, nulls: Sequence[Tensor] = ()
    ) -> Association:
        """The same partial correlations, ranked among those of null networks: a Monte Carlo test.

        With r_k of network k, 0 the one that is tested, the statistic is |r_k - mean| / deviation, both over all of
        them. Networks that were drawn as this one was (untrained ones from other seeds) are exchangeable with it under
        the null that it is one of them, whatever their architecture knows of the lag, so the p-values are exact. What
        it says is that training moved the heads towards or away from ``covariance``, not why: training on white or
        shuffled sequences moves them, too, so look at such a network's p-value beside it.

        Args:
            networks: Probes of at least 19 null networks, of the same shape and with the same inputs.
            covariance: Gamma, (N, N).
            nulls: Maps (N, N) to regress on, the same for all.

        Raises:
            InputError: As of :meth:`association`; fewer networks; or networks that do not differ.

        Source: Barnard (1963) and Besag and Clifford (1989), for ranks among simulations.
        """
        if len(networks) < 19:
            raise InputError(f"networks must be at least 19, got {len(networks)}")
        for k, probe in enumerate(networks):
            if probe.weights.shape != self.weights.shape:
                want, got = tuple(self.weights.shape), tuple(probe.weights.shape)
                raise InputError(f"networks[{k}] must have weights of shape {want}, got {got}")
            _checks.finite(f"weights of networks[{k}]", probe.weights)
        self._check(covariance, nulls)
        all_of_them = torch.stack([probe.partial_correlation(covariance, nulls) for probe in (self, *networks)])
        deviation = all_of_them.std(dim=0)
        if bool((deviation < 1e-12).any()) or bool((all_of_them[1:].std(dim=0) < 1e-12).any()):
            raise InputError("networks must differ from each other: these agree to the last digit")
        sizes = ((all_of_them - all_of_them.mean(dim=0)) / deviation).abs()
        beyond = (sizes >= sizes[0] - 1e-12).double().mean(dim=0)
        largest = (sizes.max(dim=1, keepdim=True).values >= sizes[0] - 1e-12).double().mean(dim=0)
        return Association(all_of_them[0], beyond, largest, len(networks))

    def _check(self, covariance: Tensor, nulls: Sequence[Tensor]) -> None:
        frames = self.weights.shape[-1]
        if frames < 4:
            raise InputError(f"a test on pairs of frames needs at least 4 frames, got {frames}")
        _checks.finite("weights", self.weights)
        for name, value in [("covariance", covariance), *((f"nulls[{k}]", m) for k, m in enumerate(nulls))]:
            if value.shape != (frames, frames):
                raise InputError(f"{name} must have shape ({frames}, {frames}), got {tuple(value.shape)}")
            _checks.finite(name, value)


def attention(
    network: nn.Module | Any,
    x: Tensor,
    t: float = 0.2,
    *,
    maps: Maps | None = None,
    batch_size: int = 64,
) -> AttentionProbe:
    """Attention weights by block and head, averaged over sequences at one noise level.

    Args:
        network: A network of ``kronoscope.nn``, or a fitted model (its network is taken; ``x`` in scaled coordinates).
            Anything else works with ``maps``.
        x: Noised sequences (n, N, d), such as ``diffusion.noise`` makes of data.
        t: Diffusion time, greater than 0; with ``maps``, what the network takes for it, 0 or greater.
        maps: For an outside network: (x, t) with t of shape (batch,), to one tensor (batch or 1, heads, N, N) of
            attention weights a block. For torch's own attention:
            ``lambda x, t: [layer(x, x, x, average_attn_weights=False)[1]]``; for diffusers' transformers,
            :func:`attention_maps`.
        batch_size: Sequences a call.

    Raises:
        InputError: The network exposes no attention and no ``maps`` were given, it does not take sequences of the
            shape of ``x``, or the maps have a wrong shape or are not finite.
    """
    _checks.finite("x", _checks.sequences("x", x))
    t = _checks.positive("t", t) if maps is None else _checks.non_negative("t", t)
    if not len(x):
        raise InputError("x must hold at least one sequence, got none")
    inner = getattr(network, "network", network)
    reader = maps or _reader(inner)
    count, mean, square = 0, None, None
    labels: tuple[tuple[int, int], ...] = ()
    parameter = next(inner.parameters(), x) if isinstance(inner, nn.Module) else x
    for part in x.split(_checks.count("batch_size", batch_size)):
        with torch.no_grad(), taking("network", inner, part, "x"):
            inside = part.to(parameter)
            weights = [block.double().cpu() for block in reader(inside, torch.full((len(part),), t).to(inside))]
        labels = _check_maps(weights, len(part), x.shape[1])
        stacked = torch.cat([block.expand(len(part), -1, -1, -1) for block in weights], dim=1)
        count += len(part)
        mean = stacked.sum(dim=0) if mean is None else mean + stacked.sum(dim=0)
        square = stacked.square().sum(dim=0) if square is None else square + stacked.square().sum(dim=0)
    assert mean is not None
    assert square is not None
    mean = mean / count
    variance = (square / count - mean.square()).clamp_min(0) * count / max(1, count - 1)
    return AttentionProbe(mean, (variance / count).sqrt(), labels, t)


def _reader(network: Any) -> Maps:
    if not callable(getattr(network, "record", None)):
        name = type(network).__name__
        raise InputError(
            f"{name} exposes no attention: it has no record(x, t); give maps=, a function from (x, t) to attention "
            "weights (batch, heads, frames, frames), one tensor a block"
        )
    return lambda x, t: [block.weights for block in network.record(x, t).blocks]


def _check_maps(weights: Sequence[Tensor], batch: int, frames: int) -> tuple[tuple[int, int], ...]:
    if not weights:
        raise InputError("the network recorded no attention: it has no blocks")
    for number, block in enumerate(weights):
        if block.ndim != 4 or block.shape[0] not in (1, batch) or block.shape[2:] != (frames, frames):
            raise InputError(
                f"the attention of block {number} must have shape ({batch} or 1, heads, {frames}, {frames}), "
                f"got {tuple(block.shape)}"
            )
        _checks.finite(f"the attention of block {number}", block)
    return tuple((number, head) for number, block in enumerate(weights) for head in range(block.shape[1]))


def _parts(weights: Tensor, covariance: Tensor, nulls: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Heads' maps and the covariance, both less their regression on the null maps; the latter of norm 1."""
    against = [_symmetric(null.double()) for null in nulls]
    symmetric = _symmetric(weights.double())
    maps = _without(symmetric, against)
    # what is left of a map that the nulls explain wholly is round-off, which correlates with anything
    explained = maps.flatten(1).norm(dim=1) <= 1e-9 * symmetric.flatten(1).norm(dim=1)
    maps = torch.where(explained[:, None, None], 0, maps)
    target = _without(_symmetric(covariance.double())[None], against)[0]
    if float(target.norm()) < 1e-9 * float(covariance.double().norm()):
        raise InputError("the null maps explain covariance completely, so the partial correlation is not defined")
    return maps, target / target.norm()


def _norms(maps: Tensor) -> Tensor:
    return maps.flatten(1).norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny)


def _is_of_the_lag(matrix: Tensor) -> bool:
    """Whether the map is constant along the lags, and not the same for all of them."""
    size = 1e-9 * float(matrix.abs().max())
    pairs = matrix[~torch.eye(len(matrix), dtype=torch.bool)]
    return float((matrix[1:, 1:] - matrix[:-1, :-1]).abs().max()) <= size < float(pairs.max() - pairs.min())


def _symmetric(maps: Tensor) -> Tensor:
    """Symmetric part, the diagonal taken out."""
    frames = maps.shape[-1]
    return (maps + maps.mT) / 2 * (1 - torch.eye(frames, dtype=torch.float64))


def _without(maps: Tensor, nulls: Sequence[Tensor]) -> Tensor:
    """Maps (m, N, N) less their regression on a constant and the null maps, off the diagonal."""
    frames = maps.shape[-1]
    above = torch.triu_indices(frames, frames, 1)
    design = torch.stack([torch.ones(above.shape[1], dtype=torch.float64), *(n[above[0], above[1]] for n in nulls)], 1)
    basis, triangle = torch.linalg.qr(design)
    basis = basis[:, triangle.diagonal().abs() > 1e-10 * math.sqrt(len(design))]
    rows = maps[:, above[0], above[1]]
    rows = rows - rows @ basis @ basis.T
    out = torch.zeros_like(maps)
    out[:, above[0], above[1]] = rows
    return out + out.mT
