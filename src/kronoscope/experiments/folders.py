"""The folder that an experiment writes into."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import mkdtemp

from .._errors import InputError


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
    if path.is_dir() and any(not _is_part(one.name, ours) for one in path.iterdir()):
        strange = strangers(path, ours)
        if strange:
            raise InputError(f"{path} holds files that are no {what}'s ({strange[0]}), so --force does not replace it")
        if not force:
            raise InputError(f"{path} exists already; --force replaces the {what} in it")
        clear(path, ours)
    try:
        path.mkdir(parents=True, exist_ok=True)
        clear_parts(path, ours)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    return path


def strangers(path: Path, ours: Collection[str]) -> list[str]:
    """Names of what a folder holds that is neither ours nor the part of one of ours that a kill left, sorted."""
    return sorted(one.name for one in path.iterdir() if one.name not in ours and not _is_part(one.name, ours))


def clear(path: Path, ours: Collection[str]) -> None:
    """Take away what is ours, in that order; of folders parts are left, for :func:`clear_parts`."""
    for name in ours:
        if (path / name).is_dir():
            # Renamed first: what a kill in the middle of it leaves is not taken for a whole.
            (path / name).rename(Path(mkdtemp(dir=path, prefix=f".{name}.", suffix=".part")) / name)
        else:
            (path / name).unlink(missing_ok=True)


def clear_parts(path: Path, ours: Collection[str]) -> None:
    """Take away what a kill in the middle of a write, or of :func:`clear`, left."""
    for one in [one for one in path.iterdir() if _is_part(one.name, ours)]:
        if one.is_dir():
            shutil.rmtree(one, ignore_errors=True)
        else:
            one.unlink(missing_ok=True)


def _is_part(name: str, ours: Collection[str]) -> bool:
    """Whether ``name`` is a temporary one of ``report.write_text`` or of :func:`clear`."""
    return name.endswith(".part") and any(name.startswith(f".{one}.") for one in ours)
