"""Random edits of compiled folders with all hashes made to fit: ``verify`` must refuse each that moves the score.

An edit changes one or two of the weights, the configuration and the certificate. It *moves the score* where, on fresh
draws of p_t at random t, the edited network's root-mean-square difference from the original network, or from the exact
score of the process that the folder now describes, is more than the bound. ``KRONOSCOPE_EDITS`` sets how many edits
there are (2000), ``KRONOSCOPE_SEED`` which ones (0).
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

import kronoscope as ks
from kronoscope import compiler, diffusion, kernels
from kronoscope.compiler.certificate import canonical
from kronoscope.compiler.storing import rebuild
from kronoscope.processes import DenseGaussian, GaussianLaw, GaussianSequence, KroneckerSum

DRAWS, TIMES = 64, 3
PARTS = (("weights",), ("configuration",), ("certificate",), ("weights", "configuration"), ("weights", "certificate"),
         ("configuration", "certificate"))  # fmt: skip
SHARES = (0.5, 0.05, 0.05, 0.15, 0.15, 0.1)
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What an edit did and what ``verify`` said.

    Attributes:
        kind: What was edited.
        case: Which folder.
        moved: Root-mean-square change of the score on fresh draws, in bounds.
        refused: Whether ``verify`` disagreed.
    """

    kind: str
    case: str
    moved: float
    refused: bool


def run() -> list[dict]:
    """A row for each kind of edit, and the edits that were missed, which must be none."""
    outcomes = list(edits(int(os.environ.get("KRONOSCOPE_EDITS", "2000")), int(os.environ.get("KRONOSCOPE_SEED", "0"))))
    rows = [_summary(kind, [o for o in outcomes if o.kind == kind]) for kind in sorted({o.kind for o in outcomes})]
    missed = [o for o in outcomes if o.moved > 1 and not o.refused]
    rows.append(_summary("all", outcomes))
    rows.append({"name": "missed", "value": float(len(missed)), "unit": "edits", "note": "must be 0"})
    return rows + [{"name": o.case, "note": f"{o.kind}: moved by {o.moved:.3g} bounds, not refused"} for o in missed]


def edits(count: int, seed: int, only: Container[str] | None = None) -> Iterator[Outcome]:
    """``count`` random edits, in turn on each of the compiled folders, or on those named."""
    generator = torch.Generator().manual_seed(seed)
    compiled = list(cases(only))
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(number) for number in range(len(compiled))]
        for folder, (_, score) in zip(folders, compiled, strict=True):
            compiler.save(score, folder)
        for number in range(count):
            which = number % len(compiled)
            name, score = compiled[which]
            yield _edit(name, score, folders[which], Path(place) / "edited", generator)


def cases(only: Container[str] | None = None) -> Iterator[tuple[str, compiler.CompiledScore]]:
    """Small compiled scores of every iteration, kind of gates, heads, process and dtype, or those named."""
    sigma = torch.tensor([[1.0, 0.5], [0.5, 0.8]], dtype=torch.float64)
    exponential, periodic = kernels.PowerExponential(4.0), kernels.Cosine(5.3)
    mean = torch.arange(16, dtype=torch.float64).reshape(8, 2).sin()
    plain, centred = GaussianSequence(exponential, sigma, 8), GaussianSequence(kernels.Matern(3.0, 1.5), sigma, 8, mean)
    uneven = GaussianSequence(exponential, sigma, torch.tensor([0.0, 0.4, 1.7, 2.0, 3.9, 4.1]))
    several = KroneckerSum([(exponential, sigma), (periodic, sigma.flip(0, 1))], 6)
    generator = torch.Generator().manual_seed(7)
    dense = DenseGaussian(torch.cov(torch.randn(12, 80, generator=generator, dtype=torch.float64)), 2)
    asked: list[tuple[str, GaussianLaw, dict[str, Any]]] = [
        ("spectral", plain, {"iteration": "spectral"}),
        ("spectral with a mean", centred, {"iteration": "spectral"}),
        ("spectral of a sum", several, {"iteration": "spectral"}),
        ("spectral, float32", centred, {"iteration": "spectral", "dtype": torch.float32}),
        ("chebyshev", centred, {}),
        ("chebyshev, arc", plain, {"heads": "arc"}),
        ("chebyshev, trapezoid", plain, {"heads": "trapezoid"}),
        ("chebyshev, table", dense, {"heads": "table"}),
        ("chebyshev, irregular", uneven, {}),
        ("chebyshev, float32", plain, {"dtype": torch.float32, "min_time": 0.1}),
        ("chebyshev-steps of a sum", several, {"iteration": "chebyshev-steps", "min_time": 0.1}),
        ("heavy-ball", plain, {"iteration": "heavy-ball", "tolerance": 0.1}),
        ("gradient-descent", plain, {"iteration": "gradient-descent", "tolerance": 0.1, "min_time": 0.1}),
        ("preconditioned", centred, {"iteration": "preconditioned-chebyshev"}),
        ("spectral, relu", centred, {"iteration": "spectral", "gates": "relu"}),
        ("preconditioned, relu", plain, {"iteration": "preconditioned-chebyshev", "gates": "relu", "tolerance": 0.1}),
        ("chebyshev, relu", plain, {"gates": "relu", "tolerance": 0.2, "min_time": 0.2}),
    ]  # fmt: skip
    for name, process, options in asked:
        if only is None or name in only:
            yield name, ks.compile_score(process, **options)


