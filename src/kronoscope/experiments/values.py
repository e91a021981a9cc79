"""``kronoscope reproduce values``: what the value matrices of compiled and trained networks do with the features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import compile_score, probes
from ..nn import DiT
from ..processes import GaussianSequence
from . import values_page
from .control import control_process
from .reproductions import Finding
from .stages import Stage
from .yardstick_networks import network

ROTATIONS = 999
LEARNERS = ("unrolled", "position", "dit")


@dataclass(frozen=True, eq=False)
class Reading:
    """One network's value matrices.

    Attributes:
        name: Which network.
        kind: "compiled", "trained" or a null.
        sigma: Spatial factor of the nearest Kronecker product of its first block, (d, d), over its trace.
        gap: Largest relative error of that Sigma; ``temporal_gap`` of that Gamma (absolute).
        share: Of the heads' squared norm that one Kronecker product holds.
        alignments: Of every head of every block with Sigma, the cosine against random rotations; without those heads
            whose values are multiples of the identity, which have no axes to compare.
        spectra: Of every head of every block beside Sigma, its eigenvalues against random symmetric matrices.
    """

    name: str
    kind: str
    sigma: Tensor
    gap: float
    temporal_gap: float
    share: float
    alignments: list[probes.Alignment]
    spectra: list[probes.Spectrum]

    @property
    def cosine(self) -> float | None:
        """Mean |cosine| over heads; None where no head has axes."""
        return sum(abs(one.cosine) for one in self.alignments) / len(self.alignments) if self.alignments else None


@dataclass(frozen=True, eq=False)
class ValuesResult:
    """All that the page shows. ``null_cosine``: mean and 95 % point of |cosine| of random rotations of Sigma."""

    process: GaussianSequence
    readings: list[Reading]
    null_cosine: tuple[float, float]

    def of(self, name: str, kind: str) -> Reading | None:
        """The reading of that network, if it was taken."""
        return next((one for one in self.readings if (one.name, one.kind) == (name, kind)), None)


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Compile the yardstick, train on it and on its nulls; hold the value matrices against Sigma."""
    process = control_process()
    with stage("compiled"):
        compiled = compile_score(process, tolerance=1e-2)
        found = [read("compiled", "compiled", compiled.network, process, seed)]
    for name in LEARNERS:
        for kind in ("trained", "untrained", "white"):
            model = network(name, kind, quick=quick, seed=seed, folder=folder, stage=stage)
            inner = model.network.linear if isinstance(model.network, DiT) else model.network
            assert isinstance(inner, nn.Module)
            if not (name != "unrolled" and kind == "untrained"):  # their value path starts from zero
                found.append(read(name, kind, inner, process, seed))
    result = ValuesResult(process, found, null_cosine(process, seed))
    return Finding(values_page.page(result, quick), _record(result))


def read(name: str, kind: str, net: nn.Module, process: GaussianSequence, seed: int) -> Reading:
    """Circuits of every block with attention, beside Sigma."""
    truth = process.spatial_covariance / process.spatial_covariance.trace()
    alignments: list[probes.Alignment] = []
    spectra: list[probes.Spectrum] = []
    generator, draws = (torch.Generator().manual_seed(seed + k) for k in (3, 5))
    first = probes.circuits(net, 0)
    gamma, sigma, share = first.nearest_kronecker()
    blocks = len(net.blocks) if name in ("position", "dit") else 1  # type: ignore[arg-type]
    heads = [value for block in range(blocks) for value in probes.circuits(net, block).values]
    for value in heads if name != "compiled" else heads[:1]:
        spectra.append(probes.spectrum(value, process.spatial_covariance, draws=ROTATIONS, generator=draws))
        if float((value - value.diagonal().mean() * torch.eye(len(value))).norm()) > 1e-6 * float(value.norm()):
            alignments.append(
                probes.alignment(value, process.spatial_covariance, rotations=ROTATIONS, generator=generator)
            )
    sigma = sigma / sigma.trace()
    return Reading(
        name,
        kind,
        sigma,
        float((sigma - truth).abs().max() / truth.abs().max()),
        float((gamma - process.temporal_covariance).abs().max()),
        share,
        alignments,
        spectra,
    )


def null_cosine(process: GaussianSequence, seed: int) -> tuple[float, float]:
    """Mean and 95 % point of |cosine| between Sigma and random rotations of itself."""
    generator = torch.Generator().manual_seed(seed + 4)
    sigma = process.spatial_covariance - torch.eye(process.num_features) * process.spatial_covariance.diagonal().mean()
    found = []
    for _ in range(ROTATIONS):
        q, _ = torch.linalg.qr(torch.randn(sigma.shape, dtype=torch.float64, generator=generator))
        found.append(float((sigma * (q @ sigma @ q.T)).sum().abs() / sigma.square().sum()))
    ordered = sorted(found)
    return sum(found) / len(found), ordered[int(0.95 * len(ordered))]


def _record(result: ValuesResult) -> dict:
    rows = [
        {
            "network": one.name,
            "kind": one.kind,
            "sigma_over_trace": one.sigma.tolist(),
            "sigma_gap": one.gap,
            "gamma_gap": one.temporal_gap,
            "kronecker_share": one.share,
            "heads": [_of_alignment(found) for found in one.alignments],
            "spectra": [vars(found) for found in one.spectra],
        }
        for one in result.readings
    ]
    return {"readings": rows, "null_cosine": list(result.null_cosine)}


def _of_alignment(found: probes.Alignment) -> dict:
    return {
        "cosine": found.cosine,
        "p_value": found.p_value,
        "angles": list(found.angles),
        "angle_p_values": list(found.angle_p_values),
    }
