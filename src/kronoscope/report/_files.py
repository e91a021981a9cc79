"""Writing a file all at once: under a temporary name beside it, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

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
        raise InputError(f"{target} exists; it is replaced only with force")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist")
    return target


def write_text(path: str | Path, text: str, force: bool) -> Path:
    """Write ``text`` in UTF-8 to ``path``; an interrupted or failed write leaves what was there.

    Raises:
        InputError: ``path`` exists and ``force`` is False, or its folder does not exist.
    """
    target = check_target(path, force)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target
