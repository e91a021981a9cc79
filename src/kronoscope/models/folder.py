"""A run folder: the settings of a fit, and its result. JSON and safetensors; nothing is ever unpickled.

run.json                 format, network, training settings, reading of the data, split, seed, environment; the seal
checkpoint.safetensors   while training, and after an interruption: what --resume needs
weights.safetensors      when done: the parameters that were kept
result.json              when done: transform, history, how training ended
report.json, report.html the page and its records, after fit or report

The **seal** is in run.json: the SHA-256 of every other file that belongs to the run, and of run.json itself. Every
reader checks it. It finds damage and careless edits; it is not a protection against a person who computes it anew.
run.json is replaced in one step, so a run is unfinished until run.json names its result, and finished from then on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import _files, training
from .._errors import InputError

RUN, WEIGHTS, RESULT = "run.json", "weights.safetensors", "result.json"
RECORDS, PAGE = "report.json", "report.html"
FORMAT = "kronoscope-run-3"
AGAIN = "repeat the fit with --force"
_FILES, _SEAL = "files", "sha256"
# Temporary files of earlier versions, and of safetensors, which a kill could leave.
_LEFT_OVER = re.compile(r"(run|result|weights|checkpoint)\.partial|\.tmp\w{6}")


def environment() -> dict[str, str]:
    """Versions and machine, as written beside every result."""
    packages = {}
    for name in ("kronoscope", "torch", "numpy", "pandas", "xarray"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "accelerator": accelerator,
        **packages,
    }


# --- reading


def read_settings(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """``run.json`` of a run folder, finished or not, after a check of the whole folder against its seal.

    Raises:
        InputError: It is not a run folder, is of another format, or one of its files was changed.
    """
    path = Path(folder)
    settings = read_run(path)
    check_files(path, settings)
    return settings


def read_run(path: Path) -> dict[str, Any]:
    """``run.json``, checked against its own seal alone."""
    file = path / RUN
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is not a run folder: it has no {RUN}") from None
    except (OSError, ValueError) as error:
        raise _changed(file, str(error)) from None
    settings = _parse(file, text)
    if settings.get("format") != FORMAT:
        raise InputError(f"{file} is of the format {settings.get('format')!r}; this version reads {FORMAT!r}: {AGAIN}")
    settings.pop(_SEAL, None)
    if _sealed(settings) != text or not isinstance(settings.get(_FILES), dict):
        raise _changed(file, "its SHA-256 does not match its content")
    return settings


def check_files(path: Path, settings: Mapping[str, Any], but: Iterable[str] = ()) -> None:
    """Raise InputError if a file of the run was changed. The files in ``but`` are not checked."""
    for name in (WEIGHTS, RESULT) if is_finished(settings) else ():
        if not (path / name).exists():
            raise InputError(f"{path} is not a complete run: {name} is missing. Restore it from a copy, or {AGAIN}")
    for name, digest in settings[_FILES].items():
        if name not in but and (path / name).exists() and _digest(path / name) != digest:
            remedy = {PAGE: f"kronoscope report {path}", RECORDS: f"kronoscope report {path} --force"}.get(name)
            raise _changed(path / name, f"its SHA-256 is not the one in {RUN}", remedy and f"{remedy} makes it again")


def is_finished(settings: Mapping[str, Any]) -> bool:
    """Whether training ended and its result was written."""
    return {WEIGHTS, RESULT} <= settings[_FILES].keys()


def has_page(folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> bool:
    """Whether the run has its page and the records of it."""
    return all(name in settings[_FILES] and (Path(folder) / name).exists() for name in (RECORDS, PAGE))


def read_json(file: Path) -> dict[str, Any]:
    """Another JSON file of the folder, after :func:`check_files`."""
    try:
        return _parse(file, file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _changed(file, str(error)) from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _changed(file, str(error)) from None
    if not isinstance(values, dict):
        raise _changed(file, "it is not a JSON object")
    return values


def _changed(file: Path, reason: str, remedy: str | None = None) -> InputError:
    remedy = remedy or f"Restore it from a copy, or {AGAIN}"
    return InputError(f"{file} is damaged or was changed: {reason}. {remedy}")


# --- writing


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the folder for this process alone; another one that asks for it is refused, until this one ends.

    Raises:
        InputError: Another process holds it.
    """
    lock = _files.locked(path)
    if lock is None:
        raise InputError(f"another process is training in {path}; wait until it ends, or give another folder")
    try:
        yield
    finally:
        os.close(lock)


def check_new(folder: str | os.PathLike[str], force: bool = False) -> Path:
    """Check the folder of a new run: it must be absent or empty, or hold a run that ``force`` replaces."""
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; give a folder for the run")
    if not is_empty(path):
        if not force:
            raise InputError(f"{path} exists already; give --force to replace the run, or --resume to continue it")
        if not _holds_run(path):
            raise InputError(
                f"{path} holds files but is not a run folder (it has no {RUN}), so --force does not replace it; "
                "give another folder"
            )
    return path


