"""Generated against real sequences: the share of correlations inside the real band, and the energy distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import _checks, estimators
from .._display import Displayed
from .._errors import ConvergenceError, InputError
from ..metrics import CorrelationBand, correlation_band, lagged_correlation
from ..processes import DenseGaussian, GaussianLaw

FEWEST_BLOCKS = 5  # of held-out sequences, for a jackknife over blocks
CHUNK_ROWS = 512
GENERATED, TRAINING, HELD_OUT, INDEPENDENT = "generated", "training", "held-out", "independent frames"
OUT_OF_FOLD = "sample covariance, out of fold"
ROLES = {
    GENERATED: "learnt",
    TRAINING: "truth",
    HELD_OUT: "held-out",
    "sample covariance": "baseline",
    OUT_OF_FOLD: "baseline",
    "separable": "baseline-2",
    "block-Toeplitz": "baseline-3",
    INDEPENDENT: "null",
}


@dataclass(frozen=True)
class Distance:
    """An energy distance, or a difference of two, with its standard error (too large where the distributions agree)."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Compared:
    """One set of sequences in a :class:`Comparison`.

    Attributes:
        name: A key of ``ROLES``.
        sequences: How many there are.
        parameters: Of the covariance fitted, if it is an estimator's.
        share_inside: Share of the correlations inside the training band.
        energy: Energy distance to the held-out sequences; None for themselves.
        difference: That of the generated sequences less this one's, paired over the held-out sequences; negative
            where the generated ones are nearer. None for the generated and held-out ones.
    """

    name: str
    sequences: int
    parameters: int | None
    share_inside: float
    energy: Distance | None
    difference: Distance | None


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Displayed):
    """Every set of sequences against the same training band and the same held-out sequences."""

    rows: tuple[Compared, ...]
    band: CorrelationBand
    correlations: dict[str, Tensor]
    block: int
    held_out_blocks: int

    def _facts(self) -> dict[str, object]:
        inside = {f"{row.name} in the band": f"{100 * row.share_inside:.0f} %" for row in self.rows}
        return {**inside, "band": self.band, "held-out blocks": self.held_out_blocks}

    def row(self, name: str) -> Compared:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def plain(self) -> list[dict[str, object]]:
        """The rows as plain numbers."""
        return [
            {
                "name": row.name,
                "sequences": row.sequences,
                "parameters": row.parameters,
                "share_inside": row.share_inside,
                "energy_distance": None if row.energy is None else vars(row.energy),
                "generated_minus_this": None if row.difference is None else vars(row.difference),
            }
            for row in self.rows
        ]


def compare(
    generated: Tensor,
    training: Tensor,
    held_out: Tensor | None,
    laws: Mapping[str, GaussianLaw],
    *,
    block: int,
    places: np.ndarray | None = None,
    max_lag: int | None = None,
    features: list[int] | None = None,
    generator: torch.Generator | None = None,
) -> Comparison:
    """Compare generated sequences, draws of ``laws`` and real sequences, in scaled coordinates.

    Args:
        generated: (m, N, d).
        training: What the generator was made from, in order of time.
        held_out: What no generator saw, in order of time, at least 3; None for no energy distances.
        laws: Baselines by name; m sequences are drawn from each.
        block: Sequences that may depend on each other: length of the bootstrap's and the jackknife's blocks.
        places: Where the held-out sequences stood in the record; those further apart than ``block`` count as
            independent. None: they follow each other.
        max_lag: The greatest lag of the correlations.
        features: Indices of the features whose correlations are compared; None for all.
        generator: None means seed 0.
    """
    generator = _checks.generator_or_seed_zero(generator)
    chosen = slice(None) if features is None else features
    sets = {GENERATED: generated, TRAINING: training}
    sets |= {name: law.sample(len(generated), generator=generator) for name, law in laws.items()}
    sets = {name: values.to(torch.float64) for name, values in sets.items()}
    block = min(block, len(training))
    band = correlation_band(training[..., chosen], block=block, max_lag=max_lag, generator=generator)
    energies = None if held_out is None else _Energies.of(sets, held_out.to(torch.float64), places, block)
    if held_out is not None:
        sets[HELD_OUT] = held_out.to(torch.float64)
    correlations = {name: lagged_correlation(values[..., chosen], max_lag=max_lag) for name, values in sets.items()}
    rows = tuple(
        Compared(
            name,
            len(sets[name]),
            laws[name].num_parameters if name in laws else None,
            band.share_inside(correlations[name]),
            energies.energy(name) if energies and name != HELD_OUT else None,
            energies.difference(GENERATED, name) if energies and name not in (GENERATED, HELD_OUT) else None,
        )
        for name in (GENERATED, HELD_OUT, TRAINING, *laws)
        if name in sets
    )
    return Comparison(rows, band, correlations, block, energies.blocks if energies else 0)