def _edit(name: str, score: compiler.CompiledScore, folder: Path, edited: Path, generator: torch.Generator) -> Outcome:
    """Edit a copy of a folder, judge it on fresh draws, and ask ``verify``."""
    parts = PARTS[int(torch.multinomial(torch.tensor(SHARES), 1, generator=generator))]
    weights = load_tensors((folder / "weights.safetensors").read_bytes())
    configuration = json.loads((folder / "configuration.json").read_text())
    arrays = load_tensors((folder / "process.safetensors").read_bytes())
    certificate = json.loads((folder / "certificate.json").read_text())["certificate"]
    kinds = []
    if "weights" in parts:
        change = _pick(WEIGHT_EDITS, generator)
        kinds.append(change.__name__.strip("_").replace("_", " "))
        change(weights, generator)
    if "configuration" in parts:
        kinds.append("configuration")
        _edit_configuration(configuration, arrays, generator)
    if "certificate" in parts:
        kinds.append("certificate")
        _edit_certificate(certificate, generator)
    _write(edited, weights, configuration, arrays, certificate)
    return Outcome(
        " + ".join(kinds), name, _moved(score, weights, configuration, arrays, generator), bool(compiler.verify(edited))
    )


def _write(folder: Path, weights: Weights, configuration: dict, arrays: Weights, certificate: dict) -> None:
    """All four files, with hashes that fit."""
    folder.mkdir(exist_ok=True)
    contents = [canonical(configuration).encode(), save_tensors(arrays), save_tensors(weights)]
    for name, content in zip(("configuration.json", "process.safetensors", "weights.safetensors"), contents):
        (folder / name).write_bytes(content)
    certificate["weights_sha256"] = hashlib.sha256(contents[2]).hexdigest()
    certificate["configuration_sha256"] = hashlib.sha256(contents[0] + contents[1]).hexdigest()
    own = hashlib.sha256(canonical(certificate).encode()).hexdigest()
    (folder / "certificate.json").write_text(canonical({"certificate": certificate, "sha256": own}))


def _moved(
    score: compiler.CompiledScore, weights: Weights, configuration: dict, arrays: Weights, generator: torch.Generator
) -> float:
    """The largest change over the times in units of the bound; infinite where there is no such network or process."""
    options = score.options
    try:
        network = _network(score, weights)
        process = rebuild(configuration["process"], arrays)
        if process.mean.shape != score.process.mean.shape:
            return math.inf
        largest = 0.0
        for share in torch.rand(TIMES, generator=generator, dtype=torch.float64):
            low, high = diffusion.clock(options.min_time), diffusion.clock(options.max_time)
            t = float(diffusion.time_from_clock(low + share * (high - low)).clamp(options.min_time, options.max_time))
            for law, reference in ((score.process, score.score), (process, process.score)):
                data = law.sample(DRAWS, generator=generator)
                noise = torch.randn(data.shape, dtype=data.dtype, generator=generator)
                x = diffusion.noise(data, t, noise).to(score.network.enter.dtype)
                with torch.no_grad():
                    change = network(x, t).double() - reference(x.double(), t)
                exact = law.score(x.double(), t).square().sum()
                largest = max(largest, math.sqrt(float(change.square().sum() / exact)))
        return largest / score.bound if math.isfinite(largest) else math.inf
    except (ks.InputError, RuntimeError, ValueError, TypeError, AttributeError, KeyError):
        return math.inf


def _network(score: compiler.CompiledScore, weights: Weights) -> nn.Module:
    """The original network with edited tensors put in, whatever their shapes."""
    network = copy.deepcopy(score.network)
    for name, tensor in weights.items():
        owner, _, attribute = name.rpartition(".")
        module = network.get_submodule(owner)
        if attribute in module._parameters:
            module._parameters[attribute] = nn.Parameter(tensor.to(score.network.enter.dtype))
        else:
            module._buffers[attribute] = tensor
    for block in network.unique_blocks():
        block.num_hidden = 0 if block.inner is None else len(block.inner)
    return network


def _single_value(weights: Weights, generator: torch.Generator) -> None:
    """One entry of one tensor, by a factor, by a number, to zero, or with another sign."""
    tensor = weights[_pick([name for name in weights if weights[name].numel()], generator)].view(-1)
    place = _below(len(tensor), generator)
    size = 10.0 ** (6 * _uniform(generator) - 5)
    ways = (lambda v: v * (1 + size), lambda v: v + size, lambda v: torch.zeros_like(v), lambda v: -v - size)
    tensor[place] = _pick(ways, generator)(tensor[place])


