"""What belongs to a zarr store on the disk, so that replacing one deletes nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NODE = frozenset({"zarr.json", ".zgroup", ".zarray"})
_OF_ZARR = _NODE | {".zattrs", ".zmetadata"}
_ARRAY = frozenset({"zarr.json", ".zarray"})
_CHUNK = re.compile(r"c|(c[./])?\d+([./]\d+)*")


def is_store(folder: Path) -> bool:
    """Whether a folder is a zarr group or array."""
    return any((folder / name).is_file() for name in _OF_ZARR)


def foreign_files(store: Path) -> list[str]:
    """Paths of what a zarr store holds that is not zarr's, from the store's folder on, sorted.

    A group holds metadata, groups and arrays; an array holds metadata and chunks, whose names are numbers joined by
    dots or by folders, after a "c" in format 3.
    """
    return sorted(_foreign(store, ""))


def _foreign(node: Path, prefix: str) -> list[str]:
    array = any((node / name).is_file() for name in _ARRAY)
    foreign = []
    for entry in os.scandir(node):
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            if is_store(Path(entry.path)):
                foreign += _foreign(Path(entry.path), f"{name}/")
            elif array and _CHUNK.fullmatch(entry.name):
                foreign += _foreign_chunks(entry.path, entry.name, f"{name}/")
            else:  # a group without metadata, which format 3 allows, or a folder of the user's
                foreign += _foreign(Path(entry.path), f"{name}/") if os.listdir(entry.path) else [f"{name}/"]
        elif entry.name not in _OF_ZARR and not (array and _CHUNK.fullmatch(entry.name)):
            foreign.append(name)
    return foreign


def _foreign_chunks(folder: str, key: str, prefix: str) -> list[str]:
    foreign = []
    for entry in os.scandir(folder):
        inside = f"{key}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            foreign += _foreign_chunks(entry.path, inside, f"{prefix}{entry.name}/")
        elif not _CHUNK.fullmatch(inside):
            foreign.append(prefix + entry.name)
    return foreign
