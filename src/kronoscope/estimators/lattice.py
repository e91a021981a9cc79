"""Stationary likelihoods at t = 0 in lattice coordinates: one hyperbolic rotation for each lag.

Let f and b be the errors of predicting x_i from the k frames before it and x_{i-k} from the k frames after it, each
normalised to unit covariance. Then

    [f_{k+1}(i); b_{k+1}(i)] = Theta_k [f_k(i); b_k(i-1)],    Theta J Theta' = J = diag(I, -I),    f_0 = b_0 = L^-1 x,

and every positive definite block-Toeplitz K is met by one L and one Theta_k for each lag, up to rotations of f and
of b, which change nothing. So the likelihood has no constraint left, K is never factorised, and a change of Theta
counts relative to the prediction errors, however small these are: nearly singular covariances are as easy as
white noise, and no frequency has to be guessed.

Source: Morf, Vieira and Kailath, Annals of Statistics 6 (1978) 643 (the normalised recursion); Strand, IEEE Trans.
Autom. Control 22 (1977) 634 (the start). The chart around the first rotations is ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Moments, refuse_dependent
from .likelihood import minimise
from .separable import lower_triangular

_NEAREST_TO_ONE = 1e-14

# Smooth features leave one valley nearly flat: with coarser limits the search stops before it has walked down.
_RELATIVE_DECREASE = 1e-12
_PULL = 1e-7


def maximum(moments: Moments, separable: bool) -> tuple[Tensor, Tensor]:
    """The stationary covariance of greatest likelihood at t = 0.

    Returns:
        The factor L of C(0) = L L', (features, features), and the blocks C(0) .. C(N-1) of x L^-T: (frames, features,
        features), or (frames, 1, 1) if ``separable``, where they are Gamma and L L' is Sigma.
    """
    refuse_dependent(moments)
    frames, features = moments.mean.shape
    factor = torch.linalg.cholesky(moments.spatial_moment)
    whitened = torch.linalg.solve_triangular(factor, moments.roots.mT, upper=False)  # (rows, features, frames)
    copies = features if separable else 1

    def rows(series: Tensor) -> Tensor:
        if not separable:
            return series.mT
        flat = series.reshape(-1, frames)  # only their second moment counts: N rows are enough
        return (torch.linalg.qr(flat).R if len(flat) > frames else flat).unsqueeze(-1)

    first = first_rotations(rows(whitened))
    # A coordinate of lag k is seen by N - k frames, one of L by all: in these units each counts about the same.
    units = torch.arange(frames - 1, 0, -1, dtype=torch.float64).rsqrt()[:, None, None]

    def loss(turned: Tensor, scaled: Tensor) -> Tensor:
        change = scaled / frames**0.5
        unit = torch.linalg.solve_triangular(lower_triangular(change), whitened, upper=False)
        nll = lattice_nll(hyperbolic(turned * units) @ first, rows(unit), copies)
        return nll + frames * change.diagonal().sum()

    size = first.shape[-1] // 2
    start = [torch.zeros(frames - 1, size, size, dtype=torch.float64), torch.zeros_like(factor)]
    turned, scaled = minimise(loss, start, relative_decrease=_RELATIVE_DECREASE, pull=_PULL)
    return factor @ lower_triangular(scaled / frames**0.5), lattice_blocks(hyperbolic(turned * units) @ first)


def lattice_nll(rotations: Tensor, x: Tensor, copies: int = 1) -> Tensor:
    """1/2 [copies log det K + sum_r x_r' K^-1 x_r] for the K with C(0) = I that the rotations stand for.

    Args:
        rotations: Theta_0 .. Theta_{N-2}, (frames - 1, 2 features, 2 features).
        x: (rows, frames, features).
        copies: How many independent copies of the sequence a sequence holds.
    """
    features = x.shape[2]
    forward = backward = x
    remaining = torch.arange(len(rotations), 0, -1, dtype=x.dtype)
    half_log_det = -(remaining * torch.linalg.slogdet(rotations[:, :features, :features])[1]).sum()
    squares = x[:, 0].square().sum()
    for rotation in rotations:
        both = torch.cat([forward[:, 1:], backward[:, :-1]], dim=2) @ rotation.mT
        forward, backward = both[..., :features], both[..., features:]
        squares = squares + forward[:, 0].square().sum()
    return copies * half_log_det + 0.5 * squares


def hyperbolic(free: Tensor) -> Tensor:
    """The rotations exp [[0, Z], [Z', 0]] of (..., features, features) coordinates Z; the identity at 0."""
    empty = torch.zeros_like(free)
    return torch.linalg.matrix_exp(torch.cat([torch.cat([empty, free], -1), torch.cat([free.mT, empty], -1)], -2))


def first_rotations(x: Tensor) -> Tensor:
    """Rotations from the sample partial correlations, lag by lag: near the maximum, and exact as n grows."""
    features = x.shape[2]
    forward = backward = x
    rotations = []
    for _ in range(x.shape[1] - 1):
        now, before = forward[:, 1:].flatten(0, 1), backward[:, :-1].flatten(0, 1)
        left, right = now.mT @ now, before.mT @ before
        if features == 1:  # one row alone has correlation 1; Burg's average stays below
            left = right = 0.5 * (left + right)
        left, right = torch.linalg.cholesky(left), torch.linalg.cholesky(right)
        half = torch.linalg.solve_triangular(left, now.mT @ before, upper=False)
        partial = torch.linalg.solve_triangular(right, half.mT, upper=False).mT
        u, s, vh = torch.linalg.svd(partial)
        rotation = hyperbolic(-(u * torch.atanh(s.clamp(max=1 - _NEAREST_TO_ONE))) @ vh)
        both = torch.cat([forward[:, 1:], backward[:, :-1]], dim=2) @ rotation.mT
        forward, backward = both[..., :features], both[..., features:]
        rotations.append(rotation)
    return torch.stack(rotations) if rotations else x.new_zeros(0, 2 * features, 2 * features)


def lattice_blocks(rotations: Tensor) -> Tensor:
    """C(0) = I .. C(N-1), (frames, features, features): the responses of the frames to the innovation of frame 0.

    They come from the scattering form of the rotations, [f_k; b_{k+1}] from [f_{k+1}; b_k], which is orthogonal.
    """
    features = rotations.shape[-1] // 2
    top, bottom = rotations[:, :features], rotations[:, features:]
    inverse = torch.linalg.inv(top[..., :features])
    # The Schur complement of a J-orthogonal matrix is the inverse transpose of its last block.
    lower = [bottom[..., :features] @ inverse, torch.linalg.inv(bottom[..., features:]).mT]
    scattering = torch.cat([torch.cat([inverse, -inverse @ top[..., features:]], 2), torch.cat(lower, 2)], 1).numpy()
    response = torch.eye(features, dtype=rotations.dtype).numpy()
    blocks, backward = [response], [response]
    for frame in range(1, len(rotations) + 1):
        forward, following = 0.0 * response, []
        for k in range(frame - 1, -1, -1):
            image = scattering[k, :, :features] @ forward + scattering[k, :, features:] @ backward[k]
            forward = image[:features]
            following.append(image[features:])
        blocks.append(forward)
        backward = [forward, *reversed(following)]
    return torch.from_numpy(np.stack(blocks))
