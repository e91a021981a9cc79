"""How long compiling and running take, and what float32 loses: timings, so run it alone on an idle machine."""

from __future__ import annotations

import time

import torch

import kronoscope as ks
from kronoscope.compiler import CompiledScore
from kronoscope.nn import merged
from kronoscope.processes import GaussianSequence

from .compiler import spatial_covariance

BLOCKS, SEQUENCES = 350, 64
MOST_COMPILING, MOST_RUNNING, MOST_LOST = 10.0, 3.0, 1e-3
KERNEL = ks.kernels.PowerExponential(32.0)
LONG = ks.kernels.PowerExponential(8.0)
TIMES = (0.01, 0.1, 1.0)


def run() -> list[dict]:
    """Compiling and running N = 256, d = 8 with 350 blocks; float32 at N = 1024 by the two embeddings of the lag."""
    return _speed() + _precision()


def _speed() -> list[dict]:
    process = GaussianSequence(KERNEL, spatial_covariance(8), times=256)
    tolerance = float(ks.iterations.residual_bound("chebyshev", process.condition_number(1e-2), BLOCKS))
    began = time.monotonic()
    compiled = ks.compile_score(process, tolerance=tolerance * (1 + 1e-6))
    seconds = time.monotonic() - began
    sizes = compiled.network.sizes()
    about = (
        f"{sizes.depth} tied blocks, {sizes.num_heads} heads, width {sizes.width}, {torch.get_num_threads()} threads"
    )
    compiled.network.float()
    x, fast, forward = process.sample(SEQUENCES), merged(compiled.network), []
    with torch.no_grad():
        for t in TIMES:
            began = time.monotonic()
            fast(x.float(), torch.full((SEQUENCES,), t))
            forward.append(time.monotonic() - began)
    lost = max(_lost(compiled, x[:4], t) for t in TIMES)
    return [
        _row("compile N = 256, d = 8", seconds, MOST_COMPILING, about),
        _row(f"forward of {SEQUENCES} sequences in float32, merged", min(forward), MOST_RUNNING, "best of three"),
        {"name": "its float32 weights against float64", "value": lost, "unit": "relative", "note": "t from 0.01"},
    ]


def _row(name: str, value: float, limit: float, note: str) -> dict:
    return {"name": name, "value": value, "unit": "s", "baseline": limit, "ratio": value / limit, "note": note}


def _precision() -> list[dict]:
    """The affine pair and the arc in float32, each against its own iteration in float64; last without merging."""
    process = GaussianSequence(LONG, spatial_covariance(4), times=1024)
    x, rows = process.sample(2), []
    for heads, limit in (("affine", MOST_LOST), ("arc", None)):
        compiled = ks.compile_score(process, min_time=0.1, heads=heads)
        compiled.network.float()
        lost = max(_lost(compiled, x, t) for t in (0.1, 0.3, 1.0, 6.0))
        note = "heads added up in float64" if limit else "the compiler refuses it at float32 for this tolerance"
        rows.append(_loss(f"{heads}, N = 1024, t >= 0.1, float32 weights", lost, limit, note))
    single = GaussianSequence(LONG, spatial_covariance(1), times=1024)
    compiled = ks.compile_score(single, min_time=0.1)
    compiled.network.float()
    lost = _lost(compiled, single.sample(1), 0.1, plain=True)
    return [*rows, _loss("affine, the same, t = 0.1", lost, MOST_LOST, "every head by itself, all in float32")]


def _loss(name: str, lost: float, limit: float | None, note: str) -> dict:
    row = {"name": name, "value": lost, "unit": "relative", "note": note}
    return row if limit is None else row | {"baseline": limit, "ratio": lost / limit}


def _lost(compiled: CompiledScore, x: torch.Tensor, t: float, plain: bool = False) -> float:
    with torch.no_grad():
        own = compiled.iteration.score(x, t)
        got = (compiled.network if plain else compiled.score)(x.float(), t)
        return float((got.double() - own).norm() / own.norm())
