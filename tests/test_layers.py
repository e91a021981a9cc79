"""The layer table of CONTRIBUTING.md holds: imports go downwards, never sideways between packages."""

import ast
from pathlib import Path

import kronoscope

LAYERS = [
    {"_typing", "_checks", "_calls", "_errors", "_files"},
    {"linalg", "kernels", "diffusion", "iterations", "report"},
    {"processes", "nn"},
    {"compiler", "estimators", "sampling", "training", "metrics", "data", "video"},
    {"models", "probes"},
    {"audit"},
    {"experiments"},
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
