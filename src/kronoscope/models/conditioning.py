"""Sequences given some of their entries: exactly where the learnt score is affine, by guidance elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from .. import _checks, data, sampling
from .._errors import InputError
from ..processes.conditional import ConditionalLaw

if TYPE_CHECKING:
    from .model import Model

METHODS = ("exact", *sampling.CONDITIONAL_METHODS)
SUMMARY_DRAWS = 200
_NODES = 64
Array = Tensor | np.ndarray | xr.DataArray | xr.Dataset


@dataclass(frozen=True, eq=False)
class ConditionalSequence:
    """The learnt law of a sequence given some of its entries, in the units and container of the data.

    Made by :meth:`Model.condition_on`. Observed entries come back as they were given.

    Attributes:
        method: "exact", "replacement", "dps" or "mmps".
        mask: (N, d), True = observed.
    """

    method: str
    mask: np.ndarray
    _model: Model
    _values: np.ndarray
    _starts: pd.DatetimeIndex | None
    _scaled: np.ndarray
    _seed: int
    _num_calls: int

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
        if self.method == "exact" and self._model.transform.margins is not None:
            nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
            mean, spread = self._mean_and_spread()
            values = self._units(mean + nodes[:, None, None] * spread)
            return np.where(self.mask, self._values, np.tensordot(weights / weights.sum(), values, axes=1))
        if self.method == "exact":
            return self._units(self._law().mean.numpy()[None])[0]
        return self._summary_draws().mean(axis=0)

    def sample_values(self, n: int, *, generator: torch.Generator | None = None) -> np.ndarray:
        """As :meth:`sample`, (n, N, d) float64."""
        _checks.count("n", n)
        generator = torch.Generator().manual_seed(self._seed) if generator is None else generator
        if self.method == "exact":
            return self._units(self._law().sample(n, generator=generator).numpy())
        model = self._model
        config = model.training
        parameter = next(model.network.parameters(), torch.zeros(()))
        found = sampling.sample_given(
            model.score,
            torch.from_numpy(self.mask),
            torch.from_numpy(self._scaled),
            n,
            method=self.method,
            table=sampling.exponential_sde(self._num_calls, config.min_time, config.max_time),
            generator=_checks.generator_or_seed_zero(generator),
            dtype=parameter.dtype,
            device=parameter.device,
        )
        return self._units(found.cpu().double().numpy())

    def interval_values(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`interval`, (N, d) float64 each."""
        if not 0 < _checks.real("level", level) < 1:
            raise InputError(f"level must be greater than 0 and less than 1, got {level:g}")
        tail = 0.5 - 0.5 * level
        if self.method != "exact":
            lower, upper = np.quantile(self._summary_draws(), [tail, 1 - tail], axis=0)
            return lower, upper
        mean, spread = self._mean_and_spread()
        reach = float(torch.special.ndtri(torch.tensor(1 - tail, dtype=torch.float64))) * spread
        return self._units((mean - reach)[None])[0], self._units((mean + reach)[None])[0]

    def _mean_and_spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each entry in scaled coordinates."""
        law = self._law()
        spread = np.zeros(self.mask.shape)
        spread[~self.mask] = np.sqrt(np.clip(law.covariance().diagonal().numpy(), 0.0, None))  # round-off only
        return law.mean.numpy(), spread

    def _law(self) -> ConditionalLaw:
        law = self._model.law().data if self._model.has_law else self._model.generated_law
        return law.condition_on(torch.from_numpy(self.mask), torch.from_numpy(self._scaled))

    def _summary_draws(self) -> np.ndarray:
        return self.sample_values(SUMMARY_DRAWS)

    def _units(self, scaled: np.ndarray) -> np.ndarray:
        starts = None if self._starts is None else self._starts.repeat(len(scaled))
        return np.where(self.mask, self._values, self._model.transform.invert(scaled, starts))

    def _wrap(self, values: np.ndarray, single: bool = False) -> Array:
        model = self._model
        starts = None if self._starts is None else self._starts.repeat(len(values))
        array = data.to_array(values, model.container, model.feature_names, starts=starts)
        if isinstance(array, xr.DataArray | xr.Dataset):
            return array.isel({model.container.dims[0]: 0}) if single else array
        array = array[0] if single else array
        return torch.from_numpy(array) if model.returns_tensor else array


def condition(
    model: Model,
    mask: Array,
    values: Array,
    *,
    start: Any = None,
    method: str | None = None,
    num_calls: int = 64,
    generator: torch.Generator | None = None,
) -> ConditionalSequence:
    """See :meth:`Model.condition_on`."""
    shape = (model.num_frames, model.num_features)
    seen, given = _plain("mask", mask), _plain("values", values)
    if seen.dtype != bool:
        raise TypeError(f"mask must be boolean (True = observed), got {seen.dtype}")
    for name, array in (("mask", seen), ("values", given)):
        if array.shape != shape:
            raise InputError(f"{name} must have shape {shape} (frames, features), got {array.shape}")
    given = given.astype(np.float64)
    if not np.isfinite(given[seen]).all():
        where = tuple(int(i) for i in np.argwhere(seen & ~np.isfinite(given))[0])
        raise InputError(f"values must be finite where mask is True, but is {given[where]} at index {where}")
    affine = model.is_affine
    if method is None:
        method = "exact" if affine else "mmps"
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "exact" and not affine:
        raise InputError("method 'exact' needs a score that is affine in x, as of unrolled, position or linear")
    if method != "exact" and affine and not model.has_law:
        raise InputError(
            f"method {method!r} diverges here, because the learnt score is that of no law: use 'exact', which takes "
            "the law of what the model samples, or train for longer"
        )
    starts = model.starts_of(start, 1)
    filled = np.where(seen, given, model.transform.invert(np.zeros((1, *shape)), starts)[0])
    scaled = model.transform.apply(filled[None], starts)[0]
    seed = 0 if generator is None else int(torch.randint(2**62, (), generator=generator))
    return ConditionalSequence(method, seen, model, given, starts, scaled, seed, num_calls)


def _plain(name: str, array: Array) -> np.ndarray:
    if isinstance(array, xr.Dataset):
        array = array.to_array("variable").transpose(..., "variable")
    return _checks.array(name, array)
