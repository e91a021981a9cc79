"""``verify`` refuses what moves the score, whoever made the hashes fit, and passes what only another machine writes."""

import copy
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from benchmarks import forgeries
from compiler_cases import PROCESSES, separable, sigma
from safetensors.torch import load_file, save_file
from test_compiler_folder import mend
from torch import nn

import kronoscope as ks
from kronoscope import compiler
from kronoscope.compiler import bounds, checking
from kronoscope.compiler.compiled import compile_options
from kronoscope.compiler.operators import KroneckerTerms
from kronoscope.compiler.products import Ranges
from kronoscope.compiler.verifying import weights_faults
from kronoscope.nn import merged

PLAIN = ks.GaussianSequence(ks.kernels.PowerExponential(4.0), sigma(1), times=16)
SMALL = ks.GaussianSequence(ks.kernels.PowerExponential(4.0), sigma(2), times=8)


def with_network(score, change):
    """The same score with a copy of its network that ``change`` edits in place."""
    network = copy.deepcopy(score.network)
    with torch.no_grad():
        change(network)
    return replace(score, network=network)


def edit(folder, change):
    """Change the stored weights in place, and make all hashes fit."""
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    mend(folder)


@pytest.fixture
def saved(tmp_path):
    compiler.save(ks.compile_score(SMALL, "spectral"), tmp_path)
    return tmp_path


def test_weights_that_differ_only_where_nobody_used_to_look(tmp_path):
    """Changed orthogonally to the four sequences that were once the only ones tried, with an open certificate."""
    score = ks.compile_score(PLAIN, "spectral")
    looked_at = PLAIN.sample(4, generator=torch.Generator().manual_seed(0))
    away = torch.linalg.qr(looked_at[..., 0].mT, mode="complete")[0][:, 5]

    def change(network):
        tables = network.blocks[0].query[:, :, -16:]  # transposed; one head for each sign
        moved = tables[0].mT + torch.outer(8 * torch.eye(16, dtype=torch.float64)[0], away)
        tables[0], tables[1] = moved.mT, -moved.mT

    forged = with_network(score, change)
    assert torch.allclose(forged.score(looked_at, 0.01), score.score(looked_at, 0.01))
    assert forged.certificate.worst.value > 1
    compiler.save(forged, tmp_path)
    reasons = " ".join(compiler.verify(tmp_path))
    assert "compiled again" in reasons
    assert "above its bound" in reasons
    assert "certificate.json says that the measured error" in reasons


