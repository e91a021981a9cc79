"""The layer table of CONTRIBUTING.md holds: imports go downwards, never sideways between packages."""

import ast
import graphlib
import re
from functools import cache
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
        "settings",
    },
    {"linalg", "kernels", "diffusion", "iterations", "report"},
    {"processes", "nn"},
    {"compiler", "estimators", "sampling", "training", "metrics", "data", "video"},
    {"models", "probes"},
    {"auditing", "theory"},
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
FILES = sorted([*ROOT.rglob("*.py"), *EVIDENCE.rglob("*.py")])
LONGEST_FILE = 400
MOST_FILES = 12


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def in_functions(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node for f in functions for node in ast.walk(f) if isinstance(node, ast.Import | ast.ImportFrom)]


def targets(path: Path, node: ast.Import | ast.ImportFrom) -> set[str]:
    """What an import statement names: modules, and ``module.name`` for what is no module of these two packages."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    package = list(path.relative_to(ROOT.parent).with_suffix("").parts[:-1])
    start = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*start, *([node.module] if node.module else [])])
    return {f"{module}.{alias.name}" for alias in node.names}


def module_named(target: str) -> str | None:
    """The module of the two packages that holds what an import names."""
    return next((name for name in (target, target.rpartition(".")[0]) if name in MODULES), None)


def imported(path: Path, lazily: bool = True) -> set[str]:
    """Modules of the two packages that a file imports; ``lazily``: in functions and under TYPE_CHECKING as well."""
    tree = tree_of(path)
    nodes = [n for n in (ast.walk(tree) if lazily else tree.body) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {module_named(target) for node in nodes for target in targets(path, node)}
    return {name for name in modules if name is not None}


def test_the_library_imports_no_study():
    """Only the command line does, inside the commands that run studies."""
    users = {path for path in ROOT.rglob("*.py") if any(n.startswith("kronoscope_evidence") for n in imported(path))}
    assert {path.relative_to(ROOT).parts[0] for path in users} <= {"cli"}
    assert not [path for path in users if any(n.startswith("kronoscope_evidence") for n in imported(path, False))]


def test_no_files_import_each_other_in_a_circle():
    """Neither when they are loaded, nor in functions, nor for types alone; but for the lazy top-level names."""
    roots = {"kronoscope", "kronoscope_evidence"}
    graph = {name: imported(path) - roots for name, path in MODULES.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


# Slow to load, or optional: these alone may be imported inside functions of the library. The command line may load the
# library itself there, so that ``kronoscope --help`` is quick.
SLOW = {"IPython", "joblib", "matplotlib", "numpy", "pandas", "rich", "sklearn", "torch"}


def is_lazy(path: Path, target: str) -> bool:
    root, *rest = target.split(".")
    if root not in ("kronoscope", "kronoscope_evidence"):
        return root in SLOW
    if path.parent == ROOT / "settings":  # whose records the command line's help needs
        return target == "kronoscope._checks"  # loads torch
    if path.parent != ROOT / "cli":
        return False
    if path.name == "__init__.py" and rest[0] == "cli":  # so that whatever fails while commands load is one line
        return True
    return root == "kronoscope_evidence" or RANK.get(rest[0], 0) in range(1, RANK["cli"])


def test_imports_inside_functions_load_what_is_slow_or_optional():
    wrong = [
        f"{path.relative_to(ROOT.parent)}:{node.lineno} {target}"
        for path in FILES
        for node in in_functions(tree_of(path))
        for target in targets(path, node)
        if not is_lazy(path, target)
    ]
    assert not wrong


# Private names of other libraries that have no public twin.
FOREIGN = {"os._exit", "torch._foreach_lerp_"}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_defined(tree: ast.Module) -> set[str]:
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    stored = [n for n in ast.walk(tree) if isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Store)]
    return defined | {n.id if isinstance(n, ast.Name) else n.attr for n in stored}


def test_private_names_stay_in_their_file():
    """No file imports or reads what another file keeps for itself; a class may use what it inherits."""
    wrong = []
    for path in FILES:
        tree = tree_of(path)
        defined = names_defined(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                named = [t for t in targets(path, node) if private(t.rpartition(".")[2]) and t not in MODULES]
                wrong += [f"{path.relative_to(ROOT.parent)}:{node.lineno} {target}" for target in named]
            elif isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in defined:
                whose = ast.unparse(node.value)
                if whose not in ("self", "cls", "super()") and ast.unparse(node) not in FOREIGN:
                    wrong.append(f"{path.relative_to(ROOT.parent)}:{node.lineno} {ast.unparse(node)}")
    assert not wrong


def test_files_are_short_and_studies_few_in_a_folder():
    assert not [path for path in FILES if len(path.read_text().splitlines()) > LONGEST_FILE]
    folders = {path.parent for path in EVIDENCE.rglob("*.py")}
    assert not [folder for folder in folders if len(list(folder.glob("*.py"))) > MOST_FILES]


def open_dictionaries(tree: ast.Module) -> list[tuple[int, str]]:
    """Annotations of public functions and of fields that hold a dictionary of anything."""
    annotations: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            given = node.args
            annotations += [a.annotation for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)] + [node.returns]
        elif isinstance(node, ast.ClassDef):
            annotations += [n.annotation for n in node.body if isinstance(n, ast.AnnAssign)]
    texts = [(a.lineno, ast.unparse(a)) for a in annotations if a is not None]
    return [(line, text) for line, text in texts if re.search(r"(dict|Mapping)\[str, Any\]", text)]


def test_studies_hand_each_other_no_dictionaries_of_anything():
    wrong = [
        f"{path.relative_to(EVIDENCE)}:{line} {text}"
        for path in sorted(EVIDENCE.rglob("*.py"))
        for line, text in open_dictionaries(tree_of(path))
    ]
    assert not wrong
