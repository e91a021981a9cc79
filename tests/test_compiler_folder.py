"""Saved, loaded and verified: one changed byte is a disagreement, whichever file it is in."""

import json
import shutil
from dataclasses import dataclass

import pytest
import torch
from compiler_cases import PROCESSES, separable
from safetensors.torch import load_file, save_file

import kronoscope as ks
from kronoscope import compiler
from kronoscope.kernels.base import Decay, StationaryKernel

FILES = ("configuration.json", "process.safetensors", "weights.safetensors", "certificate.json")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    compiler.save(ks.compile_score(PROCESSES["with a mean"](), "spectral"), folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.mark.parametrize("iteration", ["chebyshev", "spectral"])
@pytest.mark.parametrize("name", PROCESSES)
def test_round_trip(name, iteration, tmp_path):
    heads = "table" if name in ("separable matrices", "dense") else "affine"
    compiled = ks.compile_score(PROCESSES[name](), iteration, heads=heads)
    compiler.save(compiled, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    loaded = compiler.load(tmp_path)
    x = compiled.process.sample(2)
    assert torch.equal(loaded.score(x, 0.1), compiled.score(x, 0.1))
    assert loaded.plan.bound == pytest.approx(compiled.plan.bound, rel=1e-12)
    assert compiler.verify(tmp_path) == []


def test_relu_and_float32_round_trip(tmp_path):
    compiler.save(ks.compile_score(separable(), gates="relu"), tmp_path / "relu")
    compiler.save(ks.compile_score(separable(), min_time=0.1, dtype=torch.float32), tmp_path / "single")
    assert compiler.verify(tmp_path / "relu") == compiler.verify(tmp_path / "single") == []


def test_certificates_are_json(saved):
    certificate = ks.compile_score(PROCESSES["with a mean"](), "spectral").certificate
    assert compiler.Certificate.from_json(certificate.to_json()) == certificate
    assert json.loads((saved / "certificate.json").read_text())["certificate"]["depth"] == 2
    with pytest.raises(ks.InputError, match="certificate is damaged"):
        compiler.Certificate.from_json("{}")
    with pytest.raises(ks.InputError, match="certificate is damaged"):
        compiler.Certificate.from_json("[1")


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_byte_is_found(copied, name):
    """At some 25 places of every file, the ends among them, one bit each."""
    path = copied / name
    content = path.read_bytes()
    places = {0, 1, 7, len(content) - 1, *range(0, len(content), max(1, len(content) // 20))}
    for place in sorted(places):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(changed))
        with pytest.raises(ks.InputError):
            compiler.load(copied)
        assert compiler.verify(copied), f"byte {place} of {name}"
    path.write_bytes(content)
    assert compiler.verify(copied) == []


def test_weights_changed_with_all_hashes_mended_are_found(copied):
    """Somebody who edits a weight and mends both hashes is found by compiling again."""
    weights = load_file(copied / "weights.safetensors")
    weights["enter"] = weights["enter"] * 1.001
    save_file(weights, copied / "weights.safetensors")
    mend(copied)
    assert any("enter at index" in reason for reason in compiler.verify(copied))


@pytest.mark.parametrize(
    ("field", "value"), [("bound", 1e-9), ("score_kl", 0.5), ("depth", 1), ("measured_kind", "exactly")]
)
def test_a_better_certificate_than_the_truth_is_found(copied, field, value):
    mend(copied, **{field: value})
    assert any(f"says {field}" in reason for reason in compiler.verify(copied))


def mend(folder, **changes):
    """Write the certificate anew, with hashes that fit the files as they are."""
    import hashlib

    from kronoscope.compiler.certificate import canonical

    def digest(*names):
        return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()

    record = json.loads((folder / "certificate.json").read_text())["certificate"] | changes
    record["weights_sha256"] = digest("weights.safetensors")
    record["configuration_sha256"] = digest("configuration.json", "process.safetensors")
    text = canonical(record)
    sealed = canonical({"certificate": record, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    (folder / "certificate.json").write_text(sealed)


def test_missing_and_foreign_folders(copied, tmp_path):
    (copied / "weights.safetensors").unlink()
    (reason,) = compiler.verify(copied)
    assert reason.startswith(f"{copied} is a partial compiled score: it has no weights.safetensors; ")
    with pytest.raises(ks.InputError, match="is not a compiled score"):
        compiler.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ks.InputError, match="cannot be written"):
        compiler.save(ks.compile_score(separable(), "spectral"), tmp_path / "file")


def test_a_kernel_of_ones_own_is_not_saved(tmp_path):
    class Mine(ks.kernels.PowerExponential):
        pass

    compiled = ks.compile_score(ks.GaussianSequence(Mine(4.0), torch.eye(1), times=8), "spectral")
    with pytest.raises(ks.InputError):
        compiler.save(compiled, tmp_path)


@dataclass(frozen=True, repr=False)
class Triangle(StationaryKernel):
    """A kernel of the user's own, which ``kernels.parse`` does not know."""

    width: float

    def of_distance(self, distance):
        return (1 - distance / self.width).clamp_min(0)

    @property
    def decay(self):
        return Decay("compact", "0 beyond the width", scale=self.width)


def test_a_kernel_of_the_users_own_has_a_certificate_but_no_folder(tmp_path):
    process = ks.GaussianSequence(Triangle(4.0), torch.eye(2), times=6)
    compiled = ks.compile_score(process, tolerance=0.05, min_time=0.1)
    certificate = compiled.certificate
    assert certificate.score_kl > 0
    other = ks.compile_score(ks.GaussianSequence(Triangle(3.0), torch.eye(2), times=6), tolerance=0.05, min_time=0.1)
    assert certificate.configuration_sha256 != other.certificate.configuration_sha256
    with pytest.raises(ks.InputError, match=r"kernels\.parse reads back.*SeparableGaussian"):
        compiler.save(compiled, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
