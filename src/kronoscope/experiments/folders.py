"""The folder that an experiment writes into."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from .._errors import InputError


def fresh_folder(path: Path, ours: Collection[str], force: bool, what: str) -> Path:
    """An empty folder; with ``force`` the files of an earlier one are taken away, and nothing else.

    Args:
        path: Where.
        ours: Names of the files and folders that such an experiment writes.
        force: Whether they may be replaced.
        what: What the folder holds, for the messages.

    Raises:
        InputError: It is a file, holds something that may not be replaced, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} exists and is a file; the {what} needs a folder")
    if path.is_dir() and any(path.iterdir()):
        strange = sorted(entry.name for entry in path.iterdir() if entry.name not in ours)
        if not force:
            raise InputError(f"{path} exists already; --force replaces the {what} in it")
        if strange:
            raise InputError(f"{path} holds files that are no {what}'s ({strange[0]}), so --force does not replace it")
        for name in ours:
            if (path / name).is_dir():
                shutil.rmtree(path / name, ignore_errors=True)
            else:
                (path / name).unlink(missing_ok=True)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    return path
