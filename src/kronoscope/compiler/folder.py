"""A compiled score as a folder, and the check that nothing in it is other than it was.

configuration.json    options, kind of process, kernels by their repr: canonical JSON
process.safetensors   times, spatial covariances, mean, ...
weights.safetensors   the network
certificate.json      the certificate and its own hash: canonical JSON
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from .._errors import InputError
from .certificate import Certificate, canonical
from .compiled import CompiledScore, compile_options
from .options import Options
from .storing import FORMAT, configuration_text, process_bytes, rebuild

CONFIGURATION, PROCESS = "configuration.json", "process.safetensors"
WEIGHTS, CERTIFICATE = "weights.safetensors", "certificate.json"
MEASURED_AGREEMENT = 1e-6  # relative, of figures measured again
PROVEN_AGREEMENT = 1e-9


def save(compiled: CompiledScore, folder: str | os.PathLike[str]) -> None:
    """Write weights, process, options and certificate; each file under a temporary name, then renamed.

    Raises:
        InputError: The folder cannot be written, or a kernel is not one that ``kernels.parse`` reads back.
    """
    certificate = compiled.certificate.to_json()
    files = {
        CONFIGURATION: configuration_text(compiled.process, compiled.options).encode(),
        PROCESS: process_bytes(compiled.process),
        WEIGHTS: compiled.weights(),
        CERTIFICATE: _sealed(certificate).encode(),
    }
    path = Path(folder)
    for name, content in files.items():
        temporary = path / f"{name}.partial"
        try:
            path.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            os.replace(temporary, path / name)
        except OSError as error:
            with contextlib.suppress(OSError):  # the folder itself may be what is wrong
                temporary.unlink(missing_ok=True)
            raise InputError(f"{path / name} cannot be written: {error.strerror}") from None


def load(folder: str | os.PathLike[str]) -> CompiledScore:
    """The compiled score of a folder, with the weights that are in it.

    Raises:
        InputError: A file is missing, damaged, or not the one that the certificate was written for.
    """
    path = Path(folder)
    files = {name: _read(path, name) for name in (CONFIGURATION, PROCESS, WEIGHTS, CERTIFICATE)}
    wrong = [*_seal_broken(files), *_hashes_broken(files)]
    if wrong:
        raise InputError(f"{path} is damaged: {wrong[0]}")
    compiled = _recompiled(files)
    try:
        compiled.network.load_state_dict(_tensors(WEIGHTS, files[WEIGHTS]))
    except RuntimeError as error:
        raise InputError(f"{path / WEIGHTS} holds another network: {str(error).splitlines()[0]}") from None
    return compiled


def verify(folder: str | os.PathLike[str]) -> list[str]:
    """Rebuild the process, compile again, measure the stored weights again, and say where anything disagrees.

    Returns:
        Disagreements in words; empty if there is none. One changed byte in any file is one.
    """
    path, wrong, files = Path(folder), [], {}
    for name in (CONFIGURATION, PROCESS, WEIGHTS, CERTIFICATE):
        try:
            files[name] = _read(path, name)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        return wrong
    wrong += [*_seal_broken(files), *_hashes_broken(files)]
    try:
        compiled, stored = _recompiled(files), _certificate(files)
        fresh = _same_network(compiled, _tensors(WEIGHTS, files[WEIGHTS]))
        wrong += fresh
        if not fresh:
            wrong += _differences(stored, compiled.certificate)
    except InputError as error:
        wrong.append(str(error))
    return wrong


def _same_network(compiled: CompiledScore, weights: dict[str, Tensor]) -> list[str]:
    """The recompiled network against the stored one; afterwards ``compiled`` has the stored weights.

    Eigenvectors may come out with other signs elsewhere, so the comparison is of what the two compute.
    """
    process, generator = compiled.process, torch.Generator().manual_seed(0)
    x = process.sample(4, generator=generator).cpu()
    times = [max(compiled.options.min_time, 1e-6), compiled.options.max_time]
    expected = [compiled.score(x, t) for t in times]
    try:
        compiled.network.load_state_dict(weights)
    except RuntimeError as error:
        return [f"{WEIGHTS} holds another network: {str(error).splitlines()[0]}"]
    tolerance = max(compiled.plan.parts["round-off"], PROVEN_AGREEMENT)
    for t, value in zip(times, expected):
        gap = float((compiled.score(x, t) - value).norm() / value.norm())
        if not gap <= tolerance:
            return [f"{WEIGHTS} computes another score than the recompiled network: off by {gap:.1e} at t = {t:g}"]
    return []


def _differences(stored: Certificate, fresh: Certificate) -> list[str]:
    """Fields of two certificates that disagree; measured figures may differ by round-off."""
    wrong = []
    one, other = json.loads(stored.to_json()), json.loads(fresh.to_json())
    for name, value in one.items():
        measured = name in ("measured", "score_kl", "score_kl_standard_error")
        agreement = MEASURED_AGREEMENT if measured else PROVEN_AGREEMENT
        if not _agree(value, other[name], agreement, noise=stored.bound_parts["round-off"] if measured else 0.0):
            wrong.append(f"{CERTIFICATE} says {name} = {_short(value)}, computed again it is {_short(other[name])}")
    return wrong


def _agree(one: Any, other: Any, relative: float, noise: float) -> bool:
    """Whether two pieces of JSON are equal up to the round-off of their numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_agree(one[k], other[k], relative, noise) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_agree(a, b, relative, noise) for a, b in zip(one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=relative, abs_tol=max(noise, 1e-300))
    return bool(one == other)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _sealed(certificate: str) -> str:
    return canonical({"certificate": json.loads(certificate), "sha256": _digest(certificate.encode())})


