"""Plain language in messages, help, pages and docstrings, and the walks of CONTRIBUTING.md."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Phrases that were written here once, and the plain words for them.
PLAIN = {
    r"stranger": "external network",
    r"that of no law|score of no law": "not the gradient of a log density",
    r"\b(?<!there )is no (finished|folder|file|array|matrix|column|law|covariance|function)\b": "is not a ...",
    r"\bfor who\b|\bto who\b|\bwho has\b": "a noun: users, networks with ...",
    r"as they are\b(?! (asked|given|written|in the file|empty))": "unchanged, or say which",
    r"\bwhat stands there\b|\bwhat stood there\b": "the content",
    r"\b(was|were|is) told\b": "the settings of; was given",
    r"kept those of": "kept the parameters of",
    r"put back after": "undone after sampling",
    r"take-aways? that bear": "conclusions",
    r"by heart": "memorises",
    r"believes? in\b": "implies",
    r"as (it|they) should\b": "is ... reproduced?",
    r"never forgets?\b": "does not decay",
    r"worth in nats": "rise of the score error",
}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """String literals and docstrings with their lines; the values in an f-string are "{}"."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, " ".join("".join(map(str, parts)).split())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, " ".join(node.value.split())


def odd_phrases(path: Path) -> list[str]:
    """Where a text of the file has one of the phrases, with the plain words."""
    return [
        f"{path.name}:{line}: {match.group()!r}; plain: {plain}"
        for line, text in texts(path)
        for phrase, plain in PLAIN.items()
        if (match := re.search(phrase, text))
    ]


def test_texts_are_plain():
    files = sorted((ROOT / "src").rglob("*.py"))
    assert len(files) > 100
    assert [line for path in files for line in odd_phrases(path)] == []


@pytest.mark.parametrize(
    "source",
    [
        '"""A stranger\'s network."""',
        'f"kept those of step {step}"',
        'raise ValueError(f"{path} is no finished run")',
        'x = ("the score is "\n     "that of no law")',
    ],
)
def test_odd_phrases_are_found(source, tmp_path):
    path = tmp_path / "x.py"
    path.write_text(source)
    assert len(odd_phrases(path)) == 1


def test_the_walks_of_contributing_name_real_functions():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    walks = text.partition("## Two walks through the packages")[2].partition("\n## ")[0]
    names = re.findall(r"`([a-z]+)\.((?:[A-Z]\w*\.)?\w+)`", walks)
    assert len(names) > 12
    for package, name in names:
        target = importlib.import_module(f"kronoscope.{package}")
        for part in name.split("."):
            target = getattr(target, part)
    for file in re.findall(r"\(`(\w+/\w+\.py)`\)", walks):
        assert (ROOT / "src/kronoscope" / file).exists(), file
