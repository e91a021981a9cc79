"""What the weights of a compiled network prove by themselves: no compilation, no certificate, no fixed draws.

Three statements, each checked on a network and on fresh random numbers:

1. Modulated gates. Attention is constant and every ReLU cancels: the units of a block that share a hyperplane
   w y + b = 0, written +-w, add up to sum_i |w_i| out_i |z| / 2 beside a linear part, and that sum is 0. Then the
   network is affine in x for every x, whatever range x has, and N d + 1 probes know it at a time t.
2. ReLU gates. The units that do not cancel are those of the products, whose proof needs pre-activations in [-1, 1]
   (|z| is folded there), [0, 1], or [b, 1 + b] for a tooth with bias b; and outputs within the output range. They are
   looked at on draws of p_t. A draw sees a unit's range only as far as it goes itself, so where the unit is folded the
   range must also lie as many measured standard deviations from the measured mean as the proof counts on.
3. The error [E|s - s*|^2 / E|s*|^2]^(1/2) under p_t, at random t. For an affine network antithetic probes
   alpha_t mu +- sqrt(N d) C_t^(1/2) q_k with a random orthonormal basis q give it exactly: their second moment is C_t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .. import diffusion
from ..nn import MergedTransformer
from ..nn.relu_merged import MergedBlock, Perceptron
from ..processes import GaussianLaw
from .measuring import EARLIEST, LARGEST_EXACT

LEAST_DRAWS, MOST_VALUES = 4, 2**20
RELU_DRAWS = 128
TOLERANCE = 1e-9  # of a range, for round-off


@dataclass(frozen=True, eq=False)
class Probes:
    """Sequences at one time, and how well their mean square stands for the expectation.

    Attributes:
        time: t.
        x: (probes, frames, features), float64.
        exact: Whether the mean over them of |D x + c|^2 is E|D x + c|^2 under p_t for every D and c.
    """

    time: float
    x: Tensor
    exact: bool


def random_times(min_time: float, max_time: float, count: int, generator: torch.Generator) -> list[float]:
    """Uniform on the clock between the two (docs/theory.md, section 2)."""
    ends = diffusion.clock(torch.tensor([max(min_time, EARLIEST), max_time], dtype=torch.float64))
    shares = torch.rand(count, dtype=torch.float64, generator=generator)
    times = diffusion.time_from_clock(ends[0] + shares * (ends[1] - ends[0]))
    return times.clamp(max(min_time, EARLIEST), max_time).tolist()


def probes(process: GaussianLaw, t: float, affine: bool, generator: torch.Generator) -> Probes:
    """Fresh sequences at the scale of the marginal p_t: a random orthogonal design; draws where that is too large."""
    frames, features = process.num_frames, process.num_features
    size, scale = frames * features, math.exp(-t / 2)
    if affine and size <= LARGEST_EXACT:
        values, vectors = torch.linalg.eigh(process.covariance().cpu())
        root = (scale**2 * values.clamp(min=0.0) - math.expm1(-t)).sqrt()
        normal = torch.randn(size, size, dtype=torch.float64, generator=generator)
        directions = (vectors * root) @ torch.linalg.qr(normal)[0] * math.sqrt(size)
        offsets = torch.cat([directions.mT, -directions.mT])
        return Probes(t, (scale * process.mean.cpu().reshape(-1) + offsets).reshape(-1, frames, features), True)
    count = max(LEAST_DRAWS, min(RELU_DRAWS, MOST_VALUES // size))
    data = process.sample(count, generator=generator).cpu()
    white = torch.randn(data.shape, dtype=torch.float64, generator=generator)
    return Probes(t, scale * data + math.sqrt(-math.expm1(-t)) * white, False)


def energy(spectrum: Tensor, t: float) -> float:
    """E|s*|^2 = tr C_t^-1 under p_t, from the eigenvalues of the covariance."""
    return float((1 / (math.exp(-t) * spectrum - math.expm1(-t))).sum())


def relative_size(difference: Tensor, at: Probes, spectrum: Tensor) -> tuple[float, float]:
    """[E|difference|^2 / E|s*|^2]^(1/2) from its values at probes, and a standard error (0 where it is exact)."""
    squares = difference.double().square().flatten(1).sum(1) / energy(spectrum, at.time)
    value = math.sqrt(float(squares.mean()))
    if at.exact or value == 0:
        return value, 0.0
    return value, float(squares.std()) / math.sqrt(len(squares)) / (2 * value)


def nonlinear_units(block: Perceptron) -> Tensor:
    """Hidden units, as indices, whose ReLU does not cancel against others of its hyperplane."""
    rows = torch.cat([block.inner, block.inner_bias], dim=1).double()
    first = (rows != 0).double().argmax(dim=1)
    signs = rows.gather(1, first[:, None]).sign()
    planes, group = torch.unique(rows * signs + 0.0, dim=0, return_inverse=True)
    outer = block.outer.double().mT
    kinks = torch.zeros(len(planes), outer.shape[1], dtype=torch.float64).index_add_(0, group, outer)
    sizes = torch.zeros_like(kinks).index_add_(0, group, outer.abs())
    constant = (planes[:, :-1] == 0).all(dim=1)  # a unit that reads nothing adds a constant
    bent = (kinks.abs() > 4 * torch.finfo(torch.float64).eps * sizes).any(dim=1) & ~constant
    return bent[group].nonzero()[:, 0]


@dataclass
class _Unit:
    """Which units of a block bend, and where their pre-activations must lie."""

    block: Perceptron
    index: Tensor
    low: Tensor
    high: Tensor
    folded: Tensor


@dataclass
class RangeWatch:
    """Pre-activations of the units that bend, collected while a network runs.

    Attributes:
        deviations: How many standard deviations the proof leaves between a product's mean and the end of its range.
        faults: Units outside of their ranges, in words, one a block.
    """

    deviations: float
    faults: dict[int, str] = field(default_factory=dict)

    @contextmanager
    def over(self, network: MergedTransformer) -> Iterator[None]:
        """Watch every call of ``network`` within."""
        handles = []
        for number, block in enumerate(network.blocks):
            assert isinstance(block, MergedBlock)
            if block.perceptron is not None:
                watched = _watched(block.perceptron)
                if watched is not None:
                    handles.append(
                        block.perceptron.register_forward_pre_hook(
                            lambda _, arguments, number=number, unit=watched: self._look(number, unit, *arguments)
                        )
                    )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _look(self, number: int, unit: _Unit, stream: Tensor, condition: Tensor | None) -> None:
        block = unit.block
        read = block.read(stream, condition)
        values = (block.inner[unit.index] @ read.flatten(1) + block.inner_bias[unit.index]).double()
        values = values.unflatten(1, read.shape[1:])  # (units, batch, frames)
        beyond = torch.maximum(unit.low - values.amin((1, 2)), values.amax((1, 2)) - unit.high)
        slack = max(TOLERANCE, 64 * torch.finfo(block.inner.dtype).eps)
        if float(beyond.max()) > slack:
            where = int(beyond.argmax())
            self.faults.setdefault(number, _said(number, unit, where, values[where].min(), values[where].max()))
            return
        moments = values[unit.folded]
        if not len(moments) or moments.shape[1] < 2:
            return
        room = (1 - moments.mean(1).abs()) / moments.std(1).clamp(min=slack)
        needed = self.deviations * (1 - 5 / math.sqrt(2 * moments.shape[1]))
        if float(room.min()) < needed:
            self.faults.setdefault(
                number,
                f"block {number}: the range of a product unit ends only {float(room.min()):.2g} standard deviations "
                f"from the mean; the proof needs {self.deviations:.2g}",
            )


def _watched(block: Perceptron) -> _Unit | None:
    index = nonlinear_units(block)
    if not len(index):
        return None
    rows, bias = block.inner[index], block.inner_bias[index, 0].double()
    present = {tuple(row) for row in torch.cat([rows, block.inner_bias[index]], dim=1).tolist()}
    folded = torch.tensor([tuple(-v for v in (*row, b)) in present for row, b in zip(rows.tolist(), bias.tolist())])
    low = torch.where(folded, -1.0, bias)
    return _Unit(block, index, low.double(), torch.where(folded, 1.0, 1 + bias).double(), folded)


def _said(number: int, unit: _Unit, where: int, low: Tensor, high: Tensor) -> str:
    return (
        f"block {number}: the input of a ReLU ranges from {float(low):.4g} to {float(high):.4g}, and the proof needs "
        f"{float(unit.low[where]):.4g} to {float(unit.high[where]):.4g}"
    )
