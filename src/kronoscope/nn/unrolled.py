"""The unrolled transformer: a solver of C_t s = x whose covariance is learnt (docs/theory.md, sections 3 and 5)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from .. import _checks, iterations
from .._errors import InputError
from ..diffusion.schedule import alpha, broadcast, sigma, sigma_squared
from ..settings import check_keywords
from .position import MOST_BLOCKS
from .records import BlockRecord, NetworkRecord
from .unrolled_blocks import LearnedSteps, UntiedHeads
from .unrolled_heads import BlockHeads, FactorHeads, Heads, LagHeads, SpectralHeads, in_steps
from .unrolled_masked import solve_masked
from .unrolled_solve import solve_dense, solve_separable

Positions = Literal["relative", "absolute"]
Values = Literal["head", "lag"]
Gradients = Literal["implicit", "unrolled"]
Mean = Literal["zero", "feature", "free"]
Blocks = Literal["tied", "untied"]
Steps = Literal["spectrum", "learned"]

LARGEST_SIZE = 4096
NO_COVARIANCE = (
    'blocks must be "tied" for a covariance, got "untied": blocks whose heads differ multiply by no common K, so the '
    "network is affine in x but solves with no C_t; a fitted model reads a law off its score, by law()"
)
_LAW_TIME = 1e-2
_LAW_ROUNDS = 500


class Law(Protocol):
    """What :meth:`UnrolledTransformer.from_law` reads of a Gaussian law."""

    @property
    def mean(self) -> Tensor:
        """(frames, features)."""

    def covariance(self) -> Tensor:
        """(N d, N d), frame-major."""


class UnrolledTransformer(nn.Module):
    """epsilon(x, t) = sigma_t C_t^-1 (x - alpha_t mu) with C_t = alpha_t^2 K + sigma_t^2 I and a learnt K.

        K = sum over heads of A_m kron V_m:    attention weights A_m of positions alone, value matrices V_m

    As a transformer it is ``num_blocks`` tied blocks of the Chebyshev semi-iteration for C_t s = x - alpha_t mu, whose
    stream carries the iterate s and its last step; attention over the heads is the product with K, and diffusion
    time modulates. The coefficients come from the extreme eigenvalues of the learnt K. K is positive semi-definite by
    construction; nothing but the denoising loss teaches it, but for the shrinkage of several heads below.

    What ``forward`` computes is decided by ``gradients``:

    * "implicit" (default): the limit of infinitely many blocks, exactly, by an eigendecomposition of K. (This is a
      transformer, too: the spectral block of docs/theory.md, section 4: attention U', a gate by time, attention U.)
      The backward pass is one more solve with C_t. So the deployed network has no truncation error.
    * "unrolled": the blocks, and backpropagation through them. The error against "implicit" is at most
      2 q^K / (1 + q^2K), q = (sqrt(kappa) - 1)/(sqrt(kappa) + 1), relative to C_t's own norm; 160 blocks leave below
      1e-6 at kappa = 300 and 1 % at kappa = 3600.

    :meth:`record` shows the blocks at work under either.

    Several heads are told neither separability nor time-symmetry, but they lean towards separability: weight decay of
    what tells them apart in time (``Heads.shrinkage``; 0.05, decoupled, whatever the training's ``weight_decay``)
    shrinks K towards one Kronecker product. That is a prior and not an answer: where sequences are evidence enough for
    a second product, the heads move away from one.

    Two variants are under "unrolled" alone. Both start from the tied network with the same weights, exactly, and stay
    affine in x:

    * ``blocks="untied"``: each block has heads of its own, so the network is a polynomial in no one matrix. Its
      output need not be the gradient of a log density (its map may be asymmetric or indefinite), whatever the mask.
      So :meth:`covariance` is refused. A law, where there is one, follows from the score, as for any affine network.
    * ``steps="learned"``: what each block does with its residual is learnt for itself, beginning from Chebyshev's table
      for the learnt K, which it keeps following (:class:`LearnedSteps`). The map is still a polynomial in K, but not
      necessarily a positive one, nor near C_t^-1: :meth:`covariance` is what the heads hold, and no longer what the
      score says.

    Where entries are missing, attention neither reads them nor writes to them: the same weights give the exact score of
    the entries that are there, under "implicit" and in the limit of many blocks under "unrolled" (the spectrum of a
    principal submatrix lies within that of the whole, so the same coefficients converge).

    Args:
        num_frames: N.
        num_features: d.
        heads: 1 is separable, K = Gamma kron Sigma. More are told neither separability nor time-symmetry, but shrink
            towards one Kronecker product, as said above.
        positions: "relative": A_m is a function of the lag (stationary). "absolute": any A_m.
        values: "head": one value matrix a head. "lag": one for each signed lag, any block-Toeplitz K (one head,
            relative positions, regular times).
        times: h, for relative positions at irregular times; None means 0..N-1.
        mean: What is learnt of mu: "zero" (nothing), "feature" (d numbers) or "free" ((N, d)).
        gradients: "implicit" or "unrolled".
        num_blocks: K, of the blocks; at least 2 where they are untied.
        blocks: "tied": all blocks have the same heads. "untied": each its own.
        steps: "spectrum": Chebyshev's, of the extreme eigenvalues of K (of the K of all blocks, where they are untied).
            "learned": they, and what was learnt beside them.

    Raises:
        InputError: An option that is not there, or does not go with another; N (one head) or N d (several) is
            above 4096.
    """

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        heads: int = 1,
        positions: Positions = "relative",
        values: Values = "head",
        times: Sequence[float] | Tensor | None = None,
        mean: Mean = "zero",
        gradients: Gradients = "implicit",
        num_blocks: int = 160,
        blocks: Blocks = "tied",
        steps: Steps = "spectrum",
    ) -> None:
        super().__init__()
        self.num_frames = _checks.count("num_frames", num_frames)
        self.num_features = _checks.count("num_features", num_features)
        for name, value, allowed in (
            ("positions", positions, Positions),
            ("values", values, Values),
            ("mean", mean, Mean),
            ("gradients", gradients, Gradients),
            ("blocks", blocks, Blocks),
            ("steps", steps, Steps),
        ):
            if value not in get_args(allowed):
                raise InputError(f"{name} must be one of {', '.join(get_args(allowed))}, got {value!r}")
        for name, value, default in (("blocks", blocks, "tied"), ("steps", steps, "spectrum")):
            if value != default and gradients != "unrolled":
                raise InputError(f'{name}="{value}" goes with gradients="unrolled", got gradients="{gradients}"')
        self.gradients = gradients
        self.num_blocks = _checks.count("num_blocks", num_blocks, 1, MOST_BLOCKS)
        self._one_product = _checks.count("heads", heads, 1, MOST_BLOCKS) == 1 and values == "head"
        self.is_separable = self._one_product and blocks == "tied"
        size = self.num_frames if self._one_product else self.num_frames * self.num_features
        if size > LARGEST_SIZE:
            what = "num_frames" if self._one_product else "num_frames * num_features of several heads"
            raise InputError(f"{what} must be at most {LARGEST_SIZE}, got {size}")
        start = _heads(self.num_frames, self.num_features, heads, positions, values, times)
        self.heads: BlockHeads = start if blocks == "tied" else UntiedHeads(start, self.num_blocks)
        self.steps = None if steps == "spectrum" else LearnedSteps(self.num_blocks)
        shape = {"zero": None, "feature": (num_features,), "free": (num_frames, num_features)}[mean]
        self.mean = None if shape is None else nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x; under a mask (bool, like x), of its entries."""
        if not all(bool(p.isfinite().all()) for p in self.parameters()):
            return x * torch.nan  # no decomposition exists; the training then stops with a divergence error
        y, scale, noise = self._centred(x, t)
        if self.gradients == "unrolled":
            solved = self._iterate(y, scale, noise, mask)[-1]
        elif mask is not None:
            dense = None if self.is_separable else self.covariance()
            weights, values = self.tied_heads.weights_and_values()
            solved = solve_masked(y, mask, weights[0], values[0], scale.to(y), noise.to(y), dense)
        elif self.is_separable:
            weights, values = self.tied_heads.weights_and_values()
            solved = solve_separable(y, weights[0], values[0], scale.to(y), noise.to(y))
        else:
            solved = solve_dense(y, self.covariance(), scale.to(y), noise.to(y))
        return broadcast(noise.sqrt(), y) * solved

    def record(self, x: Tensor, t: Tensor) -> NetworkRecord:
        """The forward pass through the blocks.

        The stream after a block is the iterate and its last step, (batch, N, 2 d); the weights (1, heads, N, N) are the
        same in each block, unless blocks are untied: then the first, which has no heads, shows zeros. Of several heads
        with relative positions come first the even parts, then the odd parts.
        """
        y, scale, noise = self._centred(x, t)
        iterates = self._iterate(y, scale, noise)
        weights = [each.to(y)[None] for each in self.heads.recorded_weights(self.num_blocks)]
        steps = iterates.diff(dim=0)
        blocks = tuple(
            BlockRecord(None, attention, torch.cat([iterate, step], dim=-1))
            for attention, iterate, step in zip(weights, iterates[1:], steps, strict=True)
        )
        return NetworkRecord(broadcast(noise.sqrt(), y) * iterates[-1], blocks)

    def covariance(self) -> Tensor:
        """The learnt K, (N d, N d), frame-major, float64.

        Raises:
            InputError: Blocks are untied, and have no K in common.
        """
        return self.tied_heads.covariance()

    @property
    def tied_heads(self) -> Heads:
        """The heads that all blocks share.

        Raises:
            InputError: Blocks are untied.
        """
        if not isinstance(self.heads, Heads):
            raise InputError(NO_COVARIANCE)
        return self.heads

    @classmethod
    def from_law(cls, law: Law, **options: Any) -> UnrolledTransformer:
        """A network of the given options whose law is closest to ``law``: an estimator's, or a process.

        It minimises KL(law | network) at t = 0.01, so a law outside the network's class is projected. The
        mean is learnt ("free") where the law has one.

        Args:
            law: The law to start from.
            **options: Of the network.

        Raises:
            TypeError: An unknown keyword; names the one that was meant.
            InputError: The law's mean cannot be held by the ``mean`` that was asked for.

        Untied blocks all start from the K that tied ones would have.
        """
        known = [name for name in inspect.signature(cls).parameters if name not in ("num_frames", "num_features")]
        check_keywords("from_law", options, known)
        mean = law.mean.detach().to("cpu", torch.float64)
        options.setdefault("mean", "free" if bool(mean.any()) else "zero")
        network = cls(*mean.shape, **options)
        if network.mean is None and bool(mean.any()):
            raise InputError('mean must be "free" for a law whose mean is not zero, got "zero"')
        if network.mean is not None:
            network.mean.data.copy_(mean.mean(dim=0) if network.mean.ndim == 1 else mean)
        start = network.heads.start()
        _match(start, law.covariance().detach().to("cpu", torch.float64))
        network.heads.restart(start)
        return network

    def _centred(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x - alpha_t mu, alpha_t^2 and sigma_t^2, the last two in float64, (batch,)."""
        time = t.double().expand(len(x))
        y = x if self.mean is None else x - broadcast(alpha(time), x) * self.mean.to(x)
        return y, torch.exp(-time), sigma_squared(time)

    def _iterate(self, y: Tensor, scale: Tensor, noise: Tensor, mask: Tensor | None = None) -> Tensor:
        """The iterates s_0 .. s_K of the blocks, (K + 1, batch, frames, features)."""
        low, high = self.heads.extremes(self._one_product)
        table = iterations.chebyshev(scale * low + noise, scale * high + noise, self.num_blocks)
        if self.steps is not None:
            table = self.steps(table, noise.log() - scale.log())
        attention = self._attention(y)
        shrink, level = broadcast(scale, y), broadcast(noise, y)
        if mask is None:
            return iterations.run(table, lambda s: shrink * attention(s) + level * s, y, record=True)
        there = mask.to(y)
        return iterations.run(table, lambda s: there * (shrink * attention(s) + level * s), y * there, record=True)

    def _attention(self, like: Tensor) -> Callable[[Tensor], Tensor]:
        """s -> K s; of untied blocks the call number k is the product of block k with its own K."""
        heads, products = iter(self.heads.each()), dict[int, Callable[[Tensor], Tensor]]()

        def product(s: Tensor) -> Tensor:
            block = next(heads)
            if id(block) not in products:
                products[id(block)] = _product(block, like)
            return products[id(block)](s)

        return product


def _product(heads: Heads, like: Tensor) -> Callable[[Tensor], Tensor]:
    """s -> K s: each head by itself while that is cheaper, their sum as one matrix otherwise."""
    weights, values = (part.to(like) for part in heads.weights_and_values())
    if len(weights) <= like.shape[-1]:
        return lambda s: torch.einsum("mij,bjc,mac->bia", weights, s, values)
    matrix = heads.covariance().to(like)
    return lambda s: (s.flatten(1) @ matrix.mT).reshape(s.shape)


def _heads(
    frames: int, features: int, heads: int, positions: str, values: str, times: Sequence[float] | Tensor | None
) -> Heads:
    if values == "lag":
        if heads != 1 or positions != "relative" or times is not None:
            raise InputError('values="lag" goes with heads=1, positions="relative" and times=None')
        return LagHeads(frames, features)
    if positions == "absolute":
        if times is not None:
            raise InputError('times go with positions="relative"')
        return FactorHeads(frames, features, heads)
    grid = torch.arange(frames, dtype=torch.float64) if times is None else in_steps(_checks.tensor("times", times))
    if grid.shape != (frames,):
        raise InputError(f"times must have shape ({frames},), got {tuple(grid.shape)}")
    return SpectralHeads(grid, features, heads)


def _match(heads: Heads, covariance: Tensor) -> None:
    """Move ``heads`` to the smallest KL(N(0, C) | N(0, C')) at the smallest trained time, by L-BFGS in float64."""
    dtype = next(heads.parameters()).dtype
    for parameter in heads.parameters():
        parameter.data = parameter.data.double()
    scale, noise = float(alpha(_LAW_TIME)) ** 2, float(sigma(_LAW_TIME)) ** 2
    identity = torch.eye(len(covariance), dtype=torch.float64)
    target = torch.linalg.cholesky(scale * covariance + noise * identity)
    optimizer = torch.optim.LBFGS(
        heads.parameters(), max_iter=_LAW_ROUNDS, history_size=30, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def divergence() -> Tensor:
        optimizer.zero_grad()
        factor = torch.linalg.cholesky(scale * heads.covariance() + noise * identity)
        whitened = torch.linalg.solve_triangular(factor, target, upper=False)
        loss = 0.5 * whitened.square().sum() + factor.diagonal().log().sum()
        loss.backward()
        return loss

    optimizer.step(divergence)
    optimizer.zero_grad()
    for parameter in heads.parameters():
        parameter.data = parameter.data.to(dtype)
