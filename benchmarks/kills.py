"""SIGKILL at random moments, over all commands: nothing is lost, and the next command works.

Each kill has a folder of its own with what the command reads and with what its outputs replace. Half of the kills come
at a uniformly drawn time of the command, half just before a uniformly drawn one of its file operations. Then

- every file that the command only reads is as it was, and so is every output that is not a folder of several files:
  the old one whole, the new one whole, or none where there was none;
- an old page stands beside old parameters only;
- the same command, or what its message says (``--resume``, ``--force``), works, and the whole folder is then byte for
  byte that of a command that was never killed.

Commands run in forks of this process, which has imported everything, so that a kill costs no start of Python. Their
clock stands still, so that equal results are equal bytes, and they write a checkpoint at every train step.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.kills_commands import COMMANDS, Command, make_stock

KILLS = 300
LONGEST = 300.0  # seconds in which a command must end
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_IMPORTED = (
    *(
        "kronoscope.cli.app",
        "kronoscope.auditing",
        "kronoscope.compiler",
        "kronoscope.pages",
        "kronoscope_evidence",
    ),
    *("dask", "distributed", "h5netcdf", "jinja2", "joblib", "pyarrow.parquet", "pydantic", "scipy.stats", "zarr"),
)
_OPERATIONS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Ended:
    """How a forked command ended.

    Attributes:
        code: Exit code; negative is a signal.
        message: What it wrote to stderr.
        seconds: Of real time.
        operations: File operations in its folder, counted up to the end.
    """

    code: int
    message: str
    seconds: float
    operations: int


def run(kills: int = KILLS, only: str = "", seed: int = 0) -> Iterator[dict[str, Any]]:
    """One row a command: how many kills, and how many of them failed.

    Args:
        kills: How many in all.
        only: Parts of names of commands, separated by commas; all commands by default.
        seed: Of the moments.
    """
    chosen = [command for command in COMMANDS if any(part in command.name for part in only.split(","))]
    _import_everything()
    moments = random.Random(seed)
    total, failures = 0, []
    with tempfile.TemporaryDirectory() as place:
        stock = Path(place) / "stock"
        stock.mkdir()
        make_stock(stock, _stock_command, sorted({name for command in chosen for name in command.files.values()}))
        for command, share in _shares(chosen, kills):
            failed = _kill_often(command, stock, Path(place), share, moments) if share else []
            total += share
            failures += failed
            for line in failed:
                print(f"kills: {command.name}: {line}", file=sys.stderr, flush=True)
            yield {
                "name": command.name,
                "value": share,
                "unit": "kills",
                "failed": len(failed),
                "note": f"{len(failed)} of them lost something or left a dead end",
            }
    yield {
        "name": "all commands",
        "value": total,
        "unit": "kills",
        "failed": len(failures),
        "note": f"{len(failures)} of them lost something or left a dead end",
    }


def _shares(commands: list[Command], kills: int) -> Iterator[tuple[Command, int]]:
    """How often each command is killed: by its weight, and ``kills`` times in all."""
    left, weight = kills, sum(command.weight for command in commands)
    for command in commands:
        share = round(left * command.weight / weight)
        yield command, share
        left, weight = left - share, weight - command.weight


def _kill_often(command: Command, stock: Path, place: Path, kills: int, moments: random.Random) -> list[str]:
    whole = place / "whole"
    _prepare(whole, stock, command)
    before = tree(whole)
    reference = _fork(whole, command.arguments)
    assert reference.code in (0, command.code), f"{command.name}: {reference.message}"
    after = tree(whole)
    failed = []
    done = tries = 0
    while done < kills and tries < 10 * kills:
        tries += 1
        folder = place / "trial"
        _prepare(folder, stock, command)
        if moments.random() < 0.5:
            moment, at = {"delay": moments.random() * reference.seconds}, "a time"
        else:
            moment, at = {"operation": moments.randint(1, max(1, reference.operations))}, "a file operation"
        killed = _fork(folder, command.arguments, **moment)
        if killed.code != -signal.SIGKILL:
            assert killed.code in (0, command.code), f"{command.name}: {killed.message}"
            continue  # done before its time came
        done += 1
        wrong = _lost(command, before, after, tree(folder)) or _dead_end(command, folder, after)
        if wrong is not None:
            failed.append(f"killed at {at} {moment}: {wrong}")
    shutil.rmtree(whole)
    return failed


def _lost(command: Command, before: Tree, after: Tree, now: Tree) -> str | None:
    """What a kill destroyed or left half; None if nothing."""
    for name, content in before.items():
        is_output = any(name == output or name.startswith(f"{output}/") for output in command.outputs)
        if not is_output and now.get(name) != content:
            return f"{name} is only read, but was changed"
    for output in command.outputs:
        states = [_part(output, state) for state in (now, before, after)]
        wrong = _lost_of_folder(output, *states) if output in command.folders else _lost_whole(output, *states)
        if wrong is not None:
            return wrong
    return None


def _lost_whole(output: str, now: Tree, old: Tree, new: Tree) -> str | None:
    if now and now not in (old, new):
        return f"{output} is neither the old nor the new whole"
    return f"{output} was there and is gone" if old and not now else None


def _lost_of_folder(output: str, now: Tree, old: Tree, new: Tree) -> str | None:
    page, weights = f"{output}/report.html", f"{output}/weights.safetensors"
    if page in old and now.get(page) == old[page] and now.get(weights) not in (old.get(weights), None):
        return f"{output} has the old page beside new parameters"
    for name, content in old.items():
        if name.endswith("notes.txt") and now.get(name) != content:
            return f"{name} is a file of the user, but was changed"
    return None


def _dead_end(command: Command, folder: Path, after: Tree) -> str | None:
    """Why the next command does not bring the folder where an unkilled one would have; None if it does."""
    arguments = list(command.arguments)
    ended = _fork(folder, arguments)
    if ended.code == 2 and "nothing to resume" in ended.message:
        pass
    elif ended.code not in (0, command.code):
        if "--resume" in ended.message and arguments[0] == "fit":
            arguments = ["fit", "--resume", *arguments[arguments.index("--out") :][:2]]
        elif "--force" in ended.message:
            arguments.append("--force")
        else:
            return f"the same command ends with {ended.code}: {ended.message}"
        again = _fork(folder, arguments)
        if again.code not in (0, command.code):
            return f"{' '.join(arguments)} ends with {again.code}: {again.message} (the same command: {ended.message})"
    now = tree(folder)
    for name in sorted({*after, *now}):
        if now.get(name) != after.get(name):
            state = "missing" if name not in now else "left over" if name not in after else "other than without a kill"
            return f"after {' '.join(arguments)}, {name} is {state}"
    return None


def _prepare(folder: Path, stock: Path, command: Command) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for target, source in command.files.items():
        if (stock / source).is_dir():
            shutil.copytree(stock / source, folder / target)
        else:
            shutil.copyfile(stock / source, folder / target)
    for output in command.folders:
        if (folder / output).is_dir() and command.keeps_strangers:
            (folder / output / "notes.txt").write_text("a file of the user")


def tree(folder: Path) -> Tree:
    """Every file below a folder, temporary ones of a killed writer included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _part(name: str, state: Tree) -> Tree:
    return {path: content for path, content in state.items() if path == name or path.startswith(f"{name}/")}


