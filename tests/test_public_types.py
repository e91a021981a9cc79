"""An editor sees real types: mypy reveals them for the promised names, and refuses misspelled keywords."""

import subprocess
import sys
from pathlib import Path

import kronoscope
import kronoscope as ks

PRELUDE = """
import numpy as np
import torch
import kronoscope as ks

kernel = ks.kernels.PowerExponential(lengthscale=4.0)
process = ks.GaussianSequence(kernel, torch.eye(2), times=8)
x = process.sample(100)
mask = torch.ones(8, 2, dtype=torch.bool)
compiled = ks.compile_score(process)
model = ks.fit(x, network="unrolled")
law = ks.estimators.Separable().fit(x)
floor = ks.estimators.score_kl_floor(process, "separable", 100, 0.01, 6.0)
audit = ks.audit(x, x)
"""
# What interface.md promises, and what an editor must know of it.
REVEALED = {
    "kernel": "PowerExponential",
    "kernel + kernel": "Kernel",
    "kernel * kernel": "Kernel",
    "ks.kernels.Matern(2.0, 1.5)": "Matern",
    "process": "GaussianSequence",
    "process.num_frames": "int",
    "process.temporal_covariance": "Tensor",
    "process.sample(3)": "Tensor",
    "process.log_prob(x)": "Tensor",
    "process.score(x, 0.1)": "Tensor",
    "process.condition_on(mask, x[0])": "ConditionalLaw",
    "process.spectral_bounds(0.1)": "tuple[float, float]",
    "process.condition_number(0.1)": "float",
    "compiled": "CompiledScore",
    "compiled.score(x, 0.1)": "Tensor",
    "compiled.network": "ReLUTransformer",
    "compiled.certificate": "Certificate",
    "compiled.certificate.bound": "float",
    "model": "Model",
    "model.score(x, 0.1)": "Tensor",
    "model.scaled(process)": "GaussianLaw",
    "model.law()": "LearntLaw | LearntMixture",
    "model.sample(5)": "Tensor | ndarray[tuple[Any, ...], dtype[Any]] | DataArray | Dataset",
    "model.condition_on(mask, x[0])": "ConditionalSequence",
    "model.log_prob(x)": "FlowLikelihood",
    'model.save("run")': "Path",
    "model.training": "TrainingConfig",
    'ks.load("run")': "Model",
    "ks.score_from(compiled.network)": "ScoreFunction",
    "ks.metrics.score_kl(model.score, process)": "ScoreKL",
    "ks.metrics.score_kl(model.score, process).value": "float",
    "ks.metrics.gaussian_kl(process, process)": "float",
    "ks.metrics.bures_wasserstein(process, process)": "float",
    "ks.estimators.SampleCovariance()": "SampleCovariance",
    "ks.estimators.BlockToeplitz(min_time=0.01)": "BlockToeplitz",
    "law.score(x, 0.1)": "Tensor",
    "law.num_parameters": "int | None",
    "floor": "float",
    "audit": "AuditResult",
    "audit.passed": "bool",
    "audit.to_json()": "str",
    "ks.probes.jacobian(process.score, process, t=0.2)": "JacobianProbe",
    "ks.probes.jacobian(process.score, process, t=0.2).value": "Tensor",
    "ks.probes.attention": None,
    "ks.models.fit(x)": "Model",
    "ks.models.choose_heads(x).heads": "int",
    "ks.models.FitSettings.for_input('table')": "FitSettings",
    'ks.data.read("x.csv", time="when", frames=24)': "SequenceSet",
    "ks.settings.Reading(frames=3)": "Reading",
    "ks.settings.DEFAULTS['table'].network": "str",
    "ks.training.TrainingConfig()": "TrainingConfig",
    "ks.auditing.Question": None,
    "ks.diffusion.alpha": None,
    "ks.iterations": None,
    "ks.nn.DiT(8, 2)": "DiT",
    "ks.pages": None,
    "ks.report.Report": None,
    "ks.sampling.dpm_solver(8)": "SamplerTable",
    "ks.video": None,
    "ks.processes.DenseGaussian(torch.eye(4), 2)": "DenseGaussian",
    "ks.Model": None,
    "ks.theory": None,
    "ks.compiler.compile_score(process)": "CompiledScore",
    "ks.InputError": None,
    "ks.DivergenceError": None,
}
REFUSED = {
    'ks.fit(x, netwrok="dit")': "netwrok",
    'ks.fit(x, max_step=3)': "max_step",
    'ks.fit(x, max_steps="many")': "max_steps",
    "ks.fit(x, scaling=3)": "scaling",
    "ks.models.choose_heads(x, batchsize=3)": "batchsize",
    'ks.data.read("x.csv", frame=3)': "frame",
    "model.sample(5, smapler='heun')": "smapler",
    'ks.compile_score(process, iteratoin="chebyshev")': "iteratoin",
    "ks.nothing": "nothing",
}  # fmt: skip


def types_of(script: str, folder: Path) -> list[str]:
    """What mypy --strict says of a user's script, line by line."""
    (folder / "user.py").write_text(script)
    root = Path(kronoscope.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-pretty", "user.py"]
    command += ["--cache-dir", str(root.parent / ".mypy_cache"), "--no-error-summary", "--hide-error-context"]
    environment = {"MYPYPATH": str(root), "PATH": ""}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not run.stderr, run.stderr
    return run.stdout.splitlines()


def test_promised_names_have_types_and_misspelled_keywords_are_errors(tmp_path):
    """One run of mypy: it takes seconds."""
    lines = [*PRELUDE.splitlines(), *(f"reveal_type({expression})" for expression in REVEALED), *REFUSED]
    said: dict[int, list[str]] = {}
    for line in types_of("\n".join(lines) + "\n", tmp_path):
        said.setdefault(int(line.split(":")[1]), []).append(line)
    first = len(PRELUDE.splitlines()) + 1
    for number, (expression, expected) in enumerate(REVEALED.items(), first):
        (line,) = said.pop(number)
        assert ": note: Revealed type is " in line, line
        revealed = ".".join(line.split('"')[1:-1]) if '"' in line else line
        assert revealed != "Any", expression
        if expected is not None:
            assert short(revealed) == expected, expression
    for number, (expression, name) in enumerate(REFUSED.items(), first + len(REVEALED)):
        assert any(": error: " in line and name in line for line in said.pop(number, [])), expression
    assert not said


def short(revealed: str) -> str:
    """A revealed type without the modules of its names."""
    words = "".join(c if c.isalnum() or c in "._" else f" {c} " for c in revealed).split(" ")
    return "".join(f" {w} " if w == "|" else w.rsplit(".", 1)[-1] if w.strip(".") else w for w in words).replace(
        ",", ", "
    ).replace("  ", " ").replace(",  ", ", ")  # fmt: skip


def test_every_public_submodule_is_in_the_script():
    names = {name for name in ks.__all__ if not name.startswith("_")}
    assert all(f"ks.{name}" in "\n".join([PRELUDE, *REVEALED]) for name in names)
