"""``kronoscope reproduce attention``: do attention maps hold the dependence in time, or the positions alone?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import compile_score, diffusion, probes
from ..kernels import PowerExponential
from ..models import Model
from ..nn import DiT, UnrolledTransformer
from . import attention_page
from .control import FRAMES, control_process
from .reproductions import Finding
from .stages import Stage
from .yardstick_networks import NULLS, network

TIME = 0.2
OTHER = 2.0
KINDS = ("trained", *NULLS)


@dataclass(frozen=True, eq=False)
class Reading:
    """The attention of one network.

    Attributes:
        name: "unrolled", "position", "dit linear" or "dit softmax".
        kind: "trained" or a null.
        correlation: Partial correlation of each head with Gamma beyond the null maps.
        other: The same with another kernel's covariance, beyond the same maps.
        p_value, family_p_value: Smallest over heads, by relabelling frames; single and corrected over heads.
        profile: Of the head that agrees best, weights by signed lag, (2 N - 1,), over their largest.
        profile_error: Its standard errors over sequences.
    """

    name: str
    kind: str
    correlation: list[float]
    other: list[float]
    p_value: float
    family_p_value: float
    profile: list[float]
    profile_error: list[float]

    @property
    def best(self) -> float:
        """Largest |partial correlation| over heads."""
        return max(abs(one) for one in self.correlation)


@dataclass(frozen=True, eq=False)
class AttentionResult:
    """All that the page shows. ``compiled_gap``: largest |sum of a compiled network's heads - Gamma|."""

    readings: list[Reading]
    gamma: list[float]
    compiled_gap: float
    permutations: int

    def of(self, name: str, kind: str) -> Reading | None:
        """The reading of that network, if it was taken."""
        return next((one for one in self.readings if (one.name, one.kind) == (name, kind)), None)

    def null_best(self, name: str) -> float:
        """The largest agreement of any null network of that kind."""
        return max(one.best for one in self.readings if one.name == name and one.kind != "trained")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Probe compiled, trained and null networks with the same sequences."""
    process = control_process()
    permutations = 199 if quick else 1999
    generator = torch.Generator().manual_seed(seed + 9)
    data = process.sample(32 if quick else 256, generator=generator)
    noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
    x = diffusion.noise(data, torch.tensor(TIME, dtype=torch.float64), noise).float()
    with stage("compiled"):
        gamma = probes.circuits(compile_score(process).network).nearest_kronecker()[0]
    readings = []
    for name in ("unrolled", "position", "dit"):
        untrained: dict[str, list[Tensor]] = {}
        for kind in ("untrained", "trained", "white", "permuted"):
            model = network(name, kind, quick=quick, seed=seed, folder=folder, stage=stage)
            for path, probe in _probes(name, model, x):
                if kind == "untrained":
                    untrained[path] = null_maps(probe)
                    if name == "unrolled":
                        continue  # its map is the identity, which has no pairs to look at
                readings.append(_read(path, kind, probe, untrained[path], permutations, seed))
    gap = float((gamma - process.temporal_covariance).abs().max())
    result = AttentionResult(readings, process.temporal_covariance[0].tolist(), gap, permutations)
    return Finding(attention_page.page(result, quick), _record(result))


def _probes(name: str, model: Model, x: Tensor) -> list[tuple[str, probes.AttentionProbe]]:
    """Probes of a network, by path; an unrolled network's blocks are tied, so its heads are looked at once."""
    net = model.network
    if isinstance(net, UnrolledTransformer):
        return [(name, probes.attention(net, x, TIME, maps=lambda x, t: [net.heads.weights_and_values()[0][None]]))]
    if isinstance(net, DiT):
        assert isinstance(net.linear, nn.Module)
        return [
            ("dit linear", probes.attention(net.linear, x, TIME)),
            ("dit softmax", probes.attention(net, x, TIME)),
        ]
    return [(name, probes.attention(net, x, TIME))]


def null_maps(untrained: probes.AttentionProbe) -> list[Tensor]:
    """What positions alone give: the distance of the frames, and the untrained network's mean map."""
    frames = torch.arange(untrained.weights.shape[-1], dtype=torch.float64)
    distance = (frames[:, None] - frames[None, :]).abs()
    return [distance, untrained.weights.mean(dim=0)]


def _read(
    name: str, kind: str, probe: probes.AttentionProbe, nulls: Sequence[Tensor], permutations: int, seed: int
) -> Reading:
    process = control_process()
    lags = torch.arange(FRAMES, dtype=torch.float64)
    other = PowerExponential(OTHER).covariance(lags)

    def against(covariance: Tensor) -> probes.Association:
        generator = torch.Generator().manual_seed(seed + 1)
        return probe.association(covariance, nulls, permutations=permutations, generator=generator)

    found = against(process.temporal_covariance)
    best = int(found.correlation.abs().argmax())
    profile = probe.lag_profile()[best]
    error = torch.stack([probe.standard_error[best].diagonal(-lag).mean() for lag in range(1 - FRAMES, FRAMES)])
    size = profile.abs().max().clamp_min(1e-12)
    return Reading(
        name,
        kind,
        found.correlation.tolist(),
        against(other).correlation.tolist(),
        float(found.p_value.min()),
        float(found.family_p_value.min()),
        (profile / size).tolist(),
        (error / size).tolist(),
    )


def _record(result: AttentionResult) -> dict:
    return {
        "compiled_gamma_gap": result.compiled_gap,
        "permutations": result.permutations,
        "readings": [vars(one) for one in result.readings],
    }
