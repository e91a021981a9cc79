"""Cells pooled into one question: the largest standardised deviation, over every relabelling at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .resampling import Relabelling

KEPT = 6  # of the worst cells, for the table of a question
LEAST_SCALE = 1e-9  # in standardised data: a cell that varies less does not vary
ROUNDING = 1e-5  # of a difference of float32 terms, relative to them

Label = Callable[[int], str]


@dataclass(frozen=True)
class CellStatistic:
    """A cell as it came: what it measures, in natural units, and how far it deviates.

    Attributes:
        label, unit: What was measured.
        real, generated: Its value in both sets; None for one that has no value by itself.
        effect: Generated less real.
        standard_error: Of the effect.
        null_scale: Standard deviation of the effect under equal laws.
        deviation: |effect| in units of ``null_scale``.
        one_sided: Whether only an effect of this sign counts.
    """

    label: str
    unit: str
    real: float | None
    generated: float | None
    effect: float
    standard_error: float
    null_scale: float
    deviation: float
    one_sided: bool = False


@dataclass(eq=False)
class Tally:
    """One question: ``largest`` is the maximum over its cells of the standardised deviation, by relabelling.

    Attributes:
        largest: (draws + 1,); entry 0 is how the sequences came.
        cells: How many were looked at.
        worst: The cells that deviate most, at most ``KEPT``.
    """

    relabelling: Relabelling
    largest: Tensor = field(init=False)
    cells: int = 0
    worst: list[CellStatistic] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.largest = torch.zeros(len(self.relabelling.weights), dtype=torch.float64)

    def add(
        self,
        psi: Tensor,
        label: Label,
        unit: Label | str = "",
        factor: Tensor | float = 1.0,
        values: tuple[Tensor, Tensor] | None = None,
        toward: int = 0,
        keep: Tensor | None = None,
    ) -> None:
        """Count cells whose value in a set of sequences is the mean of ``psi`` over it.

        Args:
            psi: (T, cells) what each sequence contributes, of order 1; for a ratio of means its linear part at the
                pool, which no relabelling changes.
            label, unit: Of each cell; asked only for the worst.
            factor: (cells,) or one number: to natural units.
            values: Real and generated value of each cell in natural units, where they are not the means of ``psi``.
            toward: 0 counts deviations of either sign, 1 only generated above real, -1 only below.
            keep: (cells,) bool; None for all.
        """
        self.count(psi, self.relabelling.contrast(psi), label, unit, factor, values, toward, keep)

    def count(
        self,
        psi: Tensor,
        contrast: Tensor,
        label: Label,
        unit: Label | str = "",
        factor: Tensor | float = 1.0,
        values: tuple[Tensor, Tensor] | None = None,
        toward: int = 0,
        keep: Tensor | None = None,
        terms: Tensor | None = None,
    ) -> None:
        """As :meth:`add`, for a contrast that is known already.

        Where ``psi`` is a difference whose ``terms`` have that scale, (cells,), what is below rounding does not vary.
        """
        scale = self.relabelling.scale(psi)
        least = LEAST_SCALE if terms is None else (ROUNDING * terms).clamp_min(LEAST_SCALE)
        moves = scale > least if keep is None else (scale > least) & keep
        if not bool(moves.any()):
            return
        standard = contrast / torch.where(moves, scale, torch.inf).to(contrast.dtype)
        deviation = -toward * standard if toward else standard.abs()
        self._raise(deviation.max(dim=1).values)
        self.cells += int(moves.sum())
        observed = deviation[0].masked_fill(~moves, -torch.inf)
        chosen = observed.topk(min(KEPT, int(moves.sum()))).indices
        self._keep(psi[:, chosen], chosen, observed, scale, label, unit, factor, values, bool(toward))

    def statistic(self, values: Tensor, cell: CellStatistic, toward: int = 1) -> None:
        """Count one statistic other than a mean: its value under every relabelling, (draws + 1,)."""
        centred = values.double() - values.double().mean()
        scale = centred.std()
        if not float(scale) > 0:
            return
        deviation = toward * centred / scale if toward else (centred / scale).abs()
        self._raise(deviation)
        self.cells += 1
        self._remember(cell, float(deviation[0]))

    def _raise(self, deviation: Tensor) -> None:
        deviation = deviation.double()
        self.largest = deviation if self.cells == 0 else torch.maximum(self.largest, deviation)

    def _keep(
        self,
        psi: Tensor,
        chosen: Tensor,
        observed: Tensor,
        scale: Tensor,
        label: Label,
        unit: Label | str,
        factor: Tensor | float,
        values: tuple[Tensor, Tensor] | None,
        one_sided: bool,
    ) -> None:
        psi = psi.double()
        first, second = self.relabelling.means(psi)
        error = self.relabelling.standard_error(psi)
        for k, j in enumerate(chosen.tolist()):
            by = float(factor[j]) if isinstance(factor, Tensor) else factor
            real, generated = float(first[k]) * by, float(second[k]) * by
            if values is not None:
                real, generated = float(values[0][j]), float(values[1][j])
            cell = CellStatistic(
                label(j),
                unit if isinstance(unit, str) else unit(j),
                real,
                generated,
                generated - real,
                float(error[k]) * by,
                float(scale[j]) * by,
                float(observed[j]),
                one_sided,
            )
            self._remember(cell, cell.deviation)

    def _remember(self, cell: CellStatistic, deviation: float) -> None:
        kept = [*self.worst, cell]
        self.worst = sorted(kept, key=lambda other: -other.deviation)[:KEPT]
