"""Where the outputs of cells are cached: one folder for each state of the library and of the installed packages."""

import hashlib
import shutil
from pathlib import Path

KEPT = 3  # states whose outputs are kept, newest first


def cache_folder(docs: Path) -> Path:
    """The folder for the library as it is now. jupyter-cache keys its entries by the source of the cells."""
    root = docs.parent
    digest = hashlib.sha256()
    for path in [root / "constraints.txt", *sorted((root / "src").rglob("*.py"))]:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    folders = docs / "_build" / "cells"
    folder = folders / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    for old in sorted(folders.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(old)
    return folder
