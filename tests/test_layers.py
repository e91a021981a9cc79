"""The layer table of CONTRIBUTING.md holds: imports go downwards, never sideways between packages."""

import ast
import graphlib
from pathlib import Path

import kronoscope
import kronoscope_evidence

LAYERS = [
    {
        "_typing",
        "_checks",
        "_calls",
        "_codec",
        "_display",
        "_errors",
        "_files",
        "_intervals",
        "_memory",
        "_numerals",
        "_progress",
    },
    {"linalg", "kernels", "diffusion", "iterations", "report"},
    {"processes", "nn"},
    {"compiler", "estimators", "sampling", "training", "metrics", "data", "video"},
    {"models", "probes", "theory"},
    {"auditing"},
    {"pages"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ROOT = Path(kronoscope.__file__).parent


def imported_packages(path: Path) -> set[str]:
    """The first-level kronoscope packages that a file imports, whether relatively or absolutely."""
    depth = len(path.relative_to(ROOT).parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("kronoscope.")}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level == depth:
                found |= {module[0]} if module else {a.name for a in node.names}
            elif node.level == 0 and module[:1] == ["kronoscope"]:
                found |= {module[1]} if len(module) > 1 else {a.name for a in node.names}
    return found & RANK.keys()


def test_every_package_has_a_layer():
    packages = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
    assert packages <= RANK.keys()


def test_imports_go_downwards():
    wrong = []
    for path in ROOT.rglob("*.py"):
        owner = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if owner in RANK:
            targets = imported_packages(path) - {owner}
            wrong += [f"{path.relative_to(ROOT)} imports {t}" for t in targets if RANK[t] >= RANK[owner] > 0]
    assert not wrong


EVIDENCE = Path(kronoscope_evidence.__file__).parent
LONGEST_FILE = 400
MOST_FILES = 12


def imported_modules(path: Path) -> set[str]:
    """Dotted names of the kronoscope and kronoscope_evidence modules that a file imports when it is loaded."""
    package = list(path.relative_to(ROOT.parent).with_suffix("").parts[:-1])
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in ("kronoscope", "kronoscope_evidence")}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def test_the_library_imports_no_study():
    """Only the command line does, inside the commands that run studies."""
    users = {path for path in ROOT.rglob("*.py") if "kronoscope_evidence" in path.read_text()}
    assert {path.relative_to(ROOT).parts[0] for path in users} <= {"cli"}
    assert not [path for path in users if any(n.startswith("kronoscope_evidence") for n in imported_modules(path))]


def test_no_study_files_import_each_other_in_a_circle():
    files = {module_of(path): path for path in EVIDENCE.rglob("*.py") if path.name != "__init__.py"}
    graph = {name: imported_modules(path) & files.keys() for name, path in files.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_studies_are_small():
    for path in EVIDENCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, path
        assert len(list(path.parent.glob("*.py"))) <= MOST_FILES, path.parent