def _seal_broken(files: dict[str, bytes]) -> list[str]:
    """Whether the certificate is byte for byte what its own hash says."""
    try:
        sealed = _sealed(canonical(_record(CERTIFICATE, files[CERTIFICATE])["certificate"]))
    except (InputError, KeyError) as error:
        return [f"{CERTIFICATE} is damaged: {error}"]
    return [] if sealed.encode() == files[CERTIFICATE] else [f"{CERTIFICATE} is not what its own hash says"]


def _hashes_broken(files: dict[str, bytes]) -> list[str]:
    """Files that the certificate was not written for."""
    try:
        stored = _certificate(files)
    except InputError as error:
        return [str(error)]
    wrong = []
    if _digest(files[WEIGHTS]) != stored.weights_sha256:
        wrong.append(f"{WEIGHTS} was changed: its hash is not that of the certificate")
    if _digest(files[CONFIGURATION] + files[PROCESS]) != stored.configuration_sha256:
        wrong.append(f"{CONFIGURATION} or {PROCESS} was changed: their hash is not that of the certificate")
    return wrong


def _recompiled(files: dict[str, bytes]) -> CompiledScore:
    record = _record(CONFIGURATION, files[CONFIGURATION])
    if record.get("format") != FORMAT:
        raise InputError(f"{CONFIGURATION} is of the format {record.get('format')!r}; this version reads {FORMAT!r}")
    try:
        options = Options(**record["options"])
        process = rebuild(record["process"], _tensors(PROCESS, files[PROCESS]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{CONFIGURATION} is damaged: {error}") from None
    return compile_options(process, options)


def _certificate(files: dict[str, bytes]) -> Certificate:
    record = _record(CERTIFICATE, files[CERTIFICATE])
    return Certificate.from_json(json.dumps(record.get("certificate")))


def _record(name: str, content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name} is damaged: {error}") from None
    if not isinstance(record, dict):
        raise InputError(f"{name} is damaged: it holds no record")
    return record


def _tensors(name: str, content: bytes) -> dict[str, Tensor]:
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{name} is damaged: {error}") from None


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError:
        raise InputError(f"{path} is no compiled score: it has no {name}") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