def is_empty(path: Path) -> bool:
    """Whether there is nothing in the folder, or no folder; what kills left does not count."""
    return not path.exists() or all(_is_left_over(name) for name in os.listdir(path))


def begin(path: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder that of a new, unfinished run; what an earlier run left in it is taken away.

    The page goes first, and the old result becomes invalid in one step, so that a kill leaves the old run or the new
    one, never the page of one with the parameters of the other.
    """
    for name in (PAGE, RECORDS, training.CHECKPOINT):
        _files.remove(path / name)
    write_run(path, settings, ())
    for name in (RESULT, WEIGHTS):
        _files.remove(path / name)
    for name in filter(_is_left_over, os.listdir(path)):
        if not name.startswith("."):
            _files.remove(path / name)


def discard(path: Path) -> None:
    """Take the run out of its folder, whose other files stay."""
    for name in (PAGE, RECORDS, training.CHECKPOINT, RUN, RESULT, WEIGHTS):
        _files.remove(path / name)


def finish(path: Path, settings: Mapping[str, Any], result: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
    """Write the result of a run that :func:`begin` began, and seal it."""
    training.write_tensors(path / WEIGHTS, weights)
    write_json(path / RESULT, result)
    write_run(path, settings, (RESULT, WEIGHTS))
    _files.remove(path / training.CHECKPOINT)


def save(
    folder: str | os.PathLike[str],
    settings: Mapping[str, Any],
    result: Mapping[str, Any],
    weights: dict[str, Tensor],
    force: bool,
) -> Path:
    """A finished run folder, all at once."""
    path = check_new(folder, force)
    if path.exists():
        with claimed(path):
            begin(path, settings)
            finish(path, settings, result, weights)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _files.replacing(path) as whole:
        whole.mkdir()
        begin(whole, settings)
        finish(whole, settings, result, weights)
    return path


@contextmanager
def opened(path: Path, settings: Mapping[str, Any], resume: bool, force: bool) -> Iterator[None]:
    """The run folder, new or to be continued, held for this process alone; the first of several sees to it.

    Raises:
        InputError: It holds something else, is finished, was begun with other settings, is damaged, or another process
            is training in it.
    """
    processes = training.Processes.join()
    if not processes.is_first:
        processes.wait()  # until the first has made or checked the folder
        yield
        return
    if resume:
        read_run(path)
    else:
        check_new(path, force)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    with claimed(path):
        begun = False
        try:
            if resume:
                _check_same(read_settings(path), settings, path)
            else:
                begin(check_new(path, force), settings)
                begun = True
            processes.wait()
            yield
        except Exception:
            if begun and not (path / training.CHECKPOINT).exists():  # nothing was learnt that could be continued
                discard(path)
            _remove_empty(missing)
            raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made here, from the innermost outwards, as far as they are empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Refuse to resume a run with other settings, naming what differs."""
    if is_finished(before):
        raise InputError(f"{path} is finished; there is nothing to resume")
    names = sorted(({*before, *now}) - {"environment", "source", "files"})
    differ = [name for name in names if json.dumps(before.get(name)) != json.dumps(now.get(name))]
    if differ:
        raise InputError(
            f"{path} was begun with other settings ({', '.join(differ)}); resume it with the same ones, or with "
            f"--resume --out {path} alone, which takes them from the run"
        )


@contextmanager
def page_written(folder: str | os.PathLike[str], *names: str) -> Iterator[None]:
    """Around the writing of page or records of a run: out of its seal before, in it after."""
    path = Path(folder)
    settings = read_run(path)
    write_run(path, settings, [name for name in settings[_FILES] if name not in names])
    if is_finished(settings):
        _files.remove(path / training.CHECKPOINT)  # a kill may have left it
    yield
    settings = read_run(path)
    write_run(path, settings, dict.fromkeys([*settings[_FILES], *names]))


def write_run(path: Path, settings: Mapping[str, Any], names: Iterable[str]) -> None:
    """``run.json`` with its seal over the files of those names."""
    _files.write_text(path / RUN, _sealed({**settings, _FILES: {name: _digest(path / name) for name in names}}))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON; a part of it is not left behind."""
    _files.write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _sealed(settings: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(settings, indent=1, allow_nan=False)
    except (ValueError, RecursionError):
        return ""  # a number that is none: not what was written
    seal = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps({**settings, _SEAL: seal}, indent=1, allow_nan=False) + "\n"


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _is_left_over(name: str) -> bool:
    return _files.is_temporary(name) or _LEFT_OVER.fullmatch(name) is not None


def _holds_run(path: Path) -> bool:
    """Whether run.json is of a run of any version, damaged or not."""
    try:
        return b"kronoscope" in (path / RUN).read_bytes()
    except OSError:
        return False
