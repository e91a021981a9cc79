"""Adding up the heads of a block whose attention is constant.

With A_m = ReLU(Q_m y_i . K_m y_j) the same for every x and t, a block's attention is a fixed linear map of its values,

    sum_m A_m y V_m' O_m' = sum_g G_g y P_g'        G_g = sum_m coefficient_gm A_m    (N, N)

over groups g of heads whose O_m V_m are multiples of one matrix P_g (one group for a separable kernel, however many
heads draw it). Where there are more groups than O_m V_m have non-zero entries (values that differ from lag to lag),
each entry is a group of its own instead, and those of one column are stacked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .relu_block import ReLUBlock

LARGEST_CHUNK = 2**22  # attention weights that are held at once, in float64


@dataclass(frozen=True)
class HeadGroup:
    """stream[rows] += left . (sums applied between frames) . right . y[columns].

    Attributes:
        rows, columns: Coordinates written and read, boolean (width,).
        right: (k, columns), or None for the identity, k = columns.
        sums: (q, N, N), float64: each of the k planes is mixed between frames by each of the q matrices.
        left: (rows, k q), or None for the identity, rows = k q.
        max_lag: The largest |i - j| at which an entry of ``sums`` is more than the rounding of the weights.
    """

    rows: Tensor
    columns: Tensor
    right: Tensor | None
    sums: Tensor
    left: Tensor | None
    max_lag: int


def add_heads(block: ReLUBlock, positions: Tensor) -> list[HeadGroup]:
    """The groups of a block, from the static stream (frames, width) that its queries and keys read."""
    if block.query is None or block.key is None or block.value is None or block.output is None:
        return []
    output, value = block.output.detach().double(), block.value.detach().double()
    rows, columns = (output != 0).any(dim=2).any(dim=0), (value != 0).any(dim=1).any(dim=0)
    products = output[:, rows] @ value[:, :, columns]  # (heads, rows, columns)
    if not bool(products.any()):
        return []
    epsilon = torch.finfo(block.query.dtype).eps
    first, coefficients = _proportional(products, tolerance=32 * epsilon)
    by_entry = int((products != 0).any(dim=0).sum()) < len(first)
    if by_entry:
        coefficients = products.flatten(1).T
    sums, rounding = _weighted_sums(block, positions.double(), coefficients, epsilon)
    if not by_entry:
        return [
            _group(
                rows, columns, *_factors(output[m][rows], value[m][:, columns]), sums[g : g + 1], rounding[g : g + 1]
            )
            for g, m in enumerate(first)
        ]
    used = (products != 0).any(dim=0)
    sums, rounding = (matrix.unflatten(0, used.shape) for matrix in (sums, rounding))
    groups = []
    for j, column in enumerate(columns.nonzero()[:, 0].tolist()):
        mine = used[:, j]
        if bool(mine.any()):
            written, read = torch.zeros_like(rows), torch.zeros_like(columns)
            written[rows.nonzero()[:, 0][mine]] = True
            read[column] = True
            groups.append(_group(written, read, None, None, sums[mine, j], rounding[mine, j]))
    return groups


def _group(
    rows: Tensor, columns: Tensor, left: Tensor | None, right: Tensor | None, sums: Tensor, rounding: Tensor
) -> HeadGroup:
    query, key = (sums.abs() > rounding).any(dim=0).nonzero(as_tuple=True)
    max_lag = int((query - key).abs().max()) if len(query) else 0
    return HeadGroup(rows, columns, right, sums, left, max_lag)


def _proportional(products: Tensor, tolerance: float) -> tuple[list[int], Tensor]:
    """The first head of each group, and coefficients (groups, heads): O_m V_m = coefficient . O_first V_first."""
    flat = products.flatten(1)
    norms = flat.norm(dim=1)
    waiting = norms > 0
    first: list[int] = []
    rows = []
    while bool(waiting.any()):
        lead = int(waiting.nonzero()[0])
        coefficient = flat @ flat[lead] / norms[lead] ** 2
        same = waiting & ((flat - coefficient[:, None] * flat[lead]).norm(dim=1) <= tolerance * norms)
        first.append(lead)
        rows.append(torch.where(same, coefficient, 0.0))
        waiting = waiting & ~same
    return first, torch.stack(rows)


def _factors(output: Tensor, value: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """left, right with left @ right = output @ value and as few planes between them as there can be."""
    rows, planes = output.shape
    columns = value.shape[1]
    if planes < min(rows, columns):
        return output, value
    return (output @ value, None) if columns <= rows else (None, output @ value)


def _weighted_sums(block: ReLUBlock, positions: Tensor, coefficients: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """sum_m c_gm A_m, (groups, N, N), and how far from it the rounding of weights and sums can be taken to lie."""
    assert block.query is not None
    assert block.key is not None
    num_heads, num_frames = block.num_heads, len(positions)
    sums = positions.new_zeros(len(coefficients), num_frames**2)
    sizes = torch.zeros_like(sums)
    heads = max(1, LARGEST_CHUNK // num_frames**2)
    for start in range(0, num_heads, heads):
        part = slice(start, start + heads)
        query, key = positions @ block.query[part].double().mT, positions @ block.key[part].double().mT
        weights = (query @ key.mT).relu_().flatten(1)
        sums.addmm_(coefficients[:, part], weights)
        sizes.addmm_(coefficients[:, part].abs(), weights)
    of_sums = 4 * num_heads**0.5 * torch.finfo(torch.float64).eps
    rounding = sizes.mul_(2 * epsilon + of_sums)
    square = (-1, num_frames, num_frames)
    return sums.view(square), rounding.view(square)
