"""The input of an audit: sets of sequences that agree in frames, features and units, and their common scale."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .. import _checks, data
from .._errors import InputError
from .resampling import FEWEST

Sequences = Tensor | np.ndarray | xr.DataArray | xr.Dataset | data.SequenceSet
FLOOR = 1e-3  # share of the mean variance below which a direction is not blown up further by whitening


@dataclass(frozen=True, eq=False)
class Inputs:
    """Sequences in their own units, with features; ``unseen`` and ``seen``: held out and trained on, where given."""

    real: Tensor
    generated: Tensor
    unseen: Tensor | None
    seen: Tensor | None
    names: tuple[str, ...]
    units: tuple[str, ...]
    consecutive: bool
    notes: tuple[str, ...]


def check(
    real: Sequences,
    generated: Sequences,
    held_out: Sequences | None,
    training: Sequences | None,
    consecutive: bool,
) -> Inputs:
    """The sets as float64 tensors, after a check that they are comparable.

    Raises:
        InputError: Sets that differ in frames, features, units or time step (which, is said), too few sequences, or
            no feature that varies, or both ``held_out`` and ``training``.
        TypeError: Something that is not an array, or ``consecutive`` that is not True or False.
    """
    if not isinstance(consecutive, bool):
        raise TypeError(f"consecutive must be True or False, got {consecutive!r}")
    sets = {"real": _set("real", real), "generated": _set("generated", generated)}
    if held_out is not None and training is not None:
        raise InputError(
            "give held_out (where real is the training set) or training (where real was held out), not both"
        )
    for name, other in (("held_out", held_out), ("training", training)):
        if other is not None:
            sets[name] = _set(name, other)
    first = sets["real"]
    matching: list[str] = []
    for name, other in sets.items():
        if other is not first:
            sets[name], notes = _alike(first, other, name)
            matching += notes
        if len(other) < FEWEST:
            raise InputError(f"{name} must hold at least {FEWEST} sequences, got {len(other)}")
    tensors = {name: torch.from_numpy(np.ascontiguousarray(sequences.values)) for name, sequences in sets.items()}
    both = torch.cat([tensors["real"], tensors["generated"]])
    reach = both.abs().amax(dim=(0, 1))
    if float(reach.max()) > 1e150:
        raise InputError(f"values must be below 1e150, got {float(reach.max()):.3g} in {_named(first, reach.argmax())}")
    varies = (both.amax(dim=(0, 1)) - both.amin(dim=(0, 1))) > 1e-12 * reach
    if not bool(varies.any()):
        raise InputError("real and generated are constant in every feature, so there is nothing to compare")
    kept = varies.nonzero().flatten().tolist()
    constant = [name for j, name in enumerate(first.feature_names) if j not in kept]
    notes = [*matching, *(f"{name}: {note}" for name, sequences in sets.items() for note in sequences.notes)]
    if constant:
        notes.append(f"Left out, because constant and equal in both sets: {', '.join(constant)}.")
    units = data.units_of(first.container, first.feature_names)
    pairs = {"held_out": ("held_out", "real"), "training": ("real", "training")}
    unseen, seen = next((pair for name, pair in pairs.items() if name in sets), (None, None))
    return Inputs(
        tensors["real"][..., kept],
        tensors["generated"][..., kept],
        tensors[unseen][..., kept] if unseen else None,
        tensors[seen][..., kept] if seen else None,
        tuple(first.feature_names[j] for j in kept),
        tuple(units[j] or "" for j in kept),
        consecutive,
        tuple(notes),
    )


def _set(name: str, x: Sequences) -> data.SequenceSet:
    if isinstance(x, data.SequenceSet):
        whole = x.complete()
        if not len(whole):
            raise InputError(f"{name} has no complete sequence: each of {len(x)} has a missing value")
        return whole
    if isinstance(x, (str, os.PathLike)):
        raise TypeError(f"{name} must be an array; read a file with kronoscope.data.read first")
    if isinstance(x, (Tensor, np.ndarray)) and x.ndim != 3:
        raise InputError(f"{name} must have shape (sequences, frames, features), got {tuple(x.shape)}")
    try:
        sequences = data.from_array(x)
    except (InputError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None
    if name == "generated" and _incomplete(x):
        raise InputError(f"generated must have no missing values, but: {' '.join(sequences.notes)}")
    return sequences


def _incomplete(x: Tensor | np.ndarray | xr.DataArray | xr.Dataset) -> bool:
    if isinstance(x, xr.Dataset):
        return any(bool(variable.isnull().any()) for variable in x.data_vars.values())
    if isinstance(x, xr.DataArray):
        return bool(x.isnull().any())
    return bool(np.isnan(_checks.array("generated", x)).any())


def _alike(real: data.SequenceSet, other: data.SequenceSet, name: str) -> tuple[data.SequenceSet, list[str]]:
    """The other set with the features of ``real`` in their order, and notes.

    Raises:
        InputError: Sets that differ in frames, features, units or time step.
    """
    frames = real.values.shape[1]
    if other.values.shape[1] != frames:
        raise InputError(
            f"real and {name} must have the same number of frames, got {frames} and {other.values.shape[1]}"
        )
    if real.step is not None and other.step is not None and real.step != other.step:
        raise InputError(f"real and {name} must have the same time step, got {real.step} and {other.step}")
    units = data.units_of(real.container, real.feature_names)
    return data.arrange(other, real.feature_names, units, ("real", name))


def _named(sequences: data.SequenceSet, j: Tensor) -> str:
    return sequences.feature_names[int(j)]


@dataclass(frozen=True, eq=False)
class Pool:
    """Both sets together, in coordinates that no relabelling changes.

    Attributes:
        values: (T, N, d) in natural units, first set first.
        names, units: Of the features.
    """

    values: Tensor
    names: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def frames(self) -> int:
        """N."""
        return self.values.shape[1]

    @property
    def features(self) -> int:
        """d."""
        return self.values.shape[2]

    @cached_property
    def scale(self) -> Tensor:
        """Standard deviation of each feature about its frame means, (d,); at least 1e-12 of its reach."""
        centred = self.values - self.values.mean(dim=0)
        root = centred.square().mean(dim=(0, 1)).sqrt()
        spread = self.values.amax(dim=(0, 1)) - self.values.amin(dim=(0, 1))
        return torch.where(root > 1e-12 * spread, root, spread)

    @cached_property
    def x(self) -> Tensor:
        """Less the frame means, each feature to unit variance."""
        return (self.values - self.values.mean(dim=0)) / self.scale

    @cached_property
    def v(self) -> Tensor:
        """``x`` with its features made uncorrelated within a frame (symmetric root of the covariance)."""
        return self.x @ _inverse_root(torch.einsum("tia,tib->ab", self.x, self.x) / self.x[..., 0].numel())

    @cached_property
    def u(self) -> Tensor:
        """The innovations: the part of a frame that the frames before it do not predict, uncorrelated between features.

        ``v`` times the inverse Cholesky factor of its covariance between frames (averaged over the features): white
        where the pool is separable. Directions below ``FLOOR`` of the mean variance are not blown up further.
        """
        gamma = torch.einsum("tia,tja->ij", self.v, self.v) / (len(self.v) * self.features)
        gamma.diagonal().add_(FLOOR * float(gamma.diagonal().mean()))
        u = torch.einsum("ij,tja->tia", torch.linalg.inv(torch.linalg.cholesky(gamma)), self.v)
        return u @ _inverse_root(torch.einsum("tia,tib->ab", u, u) / u[..., 0].numel())

    @cached_property
    def ordered(self) -> Tensor:
        """The values of each feature in ascending order, (T N, d)."""
        return self.values.flatten(0, 1).sort(dim=0).values

    def unit(self, j: int) -> str:
        """Unit of feature ``j``."""
        return self.units[j]


def _inverse_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors / (values.clamp_min(0) + FLOOR * float(values.mean())).sqrt()) @ vectors.T