def test_a_compiler_that_saturates_is_found_from_the_weights_alone(tmp_path, monkeypatch):
    """Ranges of 2 deviations: compilations agree with each other, and hardly a draw leaves them; the reserve tells."""
    honest = ks.compile_score(PLAIN, "spectral", gates="relu")
    choose = bounds._ranges

    def narrow(lowered, tolerance, layers):
        wide = choose(lowered, tolerance, layers)
        if wide is None:
            return None
        share = 2.0 / bounds.deviations(lowered, wide)
        return Ranges(layers, wide.gates, tuple(share * value for value in wide.values), wide.output)

    monkeypatch.setattr(bounds, "_ranges", narrow)
    saturating = ks.compile_score(PLAIN, "spectral", gates="relu")
    x = PLAIN.sample(16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(saturating.score(x, 0.1), honest.score(x, 0.1), rtol=1e-2, atol=1e-2)
    compiler.save(saturating, tmp_path)
    reasons = compiler.verify(tmp_path, seed=1)
    assert any("the proof needs" in reason for reason in reasons)
    monkeypatch.undo()
    compiler.save(replace(honest, network=saturating.network), tmp_path, force=True)
    assert any("compiled again" in reason for reason in compiler.verify(tmp_path))


def test_a_unit_that_bends_far_away_is_found_without_any_draw():
    """z - ReLU(z - 1e6): affine on every draw that there will ever be, but not affine."""
    score = ks.compile_score(SMALL)
    assert weights_faults(score, torch.Generator().manual_seed(0)) == []

    def change(network):
        block = network.blocks[0]
        block.inner_bias = nn.Parameter(torch.zeros(block.num_hidden + 1, dtype=torch.float64))
        block.inner_bias[-1] = -1e6
        block.inner = nn.Parameter(torch.cat([block.inner, block.inner[:1]]))
        block.outer = nn.Parameter(torch.cat([block.outer, -block.outer[:, :1]], dim=1))
        block.num_hidden += 1

    (fault,) = weights_faults(with_network(score, change), torch.Generator().manual_seed(0))
    assert "1 ReLU units that do not cancel" in fault


def test_units_that_cancel_are_linear_and_others_are_not():
    for options, bent in (({}, False), ({"gates": "relu", "tolerance": 0.1}, True)):
        network = merged(ks.compile_score(SMALL, **options).network)
        parts = [block.perceptron for block in network.blocks if block.perceptron is not None]
        assert any(len(checking.nonlinear_units(part)) for part in parts) is bent


@pytest.mark.parametrize("affine", [True, False])
def test_probes_have_the_moments_of_the_marginal(affine):
    process = PROCESSES["with a mean"]()
    at = checking.probes(process, 0.3, affine, torch.Generator().manual_seed(2))
    assert at.exact is affine
    flat = at.x.flatten(1)
    scale = torch.exp(torch.tensor(-0.3, dtype=torch.float64))
    centred = flat - scale.sqrt() * process.mean.reshape(-1)
    wanted = scale * process.covariance() + (1 - scale) * torch.eye(32, dtype=torch.float64)
    second = centred.mT @ centred / len(flat)
    assert float((second - wanted).norm() / wanted.norm()) < (1e-12 if affine else 0.8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.update(extra=torch.zeros(2)), "extra"),
        (lambda w: w.pop("blocks.0.inner"), "no tensor blocks.0.inner"),
        (lambda w: w.update(enter=w["enter"].float()), "dtype"),
        (lambda w: w.update(leave=w["leave"][:, :-1].contiguous()), "shape"),
        (lambda w: w["position"].view(-1)[:1].fill_(float("nan")), "NaN"),
        (lambda w: w["condition.diagonal"].view(-1)[:1].mul_(1 + 1e-9), "condition.diagonal at index (0, 0)"),
        (lambda w: w["blocks.1.query"].mul_(1 + 1e-9), "not orthonormal"),
        (lambda w: w.update({"blocks.1.query": w["blocks.1.query"].flip(2).contiguous()}), ""),
    ],
)
def test_tensors_that_no_compilation_writes(saved, change, says):
    edit(saved, change)
    assert any(says in reason for reason in compiler.verify(saved))


def test_a_network_that_is_worse_than_its_bound(saved):
    mend(saved, bound=1e-18)
    assert any("above its bound of 1e-18" in reason for reason in compiler.verify(saved))


ROTATION = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(8), dtype=torch.float64))[0]


