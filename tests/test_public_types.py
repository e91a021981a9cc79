"""An editor sees real types: mypy reveals them for the promised names."""

import subprocess
import sys
from pathlib import Path

import kronoscope

SCRIPT = """
import torch
import kronoscope as ks

process = ks.GaussianSequence(ks.kernels.PowerExponential(lengthscale=4.0), torch.eye(2), times=8)
compiled = ks.compile_score(process)
model = ks.fit(process.sample(100), network="unrolled")
reveal_type(process)
reveal_type(process.sample(3))
reveal_type(compiled)
reveal_type(compiled.certificate)
reveal_type(model)
reveal_type(ks.load("run"))
reveal_type(ks.score_from(compiled.network))
reveal_type(ks.metrics.score_kl(model.score, process).value)
reveal_type(ks.models.fit(process.sample(100)))
reveal_type(ks.audit(process.sample(100), process.sample(100)))
"""
REVEALED = [
    "GaussianSequence", "Tensor", "CompiledScore", "Certificate", "Model", "Model", "ScoreFunction", "float", "Model",
    "AuditResult",
]  # fmt: skip


def test_promised_names_have_types(tmp_path):
    (tmp_path / "user.py").write_text(SCRIPT)
    root = Path(kronoscope.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    command += ["--cache-dir", str(root.parent / ".mypy_cache"), "--no-error-summary"]
    run = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(root), "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    types = [line.split('"')[1].rsplit(".", 1)[-1] for line in run.stdout.splitlines()]
    assert types == REVEALED
