"""A kernel of the lag as a sum of ReLU heads: three embeddings of the position, three bases of hinges.

Contract of each: from a (heads, features, features) stack of matrices, heads that add sum_j f(p_i - p_j) source_j to
the targets, for the piecewise linear f whose values at the knots are the matrices sum_r values[r] spatial[r].

    affine     q_i = (p_i, 1), k_j = (1, -p_j - knot): the logit is the signed lag minus a knot. Any piecewise linear f
               that is 0 on the left is sum_k c_k ReLU(lag - knot_k) with c_k the change of slope at the knot: on the
               integers a second difference, 2J + 3 knots for lags up to J.
    trapezoid  the same logits, four hinges around every signed lag m:
               2 [ReLU(r + 3/4) - ReLU(r + 1/4) - ReLU(r - 1/4) + ReLU(r - 3/4)], r = lag - m, is 1 at r = 0 and 0 at
               all other integers: heads that are local in the lag, as in [F], 4 (2J + 1) of them.
    arc        e_i on an arc shorter than half a circle, so that e_i . e_j = cos(angle |lag|) falls with |lag|; the
               hinge ReLU(e_i . e_j - cos(angle (k + 1))) is 0 from lag k + 1 on. Lags 0..J make a triangular system: J
               + 1 heads. Its knots lie as close as angle^2, which costs digits (docs/theory.md, section 3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .layout import Heads, Layout
from .operators import KroneckerTerms, LagTables

POSITION_SLOTS = {
    "affine": {"position": 1, "one": 1},
    "trapezoid": {"position": 1, "one": 1},
    "arc": {"arc": 2, "one": 1},
}


def position_tables(kind: str, lags: LagTables) -> dict[str, Tensor]:
    """What the position slots of each kind of head hold, by slot: (frames, size)."""
    ones = torch.ones(len(lags.positions), 1, dtype=torch.float64)
    if kind == "arc":
        angle = _arc_angle(len(lags.positions)) * lags.positions
        return {"arc": torch.stack([angle.cos(), angle.sin()], dim=1), "one": ones}
    return {"position": lags.positions[:, None], "one": ones}


def lag_heads(kind: str, layout: Layout, terms: KroneckerTerms, source: str, targets: tuple[str, ...]) -> Heads:
    """Heads that add the map of ``terms`` (which must have lags) of the source slot to each target slot."""
    assert terms.lags is not None
    query, key, coefficients = _BUILDERS[kind](layout, terms.lags)
    values = torch.einsum("mr,rab->mab", coefficients, terms.spatial)
    identity = layout.identity(source).expand_as(values)
    return Heads(query, key, layout.reading({source: values}), layout.writing(dict.fromkeys(targets, identity)))


def _hinges(layout: Layout, knots: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys whose logit is p_i - p_j - knot."""
    ones, zeros = torch.ones_like(knots), torch.zeros_like(knots)
    query = layout.reading(
        {"position": torch.stack([ones, zeros], 1)[..., None], "one": torch.stack([zeros, ones], 1)[..., None]}
    )
    key = layout.reading(
        {"position": torch.stack([zeros, -ones], 1)[..., None], "one": torch.stack([ones, -knots], 1)[..., None]}
    )
    return query, key


def _affine(layout: Layout, lags: LagTables) -> tuple[Tensor, Tensor, Tensor]:
    slopes = lags.values.diff(dim=1) / lags.knots.diff()
    flat = torch.zeros_like(slopes[:, :1])
    changes = torch.cat([flat, slopes, flat], dim=1).diff(dim=1)
    active = lags.knots < lags.positions[-1] - lags.positions[0]  # a hinge beyond every lag is never positive
    return *_hinges(layout, lags.knots[active]), changes[:, active].mT


def _trapezoid(layout: Layout, lags: LagTables) -> tuple[Tensor, Tensor, Tensor]:
    corners = torch.tensor([-0.75, -0.25, 0.25, 0.75], dtype=torch.float64)
    signs = torch.tensor([2.0, -2.0, -2.0, 2.0], dtype=torch.float64)
    kept = lags.knots[1:-1]  # the outermost only say where the function has become 0
    knots = (kept[:, None] + corners).flatten()
    coefficients = (lags.values[:, 1:-1, None] * signs).flatten(1)
    return *_hinges(layout, knots), coefficients.mT


def _arc(layout: Layout, lags: LagTables) -> tuple[Tensor, Tensor, Tensor]:
    angle = _arc_angle(len(lags.positions))
    wanted = lags.values[:, len(lags.knots) // 2 : -1]  # at lags 0..J
    count = wanted.shape[1]
    cosines = torch.cos(angle * torch.arange(count + 1, dtype=torch.float64))
    hinge = (cosines[:-1, None] - cosines[None, 1:]).clamp(min=0.0)  # row: lag m, column: hinge k >= m
    coefficients = torch.linalg.solve_triangular(hinge, wanted.mT, upper=True)
    ones = torch.ones(count, dtype=torch.float64)
    plane = torch.cat([torch.eye(2, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)])
    third = torch.zeros(count, 3, 1, dtype=torch.float64)
    query = layout.reading({"arc": plane.expand(count, 3, 2), "one": _third(third, ones)})
    key = layout.reading({"arc": plane.expand(count, 3, 2), "one": _third(third, -cosines[1:])})
    return query, key, coefficients


def _third(column: Tensor, values: Tensor) -> Tensor:
    filled = column.clone()
    filled[:, 2, 0] = values
    return filled


def _arc_angle(frames: int) -> float:
    """Between neighbours: the knot beyond the longest lag still lies within half a circle."""
    return math.pi / (frames + 1)


def rounding(kind: str, terms: KroneckerTerms) -> float:
    """What unit round-off is multiplied by in an entry of the sum over heads, root mean square over some rows.

    Independent errors add in squares: [sum_m (value_m (weight_m + e))^2]^(1/2), where e = 2 if logits are rounded too:
    on the arc and at irregular times, not where positions and knots are whole numbers or quarters.
    """
    lags = terms.lags
    if kind == "table" or lags is None:
        return float((terms.temporal.square().mean((1, 2)).sqrt() * _sizes(terms)).sum())
    layout = Layout({"x": 1, **POSITION_SLOTS[kind]})
    query, key, coefficients = _BUILDERS[kind](layout, lags)
    table = layout.reading(position_tables(kind, lags))
    rows = torch.linspace(0, len(table) - 1, min(len(table), 8)).round().long()
    logits = torch.einsum("mkd,id->mik", query, table[rows]) @ torch.einsum("mkd,jd->mkj", key, table)
    rounded = kind == "arc" or not bool(torch.equal(4 * lags.knots, (4 * lags.knots).round()))
    values = torch.einsum("mr,r->m", coefficients.abs(), _sizes(terms))
    return float((values[:, None, None] * (logits.relu() + 2.0 * rounded)).square().sum(0).mean().sqrt())


def _sizes(terms: KroneckerTerms) -> Tensor:
    return torch.linalg.matrix_norm(terms.spatial, 2)


_BUILDERS = {"affine": _affine, "trapezoid": _trapezoid, "arc": _arc}
