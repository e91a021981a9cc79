"""Where a page or its records may be written."""

from __future__ import annotations

from pathlib import Path

from .. import _files
from .._errors import InputError


def check_target(path: str | Path, force: bool) -> Path:
    """Refuse a file that cannot be written, before the work that would fill it.

    Raises:
        InputError: ``path`` exists and ``force`` is False, is a folder, or its folder does not exist.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder, not a file")
    if target.exists() and not force:
        raise InputError(f"{target} exists already; give force=True (--force) to replace it")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist")
    return target


def write_text(path: str | Path, text: str, force: bool) -> Path:
    """Write ``text`` in UTF-8 to ``path``; an interrupted or failed write leaves what was there.

    Raises:
        InputError: ``path`` exists and ``force`` is False, its folder does not exist, or it cannot be written.
    """
    return _files.write_text(check_target(path, force), text)