def _stock_command(folder: Path, *arguments: str, killed_before: int | None = None) -> None:
    ended = _fork(folder, arguments, operation=killed_before)
    assert ended.code == (0 if killed_before is None else -signal.SIGKILL), f"{' '.join(arguments)}: {ended.message}"


def _fork(folder: Path, arguments: Any, *, delay: float | None = None, operation: int | None = None) -> Ended:
    """Run a command in a fork, in ``folder``; kill it after ``delay`` seconds or before its k-th file operation."""
    log, count = folder.with_name("log"), folder.with_name("count")
    count.write_text("0")
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = _in_child(folder, list(arguments), log, count, operation)
        finally:
            os._exit(code)
    limit = LONGEST if delay is None else delay
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() - began > limit:
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            break
        time.sleep(0.003)
    code = os.waitstatus_to_exitcode(ended[1])
    seconds = time.monotonic() - began
    operations = int(count.read_text() or 0)  # nothing, where the kill came while it was being written
    return Ended(code, log.read_text().strip(), seconds, operations)


def _in_child(folder: Path, arguments: list[str], log: Path, count: Path, operation: int | None) -> int:
    from kronoscope import cli

    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _stop_the_clock()
    done = _count_operations(operation)
    code = cli.run(arguments)
    count.write_text(str(done()))
    return code


def _count_operations(last: int | None) -> Callable[[], int]:
    """Count file operations in the working folder from now on; die just before the one of number ``last``."""
    here, number = os.getcwd(), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        writes = event in _OPERATIONS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES)
        if not writes or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(here):
            number += 1
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: number


def _stop_the_clock() -> None:
    from kronoscope.training import loop

    clocks = dict.fromkeys(("monotonic", "perf_counter", "process_time"), lambda: 0.0)
    still = SimpleNamespace(**{**vars(time), **clocks})
    for name, module in list(sys.modules.items()):
        if name.startswith("kronoscope") and getattr(module, "time", None) is time:
            module.time = still  # type: ignore[attr-defined]
    loop.SECONDS_BETWEEN_CHECKPOINTS = -1.0


def _import_everything() -> None:
    import torch

    for name in _IMPORTED:
        with contextlib.suppress(ImportError):  # what xarray only looks for
            importlib.import_module(name)
    torch.set_num_threads(1)
    networks = importlib.import_module("kronoscope.models.networks")
    networks.build_network("position", 4, 2, {}, torch.Generator().manual_seed(0))  # torch loads more on first use
