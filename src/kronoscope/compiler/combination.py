"""One step of the iteration in a perceptron, where modulation by diffusion time multiplies exactly.

Contract: with q = sum over terms of sign_name gate_name stream_name,

    solution += q,  direction <- q,  product <- 0.

Proof: modulation y = (1 + c S') stream with c = gate / scale - 1 gives scale_name y_name = gate_name stream_name.
Copies of direction and product, which are not modulated, hold the same numbers: direction += q - copy leaves q, and the
copy too, so that the two stay equal; product -= copy leaves 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import gates
from .layout import Hidden, Layout, linear

COPY = {gates.MOMENTUM: "direction copy", gates.PRODUCT: "product copy"}


def slots(terms: tuple[str, ...], features: int) -> dict[str, int]:
    """What the step needs in the stream."""
    needed = ("solution", *terms, *(COPY[name] for name in terms if name in COPY))
    return dict.fromkeys(needed, features)


def step(layout: Layout, terms: tuple[str, ...], scale: Tensor) -> Hidden:
    """The hidden units of one step, for a condition c = gate / scale - 1 with a scale (terms,)."""
    eye = layout.identity("solution")
    moving = ("solution", *(name for name in (gates.MOMENTUM, COPY[gates.MOMENTUM]) if name in layout))
    reads = {name: gates.SIGNS[name] * float(factor) * eye for name, factor in zip(terms, scale)}
    hidden = linear(layout, reads, dict.fromkeys(moving, eye))
    for name, copy in COPY.items():
        if name in layout:
            hidden = hidden + linear(layout, {copy: eye}, {name: -eye, copy: -eye})
    return hidden


def modulation(layout: Layout, terms: tuple[str, ...], num_weights: int) -> Tensor:
    """S (width, terms x weights): which component of the condition scales which coordinate.

    Args:
        layout: The stream.
        terms: Names from ``gates.SIGNS``, in the order of the condition.
        num_weights: Gates of a term: 1, or one for each feature.
    """
    scale = torch.zeros(layout.width, len(terms), num_weights, dtype=torch.float64)
    eye = torch.eye(layout["solution"].stop - layout["solution"].start, dtype=torch.float64)
    for number, name in enumerate(terms):
        scale[layout[name], number] = eye if num_weights > 1 else 1.0
    return scale.flatten(1)
