"""Conditional sequences: exact where a law was learnt, guided sampling elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.special import ndtr, ndtri
from torch import Tensor, nn

from .. import _checks, data, report, sampling
from .._display import Displayed
from .._errors import InputError
from .._typing import ScoreFunction
from ..processes import GaussianLaw, Mixture, MixtureConditional
from ..processes.conditional import ConditionalLaw
from ..processes.figures import conditional_figure
from ..training import TrainingConfig

METHODS = ("exact", *sampling.CONDITIONAL_METHODS)
SUMMARY_DRAWS = 200
_NODES = 64
_BISECTIONS = 60
_LEAST_WEIGHT = 1e-12  # of a component that counts
Array = Tensor | np.ndarray | xr.DataArray | xr.Dataset


@dataclass(frozen=True)
class SequenceFormat:
    """The container that sequences come back in.

    Attributes:
        container, feature_names: See :class:`Model`.
        returns_tensor: Whether arrays come back as tensors.
    """

    container: data.Container
    feature_names: tuple[str, ...]
    returns_tensor: bool

    def wrap(self, values: np.ndarray, starts: pd.DatetimeIndex | None, single: bool = False) -> Array:
        """Values (n, N, d) in the container; with ``single`` the first sequence alone."""
        array = data.to_array(values, self.container, self.feature_names, starts=starts)
        if isinstance(array, xr.DataArray | xr.Dataset):
            return array.isel({self.container.dims[0]: 0}) if single else array
        array = array[0] if single else array
        return torch.from_numpy(array) if self.returns_tensor else array


@dataclass(frozen=True, eq=False, repr=False)
class ConditionalSequence(Displayed):
    """The conditional distribution of a sequence given some of its entries, in the units and container of the data.

    Made by :meth:`Model.condition_on`. Observed entries come back as they were given.

    Attributes:
        method: "exact", "replacement", "dps" or "mmps".
        mask: (N, d), True = observed.
    """

    method: str
    mask: np.ndarray
    _values: np.ndarray
    _starts: pd.DatetimeIndex | None
    _seed: int
    _transform: data.Transform
    _format: SequenceFormat
    _law: ConditionalLaw | None  # of the exact method, in scaled coordinates
    _guided: Callable[[int, torch.Generator], Tensor]  # draws of the other methods, in scaled coordinates

    def _facts(self) -> dict[str, object]:
        observed = f"{int(self.mask.sum())} of {self.mask.size} entries"
        frames, features = self.mask.shape
        return {"method": self.method, "frames": frames, "features": features, "observed": observed}

    def plot(self, level: float = 0.9) -> report.Plot:
        """What is observed of the first features, the mean, and central intervals of that probability; in data units.

        Raises:
            InputError: ``level`` is not between 0 and 1.
        """
        lower, upper = self.interval_values(level)
        mask, mean = torch.from_numpy(self.mask), torch.from_numpy(self.mean_values())
        ends = torch.from_numpy(lower), torch.from_numpy(upper)
        return report.plot(conditional_figure(self._format.feature_names, mask, mean, *ends, level))

    @property
    def mean(self) -> Array:
        """The conditional mean, like one sequence of the data: exact, or of 200 draws of the other methods."""
        return self._wrap(self.mean_values()[None], single=True)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Array:
        """``n`` complete sequences, (n, N, d) in the container of the data. None means the seed of the condition."""
        return self._wrap(self.sample_values(n, generator=generator))

    def interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Lower and upper ends of the central intervals that each hold a hidden entry with probability ``level``."""
        lower, upper = self.interval_values(level)
        return self._wrap(lower[None], single=True), self._wrap(upper[None], single=True)

    def mean_values(self) -> np.ndarray:
        """As :attr:`mean`, (N, d) float64.

        Margins do not carry a mean to the mean: with them it is the integral of their inverse over the normal law of
        each hidden entry, by Gauss-Hermite quadrature of 64 nodes.
        """
        if self._law is None:
            return self._summary_draws().mean(axis=0)
        if self._transform.margins is not None:
            nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
            total = np.zeros(self.mask.shape)
            for share, part in _parts(self._law):
                mean, spread = _mean_and_spread(part, self.mask)
                values = self._units(mean + nodes[:, None, None] * spread)
                total += share * np.tensordot(weights / weights.sum(), values, axes=1)
            return np.where(self.mask, self._values, total)
        return self._units(self._law.mean.numpy()[None])[0]

    def sample_values(self, n: int, *, generator: torch.Generator | None = None) -> np.ndarray:
        """As :meth:`sample`, (n, N, d) float64."""
        _checks.count("n", n)
        generator = torch.Generator().manual_seed(self._seed) if generator is None else generator
        drawn = self._guided(n, generator) if self._law is None else self._law.sample(n, generator=generator)
        return self._units(drawn.cpu().double().numpy())

    def interval_values(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`interval`, (N, d) float64 each."""
        if not 0 < _checks.real("level", level) < 1:
            raise InputError(f"level must be greater than 0 and less than 1, got {level:g}")
        tail = 0.5 - 0.5 * level
        if self._law is None:
            lower, upper = np.quantile(self._summary_draws(), [tail, 1 - tail], axis=0)
            return lower, upper
        lower, upper = (_quantile(self._law, self.mask, share) for share in (tail, 1 - tail))
        return self._units(lower[None])[0], self._units(upper[None])[0]

    def _summary_draws(self) -> np.ndarray:
        return self.sample_values(SUMMARY_DRAWS)

    def _units(self, scaled: np.ndarray) -> np.ndarray:
        starts = None if self._starts is None else self._starts.repeat(len(scaled))
        return np.where(self.mask, self._values, self._transform.invert(scaled, starts))

    def _wrap(self, values: np.ndarray, single: bool = False) -> Array:
        starts = None if self._starts is None else self._starts.repeat(len(values))
        return self._format.wrap(values, starts, single)


def _mean_and_spread(law: ConditionalLaw, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each entry in scaled coordinates."""
    spread = np.zeros(mask.shape)
    spread[~mask] = np.sqrt(np.clip(law.covariance().diagonal().numpy(), 0.0, None))  # round-off only
    return law.mean.numpy(), spread


def _parts(law: ConditionalLaw) -> list[tuple[float, ConditionalLaw]]:
    """Gaussian conditionals with their weights: the law itself, or the components of a mixture."""
    if not isinstance(law, MixtureConditional):
        return [(1.0, law)]
    pairs = zip(law.weights.tolist(), law.components, strict=True)
    return [(weight, part) for weight, part in pairs if weight > _LEAST_WEIGHT]


def _quantile(law: ConditionalLaw, mask: np.ndarray, share: float) -> np.ndarray:
    """The quantile of each entry in scaled coordinates, (N, d); of a mixture by bisection of its CDF."""
    parts = [(weight, *_mean_and_spread(part, mask)) for weight, part in _parts(law)]
    reach = float(ndtri(share))
    ends = np.stack([mean + reach * spread for _, mean, spread in parts])
    low, high = ends.min(0), ends.max(0)
    if len(parts) == 1:
        return np.asarray(low)
    total = sum(weight for weight, _, _ in parts)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = sum(w * ndtr((middle - m) / np.maximum(s, 1e-300)) for w, m, s in parts) / total < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(mask, parts[0][1], 0.5 * (low + high))


def condition(
    observed: np.ndarray,
    values: np.ndarray,
    *,
    method: str,
    law: GaussianLaw | Mixture | None,
    guided: Callable[[Tensor, Tensor, int, torch.Generator], Tensor],
    transform: data.Transform,
    format: SequenceFormat,
    starts: pd.DatetimeIndex | None,
    seed: int,
) -> ConditionalSequence:
    """The law of a sequence given ``values`` (N, d), in the units of the data, where ``observed``.

    Args:
        observed, values: As :func:`entries` gives them.
        method: As :func:`choose_method` gives it.
        law: Of whole sequences in scaled coordinates, for the exact method.
        guided: From mask and scaled values, a number of sequences and a generator to draws in scaled coordinates.
        transform: Between the units of the data and scaled coordinates.
        format: The container that sequences come back in.
        starts: Clock time of the first frame, where the transform needs it.
        seed: Of the draws that come without a generator.
    """
    filled = np.where(observed, values, transform.invert(np.zeros((1, *values.shape)), starts)[0])
    mask, scaled = torch.from_numpy(observed), torch.from_numpy(transform.apply(filled[None], starts)[0])
    conditioned = None if law is None else law.condition_on(mask, scaled)
    draw = partial(guided, mask, scaled)
    return ConditionalSequence(method, observed, values, starts, seed, transform, format, conditioned, draw)


def guided(
    score: ScoreFunction, network: nn.Module, training: TrainingConfig, method: str, num_calls: int
) -> Callable[[Tensor, Tensor, int, torch.Generator], Tensor]:
    """Draws of a guided method, from mask, values, their number and a generator, on the device of the network."""
    parameter = next(network.parameters(), torch.zeros(()))

    def draw(mask: Tensor, values: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return sampling.sample_given(
            score,
            mask,
            values,
            n,
            method=method,
            table=sampling.exponential_sde(num_calls, training.min_time, training.max_time),
            generator=_checks.generator_or_seed_zero(generator),
            dtype=parameter.dtype,
            device=parameter.device,
        )

    return draw


def entries(mask: Array, values: Array, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mask and float64 values of the observed entries.

    Raises:
        InputError: Another shape, or an observed value that is not finite.
        TypeError: ``mask`` is not boolean.
    """
    observed, given = _plain("mask", mask), _plain("values", values)
    if observed.dtype != bool:
        raise TypeError(f"mask must be boolean (True = observed), got {observed.dtype}")
    for name, array in (("mask", observed), ("values", given)):
        if array.shape != shape:
            raise InputError(f"{name} must have shape {shape} (frames, features), got {array.shape}")
    given = given.astype(np.float64)
    if not np.isfinite(given[observed]).all():
        where = tuple(int(i) for i in np.argwhere(observed & ~np.isfinite(given))[0])
        raise InputError(f"values must be finite where mask is True, but is {given[where]} at index {where}")
    return observed, given


def choose_method(method: str | None, affine: bool, has_law: bool) -> str:
    """The method asked for; None is "exact" where the score is affine in x, else "mmps".

    Raises:
        InputError: An unknown method, or one that does not apply.
    """
    if method is None:
        method = "exact" if affine or has_law else "mmps"
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "exact" and not (affine or has_law):
        raise InputError(
            "method 'exact' needs a learnt law, as of the networks unrolled, mixture, position or linear; leave method "
            "out, or give 'mmps'"
        )
    if method != "exact" and affine and not has_law:
        raise InputError(
            f"method {method!r} diverges here, because the learnt score is not the gradient of a density: use "
            "'exact', which takes the distribution that the model samples from, or train for longer"
        )
    return method


def _plain(name: str, array: Array) -> np.ndarray:
    if isinstance(array, xr.Dataset):
        array = array.to_array("variable").transpose(..., "variable")
    return _checks.array(name, array)
