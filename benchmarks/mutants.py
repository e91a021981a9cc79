"""Mutation score: changes of one operator, argument or constant, and how many of them the fast tests notice.

``mutmut`` makes the mutants of four groups of files and runs the tests that call each changed function. All of it
happens in a copy of the checkout. A seeded sample is drawn from each group, in proportion to files. Two kinds of
mutants do not count:

- a changed sentence (a string with a blank in it), because tests match the words of messages that matter; nor does
  another spelling of an encoding;
- the mutants in ``mutants_equivalent.json``, each with the reason why it changes nothing that a test should see.

A mutant that no fast test notices may still be noticed by a slow one, so the score is a lower bound.
"""

from __future__ import annotations

import ast
import codecs
import contextlib
import difflib
import functools
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

ROOT = Path(__file__).parents[1]
SAMPLED = 60
DEMANDED = 0.85
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.json")
_COPIED = ("src", "tests", "benchmarks", "examples", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
_NOTICED = ("killed", "timeout", "segfault", "suspicious")
# mutmut runs the unchanged tests twice, once to see which functions each of them calls; once is enough. What that run
# left in caches would hide mutants, whose processes are forks of it.
_MUTMUT = """
import functools, gc
from mutmut.__main__ import cli
from mutmut.workers.isolation import ForkRunner

def forget(runner, tests):
    for cached in gc.get_objects():
        if isinstance(cached, functools._lru_cache_wrapper) and str(cached.__module__).startswith("kronoscope"):
            cached.cache_clear()
    return 0

ForkRunner.run_clean_tests = forget
cli()
"""
_AROUND = 40  # characters of a line that are shown on either side of a change
_SHOWN = 2000  # characters of mutmut's own output in an error
_LIBRARY = "src/kronoscope/"


@dataclass(frozen=True)
class Group:
    """Files whose mutants are drawn together, and the tests that should notice them.

    Attributes:
        name: What ``--only`` takes.
        files: Patterns below ``src/kronoscope``.
        tests: Files of fast tests.
        slow: Tests in those files that are left out, because one run of them takes seconds.
    """

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    slow: tuple[str, ...] = ()


GROUPS = (
    Group(
        "data",
        ("data/*.py",),
        (
            *("test_block_grid", "test_data_blocks", "test_data_calendars", "test_data_chunks", "test_data_csv"),
            *("test_data_multiple_files", "test_data_reading", "test_data_regular", "test_data_splitting"),
            *("test_data_time_styles", "test_data_transform", "test_data_writing", "test_declared_sizes"),
            *("test_grid_layout", "test_impute_absent", "test_impute_cells", "test_margins", "test_matching"),
            *("test_missing", "test_sequence_order", "test_time_forms"),
        ),
        (
            "test_data_writing::test_a_full_disk_leaves_the_old_file_and_nothing_else",
            "test_impute_absent::test_impute_fills_all_that_fit_called_missing",
            "test_margins::test_forecasts_are_in_the_users_units",
            "test_margins::test_what_is_learnt_of_a_lognormal_process",
            "test_missing::test_from_a_file_with_holes_to_pages_and_forecast",
            "test_missing::test_masking_learns_what_dropping_throws_away",
            "test_missing::test_networks_that_take_no_mask_say_so",
        ),
    ),
    Group(
        "sampling",
        ("sampling/*.py",),
        ("test_sampling", "test_sampling_conditional", "test_sampling_optimised"),
        (
            "test_sampling::test_order_of_convergence",
            "test_sampling::test_a_corrected_start_removes_what_the_start_from_white_noise_costs",
            "test_sampling_optimised::test_a_fitted_model_samples_on_the_grid_of_its_own_law",
            "test_sampling_optimised::test_sixteen_calls_on_the_yardstick_are_below_a_ten_thousandth_of_a_nat",
            "test_sampling_optimised::test_times_alone_gain_less_than_times_and_weights",
        ),
    ),
    Group(
        "resume",
        ("training/state.py", "training/loop.py", "training/tensors.py", "models/folder.py"),
        (
            *("test_training", "test_training_checkpoints", "test_training_divergence", "test_training_noise"),
            *("test_training_shrinkage", "test_models_folder", "test_models_folder_parts"),
        ),
        (
            "test_models_folder::test_a_killed_process_leaves_a_run_that_resume_finishes",
            "test_training::test_the_last_weights_are_kept_where_that_is_asked_for",
            "test_training::test_training_goes_below_the_white_answer_and_repeats",
        ),
    ),
    Group(
        "bounds",
        ("compiler/bounds.py", "compiler/amplification.py", "compiler/certificate.py", "compiler/measuring.py"),
        ("test_compiler", "test_compiler_bounds", "test_compiler_refusals", "test_compiler_folder"),
        (
            "test_compiler::test_a_cut_kernel_is_exact_up_to_its_lag_and_zero_beyond",
            "test_compiler::test_certificates_of_float32_measure_what_samples_measure",
            "test_compiler::test_every_kind_of_process",
            "test_compiler::test_heads_of_every_kind_hold_the_same_kernel",
            "test_compiler::test_long_sequences_in_float32",
            "test_compiler::test_measured_below_proven_below_tolerance",
            "test_compiler::test_products_by_relu_layers_stay_below_their_bound",
        ),
    ),
)


@dataclass(frozen=True)
class Mutant:
    """One changed function.

    Attributes:
        name: mutmut's own.
        before: The function.
        after: The function as it was changed.
    """

    name: str
    before: ast.FunctionDef
    after: ast.FunctionDef

    @functools.cached_property
    def function(self) -> str:
        """Module below ``kronoscope`` and function, as ``compiler.bounds.largest_step``."""
        module, _, mangled = self.name.rpartition("__mutmut_")[0].rpartition(".")
        name = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        return f"{module.removeprefix('kronoscope.')}.{name}"

    @functools.cached_property
    def changes(self) -> list[str]:
        """Lines that went (``- line``) and came (``+ line``), whatever the layout of the source."""
        old, new = (ast.unparse(tree).replace(tree.name, "f", 1).splitlines() for tree in (self.before, self.after))
        lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
        return [f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-"]

    @property
    def diff(self) -> str:
        return " ".join(self.changes)

    @property
    def shown(self) -> str:
        """The diff, without what lies far from the change in a long line."""
        if len(self.changes) != 2:
            return self.diff
        old, new = (line[2:] for line in self.changes)
        first = max(0, _shared(old, new) - _AROUND)
        last = max(0, _shared(old[first:][::-1], new[first:][::-1]) - _AROUND)
        old, new = (f"{'...' * bool(first)}{s[first : len(s) - last]}{'...' * bool(last)}" for s in (old, new))
        return f"- {old} + {new}"

    @functools.cached_property
    def reworded(self) -> bool:
        """Whether the two differ in one string alone: a sentence, or an encoding in other letters."""
        old, new = (
            [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
            for tree in (self.before, self.after)
        )
        changed = [(a, b) for a, b in zip(old, new, strict=False) if a is not b and a != b]
        if len(old) != len(new) or len(changed) != 1 or not all(isinstance(text, str) for text in changed[0]):
            return False
        return all(" " in text for text in changed[0]) or _is_one_encoding(*changed[0])


def _shared(old: str, new: str) -> int:
    """How many characters they begin with in common."""
    return next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _is_one_encoding(old: str, new: str) -> bool:
    try:
        return codecs.lookup(old) == codecs.lookup(new)
    except LookupError:
        return False


def run(per_group: int = SAMPLED, seed: int = 0, only: str = "") -> Iterator[dict[str, Any]]:
    """One row a group, and one row for each mutant that no test noticed.

    Args:
        per_group: Mutants that are drawn from each group.
        seed: Of the draws.
        only: Names of groups, separated by commas; all groups by default.
    """
    if importlib.util.find_spec("mutmut") is None:
        raise SystemExit(
            "benchmarks: mutants needs mutmut; install it by: pip install -c constraints.txt -e '.[mutants]'"
        )
    names = [group.name for group in GROUPS]
    if unknown := set(filter(None, only.split(","))) - set(names):
        raise SystemExit(f"benchmarks: --only must be of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    for group in GROUPS:
        if group.name in (only.split(",") if only else names):
            with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
                yield from _rows(group, Path(folder), per_group, random.Random(f"{seed} {group.name}"))


def _rows(group: Group, scratch: Path, size: int, generator: random.Random) -> Iterator[dict[str, Any]]:
    made = _make_scratch(group, scratch)
    counted = {path: [m for m in mutants if not m.reworded] for path, mutants in made.items()}
    drawn = _draw(counted, size, generator)
    reasons = {(item["function"], item["diff"]): item["reason"] for item in json.loads(EQUIVALENT.read_text("utf-8"))}
    equivalent = [m for m in drawn if (m.function, m.diff) in reasons]
    judged = [m for m in drawn if (m.function, m.diff) not in reasons]
    verdicts = _verdicts(scratch, judged) if judged else {}
    survivors = [m for m in judged if verdicts[m.name] not in _NOTICED]
    killed, total = len(judged) - len(survivors), len(judged)
    interval = binomtest(killed, total).proportion_ci(method="wilson") if total else None
    timeouts = sum(verdicts[m.name] == "timeout" for m in judged)
    reworded = sum(m.reworded for mutants in made.values() for m in mutants)
    yield {
        "name": group.name,
        "value": 100 * killed / total if total else None,
        "unit": "% killed",
        "floor": f"{100 * DEMANDED:.0f} %",
        "note": f"{killed} of {total}"
        + (f", 95 % interval {100 * interval.low:.0f} to {100 * interval.high:.0f} %" if interval else "")
        + f"; of {sum(map(len, counted.values()))} mutants in {len(made)} files; {timeouts} killed by time; "
        f"{len(equivalent)} equivalent and {reworded} changed sentences do not count",
        "failed": int(killed < DEMANDED * total),
    }
    for mutant in survivors:
        status = verdicts[mutant.name]
        yield {"name": f"{group.name}: {mutant.function}", "value": status, "note": mutant.shown}
    for mutant in equivalent:
        reason = reasons[mutant.function, mutant.diff]
        yield {"name": f"{group.name}: {mutant.function}", "value": "equivalent", "note": f"{mutant.shown}: {reason}"}


def _make_scratch(group: Group, scratch: Path) -> dict[str, list[Mutant]]:
    """Copy the checkout, add mutmut's settings, and list the mutants of each file of the group."""
    ignored = shutil.ignore_patterns("__pycache__", "_build", "api", ".ipynb_checkpoints")
    for name in _COPIED:
        source = ROOT / name
        shutil.copytree(source, scratch / name, ignore=ignored) if source.is_dir() else shutil.copy(source, scratch)
    files = sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in group.files
        for path in (ROOT / _LIBRARY).glob(pattern)
        if path.name != "__init__.py"
    )
    _configure(scratch, files, group)
    with contextlib.chdir(scratch):
        return {path: mutants for path in files if (mutants := _mutants_of(path))}


def _configure(scratch: Path, files: list[str], group: Group) -> None:
    settings = {
        "source_paths": ["src"],
        "only_mutate": files,
        "also_copy": [name for name in _COPIED if name != "src"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", *_left_out(group)],
        "pytest_add_cli_args_test_selection": [f"tests/{name}.py" for name in group.tests],
        "use_git_change_detection": False,
        "track_dependencies": False,
        "timeout_multiplier": 5.0,
        "timeout_constant": 10.0,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (scratch / "pyproject.toml").write_text("\n".join([text, "[tool.mutmut]", *lines, ""]), "utf-8")


def _left_out(group: Group) -> list[str]:
    return [f"--deselect=tests/{test.replace('::', '.py::')}" for test in group.slow]


def _mutants_of(path: str) -> list[Mutant]:
    """Let mutmut write its version of a file, and pair each mutant with the function that it changes."""
    from mutmut.__main__ import create_mutants_for_file
    from mutmut.configuration import reset_config

    reset_config()
    output = Path("mutants") / path
    output.parent.mkdir(parents=True, exist_ok=True)
    if error := create_mutants_for_file(Path(path), output).error:
        raise error
    functions = {
        node.name: node
        for node in ast.walk(ast.parse(output.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name
    }
    module = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    mutants = []
    for name, after in functions.items():
        stem, _, number = name.rpartition("__mutmut_")
        if number != "orig":
            mutants.append(Mutant(f"{module}.{name}", functions[f"{stem}__mutmut_orig"], after))
    return mutants


def _draw(made: dict[str, list[Mutant]], size: int, generator: random.Random) -> list[Mutant]:
    """A sample without replacement, from each file in proportion to its mutants (largest remainders)."""
    total = sum(map(len, made.values()))
    size = min(size, total)
    shares = {path: divmod(size * len(mutants), total) for path, mutants in made.items()}
    taken = {path: whole for path, (whole, _) in shares.items()}
    order = sorted(made, key=lambda path: (-shares[path][1], generator.random()))
    for path in order[: size - sum(taken.values())]:
        taken[path] += 1
    return [mutant for path, mutants in made.items() for mutant in generator.sample(mutants, taken[path])]


def _verdicts(scratch: Path, mutants: list[Mutant]) -> dict[str, str]:
    """Run mutmut on the named mutants, one at a time, and read what it wrote about each."""
    from mutmut.stats import status_by_exit_code

    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(scratch / "mutants" / "src"), str(scratch / "mutants")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", _MUTMUT, "run", "--max-children", "1", *(mutant.name for mutant in mutants)]
    with open(scratch / "mutmut.log", "w", encoding="utf-8") as log:
        ended = subprocess.run(command, cwd=scratch, env=environment, stdout=log, stderr=log, check=False)
    codes: dict[str, int | None] = {}
    for path in (scratch / "mutants").rglob("*.meta"):
        codes |= json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    verdicts = {mutant.name: status_by_exit_code[codes.get(mutant.name)] for mutant in mutants}
    if "not checked" in verdicts.values() or ended.returncode:
        tail = (scratch / "mutmut.log").read_text("utf-8", errors="replace")[-_SHOWN:]
        raise RuntimeError(f"mutmut ended with exit code {ended.returncode} before every mutant was judged:\n{tail}")
    return verdicts
