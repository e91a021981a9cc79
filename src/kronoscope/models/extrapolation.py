"""Extrapolation to more frames than a network was trained on: which networks allow it, and how lags are extended."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import _checks, diffusion
from .._errors import InputError
from .._typing import DiffusionTime, ScoreFunction
from ..linalg import maximum_entropy_lags
from ..nn import PositionTransformer, UNet, UnrolledTransformer
from ..nn.unrolled_heads import SpectralHeads
from ..processes import GaussianLaw, SeparableGaussian
from .model import Model

METHODS = {
    "unrolled": "each further frame depends on the N − 1 frames before it as the last one does (maximum entropy)",
    "stationary-separable": "the same, from the lags that maximum likelihood estimates",
    "position": "lags beyond those of training have weight 0",
    "unet": "unchanged: convolutions do not depend on the length",
}


def extended_score(model: Model | nn.Module, frames: int) -> ScoreFunction:
    """The score of a trained network on sequences of another length, as :data:`METHODS` says.

    Only networks whose parameters belong to lags, and not to frame numbers, have one: "unrolled" with a single head
    and relative positions, "position" and "unet".

    Args:
        model: A fitted model, or its network. The score is in the coordinates of ``model.score``.
        frames: Number of frames, larger or smaller than in training.

    Returns:
        score(x, t) for x of shape (batch, frames, features).

    Raises:
        InputError: A network whose parameters belong to frame numbers, or ``frames`` below 1.

    Example:
        >>> import kronoscope as ks
        >>> process = ks.GaussianSequence(ks.kernels.PowerExponential(2.0), torch.eye(2), times=4)
        >>> network = ks.nn.UnrolledTransformer.from_law(process)
        >>> ks.models.extended_score(network, 12)(torch.zeros(1, 12, 2), 0.5).shape
        torch.Size([1, 12, 2])
    """
    _checks.count("frames", frames)
    network = model.network if isinstance(model, Model) else model
    if isinstance(network, UnrolledTransformer):
        return extended_law(network, frames).score
    if isinstance(network, PositionTransformer):
        network = padded_network(network, frames)
    elif not isinstance(network, UNet):
        raise InputError(
            f"model must have a network that is tied in the lag to run on {frames} frames (unrolled with one head, "
            f"position or unet), got {type(network).__name__}: train it on sequences of that length"
        )

    def score(x: Tensor, t: DiffusionTime) -> Tensor:
        time = torch.as_tensor(t, dtype=x.dtype).expand(len(x))
        return diffusion.score_from_epsilon(network(x, time), x, t)

    return score


def extended_law(learnt: UnrolledTransformer | GaussianLaw, frames: int) -> SeparableGaussian:
    """Gamma kron Sigma on ``frames`` frames, with the learnt lags and, beyond them, those of maximum entropy.

    Every further frame depends on the N - 1 frames before it as frame N does: an autoregression of order N - 1
    (:func:`~kronoscope.linalg.maximum_entropy_lags`).

    Args:
        learnt: An unrolled network with one head and relative positions, or a law Gamma kron Sigma whose Gamma is
            Toeplitz.
        frames: Number of frames.

    Raises:
        InputError: Another network or law, or ``frames`` below 1.
    """
    _checks.count("frames", frames)
    if isinstance(learnt, UnrolledTransformer):
        learnt = spectral_law(learnt, learnt.num_frames)
    if not isinstance(learnt, SeparableGaussian):
        raise InputError(
            f"learnt must be a Gaussian law with a separable covariance (Gamma kron Sigma), got {type(learnt).__name__}"
        )
    return _of_lags(maximum_entropy_lags(learnt.temporal_covariance[0], frames), learnt.spatial_covariance)


def spectral_law(network: UnrolledTransformer, frames: int) -> SeparableGaussian:
    """Gamma kron Sigma with gamma(h) = sum_w p(w) cos(w h) at every lag h, p the learnt power at frequencies w.

    The training determines the lags of the network alone. Beyond them the formula is an extrapolation, and usually a
    bad one: it is there to compare :func:`extended_law` with.

    Raises:
        InputError: A network with several heads or other positions.
    """
    heads = network.heads
    if not isinstance(heads, SpectralHeads) or not heads.is_regular or not network.is_separable:
        raise InputError("network must have one head and relative positions on a regular grid to run on more frames")
    power = (heads.power() * heads.shares.double()).detach()[0]
    frequencies = torch.linspace(0, torch.pi, len(power), dtype=torch.float64)
    gamma = torch.outer(torch.arange(frames, dtype=torch.float64), frequencies).cos() @ power
    factor = heads.real.detach().double()[0]
    return _of_lags(gamma, factor @ factor.mT)


def _of_lags(gamma: Tensor, spatial: Tensor) -> SeparableGaussian:
    frames = torch.arange(len(gamma))
    return SeparableGaussian(gamma[(frames[:, None] - frames).abs()], spatial)


def padded_network(network: PositionTransformer, frames: int) -> PositionTransformer:
    """The same parameters, with 0 in the lag tables at the lags beyond those of the training."""
    width, features = network.enter.weight.shape
    tables = [getattr(block, "lag_table") for block in network.blocks]  # noqa: B009
    tied = len(tables) < network.num_blocks
    larger = PositionTransformer(frames, features, width, network.num_blocks, len(tables[0]), tied)
    state = dict(network.state_dict())
    for name, value in state.items():
        if name.endswith("lag_table"):
            more = frames - (value.shape[1] + 1) // 2
            state[name] = nn.functional.pad(value, (more, more))
    larger.load_state_dict(state)
    return larger.to(network.enter.weight).requires_grad_(False)
