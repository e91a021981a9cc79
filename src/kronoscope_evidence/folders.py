"""The folder that an experiment writes into."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from kronoscope._errors import InputError
from kronoscope._files import is_temporary, remove, remove_leftovers

# Files that runs and sweeps write within the folders of an experiment.
_WITHIN = re.compile(
    r"/(run\.json|result\.json|(weights|checkpoint)\.safetensors|report\.(html|json)|sweep\.json|results/[0-9a-f]{16}\.json)$"
)


def fresh_folder(path: Path, ours: Collection[str], force: bool, what: str) -> Path:
    """An empty folder; with ``force`` the files of an earlier one are taken away, and nothing else.

    Args:
        path: Where.
        ours: Names of the files and folders that such an experiment writes; they are taken away in this order.
        force: Whether they may be replaced.
        what: What the folder holds, for the messages.

    Raises:
        InputError: It is a file, holds something that may not be replaced, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} exists and is a file; the {what} needs a folder")
    if path.is_dir() and not all(map(is_temporary, os.listdir(path))):
        strange = strangers(path, ours)
        if strange:
            raise InputError(f"{path} holds files that are no {what}'s ({strange[0]}), so --force does not replace it")
        if not force:
            raise InputError(f"{path} exists already; --force replaces the {what} in it")
        clear(path, ours)
    try:
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    return path


def strangers(path: Path, ours: Collection[str]) -> list[str]:
    """Names of what a folder, or a folder of ours in it, holds that is neither ours nor left over by a kill, sorted."""
    names = [name for name in os.listdir(path) if name not in ours and not is_temporary(name)]
    for inner in filter(Path.is_dir, (path / name for name in ours)):
        files = (file.relative_to(path) for file in inner.rglob("*") if not file.is_dir())
        names += [
            str(file) for file in files if not (_WITHIN.search(file.as_posix()) or any(map(is_temporary, file.parts)))
        ]
    return sorted(names)


def clear(path: Path, ours: Collection[str]) -> None:
    """Take away what is ours, in that order; what a kill leaves of a folder is not taken for a whole."""
    for name in ours:
        remove(path / name)
