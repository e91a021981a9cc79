"""Hostile files at every command: what is neither read nor refused in one line, what hangs, what is left half written.

Each file goes to one command, in a process that is watched from outside. ``python -m benchmarks fuzz --files 4000``.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

FILES = 400
BATCH = 40  # files a process; a dead process loses one of them, which is counted, and the next begins after it
PATIENCE = 10  # seconds of the processor that a command may take: a shared machine shows others in the clock
DEADLINE = 120  # seconds by the clock, for a command that waits
RUN = "run"  # a finished run, beside the cases
QUIET = ["--quiet"]


@dataclass(frozen=True)
class Outcome:
    """What a command made of a file.

    Attributes:
        number, family: Of the file.
        command: Its words.
        code: Exit code; None where the process died or was stopped.
        seconds: Of the processor.
        lines: On standard error.
        fault: What must not be, in words; empty where all is well.
    """

    number: int
    family: str
    command: str
    code: int | None
    seconds: float
    lines: int
    fault: str


def run(files: int = FILES, first: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of counts; faults are told as they come.

    Args:
        files: How many.
        first: The number of the first, which draws it.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = list(outcomes_of(range(first, first + files), Path(scratch)))
    faults = [outcome for outcome in outcomes if outcome.fault]
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    families = len({outcome.family for outcome in outcomes})
    counts = {
        "files": (len(outcomes), f"{families} families, {time.monotonic() - began:.0f} s"),
        "read": (sum(outcome.code in (0, 1) for outcome in outcomes), "a result: exit code 0, or 1 of an audit"),
        "refused in one line": (sum(outcome.code == 2 and outcome.lines == 1 for outcome in outcomes), "exit code 2"),
        "tracebacks": (_count(faults, "traceback"), "0 is asked for"),
        "internal errors": (_count(faults, "exit code 70"), "0 is asked for"),
        f"over {PATIENCE} s": (_count(faults, "took longer"), "0 is asked for"),
        "partial outputs": (_count(faults, "left"), "0 is asked for"),
        "other faults": (_others(faults), "died, or more than one line; 0 is asked for"),
        "slowest": (
            slowest.seconds,
            f"s of the processor; file {slowest.number} ({slowest.family}), {slowest.command}",
        ),
        "memory": (resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, "GB, the most that a process took"),
    }
    for name, (value, note) in counts.items():
        asked_none = "0 is asked for" in note
        yield {"name": name, "value": value, "unit": "", "note": note, "failed": value if asked_none else 0}


KINDS = ("traceback", "exit code 70", "took longer", "left")


def _count(faults: list[Outcome], kind: str) -> int:
    return sum(kind in outcome.fault for outcome in faults)


def _others(faults: list[Outcome]) -> int:
    return sum(not any(kind in outcome.fault for kind in KINDS) for outcome in faults)


def outcomes_of(numbers: range, scratch: Path) -> Iterator[Outcome]:
    """What comes of the files, each of which is written into a folder of its own."""
    make_run(scratch / RUN)
    start, context = numbers.start, multiprocessing.get_context("fork")
    while start < numbers.stop:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(range(start, min(start + BATCH, numbers.stop)), scratch, theirs))
        worker.start()
        theirs.close()
        for outcome in _received(ours, worker):
            start = outcome.number + 1
            if outcome.fault:
                told = f"file {outcome.number} ({outcome.family}), {outcome.command}: {outcome.fault}"
                print(f"fuzz: {told}", file=sys.stderr, flush=True)
            yield outcome
        worker.join()


def _received(ours: Connection, worker: Any) -> Iterator[Outcome]:
    """Outcomes of one process, which may die in a file, or hang in code that no alarm reaches."""
    begun: dict[str, Any] = {}
    while True:
        try:
            message = ours.recv() if ours.poll(DEADLINE) else None
        except EOFError:
            if not begun:
                raise RuntimeError("a process ended before its first file: its own error is above") from None
            message = {}
        if isinstance(message, Outcome):
            begun = {}
            yield message
        elif message == "done":
            return
        elif message:
            begun = message
        else:  # it died, or it hangs
            fault = (
                "the process died" if message == {} else f"took longer than {3 * PATIENCE} s, with no way to stop it"
            )
            worker.kill()
            yield Outcome(**begun, code=None, seconds=float(DEADLINE), lines=0, fault=fault)
            return


def _work(numbers: range, scratch: Path, report: Connection) -> None:
    for number in numbers:
        report.send(_outcome(number, scratch, report))
    report.send("done")


def make_run(folder: Path) -> None:
    """A small finished run, for the commands that need one."""
    source = folder.parent / "source.npy"
    np.save(source, np.random.default_rng(0).standard_normal((24, 3, 2)))
    options = ["--network", "position", "--option", "width=8", "--option", "num_blocks=1", "--max-steps", "0"]
    with _silence():
        assert _command(["fit", str(source), "--out", str(folder), *options, *QUIET]) == 0


def _outcome(number: int, scratch: Path, report: Connection) -> Outcome:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import fuzzing  # type: ignore[import-not-found]

    folder, out = scratch / str(number), scratch / f"out{number}"
    folder.mkdir()
    out.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = fuzzing.hostile(number, folder)
    before = _everything(folder)
    words = command_for(number, case, scratch, out)
    names = {"number": number, "family": case.family, "command": " ".join(words[:1])}
    report.send(names)
    began = time.process_time()
    fault, code = "", None
    with _silence() as (_, errors):
        try:
            with _patience():
                code = _command(words)
        except TimeoutError:
            fault = f"took longer than {PATIENCE} s"
        except BaseException as error:  # what leaves the command line is what is looked for
            fault = f"traceback: {type(error).__name__}: {error}"
    seconds = time.process_time() - began
    lines = errors.getvalue()
    late = f"took longer than {PATIENCE} s" if seconds > PATIENCE else ""
    fault = fault or late or _fault(code, lines, before, folder, out)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    return Outcome(**names, code=code, seconds=seconds, lines=lines.count("\n"), fault=fault[:300])


def command_for(number: int, case: Any, scratch: Path, out: Path) -> list[str]:
    """The words of the command that gets the file: mostly audit, which reads and writes most."""
    path, verb = str(case.path), (number // 7) % 10
    flags = [part for name in ("time", "pivot", "timezone", "frames") if name in case.options
             for part in (f"--{name}", str(case.options[name]))]  # fmt: skip
    if verb == 0:
        small = ["--network", "position", "--option", "width=8", "--option", "num_blocks=1", "--max-steps", "0"]
        return ["fit", path, "--out", str(out / "new"), *flags, *small, *QUIET]
    if verb == 1:
        return ["impute", str(scratch / RUN), path, "--out", str(out / f"filled{case.path.suffix}"), *QUIET]
    if verb == 2:
        return ["forecast", str(scratch / RUN), path, "--out", str(out / "next.csv"), *QUIET]
    if verb == 3:
        return ["sample", str(altered_run(number, scratch)), "--out", str(out / "new.csv"), "-n", "3", *QUIET]
    return ["audit", path, path, "--out", str(out / "a.html"), "--json", str(out / "a.json"), *flags, *QUIET]


def altered_run(number: int, scratch: Path) -> Path:
    """A copy of the run with one value of its records replaced, sealed again in three of four cases."""
    from fuzzing_claims import altered  # type: ignore[import-not-found]

    from kronoscope.models import folder as run_folder

    rng = np.random.default_rng([13, number])
    path = scratch / str(number) / "altered"
    shutil.copytree(scratch / RUN, path)
    settings = run_folder.read_run(path)
    name = str(rng.choice([run_folder.RESULT, run_folder.RUN]))
    if name == run_folder.RESULT:
        result = json.loads((path / name).read_text())
        part = str(rng.choice(sorted(result)))
        inner = part in ("transform", "container")  # JSON within JSON
        value = altered(rng, json.loads(result[part]) if inner else result[part])
        (path / name).write_text(json.dumps({**result, part: json.dumps(value) if inner else value}))
    else:
        sealed = settings["files"]
        settings = altered(rng, settings)
        settings = {**settings, "files": sealed} if isinstance(settings, dict) else {"files": sealed}
        (path / name).write_text(json.dumps(settings))
    if rng.random() < 0.75 and settings.get("format") == run_folder.FORMAT:
        names = [file for file in settings["files"] if (path / file).exists()]
        run_folder.write_run(path, {key: value for key, value in settings.items() if key != "sha256"}, names)
    return path


def _fault(code: int | None, lines: str, before: dict[str, bytes], folder: Path, out: Path) -> str:
    """What is wrong with how a command ended."""
    written = sorted(_everything(out))
    changed = {name: content for name, content in _everything(folder).items() if not name.startswith("altered")}
    if "Traceback" in lines:
        return f"traceback: {lines[-200:]}"
    if code == 70:
        return f"exit code 70: {lines[-250:]}"
    if changed != before or any(".part" in name or ".tmp" in name for name in written):
        return f"left or changed files: {sorted(set(changed) ^ set(before))[:3]} {written[:3]}"
    if code == 2:
        if written:
            return f"refused, but left {written[:3]}"
        return "" if lines.count("\n") == 1 else f"refused in {lines.count(chr(10))} lines: {lines[-200:]}"
    if code == 1 and "training diverged" in lines:
        return ""
    if code not in (0, 1) or not written or (code == 1 and "a.html" not in written):
        return f"exit code {code} with {written[:3]}: {lines[-200:]}"
    return ""


def _everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by name, with its size."""
    return {
        str(path.relative_to(folder)): str(path.lstat().st_size).encode()
        for path in folder.rglob("*")
        if not path.is_dir() and "altered" not in path.relative_to(folder).parts
    }


def _command(words: list[str]) -> int:
    from kronoscope.cli import run as command_line

    return command_line(words)


@contextlib.contextmanager
def _silence() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        yield out, err


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