def baselines(training: Tensor, names: tuple[str, ...]) -> dict[str, GaussianLaw]:
    """Laws of known structure fitted to the training sequences, zero mean; those that need more sequences are left out.

    Args:
        training: (n, N, d), centred.
        names: Of "sample covariance", "separable", "block-Toeplitz" and "independent frames".
    """
    fitters: dict[str, Callable[[], GaussianLaw]] = {
        "sample covariance": lambda: estimators.SampleCovariance().fit(training),
        "separable": lambda: estimators.Separable().fit(training),
        "block-Toeplitz": lambda: estimators.BlockToeplitz().fit(training),
        INDEPENDENT: lambda: independent_frames(training),
    }
    laws = {}
    for name in names:
        try:
            laws[name] = fitters[name]()
        except (InputError, ConvergenceError):
            continue
    return laws


def independent_frames(training: Tensor) -> DenseGaussian:
    """The sample covariance within each frame, and zero between frames: the null of independent frames."""
    n, frames, features = training.shape
    x = training.to(torch.float64)
    blocks = torch.einsum("nia,nib->iab", x, x) / n
    return DenseGaussian(torch.block_diag(*blocks), features, num_parameters=frames * features * (features + 1) // 2)


def held_out_blocks(places: np.ndarray, block: int) -> np.ndarray:
    """The block of each held-out sequence: a new one after ``block`` places, or behind a gap longer than that."""
    groups = np.zeros(len(places), dtype=np.int64)
    began, current = places[0], 0
    for i in range(1, len(places)):
        if places[i] - places[i - 1] > block or places[i] - began >= block:
            began, current = places[i], current + 1
        groups[i] = current
    return groups


@dataclass(frozen=True, eq=False)
class _Distances:
    """Means of Euclidean distances: of each held-out sequence to a set, and of each of the set to the others."""

    from_held_out: Tensor
    to_held_out: Tensor
    within: Tensor

    @classmethod
    def between(cls, values: Tensor, held_out: Tensor) -> _Distances:
        flat, other = values.flatten(1), held_out.flatten(1)
        across = torch.cdist(flat, other)
        rows = []
        for start in range(0, len(flat), CHUNK_ROWS):
            distances = torch.cdist(flat[start : start + CHUNK_ROWS], flat)
            distances.diagonal(start).zero_()  # a sequence and itself, which round-off leaves apart
            rows.append(distances.sum(dim=1))
        return cls(across.mean(dim=0), across.mean(dim=1), torch.cat(rows) / (len(flat) - 1))

    def draw_variance(self) -> float:
        """Variance of 2 E|X - H| - E|X - X'| from the finite number of draws, by its linear part."""
        return float((2 * self.to_held_out - 2 * self.within).var()) / len(self.within)


@dataclass(frozen=True, eq=False)
class _Energies:
    """Energy distances of several sets to the same held-out sequences, with errors by blocks of those."""

    distances: dict[str, _Distances]
    among_held_out: Tensor
    groups: Tensor

    @classmethod
    def of(cls, sets: dict[str, Tensor], held_out: Tensor, places: np.ndarray | None, block: int) -> _Energies:
        flat = held_out.flatten(1)
        groups = held_out_blocks(np.arange(len(flat)) if places is None else places, block)
        if groups[-1] < FEWEST_BLOCKS - 1:  # too few to leave one out; then sequence by sequence
            groups = np.arange(len(flat))
        distances = {name: _Distances.between(values, held_out) for name, values in sets.items()}
        return cls(distances, torch.cdist(flat, flat).fill_diagonal_(0), torch.from_numpy(groups))

    @property
    def blocks(self) -> int:
        return int(self.groups.max()) + 1

    def energy(self, name: str) -> Distance:
        """2 E|X - H| - E|X - X'| - E|H - H'|, without pairs of a sequence with itself."""
        distances = self.distances[name]

        def value(keep: Tensor) -> float:
            count = int(keep.sum())
            own = float(self.among_held_out[keep][:, keep].sum()) / (count * (count - 1))
            return float(2 * distances.from_held_out[keep].mean() - distances.within.mean()) - own

        return self._jackknife(value, distances.draw_variance())

    def difference(self, name: str, other: str) -> Distance:
        """Energy distance of one set less that of another: the term of the held-out sequences alone drops out."""
        first, two = self.distances[name], self.distances[other]

        def value(keep: Tensor) -> float:
            gap = (first.from_held_out - two.from_held_out)[keep].mean()
            return float(2 * gap - first.within.mean() + two.within.mean())

        return self._jackknife(value, first.draw_variance() + two.draw_variance())

    def _jackknife(self, value: Callable[[Tensor], float], draw_variance: float) -> Distance:
        """Leaves out one block of held-out sequences at a time."""
        without = np.array([value(self.groups != block) for block in range(self.blocks)])
        variance = (self.blocks - 1) * float(without.var()) + draw_variance
        return Distance(value(torch.ones_like(self.groups, dtype=torch.bool)), math.sqrt(variance))
