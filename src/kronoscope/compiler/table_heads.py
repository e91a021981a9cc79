"""Any matrix between frames by two heads: positions as unit vectors, a table in the queries.

Contract: heads that add sum_r T_r source V_r' to the targets. Proof: with e_i the i-th unit vector, query matrix T_r
and key matrix I, the logit is (T_r)_ij; the attention weights are ReLU(T_r) in one head and ReLU(-T_r) in the other,
and T = ReLU(T) - ReLU(-T). A table without an entry of one sign needs one head. The price is N coordinates of the
stream.
"""

from __future__ import annotations

import torch

from .layout import Heads, Layout
from .operators import KroneckerTerms


def table_heads(layout: Layout, terms: KroneckerTerms, source: str, targets: tuple[str, ...]) -> Heads:
    """Heads that add the map of ``terms`` of the source slot to each target slot; they read the slot "frame"."""
    tables, values = [], []
    for temporal, spatial in zip(terms.temporal, terms.spatial):
        for sign in (1.0, -1.0):
            if bool((sign * temporal > 0).any()):
                tables.append(sign * temporal)
                values.append(sign * spatial)
    tables, values = tables or [terms.temporal[0]], values or [terms.spatial[0]]
    value, unit = torch.stack(values), layout.identity("frame")
    identity = layout.identity(source).expand_as(value)
    return Heads(
        layout.reading({"frame": torch.stack(tables).mT}),
        layout.reading({"frame": unit.expand(len(tables), -1, -1)}),
        layout.reading({source: value}),
        layout.writing(dict.fromkeys(targets, identity)),
    )
