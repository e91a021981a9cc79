"""What the unrolled transformer starts from when it is not to start from nothing, and how far training moved it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import diffusion, estimators, metrics
from .._errors import InputError
from ..compiler import CompiledScore
from ..linalg.eigen import LinAlgError
from ..nn import UnrolledTransformer
from ..processes import DenseGaussian, GaussianLaw
from .networks import build_with

ESTIMATORS: dict[str, type[estimators.Estimator]] = {
    "sample-covariance": estimators.SampleCovariance,
    "separable": estimators.Separable,
    "stationary-separable": estimators.StationarySeparable,
    "block-toeplitz": estimators.BlockToeplitz,
    "ledoit-wolf": estimators.LedoitWolf,
    "tapered": estimators.Tapered,
}
NETWORK = "unrolled"

Initial = str | GaussianLaw | CompiledScore


@dataclass(frozen=True, eq=False)
class Start:
    """A network at its start, built from a law.

    Attributes:
        network: At the start.
        options: Of the network, so that a run folder can build it again.
        source: What it was started from, in words.
        law: That of the network at the start: the law of the source, projected onto what the network can hold.
    """

    network: UnrolledTransformer
    options: dict[str, Any]
    source: str
    law: DenseGaussian

    def moved(self, trained: nn.Module, min_time: float) -> dict[str, Any]:
        """How far training went: KL(after | before) in nats a sequence, both noised to ``min_time``."""
        assert isinstance(trained, UnrolledTransformer)
        return {"from": self.source, "kl_moved": metrics.gaussian_kl(law_of(trained), self.law, min_time)}


def start_from(
    initial: Initial,
    network: str | nn.Module | None,
    options: dict[str, Any],
    x: Tensor,
    min_time: float,
    as_they_are: bool,
    generator: torch.Generator,
) -> Start:
    """Build the network that :func:`kronoscope.fit` was asked to start from ``initial``.

    Args:
        initial: A law, the name of an estimator (fitted to ``x``), or a compiled score (its weights are read, nothing
            else).
        network: The argument of fit.
        options: Of the network.
        x: The training sequences, as the network will see them.
        min_time: t0 of the training.
        as_they_are: Whether nothing was subtracted and nothing scaled, so that a law of the data is one of ``x``.
        generator: Of what is random in the network's first weights.

    Raises:
        InputError: A network that cannot start from a law, an unknown name, sizes that disagree, a mean that the
            network cannot hold, or a law of unscaled data for scaled sequences.
        TypeError: ``initial`` is none of these.
    """
    if network != NETWORK:
        name = network if isinstance(network, str) else "a module of your own"
        raise InputError(
            f'initial needs network="{NETWORK}", the only one that can start from a distribution, got {name!r}'
        )
    law, source = _read(initial, x, min_time)
    if not isinstance(initial, str) and not as_they_are:
        raise InputError(
            "initial must be the name of an estimator where the data are centred or scaled; to start from a law or a "
            'compiled score, give mean="zero", scaling=None and margins=None'
        )
    shape = law.mean.shape
    if shape != x.shape[1:]:
        raise InputError(f"initial must have {tuple(x.shape[1:])} frames and features, as x has, got {tuple(shape)}")
    told_mean = "free" if bool(law.mean.any()) else "zero"
    options = {"mean": told_mean, **options}
    try:
        module = build_with(lambda: UnrolledTransformer.from_law(law, **options), NETWORK, generator)
    except LinAlgError:
        raise InputError(
            "initial must have a positive definite covariance, but its network computes none at t = 0.01; "
            "compile it with a "
            "smaller tolerance or min_time"
        ) from None
    return Start(module, options, source, law_of(module))


def law_of(network: UnrolledTransformer) -> DenseGaussian:
    """The Gaussian law whose score an unrolled transformer computes."""
    shape = network.num_frames, network.num_features
    mean = torch.zeros(shape) if network.mean is None else network.mean.detach().expand(shape)
    covariance = network.covariance().detach().to("cpu", torch.float64)
    return DenseGaussian(0.5 * (covariance + covariance.mT), shape[1], mean.to("cpu", torch.float64))


def _read(initial: Initial, x: Tensor, min_time: float) -> tuple[GaussianLaw | _ReadLaw, str]:
    if isinstance(initial, GaussianLaw):
        return initial, "a law"
    if isinstance(initial, CompiledScore):
        return _of_weights(initial, min_time), "a compiled network"
    if not isinstance(initial, str):
        raise TypeError(
            f"initial must be None, a law, the name of an estimator or a compiled score, got {type(initial).__name__}"
        )
    if initial not in ESTIMATORS:
        raise InputError(f"initial must be one of {', '.join(ESTIMATORS)}, a law or a compiled score, got {initial!r}")
    whole = x[x.isfinite().all(dim=(1, 2))]
    if len(whole) < 2:
        raise InputError(
            f"initial={initial!r} needs complete sequences to fit, but {len(whole)} of {len(x)} are complete"
        )
    return ESTIMATORS[initial](min_time=min_time).fit(whole), initial


@dataclass(frozen=True, eq=False)
class _ReadLaw:
    """Mean and covariance as read off weights; the covariance may miss being one by the weights' error."""

    mean: Tensor
    dense: Tensor

    def covariance(self) -> Tensor:
        return self.dense


def _of_weights(compiled: CompiledScore, min_time: float) -> _ReadLaw:
    """K and mu with -C_t^-1 (x - alpha_t mu) the affine map that the compiled network computes at the smallest t."""
    network, options = compiled.network, compiled.options
    time = max(min_time, options.min_time)
    if time > options.max_time:
        raise InputError(
            f"initial must cover t = {min_time:g}, where training begins, got t up to {options.max_time:g}"
        )
    # Products of ReLU are not quite linear: their error passes for round-off of float32.
    dtype = network.enter.dtype if options.gates == "modulated" else torch.float32
    law = compiled.process
    shrink, noise = float(diffusion.alpha(time)), float(diffusion.sigma_squared(time))
    identity = torch.eye(law.mean.numel(), dtype=torch.float64)
    read = diffusion.read_affine_map(
        compiled.score,
        time,
        network.num_frames,
        network.num_features,
        dtype=dtype,
        center=shrink * law.mean,
        spread=torch.linalg.cholesky(shrink**2 * law.covariance().cpu() + noise * identity),
    )
    marginal = -torch.linalg.inv(0.5 * (read.matrix + read.matrix.mT))
    mean = (read.center - torch.linalg.solve(read.matrix, read.value)) / shrink
    if not bool(law.mean.any()):
        mean = torch.zeros_like(mean)  # what is there is the gates' error
    covariance = (marginal - noise * identity) / shrink**2
    return _ReadLaw(mean.reshape(network.num_frames, network.num_features), covariance)
