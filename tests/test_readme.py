"""Every block of the README runs and prints what stands below it."""

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

import kronoscope as ks
from kronoscope import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# The first trains for a minute; this many steps take seconds, and what is printed differs in no line that is shown.
SHORTER = ("--max-seconds 60", "--max-steps 150")
MEASURED = re.compile(r"−?\d+(\.\d+)?")


def indented_blocks() -> list[list[str]]:
    """Blocks that are indented by four spaces, without the indent, continued lines joined."""
    blocks = re.findall(r"(?:^    .*\n)+", README.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"(?m)^    ", "", block).replace("\\\n", " ").splitlines() for block in blocks]


def outputs_of(first_word: str) -> tuple[list[str], list[str]]:
    """The commands of the block that begins with that word, and the lines of the block after it."""
    blocks = indented_blocks()
    number = next(i for i, block in enumerate(blocks) if block[0].startswith(first_word))
    return blocks[number], blocks[number + 1]


def test_the_python_example_prints_what_it_says():
    found = re.search(r"```python\n(.*?)```\n\n    (.*?)\n", README.read_text(), re.DOTALL)
    assert found is not None
    code, printed = found.groups()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(README), "exec"), {})
    assert out.getvalue().strip() == printed


@pytest.mark.parametrize(("first_word", "exits"), [("cp ", [0, 0, 1, 0, 0]), ("kronoscope compile", [0, 0])])
def test_the_commands_print_what_it_says(first_word, exits, tmp_path, monkeypatch, capsys):
    """In the order that it says; of measured numbers in the audit's line only the words are compared."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ks.data.demo_weather_path(), "weather.csv")
    commands, expected = outputs_of(first_word)
    commands = [line.replace(*SHORTER) for line in commands if line.startswith("kronoscope ")]
    assert [cli.run(shlex.split(line)[1:]) for line in commands] == exits
    printed = capsys.readouterr().out.splitlines()
    for line in expected:
        wanted = MEASURED.sub("#", line) if line.startswith("differs") else line
        assert wanted in ([MEASURED.sub("#", text) for text in printed] if "#" in wanted else printed)


def test_it_is_short_and_its_links_lead_somewhere():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_the_make_targets_exist():
    targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    named = re.findall(r"make (\w[\w-]*)", README.read_text(encoding="utf-8"))
    assert "demo" in named
    assert set(named) <= set(targets)
