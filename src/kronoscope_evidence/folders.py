"""The folder that a study or the demo writes into."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from kronoscope import InputError
from kronoscope._files import is_temporary, remove, remove_leftovers

# Files that runs and sweeps write within the folder of a study or of the demo.
_WITHIN = re.compile(
    r"/(run\.json|result\.json|(weights|checkpoint)\.safetensors|report\.(html|json)|sweep\.json|results/[0-9a-f]{16}\.json)$"
)


def fresh_folder(path: Path, own: Collection[str], force: bool, what: str) -> Path:
    """An empty folder; with ``force`` the files of an earlier study or demo are removed, and nothing else.

    Args:
        path: Where.
        own: Names of the files and folders that such a study writes; they are removed in this order, so that what a
            kill leaves is not taken for a finished one.
        force: Whether they may be replaced.
        what: What the folder holds, for the messages.

    Raises:
        InputError: It is a file, holds something that may not be replaced, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; give a folder for the {what}")
    if path.is_dir() and not all(map(is_temporary, os.listdir(path))):
        foreign = foreign_files(path, own)
        if foreign:
            raise InputError(f"{path} holds files that are no {what}'s ({foreign[0]}), so --force does not replace it")
        if not force:
            raise InputError(f"{path} exists already; give --force to replace the {what} in it")
        for name in own:
            remove(path / name)
    try:
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    return path


def foreign_files(path: Path, own: Collection[str]) -> list[str]:
    """Sorted names of files in the folder, or in a folder of ``own``, that are neither own nor left over by a kill."""
    names = [name for name in os.listdir(path) if name not in own and not is_temporary(name)]
    for inner in filter(Path.is_dir, (path / name for name in own)):
        files = (file.relative_to(path) for file in inner.rglob("*") if not file.is_dir())
        names += [
            str(file) for file in files if not (_WITHIN.search(file.as_posix()) or any(map(is_temporary, file.parts)))
        ]
    return sorted(names)
