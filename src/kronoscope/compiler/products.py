"""One step of the iteration where nothing multiplies but layers of ReLU (gates="relu").

Contract: block "load" and m blocks "tooth" leave in the slot "step", for gates g_n and stream entries b_n,

    q = sum_n sign_n P_m(g_n, b_n),    |P_m(g, b) - g b| <= A_n R_n 4^-(m+1)  where |g| <= A_n, |b| <= R_n,

and block "finish" moves it: solution += q, direction <- q, product <- 0, teeth <- 0.

Proof. With z = |g/A +- b/R| / 2 in [0, 1], g b = A R (z_+^2 - z_-^2). Yarotsky's interpolant of the square on 2^m
pieces is z - sum_{r <= m} T_r(z) 4^-r with the tooth T_1(z) = 2 ReLU(z) - 4 ReLU(z - 1/2) + 2 ReLU(z - 1) and T_r =
T_1(T_{r-1}). It lies between z^2 and z^2 + 4^-(m+1), so the difference of two is off by at most 4^-(m+1). Beyond the
range T_1 is 0 for z >= 1, so the stream stays finite, but the contract is void. The gates come in by addition (a shift
by the condition): time multiplies nothing by itself.

Source: Yarotsky, Neural Networks 94 (2017) 103, propositions 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import gates
from .layout import Hidden, Layout, linear


@dataclass(frozen=True)
class Ranges:
    """What the products can take, and what the network may return.

    Attributes:
        layers: m.
        gates: A_n by term.
        values: R_n by term.
        output: R_out.
    """

    layers: int
    gates: tuple[float, ...]
    values: tuple[float, ...]
    output: float


def slots(terms: tuple[str, ...], features: int, num_weights: int) -> dict[str, int]:
    """What the step needs in the stream."""
    needed = dict.fromkeys(("solution", *terms, "step"), features)
    return needed | {"teeth": 2 * len(terms) * features, "gates": len(terms) * num_weights}


def load(layout: Layout, terms: tuple[str, ...], ranges: Ranges, num_weights: int) -> Hidden:
    """z_+ and z_- of every product into the teeth, and the first term of the interpolant into the step."""
    features = layout["step"].stop - layout["step"].start
    eye = torch.eye(features, dtype=torch.float64)
    parts = []
    for number, name in enumerate(terms):
        picked = torch.zeros(features, len(terms), num_weights, dtype=torch.float64)
        picked[:, number] = eye if num_weights > 1 else 1.0
        weight = gates.SIGNS[name] * ranges.gates[number] * ranges.values[number]
        for side, sign in enumerate((1.0, -1.0)):
            inner = layout.reading({"gates": 0.5 * picked.flatten(1), name: sign * 0.5 * eye / ranges.values[number]})
            outer = layout.writing({"teeth": _tooth(terms, features, number, side), "step": sign * weight * eye})
            parts.append(Hidden(torch.cat([inner, -inner]), torch.cat([outer, outer], dim=1)))
    return _sum(parts)


def tooth(layout: Layout, terms: tuple[str, ...], ranges: Ranges, layer: int) -> Hidden:
    """teeth <- T_1(teeth), and the term of that layer (from 1) into the step."""
    features = layout["step"].stop - layout["step"].start
    eye = torch.eye(features, dtype=torch.float64)
    size = 2 * len(terms) * features
    weights = [-gates.SIGNS[n] * a * r * 4.0**-layer for n, a, r in zip(terms, ranges.gates, ranges.values)]
    to_step = torch.cat([weight * sign * eye for weight in weights for sign in (1.0, -1.0)], dim=1)
    unit = torch.eye(size, dtype=torch.float64)
    inner = layout.reading({"teeth": unit}).repeat(3, 1)
    bias = torch.tensor([0.0, -0.5, -1.0], dtype=torch.float64).repeat_interleave(size)
    outer = [
        layout.writing({"teeth": slope * unit - (unit if first else 0.0), "step": slope * to_step})
        for first, slope in ((True, 2.0), (False, -4.0), (False, 2.0))
    ]
    return Hidden(inner, torch.cat(outer, dim=1), bias)


def finish(layout: Layout) -> Hidden:
    """The step into the solution and the direction; step, product and teeth to 0."""
    eye, teeth = layout.identity("step"), layout.identity("teeth")
    moved = {"solution": eye, "step": -eye} | ({gates.MOMENTUM: eye} if gates.MOMENTUM in layout else {})
    parts = [linear(layout, {"step": eye}, moved)]
    parts += [linear(layout, {n: eye}, {n: -eye}) for n in (gates.MOMENTUM, gates.PRODUCT) if n in layout]
    return _sum([*parts, Hidden(layout.reading({"teeth": teeth}), layout.writing({"teeth": -teeth}))])


def shift(layout: Layout, num_gates: int) -> Tensor:
    """H (width, gates): the condition fills the slot of the gates for as long as a block reads it."""
    return layout.writing({"gates": torch.eye(num_gates, dtype=torch.float64)})


def _tooth(terms: tuple[str, ...], features: int, number: int, side: int) -> Tensor:
    place = torch.zeros(len(terms), 2, features, features, dtype=torch.float64)
    place[number, side] = torch.eye(features, dtype=torch.float64)
    return place.flatten(0, 2)


def _sum(parts: list[Hidden]) -> Hidden:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