def _low_rank(weights: Weights, generator: torch.Generator) -> None:
    """A random matrix of rank 1 or 2 added to one tensor."""
    tensor = weights[_pick([name for name in weights if weights[name].ndim >= 2], generator)]
    rows, columns = tensor.shape[-2:]
    change = torch.zeros(rows, columns, dtype=torch.float64)
    for _ in range(1 + _below(2, generator)):
        change += torch.outer(_normal(rows, generator), _normal(columns, generator))
    change *= 10.0 ** (6 * _uniform(generator) - 6) * float(tensor.double().abs().max()) / float(change.norm())
    tensor[...] = (tensor.double() + change).to(tensor.dtype)


def _saturating_unit(weights: Weights, generator: torch.Generator) -> None:
    """A hidden unit more, which is 0 near the origin and bends what it reads beyond."""
    name = _pick([name for name in weights if name.endswith(".inner")], generator)
    block = name.removesuffix("inner")
    inner, outer = weights[name], weights[f"{block}outer"]
    copied = _below(len(inner), generator)
    row = inner[copied : copied + 1] if _below(2, generator) else _normal(inner.shape[1], generator)[None].to(inner)
    bias = torch.full((1,), -(10.0 ** (2 * _uniform(generator))), dtype=inner.dtype)
    before = weights.get(f"{block}inner_bias", torch.zeros(len(inner), dtype=inner.dtype))
    weights[name] = torch.cat([inner, row])
    weights[f"{block}inner_bias"] = torch.cat([before, bias])
    weights[f"{block}outer"] = torch.cat([outer, -outer[:, copied : copied + 1]], dim=1)


def _unit_made_to_saturate(weights: Weights, generator: torch.Generator) -> None:
    """A bias for the units that are there: each bends elsewhere, and no tensor changes its shape."""
    name = _pick([name for name in weights if name.endswith(".inner")], generator)
    bias = weights.setdefault(f"{name}_bias", torch.zeros(len(weights[name]), dtype=weights[name].dtype))
    bias[_below(len(bias), generator)] += (2 * _uniform(generator) - 1) * 10.0 ** (4 * _uniform(generator) - 2)


def _whole_tensor(weights: Weights, generator: torch.Generator) -> None:
    """A tensor scaled, its rows exchanged, or its numbers kept in the other precision."""
    name = _pick([name for name in weights if weights[name].numel() > 1], generator)
    size = 10.0 ** (5 * _uniform(generator) - 5)
    other = torch.float32 if weights[name].dtype == torch.float64 else torch.float64
    ways = (lambda v: v * (1 + size), lambda v: v.flip(0).contiguous(), lambda v: v.to(other))
    weights[name] = _pick(ways, generator)(weights[name])


WEIGHT_EDITS: tuple[Callable[[Weights, torch.Generator], None], ...] = (
    _single_value, _low_rank, _saturating_unit, _unit_made_to_saturate, _whole_tensor,
)  # fmt: skip


def _edit_configuration(configuration: dict, arrays: Weights, generator: torch.Generator) -> None:
    """An option, a number of a kernel, or an entry of the process."""
    options, way = configuration["options"], _below(3, generator)
    factor = 1 + (2 * _uniform(generator) - 1) * 10.0 ** (-4 * _uniform(generator))
    if way == 0:
        name = _pick(["tolerance", "min_time", "max_time", "max_depth", "heads", "iteration", "dtype"], generator)
        other = {"heads": "table", "iteration": "chebyshev", "dtype": "float32", "max_depth": options["max_depth"] - 1}
        options[name] = other[name] if name in other else options[name] * factor
    elif way == 1 and configuration["process"]["kernels"]:
        kernel = configuration["process"]["kernels"][0]
        configuration["process"]["kernels"][0] = f"{factor:.6g} * ({kernel})"
    else:
        tensor = arrays[_pick(sorted(arrays), generator)]
        tensor *= factor  # stays a covariance, or increasing times


def _edit_certificate(certificate: dict, generator: torch.Generator) -> None:
    """A number: the bound, a measured error, a size."""
    name = _pick(["bound", "score_kl", "depth", "parameters", "measured", "weight_norm", "tolerance"], generator)
    factor = 10.0 ** (4 * _uniform(generator) - 2)
    if name == "measured":
        certificate[name][_below(len(certificate[name]), generator)]["value"] *= factor
    else:
        whole = isinstance(certificate[name], int)
        certificate[name] = int(certificate[name] * factor) + 1 if whole else certificate[name] * factor


def _summary(name: str, outcomes: list[Outcome]) -> dict:
    moving, less = [o for o in outcomes if o.moved > 1], [o for o in outcomes if o.moved <= 1]
    refused = sum(o.refused for o in moving)
    return {
        "name": name,
        "value": float(refused),
        "unit": "refused",
        "baseline": f"{len(moving)} move the score",
        "ratio": refused / len(moving) if moving else None,
        "note": f"{len(outcomes)} edits; of {len(less)} that move it by less {sum(o.refused for o in less)} refused",
    }


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def _normal(size: int, generator: torch.Generator) -> Tensor:
    return torch.randn(size, generator=generator, dtype=torch.float64)


def _below(size: int, generator: torch.Generator) -> int:
    return int(torch.randint(size, (), generator=generator))


def _pick(choices: Any, generator: torch.Generator) -> Any:
    return choices[_below(len(choices), generator)]
