"""``kronoscope reproduce values``: whether the value matrices of compiled and trained networks hold Sigma."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kronoscope import compile_score, probes
from kronoscope.nn import DiT
from kronoscope.processes import GaussianSequence

from ..study import Run, Study
from ..yardstick import yardstick
from .networks import FULL, QUICK, Training, network
from .values_page import COMPILED, Alignment, Chance, Result, Spectrum, Values, checks, page

LEARNERS = ("unrolled", "position", "dit")
KINDS = ("trained", "untrained", "white")
TOLERANCE = 1e-2
NO_AXES = 1e-6  # relative distance from a multiple of the identity


@dataclass(frozen=True)
class Size:
    """Random rotations of the nulls, and the training."""

    rotations: int
    training: Training


def measure(run: Run[Size]) -> Result:
    """Compile the yardstick, train on it and on its nulls, compare the value matrices with Sigma."""
    process, rotations = yardstick(), run.size.rotations
    with run.stage("compiled"):
        compiled = compile_score(process, tolerance=TOLERANCE).network
        values = [read(COMPILED, COMPILED, compiled, process, rotations, run.seed)]
    for name in LEARNERS:
        for kind in KINDS:
            model = network(name, kind, run.size.training, run.seed, run.store, run.stage)
            inner = model.network.linear if isinstance(model.network, DiT) else model.network
            assert isinstance(inner, nn.Module)
            if name == "unrolled" or kind != "untrained":  # the value path of the others starts from zero
                values.append(read(name, kind, inner, process, rotations, run.seed))
    sigma = _matrix(process.spatial_covariance)
    return Result(sigma, tuple(values), null_cosine(process, rotations, run.seed), rotations)


def read(name: str, kind: str, net: nn.Module, process: GaussianSequence, rotations: int, seed: int) -> Values:
    """Compare the heads of every block with Sigma; the tied blocks of an unrolled or compiled network count once."""
    sigma, generator, draws = process.spatial_covariance, *(torch.Generator().manual_seed(seed + k) for k in (3, 5))
    gamma, spatial, share = probes.circuits(net, 0).nearest_kronecker()
    blocks = len(net.blocks) if name in ("position", "dit") else 1  # type: ignore[arg-type]
    heads = [value for block in range(blocks) for value in probes.circuits(net, block).values]
    alignments, spectra = [], []
    for value in heads[:1] if name == COMPILED else heads:
        spectrum = probes.spectrum(value, sigma, draws=rotations, generator=draws)
        spectra.append(Spectrum(spectrum.shares, spectrum.distance, spectrum.null_distance, spectrum.p_value))
        if _has_axes(value):
            head = probes.alignment(value, sigma, rotations=rotations, generator=generator)
            alignments.append(Alignment(head.cosine, head.p_value, head.angles, head.null_angles, head.angle_p_values))
    truth, spatial = sigma / sigma.trace(), spatial / spatial.trace()
    return Values(
        name=name,
        kind=kind,
        sigma=_matrix(spatial),
        gap=float((spatial - truth).abs().max() / truth.abs().max()),
        temporal_gap=float((gamma - process.temporal_covariance).abs().max()),
        share=share,
        alignments=tuple(alignments),
        spectra=tuple(spectra),
    )


def _has_axes(value: Tensor) -> bool:
    """Whether a value matrix differs from a multiple of the identity."""
    multiple = value.diagonal().mean() * torch.eye(len(value))
    return float((value - multiple).norm()) > NO_AXES * float(value.norm())


def null_cosine(process: GaussianSequence, rotations: int, seed: int) -> Chance:
    """|cosine| between Sigma and random rotations of itself."""
    generator = torch.Generator().manual_seed(seed + 4)
    sigma = process.spatial_covariance - torch.eye(process.num_features) * process.spatial_covariance.diagonal().mean()
    cosines = []
    for _ in range(rotations):
        q, _ = torch.linalg.qr(torch.randn(sigma.shape, dtype=torch.float64, generator=generator))
        cosines.append(float((sigma * (q @ sigma @ q.T)).sum().abs() / sigma.square().sum()))
    return Chance(sum(cosines) / len(cosines), sorted(cosines)[int(0.95 * len(cosines))])


def _matrix(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


ROTATIONS = 999
STUDY = Study(
    claim="Value matrices show the spatial covariance where the network has the solver's structure.",
    full=Size(ROTATIONS, FULL),
    quick=Size(ROTATIONS, QUICK),
    minutes=(9, 1.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
