"""Every kernel class, size, iteration and kind of gates: measured error, proven bound, tolerance, and the refusals.

900 cases; the environment variable ``KRONOSCOPE_FRAMES`` ("16,64") leaves sizes out, ``KRONOSCOPE_CASES`` keeps those
whose name holds it, and ``KRONOSCOPE_LOG`` names a file that gets one line of JSON a case.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import kronoscope as ks
from kronoscope import kernels
from kronoscope.compiler import ITERATIONS, CompiledScore
from kronoscope.processes import GaussianSequence

TOLERANCE, MIN_TIME, MAX_TIME = 1e-2, 1e-2, 6.0
TIMES = (MIN_TIME, 0.3, MAX_TIME)
FEATURES, GATES = (1, 4, 8), ("modulated", "relu")
LARGEST_FAITHFUL = 300.0  # condition number up to which relu gates unroll gradient descent, however deep that is
UNLIMITED = 2**20
LARGEST_EXACT = 128  # N d up to which the affine map of a network without products by ReLU layers is read off
VALUES = 2048  # entries of the sequences at each time, for the measured error by Monte Carlo
KERNELS: dict[str, kernels.Kernel] = {
    "exponential": kernels.PowerExponential(4.0),
    "stretched exponential": kernels.PowerExponential(2.0, 0.6),
    "squared exponential": kernels.PowerExponential(2.0, 2.0),
    "Matern 3/2": kernels.Matern(4.0, 1.5),
    "rational quadratic": kernels.RationalQuadratic(2.0, 0.5),
    "Cauchy": kernels.Cauchy(1.0),
    "fractional Gaussian noise": kernels.FractionalGaussianNoise(0.8),
    "periodic x exponential": kernels.Periodic(8.0, 1.0) * kernels.PowerExponential(8.0),
    "cosine + white noise": kernels.Cosine(5.3) + 0.1 * kernels.White(),
    "Wendland": kernels.Wendland(6.0, 1),
}


@dataclass(frozen=True)
class Case:
    """What was found for one cell of the grid.

    Attributes:
        name: Kernel, N, d, iteration, gates.
        group: Iteration and gates.
        refusal: What the compiler said, or empty.
        depth: Blocks; 0 where it was refused.
        bound: Proven.
        measured, standard_error: Largest over the times, and its Monte Carlo error.
        difference: Of the network from its iteration in float64, relative, largest over the times.
        product: The part of the bound that allows such a difference; 0 where modulation multiplies.
        seconds: In all.
    """

    name: str
    group: str
    refusal: str = ""
    depth: int = 0
    bound: float = 0.0
    measured: float = 0.0
    standard_error: float = 0.0
    difference: float = 0.0
    product: float = 0.0
    seconds: float = 0.0

    @property
    def faults(self) -> list[str]:
        """What the case must not do."""
        if self.refusal:
            fine = "blocks" in self.refusal and "iteration=" in self.refusal
            return [] if fine else [f"refused for another reason ({self.refusal})"]
        found = []
        if self.measured - 3 * self.standard_error > self.bound:
            found.append(f"measured {self.measured:.3g} above its bound {self.bound:.3g}")
        if self.bound > TOLERANCE:
            found.append(f"bound {self.bound:.3g} above the tolerance")
        if self.difference > max(1e-9, self.product):
            found.append(f"off its iteration by {self.difference:.3g}")
        return found


def run() -> list[dict]:
    """A row for each iteration and kind of gates: its cases, refusals, and worst figures; then every fault by name."""
    done: dict[str, list[Case]] = {}
    for case in _cases():
        done.setdefault(case.group, []).append(case)
    rows = [_summary(group, cases) for group, cases in done.items()]
    faults = [(case.name, fault) for cases in done.values() for case in cases for fault in case.faults]
    rows.append({"name": "faults", "value": float(len(faults)), "unit": "cases", "note": "must be 0"})
    return rows + [{"name": name, "note": fault} for name, fault in faults]


def spatial_covariance(features: int) -> torch.Tensor:
    """A Sigma of trace d whose eigenvalues are bounded below."""
    a = torch.randn(features, features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = a @ a.T / 4 + 0.3 * torch.eye(features, dtype=torch.float64)
    return matrix * features / matrix.trace()


def _cases() -> Iterator[Case]:
    sizes = [int(size) for size in os.environ.get("KRONOSCOPE_FRAMES", "16,64,256").split(",")]
    wanted, log = os.environ.get("KRONOSCOPE_CASES", ""), os.environ.get("KRONOSCOPE_LOG")
    for frames, gates, iteration, features, kernel in itertools.product(sizes, GATES, ITERATIONS, FEATURES, KERNELS):
        name = f"{kernel}, N = {frames}, d = {features}, {iteration}, {gates}"
        if wanted not in name:
            continue
        process = GaussianSequence(KERNELS[kernel], spatial_covariance(features), times=frames)
        case = _case(name, process, iteration, gates)
        if log:
            with Path(log).open("a") as file:
                file.write(json.dumps(asdict(case) | {"faults": case.faults}) + "\n")
        yield case


def _case(name: str, process: GaussianSequence, iteration: str, gates: str) -> Case:
    began, group = time.monotonic(), f"{iteration}, {gates}"
    faithful = (iteration, gates) == ("gradient-descent", "relu")
    deep = UNLIMITED if faithful and process.condition_number(MIN_TIME) <= LARGEST_FAITHFUL else 4096
    try:
        compiled = ks.compile_score(process, iteration, TOLERANCE, MIN_TIME, gates, max_depth=deep)
    except ks.InputError as error:
        return Case(name, group, refusal=str(error).splitlines()[-1], seconds=time.monotonic() - began)
    measured, difference = zip(*(_errors(compiled, t) for t in TIMES), strict=True)
    value, error = max(measured)
    seconds, product = time.monotonic() - began, compiled.plan.parts["product"] + compiled.plan.parts["tail"]
    return Case(
        name, group, "", compiled.network.depth, compiled.bound, value, error, max(difference), product, seconds
    )


def _errors(compiled: CompiledScore, t: float) -> tuple[tuple[float, float], float]:
    """((measured, standard error), difference from the iteration): relative, root mean square under p_t."""
    process = compiled.process
    entries = process.num_frames * process.num_features
    count = max(2, VALUES // entries)
    generator = torch.Generator().manual_seed(1)
    data = process.sample(count, generator=generator)
    white = torch.randn(data.shape, dtype=data.dtype, generator=generator)
    x = ks.diffusion.noise(data, t, white)
    with torch.no_grad():
        score = compiled.score(x, t)
    own, exact = compiled.iteration.score(x, t), process.score(x, t)
    difference = float((score - own).norm() / own.norm())
    energy = float((1 / (math.exp(-t) * compiled.iteration.spectrum - math.expm1(-t))).sum())
    if entries <= LARGEST_EXACT and compiled.options.gates == "modulated":
        return (math.sqrt(_exact_square(compiled, t) / energy), 0.0), difference
    squares = (score - exact).square().sum((1, 2))
    value = math.sqrt(float(squares.mean()) / energy)
    return (value, float(squares.std()) / math.sqrt(count) / (2 * value * energy) if value else 0.0), difference


def _exact_square(compiled: CompiledScore, t: float) -> float:
    """E|s - s*|^2 = tr(D C_t D') with s - s* = D x; no mean here."""
    process = compiled.process
    size = process.num_frames * process.num_features
    units = torch.eye(size, dtype=torch.float64).reshape(size, process.num_frames, process.num_features)
    with torch.no_grad():
        rows = (compiled.score(units, t) - process.score(units, t)).flatten(1)
    signal = math.exp(-t) * float(torch.einsum("ia,ij,ja->", rows, process.covariance(), rows))
    return signal - math.expm1(-t) * float(rows.square().sum())


def _summary(group: str, cases: list[Case]) -> dict:
    kept = [case for case in cases if not case.refusal]
    if not kept:
        return {"name": group, "note": f"{len(cases)} cases, all refused"}
    worst = max(kept, key=lambda case: case.measured / case.bound)
    deepest, farthest = max(c.depth for c in kept), max(c.difference for c in kept)
    note = (
        f"{len(cases)} cases, {len(cases) - len(kept)} refused as too deep; at most {deepest} blocks; "
        f"off the iteration by at most {farthest:.1e}"
    )
    return {
        "name": group,
        "value": worst.measured,
        "unit": "measured",
        "baseline": worst.bound,
        "ratio": worst.measured / worst.bound,
        "floor": max(case.bound for case in kept),
        "note": note,
    }
