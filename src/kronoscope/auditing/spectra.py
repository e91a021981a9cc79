"""Power by frequency and feature, and coherency of two features by frequency."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .moments import chunks
from .pool import Pool
from .tally import Tally

SHAPES = ("level", "slope (slow against fast)", "curvature", "third shape", "fourth shape", "fifth shape")


def spectrum(pool: Pool, tally: Tally) -> None:
    """Power by frequency and feature; of all features together; and in smooth shapes over the frequencies.

    Power is |sum_i h_i x_i exp(-2 pi i k i / N)|^2 with the sine taper h, sum h^2 = 1 (Riedel and Sidorenko 1995),
    which keeps a steep spectrum from leaking. Shapes are cosines over the relative power of decorrelated features.
    """
    power = _transform(pool.x).abs().square()
    frequencies, d = power.shape[1], pool.features
    level = power.mean(dim=0)
    squared = pool.scale.square()
    tally.add(
        (power / level).flatten(1),
        lambda j: f"power of {pool.names[j % d]} at {period(j // d, pool.frames)}",
        lambda j: f"({pool.units[j % d]})²" if pool.units[j % d] else "",
        (level * squared).flatten(),
    )
    clear = _transform(pool.v).abs().square()
    relative = (clear / clear.mean(dim=0)).mean(dim=2) - 1
    tally.add(
        relative,
        lambda k: f"power of all features together at {period(k, pool.frames)}",
        "% of the pooled power",
        100.0,
    )
    places = (torch.arange(frequencies, dtype=torch.float64) + 0.5) / frequencies
    orders = torch.arange(min(len(SHAPES), frequencies), dtype=torch.float64)
    basis = torch.cos(math.pi * places[:, None] * orders) / frequencies
    tally.add(relative @ basis, lambda j: f"{SHAPES[j]} of the spectrum of all features together", "%", 100.0)


def coherence(pool: Pool, tally: Tally) -> None:
    """Coherency S_ab / sqrt(S_aa S_bb) of every pair at every frequency, in step and a quarter of a period apart."""
    transform = _transform(pool.x)
    power = transform.abs().square()
    level = power.mean(dim=0)
    a, b = torch.triu_indices(pool.features, pool.features, 1)
    first, second = tally.relabelling.means(power.flatten(1))
    own = [m.unflatten(0, power.shape[1:]) for m in (first, second)]
    for ks in chunks(range(power.shape[1]), 8 * len(power) * len(a)):
        cross = transform[:, ks][..., a] * transform[:, ks][..., b].conj()
        root = (level[ks][:, a] * level[ks][:, b]).sqrt()
        shares = (power[:, ks] / level[ks])[..., a] + (power[:, ks] / level[ks])[..., b]
        for part, how in ((cross.real, "in phase"), (cross.imag, "in quadrature")):
            ratio = part.mean(dim=0) / root
            psi = part / root - ratio / 2 * shares
            first, second = (
                m.unflatten(0, part.shape[1:]) / (s[ks][:, a] * s[ks][:, b]).sqrt()
                for m, s in zip(tally.relabelling.means(part.flatten(1)), own)
            )

            def label(j: int, ks: list[int] = ks, how: str = how) -> str:
                k, pair = divmod(j, len(a))
                first, second = pool.names[int(a[pair])], pool.names[int(b[pair])]
                return f"coherency of {first} with {second} at {period(ks[k], pool.frames)}, {how}"

            tally.add(psi.flatten(1), label, "", 1.0, (first.flatten(), second.flatten()))


def period(k: int, frames: int) -> str:
    """ "a period of 8 frames"."""
    return f"a period of {frames / k:.3g} frames" if k else "the slowest frequency"


def _transform(z: Tensor) -> Tensor:
    frames = z.shape[1]
    places = torch.arange(1, frames + 1, dtype=torch.float64)
    taper = math.sqrt(2 / (frames + 1)) * torch.sin(math.pi * places / (frames + 1))
    return torch.fft.rfft(z * taper[:, None], dim=1)
