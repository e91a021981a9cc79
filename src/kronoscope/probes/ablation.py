"""Interventions: what a network loses in nats without one attention head, and kernels swapped between networks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .. import _checks, diffusion
from .._errors import InputError
from ..nn import DiT, PositionTransformer, ReLUTransformer, UnrolledTransformer
from ..processes import GaussianLaw

Patch = Literal["zero", "mean"]
NODES = 24


@dataclass(frozen=True)
class Damage:
    """One head taken away.

    Attributes:
        path: "softmax" or "linear" in a :class:`DiT`, "" elsewhere.
        block, head: Which, from 0.
        nats: Rise of the score error (docs/theory.md, section 2); below 0 the network is better without the head.
        standard_error: Paired: of the same sequences and the same noise with and without the head.
    """

    path: str
    block: int
    head: int
    nats: float
    standard_error: float


@dataclass(frozen=True)
class Ablation:
    """Damage by every head.

    Attributes:
        score_kl: Score error of the whole network, nats, by the same Monte Carlo.
        standard_error: Of ``score_kl``.
        damages: One for each head.
    """

    score_kl: float
    standard_error: float
    damages: tuple[Damage, ...]

    @property
    def worst(self) -> Damage:
        """The head that costs most."""
        return max(self.damages, key=lambda one: one.nats)

    def median(self, path: str | None = None) -> float:
        """Median of |nats| over the heads (of one path): the size that a null is judged by."""
        return float(np.median([abs(one.nats) for one in self.damages if path in (None, one.path)]))


class _Taken(nn.Module):
    """An output projection that sees zero, or the mean over the batch, where one head used to write."""

    def __init__(self, projection: nn.Linear, low: int, high: int, patch: Patch) -> None:
        super().__init__()
        self.projection, self.low, self.high, self.patch = projection, low, high, patch

    def forward(self, mixed: Tensor) -> Tensor:
        head = mixed[..., self.low : self.high]
        put = torch.zeros_like(head) if self.patch == "zero" else head.mean(dim=0, keepdim=True).expand_as(head)
        return self.projection(torch.cat([mixed[..., : self.low], put, mixed[..., self.high :]], dim=-1))


def ablate(
    network: nn.Module | Any,
    process: GaussianLaw,
    *,
    patch: Patch = "zero",
    num_samples: int = 256,
    min_time: float = 1e-2,
    max_time: float = 6.0,
    generator: torch.Generator | None = None,
) -> Ablation:
    """Take away one attention head after the other; the damage is the rise of ``score_kl``, in nats.

        damage_m = 1/2 int E[ |s_without m - s*|^2 - |s - s*|^2 ] dt

    Args:
        network: A :class:`DiT` (heads of both its paths), :class:`PositionTransformer`, :class:`ReLUTransformer` that
            gives epsilon, or :class:`UnrolledTransformer`; or a model fitted without mean and scaling.
        process: The truth that the network was trained on: the damage is to the score of its law.
        patch: "zero" puts nothing where the head wrote; "mean" puts the mean over the sequences of the same noise
            level, which leaves what the head says whatever it sees. An unrolled or ReLU network has "zero" only.
        num_samples: Sequences, the same ones for every head, each at 24 quadrature nodes of the clock.
        min_time, max_time: Range of diffusion time.
        generator: None means seed 0.

    Raises:
        InputError: A network without heads that can be told apart, or an unknown patch.
    """
    if patch not in get_args(Patch):
        raise InputError(f"patch must be one of {', '.join(get_args(Patch))}, got {patch!r}")
    inner = cast(nn.Module, getattr(network, "network", network))
    _check_kind(inner, patch)
    measured = _Measure.of(process, num_samples, min_time, max_time, generator)
    whole = measured(inner)
    damages = []
    for path, block, head, without in _without_each(inner, patch):
        lost = measured(without) - whole
        damages.append(Damage(path, block, head, *_mean(lost)))
    return Ablation(*_mean(whole), tuple(damages))


@dataclass(frozen=True, eq=False)
class _Measure:
    """Score error of each of the sequences, in nats: weighted sums over nodes of |epsilon - epsilon*|^2 / 2."""

    nodes: list[tuple[float, float, Tensor, Tensor]]

    @classmethod
    def of(
        cls, process: GaussianLaw, count: int, min_time: float, max_time: float, generator: torch.Generator | None
    ) -> _Measure:
        _checks.count("num_samples", count, 2)
        generator = _checks.generator_or_seed_zero(generator)
        low, high = (float(diffusion.clock(_checks.positive("time", t))) for t in (min_time, max_time))
        points, weights = np.polynomial.legendre.leggauss(NODES)
        data = process.sample(count, generator=generator).double()
        nodes = []
        for point, weight in zip(points, weights):
            t = float(diffusion.time_from_clock(torch.tensor(low + (high - low) * (point + 1) / 2).double()))
            noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
            x = diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise)
            exact = -math.sqrt(-math.expm1(-t)) * process.score(x, t)
            nodes.append((t, float(weight) * (high - low) / 4, x, exact))
        return cls(nodes)

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> Tensor:
        parameter = next(network.parameters())
        total = torch.zeros(len(self.nodes[0][2]), dtype=torch.float64)
        for t, weight, x, exact in self.nodes:
            inside = x.to(parameter)
            epsilon = network(inside, torch.full((len(x),), t).to(inside)).cpu().double()
            total += weight * (epsilon - exact).square().sum(dim=(1, 2))
        return total


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def _check_kind(network: nn.Module, patch: Patch) -> None:
    name = type(network).__name__
    if not isinstance(network, (DiT, PositionTransformer, UnrolledTransformer, ReLUTransformer)):
        raise InputError(
            "heads can be taken from DiT, PositionTransformer, UnrolledTransformer and ReLUTransformer, and "
            f"{name} is none of them"
        )
    if patch != "zero" and isinstance(network, (UnrolledTransformer, ReLUTransformer)):
        raise InputError(f'{name} has the patch "zero" only, since its heads are linear in x')


def _without_each(network: nn.Module, patch: Patch) -> Iterator[tuple[str, int, int, nn.Module]]:
    """(path, block, head, a copy without it)."""
    if isinstance(network, DiT):
        if network.linear is not None:
            for block, head, without in _of_projections(network, patch, lambda one: cast(Any, one).linear.blocks):
                yield "linear", block, head, without
        for block, head, without in _of_projections(network, patch, lambda one: cast(Any, one).blocks):
            yield "softmax", block, head, without
        return
    if isinstance(network, PositionTransformer):
        for block, head, without in _of_projections(network, patch, lambda one: cast(Any, one).blocks):
            yield "", block, head, without
        return
    if isinstance(network, UnrolledTransformer):
        real = getattr(network.heads, "real", None)
        if real is None or real.ndim != 3:
            raise InputError("the heads of this network cannot be told apart")
        for head in range(len(real)):
            yield "", 0, head, _silenced(network, head)
        return
    assert isinstance(network, ReLUTransformer)
    for number, one in enumerate(network.unique_blocks()):
        for head in range(0 if one.output is None else len(one.output)):
            silent = copy.deepcopy(network)
            with torch.no_grad():
                cast(Tensor, silent.unique_blocks()[number].output)[head].zero_()
            yield "", number, head, silent


def _of_projections(
    network: nn.Module, patch: Patch, blocks: Callable[[nn.Module], Any]
) -> Iterator[tuple[int, int, nn.Module]]:
    for number, block in enumerate(blocks(network)):
        size = block.output.in_features // block.num_heads
        for head in range(block.num_heads):
            without = copy.deepcopy(network)
            there = blocks(without)[number]
            there.output = _Taken(there.output, head * size, (head + 1) * size, patch)
            yield number, head, without


def _silenced(network: UnrolledTransformer, head: int) -> UnrolledTransformer:
    without = copy.deepcopy(network)
    with torch.no_grad():
        for name in ("real", "imaginary"):
            factor = getattr(without.heads, name, None)
            if factor is not None:
                factor[head] = 0
    return without


def swap_kernel(network: UnrolledTransformer, donor: UnrolledTransformer) -> UnrolledTransformer:
    """A copy of ``network`` with the lag table of ``donor``: Gamma of the one, Sigma of the other.

    The theory's reading of attention and values, put to the test: what the copy believes in must be
    Gamma_donor kron Sigma_network, with the correlations that follow.

    Args:
        network, donor: Unrolled networks of one head (separable), the same sizes and positions.

    Raises:
        InputError: Networks that are not of this kind or differ in shape.
    """
    for name, one in (("network", network), ("donor", donor)):
        if not isinstance(one, UnrolledTransformer) or not one.is_separable:
            raise InputError(f"{name} must be an UnrolledTransformer of one head, got {type(one).__name__}")
    values = {"real"}
    swapped = copy.deepcopy(network)
    ours, theirs = dict(swapped.heads.named_parameters()), dict(donor.heads.named_parameters())
    tables = {key: value for key, value in theirs.items() if key not in values}
    if {k: v.shape for k, v in ours.items()} != {k: v.shape for k, v in theirs.items()}:
        raise InputError("network and donor must have the same frames, features and positions")
    with torch.no_grad():
        for key, value in tables.items():
            ours[key].copy_(value)
    return swapped
