"""A compiled score as a folder whose files are all sealed.

configuration.json    options, kind of process, kernels by their repr: canonical JSON
process.safetensors   times, spatial covariances, mean, ...
weights.safetensors   the network
certificate.json      the certificate, the hashes of the other files in it, and its own hash: canonical JSON
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from .. import _files
from .._errors import InputError
from .bases import stored_basis
from .certificate import Certificate, canonical
from .comparing import tensor_differences
from .compiled import CompiledScore, compile_options
from .options import Options
from .storing import FORMAT, configuration_text, process_bytes, rebuild

CONFIGURATION, PROCESS = "configuration.json", "process.safetensors"
WEIGHTS, CERTIFICATE = "weights.safetensors", "certificate.json"
FILES = (CONFIGURATION, PROCESS, WEIGHTS, CERTIFICATE)
LARGEST_TEXT = 2**24  # bytes of a JSON file

Files = dict[str, bytes]


def save(compiled: CompiledScore, folder: str | os.PathLike[str], force: bool = False) -> None:
    """Write weights, process, options and certificate into a temporary folder beside ``folder``, then rename it.

    Args:
        compiled: What to write.
        folder: A new or empty folder; nothing of it is there until all of it is.
        force: Replace a compiled score, whole or partial, that is there already.

    Raises:
        InputError: The folder cannot be written, holds something already (with ``force``: something that is not part of
            a compiled score), or a kernel is not one that ``kernels.parse`` reads back.
    """
    check_target(folder, force)
    path = Path(folder).resolve()
    certificate = compiled.certificate.to_json()
    files = {
        CONFIGURATION: configuration_text(compiled.process, compiled.options).encode(),
        PROCESS: process_bytes(compiled.process),
        WEIGHTS: compiled.weights(),
        CERTIFICATE: _sealed(certificate).encode(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _files.cannot_write(path, error) from None
    with _files.replacing(path) as new:
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)


def check_target(folder: str | os.PathLike[str], force: bool = False) -> None:
    """Refuse a folder that :func:`save` must not write to, before anything is computed.

    Raises:
        InputError: It is a file, or holds something (with ``force``: something that :func:`save` did not write).
    """
    path = Path(folder)
    if not path.is_dir():
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} cannot be written: it exists and is not a folder")
        return
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"{path} cannot be written: it is the current folder or holds it; name a new one")
    names = sorted(entry.name for entry in path.iterdir())
    strange = [name for name in names if name.removesuffix(".partial") not in FILES]
    if names and not force:
        raise InputError(f"{path} exists and is not empty; --force (in Python force=True) replaces a compiled score")
    if strange:
        raise InputError(
            f"{path} holds {strange[0]}, which is not part of a compiled score, so --force does "
            "not replace it: give another folder"
        )


def load(folder: str | os.PathLike[str]) -> CompiledScore:
    """The compiled score of a folder, with the weights that are in it.

    Raises:
        InputError: A file is missing, damaged, or not the one that the certificate was written for.
    """
    path = Path(folder)
    files = open_folder(path)
    wrong = damage(files)
    if wrong:
        raise InputError(f"{path} is damaged: {wrong[0]}")
    compiled, weights = recompiled(files), tensors(WEIGHTS, files[WEIGHTS])
    expected = compiled.network.state_dict()
    if any(name not in weights or weights[name].shape != tensor.shape or weights[name].dtype != tensor.dtype
           for name, tensor in expected.items()) or len(weights) > len(expected):  # fmt: skip
        raise InputError(
            f"{path / WEIGHTS} holds the parameters of another network: {tensor_differences(compiled, weights)[0]}"
        )
    compiled.network.load_state_dict(weights)
    return compiled


def open_folder(path: Path) -> Files:
    """The bytes of all four files.

    Raises:
        InputError: One is missing or no ordinary file, or the folder was written by another version.
    """
    missing = [name for name in FILES if not (path / name).is_file()]
    if len(missing) == len(FILES):
        raise InputError(f"{path} is not a compiled score: it has no {', '.join(FILES)}")
    if missing:
        raise InputError(
            f"{path} is a partial compiled score: it has no {', '.join(missing)}; kronoscope compile ... --out {path} "
            "--force writes it again"
        )
    files = {}
    for name in FILES:
        try:
            if name.endswith(".json") and (path / name).stat().st_size > LARGEST_TEXT:
                raise InputError(f"{path / name} is damaged: a compiled score has less than 16 MB of text")
            files[name] = (path / name).read_bytes()
        except OSError as error:
            raise InputError(f"{path / name} cannot be read: {error.strerror}") from None
    written = _record(CONFIGURATION, files[CONFIGURATION]).get("format")
    if written != FORMAT:
        raise InputError(
            f"{path / CONFIGURATION} has the format {_shown(written)}; this version reads {FORMAT!r}: compile it again"
        )
    return files


def damage(files: Files) -> list[str]:
    """Every file whose bytes are not those that its seal was written for."""
    return [*_seal_broken(files), *_hashes_broken(files)]


def recompiled(files: Files) -> CompiledScore:
    """A fresh compilation of the configuration, in the basis of the stored weights.

    Raises:
        InputError: The files describe no compilation.
    """
    record = _record(CONFIGURATION, files[CONFIGURATION])
    try:
        options = Options(**record["options"])
        process = rebuild(record["process"], tensors(PROCESS, files[PROCESS]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{CONFIGURATION} is damaged: {error}") from None
    try:
        basis = stored_basis(
            tensors(WEIGHTS, files[WEIGHTS]), options.iteration, (process.num_frames, process.num_features)
        )
    except InputError as error:
        raise InputError(f"{WEIGHTS} holds the parameters of another network: {error}") from None
    return compile_options(process, options, basis)


def certificate_of(files: Files) -> Certificate:
    """The stored certificate.

    Raises:
        InputError: It is none.
    """
    record = _record(CERTIFICATE, files[CERTIFICATE])
    return Certificate.from_json(json.dumps(record.get("certificate")))


def tensors(name: str, content: bytes) -> dict[str, Tensor]:
    """The arrays of a safetensors file.

    Raises:
        InputError: It is damaged.
    """
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name} is damaged: {' '.join(str(error).split())}") from None


def _sealed(certificate: str) -> str:
    return canonical({"certificate": json.loads(certificate), "sha256": _digest(certificate.encode())})


def _seal_broken(files: Files) -> list[str]:
    """Whether the certificate is byte for byte what its own hash says."""
    try:
        sealed = _sealed(canonical(_record(CERTIFICATE, files[CERTIFICATE])["certificate"]))
    except (ValueError, KeyError, RecursionError) as error:
        return [f"{CERTIFICATE} is damaged: {error}"]
    return [] if sealed.encode() == files[CERTIFICATE] else [f"{CERTIFICATE} does not match its own hash"]


def _hashes_broken(files: Files) -> list[str]:
    """Files that the certificate was not written for."""
    try:
        stored = certificate_of(files)
    except InputError as error:
        return [str(error)]
    wrong = []
    if _digest(files[WEIGHTS]) != stored.weights_sha256:
        wrong.append(f"{WEIGHTS} was changed: it does not match the hash in the certificate")
    if _digest(files[CONFIGURATION] + files[PROCESS]) != stored.configuration_sha256:
        wrong.append(f"{CONFIGURATION} or {PROCESS} was changed: they do not match the hash in the certificate")
    return wrong


def _record(name: str, content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{name} is damaged: {reason}") from None
    if not isinstance(record, dict):
        raise InputError(f"{name} is damaged: it is not a JSON object")
    return record


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