@pytest.mark.parametrize("iteration", ["spectral", "preconditioned-chebyshev"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_another_choice_of_eigenvectors_verifies(tmp_path, iteration, dtype):
    """Signs, and any rotation where eigenvalues agree, are free; a basis of anything else is not."""
    process = ks.GaussianSequence(ks.kernels.Matern(3.0, 1.5), torch.eye(3), times=8, mean=torch.ones(8, 3))
    score = ks.compile_score(process, iteration, dtype=dtype, min_time=0.05)
    basis = score.plan.lowered.basis
    signs = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64) if iteration == "spectral" else 1.0
    other = KroneckerTerms(basis.temporal * signs, basis.spatial @ ROTATION)
    compiler.save(compile_options(process, score.options, other), tmp_path / "other")
    assert compiler.verify(tmp_path / "other") == []
    x = process.sample(2).to(dtype)
    assert torch.allclose(compiler.load(tmp_path / "other").score(x, 0.2), score.score(x, 0.2), rtol=1e-3, atol=1e-3)
    turned = KroneckerTerms(basis.temporal @ torch.linalg.matrix_exp(0.01 * antisymmetric(8)), basis.spatial)
    compiler.save(compile_options(process, score.options, turned), tmp_path / "turned")
    assert compiler.verify(tmp_path / "turned")


def antisymmetric(size):
    upper = torch.ones(size, size, dtype=torch.float64).triu(1)
    return upper - upper.T


ELSEWHERE = """
import sys, torch
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]) / "tests"))
import kronoscope as ks
from compiler_cases import PROCESSES, separable
for number, (name, options) in enumerate(eval(sys.argv[3])):
    ks.compiler.save(ks.compile_score(PROCESSES[name](), **options), Path(sys.argv[2]) / str(number))
"""
OTHER_MACHINES = [
    ("with a mean", {"iteration": "spectral"}),
    ("with a mean", {"heads": "arc"}),
    ("dense", {"iteration": "spectral", "gates": "relu"}),
    ("Kronecker sum", {"iteration": "preconditioned-chebyshev"}),
    ("irregular", {}),
]


def test_folders_from_a_machine_with_other_arithmetic_verify(tmp_path):
    """Instructions of another processor: other last digits, other eigenvectors."""
    environment = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "MKL_CBWR": "COMPATIBLE"}
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, root, str(tmp_path), repr(OTHER_MACHINES)],
        env=os.environ | environment | {"OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    for number in range(len(OTHER_MACHINES)):
        assert compiler.verify(tmp_path / str(number)) == [], OTHER_MACHINES[number]


@pytest.mark.parametrize(
    "options",
    [{"iteration": "heavy-ball", "heads": "trapezoid"}, {"heads": "table", "gates": "relu", "tolerance": 0.1},
     {"iteration": "chebyshev-steps", "dtype": torch.float32, "min_time": 0.1}],
)  # fmt: skip
def test_untouched_folders_verify(tmp_path, options):
    """A few of every kind; ``tests/test_compiler_folder.py`` has every process."""
    compiler.save(ks.compile_score(separable(), **options), tmp_path)
    assert compiler.verify(tmp_path) == []


def test_random_forgeries_are_refused():
    """Forty edits, as the benchmark makes 2000; some move the score, and every one of those is refused."""
    named = ("spectral with a mean", "spectral, float32", "chebyshev, arc", "spectral, relu")
    outcomes = list(forgeries.edits(40, seed=1, only=named))
    assert {outcome.case for outcome in outcomes} == set(named)
    moving = [outcome for outcome in outcomes if outcome.moved > 1]
    assert len(moving) >= 10
    assert all(outcome.refused for outcome in moving)


def test_the_random_sequences_are_new_each_time(saved, monkeypatch):
    seeds = []
    times = checking.random_times
    monkeypatch.setattr(checking, "random_times", lambda *given: seeds.append(given[3].initial_seed()) or times(*given))
    for seed in (None, None, 5, 5):
        assert compiler.verify(saved, seed) == []
    assert seeds[0] != seeds[1]
    assert seeds[2:] == [5, 5]
    with pytest.raises(ks.InputError, match="seed"):
        compiler.verify(saved, -1)


def test_the_certificate_says_how_large_the_table_of_coefficients_is():
    """What relu gates are handed ready-made, divisions included, counts neither as parameters nor in the norm."""
    score = ks.compile_score(SMALL, "spectral", gates="relu")
    certificate = score.certificate
    times = torch.tensor([at.time for at in certificate.measured], dtype=torch.float64)
    table = score.network.condition(times)
    assert certificate.coefficients == (1, 8, 2)
    assert table.shape == (len(times), *certificate.coefficients)
    assert certificate.coefficient_norm == float(table.abs().max())
    buffers = sum(buffer.numel() for buffer in score.network.buffers())
    assert certificate.stored_coefficients == buffers > 16
    assert certificate.parameters == sum(p.numel() for p in score.network.parameters())
    assert ks.compile_score(SMALL, gates="relu", tolerance=0.1).certificate.coefficients[0] > 1
