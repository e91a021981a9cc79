"""Networks that were trained on N frames, run on more: which can, and what is done to the rest of the lags."""

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

HOW = {
    "unrolled": "each further frame depends on the N − 1 before it as the last one did (most entropy)",
    "stationary-separable": "the same, from the lags that maximum likelihood finds in the same sequences",
    "position": "lags beyond those trained get the weight 0",
    "unet": "as it is: convolutions know no length",
}


def longer(network: nn.Module, frames: int) -> ScoreFunction:
    """The score of a trained network on sequences of ``frames`` frames, as :data:`HOW` says.

    Raises:
        InputError: A network whose weights belong to frame numbers, or ``frames`` below 1.
    """
    _checks.count("frames", frames)
    if isinstance(network, UnrolledTransformer):
        return longer_law(network, frames).score
    if isinstance(network, PositionTransformer):
        network = padded(network, frames)
    elif not isinstance(network, UNet):
        raise InputError(f"network must be tied in the lag to run on more frames, got {type(network).__name__}")

    def score(x: Tensor, t: DiffusionTime) -> Tensor:
        time = torch.as_tensor(t, dtype=x.dtype).expand(len(x))
        return diffusion.score_from_epsilon(network(x, time), x, t)

    return score


def longer_law(learnt: UnrolledTransformer | GaussianLaw, frames: int) -> SeparableGaussian:
    """Gamma kron Sigma of most entropy with the learnt lags (:func:`~kronoscope.linalg.maximum_entropy_lags`)."""
    if isinstance(learnt, UnrolledTransformer):
        learnt = spectral_law(learnt, learnt.num_frames)
    if not isinstance(learnt, SeparableGaussian):
        raise InputError(f"a law must be Gamma kron Sigma to run on more frames, got {type(learnt).__name__}")
    return _of_lags(maximum_entropy_lags(learnt.temporal_covariance[0], frames), learnt.spatial_covariance)


def spectral_law(network: UnrolledTransformer, frames: int) -> SeparableGaussian:
    """Gamma kron Sigma with gamma(h) = sum_w p(w) cos(w h) at every lag, p on the frequencies that were trained.

    Nothing taught it the lags beyond those of the network.
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


def padded(network: PositionTransformer, frames: int) -> PositionTransformer:
    """The same weights; lag tables with 0 at the lags that were not trained."""
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
