"""From a lowered form to the weights of a ReLU transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..nn import ReLUBlock, ReLUTransformer
from . import combination, gates, products
from .gates import Gates
from .lag_heads import POSITION_SLOTS, lag_heads, position_tables
from .layout import Heads, Hidden, Layout
from .lowering import Lowered
from .operators import KroneckerTerms
from .products import Ranges
from .table_heads import table_heads


def depth(lowered: Lowered, ranges: Ranges | None) -> int:
    """L: a block an iteration, or load, m teeth and finish; one more to leave a basis."""
    each = 1 if ranges is None else ranges.layers + 2
    return lowered.num_iterations * each + (lowered.basis is not None)


def num_heads(lowered: Lowered, heads: str) -> int:
    """M of the block that has most: two tables a term at most, or one head for each hinge of the lag."""
    operator = lowered.operator
    if heads == "table" or lowered.basis is not None or operator is None or operator.lags is None:
        return 2 * max(len(terms.temporal) for terms in (operator, lowered.basis) if terms is not None)
    knots = len(operator.lags.knots)
    return {"affine": knots, "arc": knots // 2, "trapezoid": 4 * (knots - 2)}[heads]


def num_parameters(lowered: Lowered, heads: str, ranges: Ranges | None) -> int:
    """How many parameters the network has, from above, before it is built."""
    (frames, features), width = lowered.shape, _Assembly(lowered, heads, ranges, torch.float64).layout.width
    tabled = heads == "table" or lowered.basis is not None
    attention = 2 * num_heads(lowered, heads) * width * (features + (frames if tabled else 3))
    hidden = 6 * features * (len(lowered.terms) if ranges is not None else 1)
    blocks = 1 if ranges is None else ranges.layers + 2
    return attention * (3 if lowered.basis is not None else 1) + blocks * 2 * hidden * width + frames * width


def assemble(lowered: Lowered, heads: str, ranges: Ranges | None, dtype: torch.dtype) -> ReLUTransformer:
    """The network.

    Args:
        lowered: What it is to compute.
        heads: "affine", "trapezoid", "arc" or "table".
        ranges: Of the products by ReLU layers; None is modulation.
        dtype: Of the weights.
    """
    return _Assembly(lowered, heads, ranges, dtype).network()


@dataclass(frozen=True)
class _Assembly:
    lowered: Lowered
    heads: str
    ranges: Ranges | None
    dtype: torch.dtype

    @property
    def num_weights(self) -> int:
        """Gates of a term: one for each feature where there is a preconditioner."""
        return 1 if self.lowered.diagonal is None else self.lowered.shape[1]

    @property
    def layout(self) -> Layout:
        frames, features = self.lowered.shape
        terms, based = self.lowered.terms, self.lowered.basis is not None
        if self.ranges is None:
            state = combination.slots(terms, features)
        else:
            state = products.slots(terms, features, self.num_weights)
        places = {"frame": frames} if self.heads == "table" or based else POSITION_SLOTS[self.heads]
        return Layout({"input": features * based, **state, "output": features * based, **places})

    def network(self) -> ReLUTransformer:
        """Blocks in their order, position table, input and output."""
        lowered, layout = self.lowered, self.layout
        (frames, features), blocks = self.lowered.shape, self._step_blocks(layout)
        order = [*range(len(blocks))] * lowered.num_iterations
        if lowered.basis is not None:
            first, rest = self._first_block(layout, blocks[0]), order[len(blocks) :]
            leave = self._block(table_heads(layout, lowered.basis, "solution", ("output",)), None)
            order = [len(blocks), *order[1 : len(blocks)], *rest, len(blocks) + 1]
            blocks = [*blocks, first, leave]
        eye = torch.eye(features, dtype=torch.float64)
        source, result = ("right side", "solution") if lowered.basis is None else ("input", "output")
        used = sorted(set(order))
        return ReLUTransformer(
            frames,
            features,
            layout.width,
            [blocks[index] for index in used],
            [used.index(index) for index in order],
            self._condition(),
            None if self.ranges is None else self.ranges.output,
            enter=layout.writing({source: -eye}),
            position=layout.reading(self._position_tables(layout)) if self._position_tables(layout) else None,
            leave=layout.reading({result: eye}),
        )

    def _step_blocks(self, layout: Layout) -> list[ReLUBlock]:
        """The blocks of one iteration: product and step, or product and load, teeth, finish."""
        lowered, ranges, terms = self.lowered, self.ranges, self.lowered.terms
        heads = None
        if lowered.operator is not None and gates.PRODUCT in layout:
            targets = tuple(n for n in (gates.PRODUCT, combination.COPY[gates.PRODUCT]) if n in layout)
            heads = self._product_heads(layout, lowered.operator, targets)
        if ranges is None:
            return [self._block(heads, combination.step(layout, terms, 1 / self._condition().factor))]
        return [
            self._block(heads, products.load(layout, terms, ranges, self.num_weights)),
            *(self._block(None, products.tooth(layout, terms, ranges, r + 1)) for r in range(ranges.layers)),
            self._block(None, products.finish(layout)),
        ]

    def _product_heads(self, layout: Layout, operator: KroneckerTerms, targets: tuple[str, ...]) -> Heads:
        if self.heads == "table" or self.lowered.basis is not None:
            return table_heads(layout, operator, "solution", targets)
        return lag_heads(self.heads, layout, operator, "solution", targets)

    def _first_block(self, layout: Layout, step: ReLUBlock) -> ReLUBlock:
        """Into the basis; the solution is still 0, so the first step needs no product."""
        assert self.lowered.basis is not None
        heads = table_heads(layout, self.lowered.basis.transpose, "input", ("right side",))
        assert step.inner is not None
        assert step.outer is not None
        return self._block(heads, Hidden(step.inner.double(), step.outer.double()))

    def _block(self, heads: Heads | None, hidden: Hidden | None) -> ReLUBlock:
        layout, terms = self.layout, self.lowered.terms
        arguments: dict[str, Tensor] = (heads.arguments if heads else {}) | (hidden.arguments if hidden else {})
        if hidden is not None and self.ranges is None:
            arguments["ffn_scale"] = combination.modulation(layout, terms, self.num_weights)
        if hidden is not None and self.ranges is not None and bool(hidden.inner[:, layout["gates"]].any()):
            arguments["ffn_shift"] = products.shift(layout, len(terms) * self.num_weights)
        return ReLUBlock(**{name: tensor.to(self.dtype) for name, tensor in arguments.items()})  # type: ignore[arg-type]

    def _position_tables(self, layout: Layout) -> dict[str, Tensor]:
        lowered, tables = self.lowered, {}
        if "frame" in layout:
            tables["frame"] = torch.eye(self.lowered.shape[0], dtype=torch.float64)
        elif lowered.operator is not None and lowered.operator.lags is not None:
            tables |= position_tables(self.heads, lowered.operator.lags)
        if lowered.mean is not None:
            tables[gates.MEAN] = lowered.mean
        return {name: table for name, table in tables.items() if name in layout}

    def _condition(self) -> Gates:
        lowered, ranges = self.lowered, self.ranges
        ones = torch.ones(len(lowered.terms), dtype=torch.float64)
        formula = (lowered.builder, lowered.num_iterations, lowered.ends, lowered.diagonal, lowered.terms)
        after = int(lowered.basis is not None)
        if ranges is None:
            scale = gates.smallest(Gates(*formula, ones), [lowered.min_time, lowered.max_time])
            return Gates(*formula, scale, offset=1.0, after=after)
        scale = torch.tensor(ranges.gates, dtype=torch.float64)
        return Gates(*formula, scale, repeats=ranges.layers + 2, after=after)
