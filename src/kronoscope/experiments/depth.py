"""``kronoscope reproduce depth``: layers against the condition number, from tables of coefficients and on networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..compiler import compile_score
from . import depth_page
from .depth_cases import (
    KERNELS,
    REFERENCES,
    Reference,
    Slope,
    Spectra,
    condition_number,
    depths,
    network_error,
    process_of,
    slope,
)
from .reproductions import Finding
from .stages import Stage

TOLERANCE = 1e-3
FRAMES = 64
LEAST_FITTED = 30.0  # condition number from which the lines are straight
TIMES = (1e-5, 1.0)
SPECTRAL_LAYERS = 2


@dataclass(frozen=True)
class Curve:
    """Depths of every solver along the condition number of one kernel, and their slopes on log-log axes."""

    kernel: str
    condition_numbers: list[float]
    depths: dict[str, list[int]]
    slopes: dict[str, Slope]


@dataclass(frozen=True)
class Checked:
    """A reference row computed anew."""

    reference: Reference
    condition_number: float
    depths: dict[str, int]


@dataclass(frozen=True)
class Network:
    """A compiled network of the first reference row: its blocks, its proven bound, and its error as drawn."""

    iteration: str
    blocks: int
    bound: float
    error: float


@dataclass(frozen=True)
class DepthResult:
    """All that the page shows."""

    curves: list[Curve]
    checked: list[Checked]
    networks: list[Network]


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Sweep the noise so that kappa runs over decades, check the table of the theory, and compile its first row."""
    with stage("depths along the condition number") as show:
        points, names = (10, 2) if quick else (24, len(KERNELS))
        curves = []
        for number, name in enumerate(list(KERNELS)[:names]):
            curves.append(_curve(name, points))
            show((number + 1) / names, name)
    with stage("the table of the theory"):
        checked = [_check(reference) for reference in REFERENCES]
    with stage("compiled networks") as show:
        iterations = ("gradient-descent", "chebyshev", "preconditioned-chebyshev", "spectral")
        networks = []
        for number, iteration in enumerate(iterations[1:] if quick else iterations):
            networks.append(_network(REFERENCES[0], iteration, seed))
            show((number + 1) / len(iterations), iteration)
    result = DepthResult(curves, checked, networks)
    return Finding(depth_page.page(result, TOLERANCE, LEAST_FITTED), _record(result))


def _curve(name: str, points: int) -> Curve:
    spectra = Spectra.of(process_of(KERNELS[name], FRAMES))
    kappas, found = [], []
    for t in np.geomspace(*TIMES, points):
        kappas.append(condition_number(spectra, float(t)))
        found.append(depths(spectra, float(t), TOLERANCE))
    rows = {solver: [row[solver] for row in found] for solver in found[0]}
    rows["spectral"] = [SPECTRAL_LAYERS] * points
    fitted = [i for i, kappa in enumerate(kappas) if kappa >= LEAST_FITTED]
    slopes = {
        solver: slope([math.log(kappas[i]) for i in fitted], [math.log(values[i]) for i in fitted])
        for solver, values in rows.items()
        if solver != "spectral"
    }
    return Curve(name, kappas, rows, slopes)


def _check(reference: Reference) -> Checked:
    spectra = Spectra.of(process_of(reference.kernel, reference.frames))
    found = depths(spectra, reference.time, TOLERANCE)
    return Checked(reference, condition_number(spectra, reference.time), found)


def _network(reference: Reference, iteration: str, seed: int) -> Network:
    process = process_of(reference.kernel, reference.frames)
    compiled = compile_score(process, iteration, TOLERANCE, reference.time, heads="table", max_depth=20_000)
    error = network_error(compiled, reference.time, seed)
    return Network(iteration, compiled.network.depth, compiled.bound, error)


def _record(result: DepthResult) -> dict:
    return {
        "curves": [
            {
                "kernel": curve.kernel,
                "condition_numbers": curve.condition_numbers,
                "depths": curve.depths,
                "slopes": {name: [one.value, one.lower, one.upper] for name, one in curve.slopes.items()},
            }
            for curve in result.curves
        ],
        "table": [
            {
                "case": one.reference.name,
                "time": one.reference.time,
                "depths": one.depths,
                "theory": one.reference.depths,
            }
            for one in result.checked
        ],
        "networks": [vars(one) for one in result.networks],
    }
