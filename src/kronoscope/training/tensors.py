"""Tensors and numbers in one safetensors file with a checksum. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .. import _files
from .._codec import parse_json
from .._errors import InputError, first_line


def write_tensors(path: Path, tensors: dict[str, Tensor], numbers: dict[str, Any] | None = None) -> None:
    """Write ``tensors``, and JSON ``numbers`` in the header; the file is replaced whole or not at all.

    Raises:
        InputError: The file cannot be written; a part of it is not left behind.
    """
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(numbers or {})
    try:
        with _files.replacing(path) as temporary:
            # one entry only: safetensors writes several in no fixed order, and equal runs must be equal files
            save_file(plain, temporary, {"record": json.dumps({"numbers": text, "sha256": _digest(plain, text)})})
    except SafetensorError as error:
        raise InputError(f"{path} cannot be written: {first_line(error)}") from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write_tensors` wrote, on the CPU: tensors and numbers.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is damaged: one changed byte is enough.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = parse_json((file.metadata() or {})["record"])
        text = record["numbers"]
        if record["sha256"] != _digest(tensors, text):
            raise ValueError("its checksum does not match")
        return tensors, parse_json(text)
    except FileNotFoundError:
        raise
    except KeyError as error:
        raise InputError(f"{path} is damaged or not a kronoscope file: it has no {error}") from None
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {first_line(error)}") from None


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    sha = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
