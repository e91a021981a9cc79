"""The one way in which files and folders are written: under a temporary name, then renamed.

A process that is killed at any moment leaves the old file, the new one, or none; never a part of one. The temporary
name is that of a folder ``.kronoscope-XXXXXXXX.part`` beside the target. Its writer holds a lock on it, which the
system releases when the process dies, so that the next writer there knows what is left over and takes it away.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ._errors import InputError

_TEMPORARY = re.compile(r"\.kronoscope-[0-9a-f]{8}\.part")
_OLD = "old"  # within the temporary folder: what stepped aside for the new
_AT_FDCWD, _EXCHANGE = -100, 2

written: list[Path] = []
"""What this process has written whole, in that order; for the message of an interrupted command."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name to write a file or a folder to; at the end it becomes ``path``, whole.

    The temporary name has the name and ending of ``path``, in another folder of the same file system. Where ``path``
    exists it is replaced; whether it may be is for the caller to check. Modes follow the umask.

    Raises:
        InputError: ``path`` cannot be written (disk full, folder missing or read-only); nothing is left behind, and
            what was there stays.
    """
    target = Path(path)
    remove_leftovers(target.parent)
    try:
        with _temporary_folder(target.parent) as folder:
            new = folder / target.name
            yield new
            if new.is_file():
                _finish(new, folder.stat().st_mode & 0o666)
            _rename(new, target)
            written.append(target)
    except OSError as error:
        raise cannot_write(target, error) from None


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file; see :func:`replacing`."""
    with replacing(path) as new:
        new.write_bytes(content)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file in UTF-8, lines ended by a newline alone; see :func:`replacing`."""
    return write_bytes(path, text.encode())


def remove(path: Path) -> None:
    """Take a file or a folder away; a kill leaves it whole, or none of it under its name.

    Raises:
        InputError: It cannot be removed.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            with _temporary_folder(path.parent) as folder:
                path.rename(folder / path.name)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be removed: {_reason(error)}") from None


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is a temporary one of :func:`replacing`, its writer alive or not."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Take away what killed writers left in ``folder``; what had stepped aside for a new one goes back to its name."""
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(folder)
    for name in filter(is_temporary, names):
        with suppress(OSError):  # its writer lives, or another process was first
            _remove_leftover(folder / name)


def cannot_write(path: Path, error: OSError) -> InputError:
    """The error that names the file and the reason, in one line."""
    return InputError(f"{path} cannot be written: {_reason(error)}")


def locked(folder: Path) -> int | None:
    """Lock a folder for this process; the lock goes when the process ends, or by ``os.close`` of what is returned.

    Returns:
        A descriptor that holds the lock, or None where another process holds it. File systems without locks let
        everybody in.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass  # no locks on this file system
    return descriptor


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    folder, lock = _make_temporary(parent)
    try:
        yield folder
    finally:
        _restore_old(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_temporary(parent: Path) -> tuple[Path, int]:
    while True:
        folder = parent / f".kronoscope-{secrets.token_hex(4)}.part"
        folder.mkdir()
        with suppress(FileNotFoundError):
            lock = locked(folder)
            if lock is not None and folder.exists():
                return folder, lock
            if lock is not None:
                os.close(lock)  # another process took the folder for left over before it was locked


def _remove_leftover(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _restore_old(folder)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _restore_old(folder: Path) -> None:
    """Put back what stepped aside, where the new one did not come to stand."""
    with suppress(OSError):
        for name in os.listdir(folder / _OLD):
            if not os.path.lexists(folder.parent / name):
                os.rename(folder / _OLD / name, folder.parent / name)


def _finish(file: Path, mode: int) -> None:
    """To the disk before it gets its name; and some libraries make files that only their owner may read."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(new: Path, target: Path) -> None:
    """Give ``new`` the name ``target``; where a folder is one of the two, they change places in one step."""
    if not os.path.lexists(target) or not (target.is_dir() or new.is_dir()):
        os.replace(new, target)
    elif not _exchange(new, target):
        (new.parent / _OLD).mkdir()
        os.rename(target, new.parent / _OLD / target.name)
        os.rename(new, target)


def _exchange(source: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system cannot."""
    call = _exchange_call()
    return call is not None and call(os.fsencode(source), os.fsencode(other)) == 0


def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    libc = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            renamex = libc.renamex_np
            return lambda source, other: int(renamex(source, other, _EXCHANGE))
        renameat = libc.renameat2
        return lambda source, other: int(renameat(_AT_FDCWD, source, _AT_FDCWD, other, _EXCHANGE))
    except AttributeError:
        return None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
