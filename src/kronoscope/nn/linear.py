"""A linear score with a free matrix at every node of the clock: no structure, and no depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import _checks
from .._errors import InputError
from ..diffusion import clock
from ..diffusion.schedule import broadcast, sigma
from .position import check_sizes

LOWEST_TIME, HIGHEST_TIME = 1e-2, 8.0
LARGEST_SIZE = 4096
MOST_NODES = 4096


class LinearScore(nn.Module):
    """epsilon(x, t) = sigma_t x + W(t) x, W(t) piecewise linear in the clock between free N d x N d matrices.

        W(t) = sum_k max(0, 1 - |u - u_k| / h) W_k,    u = log(expm1(t)),    nodes u_k a step h apart

    The nodes reach from t = 0.01 to 8, and W is constant beyond. It is what the score of any Gaussian law without
    structure needs, with (N d)^2 weights a node: the other end from the unrolled transformer.

    Args:
        num_frames: N.
        num_features: d.
        num_nodes: Of the clock, 2 or more.

    Raises:
        InputError: A size that cannot be; N d above 4096.
    """

    def __init__(self, num_frames: int, num_features: int, num_nodes: int = 16) -> None:
        super().__init__()
        check_sizes(num_frames, num_features, 1, 1, 1)
        size = num_frames * num_features
        if size > LARGEST_SIZE:
            raise InputError(f"num_frames * num_features must be at most {LARGEST_SIZE}, got {size}")
        self.num_nodes = _checks.count("num_nodes", num_nodes, 2, MOST_NODES)
        self.matrices = nn.Parameter(torch.zeros(num_nodes, size, size))

    def nodes(self, device: torch.device | str = "cpu") -> Tensor:
        """u_k, (nodes,), float64 whatever the weights are."""
        low, high = (float(clock(time)) for time in (LOWEST_TIME, HIGHEST_TIME))
        return torch.linspace(low, high, self.num_nodes, dtype=torch.float64, device=device)

    def shares(self, t: Tensor) -> Tensor:
        """Share of each node at t (batch,): two neighbours, which sum to 1. Shape (batch, nodes), float64."""
        nodes = self.nodes(t.device)
        u = clock(t.double()).clamp(nodes[0], nodes[-1])
        return (1 - (u[:, None] - nodes).abs() / (nodes[1] - nodes[0])).clamp_min(0)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x."""
        products = x.flatten(1) @ self.matrices.mT  # (nodes, batch, N d)
        mixed = torch.einsum("bk,kbm->bm", self.shares(t).to(x), products)
        return broadcast(sigma(t), x) * x + mixed.reshape(x.shape)
