"""Attention circuits: which frames a head mixes (its map) and what it does with their features (its values)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from ..nn import PositionTransformer, ReLUTransformer, UnrolledTransformer
from ..nn.position import PositionBlock


@dataclass(frozen=True, eq=False, repr=False)
class Circuits(Displayed):
    """The heads of one block as sum_m W_m kron V_m: maps over frames, value matrices over features.

    Attributes:
        weights: W_m, (heads, N, N), float64; the same for every input.
        values: V_m, (heads, d, d), float64, in the features' own coordinates.
    """

    weights: Tensor
    values: Tensor

    def nearest_kronecker(self) -> tuple[Tensor, Tensor, float]:
        """Gamma kron Sigma nearest to the sum of the heads, and the share of its squared norm that this holds.

        By the leading singular pair of the rearranged sum; Gamma is scaled to a mean diagonal of 1, which fixes the
        scale of Sigma. Source: Van Loan and Pitsianis (1993), "Approximation with Kronecker products".
        """
        frames, features = self.weights.shape[-1], self.values.shape[-1]
        left, first = torch.linalg.qr(self.weights.flatten(1).T)
        right, second = torch.linalg.qr(self.values.flatten(1).T)
        u, size, v = torch.linalg.svd(first @ second.T)
        temporal = (left @ u[:, 0]).reshape(frames, frames)
        spatial = size[0] * (right @ v[0]).reshape(features, features)
        scale = temporal.diagonal().mean()
        if float(scale.abs()) < 1e-12:
            raise InputError("the heads have nothing on the diagonal: no multiple of their sum is a covariance")
        return temporal / scale, spatial * scale, float(size[0] ** 2 / size.square().sum())


def circuits(network: nn.Module, block: int = 0) -> Circuits:
    """Maps and value matrices of one block of a network whose attention sees positions alone.

    A compiled network's block holds Gamma kron Sigma exactly: its heads' value matrices are multiples of Sigma and its
    maps add up to Gamma (docs/theory.md, section 3). Of a trained :class:`PositionTransformer` the value matrices are
    those that lead from the features through the head back to the features (the stream's way in and out included).

    Args:
        network: A :class:`ReLUTransformer` that was compiled, :class:`UnrolledTransformer` or
            :class:`PositionTransformer`; a :class:`DiT` has one as ``linear``.
        block: Which block, from 0; an unrolled network's are all the same.

    Raises:
        InputError: A network whose attention depends on its input, or without such a block.
    """
    number = _checks.count("block", block, least=0)
    with torch.no_grad():
        if isinstance(network, UnrolledTransformer):
            weights, values = network.tied_heads.weights_and_values()
            return Circuits(weights.detach().double(), values.detach().double())
        if isinstance(network, PositionTransformer):
            return _of_position(network, number)
        if isinstance(network, ReLUTransformer):
            return _of_relu(network, number)
    raise InputError(
        f"circuits need attention on positions alone, as in {type(network).__name__} is none of "
        "ReLUTransformer, UnrolledTransformer, PositionTransformer"
    )


def _of_position(network: PositionTransformer, number: int) -> Circuits:
    blocks = list(network.blocks)
    if number >= len(blocks):
        raise InputError(f"block must be less than {len(blocks)}, the number of blocks, got {number}")
    block = cast(PositionBlock, blocks[number])
    heads = block.num_heads
    into = block.value.weight.double().unflatten(0, (heads, -1)) @ network.enter.weight.double()
    out = network.leave.weight.double() @ block.output.weight.double()
    values = torch.einsum("emc,mcd->med", out.unflatten(1, (heads, -1)), into)
    return Circuits(block.weights().double(), values)


def _of_relu(network: ReLUTransformer, number: int) -> Circuits:
    if number >= network.depth:
        raise InputError(f"block must be less than {network.depth}, the number of blocks, got {number}")
    block = network.unique_blocks()[network.order[number]]
    if block.output is None or block.value is None:
        raise InputError(f"block {number} has no attention; compiled networks interleave blocks of gates with it")
    x = torch.zeros(2, network.num_frames, network.num_features, dtype=network.enter.dtype)
    x[1] = 1
    weights = network.record(x, 1.0).blocks[number].weights
    if len(weights) > 1 and not torch.equal(weights[0], weights[1]):
        raise InputError("the attention of this network depends on its input, so it has no fixed circuits")
    moved = (block.output @ block.value).double()  # (heads, width, width), to the product from the iterate
    used = (moved != 0).any(0)
    rows, columns = used.any(1).nonzero()[:, 0], used.any(0).nonzero()[:, 0]
    features = network.num_features
    if len(rows) < features or len(columns) < features:
        raise InputError(f"block {number} moves fewer numbers than there are features: it was not compiled")
    return Circuits(weights[0].double(), moved[:, rows[:features]][:, :, columns[:features]])
