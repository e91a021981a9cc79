"""The API reference: one page for each public package, written from its ``__all__`` and docstrings at build time."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import kronoscope

FOLDER = "api"
FROM_STORED = ("gallery",)
PAGE = """# {title}

```{{eval-rst}}
{lead}

.. currentmodule:: {module}

.. autosummary::
   :nosignatures:

{names}

{entries}
```
"""
# Spans that keep their meaning in reStructuredText: literals, roles and links. The rest is plain text with formulas.
SPAN = re.compile(r"``.+?``|:\w+:`[^`]+`|`[^`]+`_")
SPECIAL = re.compile(r"([*|\\`])|(?<=\w)_(?=\W|$)")
SECTION = re.compile(r"(Args|Attributes|Example|Examples|Note|Raises|Returns|Yields):")


def write_pages(app: Sphinx) -> None:
    """Write ``api/NAME.md`` for every public package, and for the top level; files that are up to date stay."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    names = [name for name in kronoscope.__all__ if not name.startswith("_")]
    packages = sorted(name for name in names if inspect.ismodule(getattr(kronoscope, name)))
    wanted = {"kronoscope": page(kronoscope, [name for name in names if name not in packages])}
    for name in packages:
        module = import_module(f"kronoscope.{name}")
        wanted[name] = page(module, list(module.__all__))
    for old in folder.glob("*.md"):
        if old.stem not in wanted:
            old.unlink()
    for name, text in wanted.items():
        target = folder / f"{name}.md"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def page(module: ModuleType, names: list[str]) -> str:
    """A page with a table of the names, then every entry in full, unless another page has it."""
    listed, entries = [], []
    for name in names:
        member = getattr(module, name)
        home = home_of(module, name, member)
        listed.append(f"   {name}" if home == module.__name__ else f"   ~{home}.{name}")
        if home == module.__name__:
            entries.append(entry(name, member))
    return PAGE.format(
        title=module.__name__,
        module=module.__name__,
        lead=plain(inspect.getdoc(module) or ""),
        names="\n".join(listed),
        entries="\n".join(entries),
    )


def home_of(module: ModuleType, name: str, member: Any) -> str:
    """The module whose page documents a name that several export: the top level, else the package that defines it."""
    if getattr(kronoscope, name, None) is member:
        return kronoscope.__name__
    parts = (getattr(member, "__module__", None) or module.__name__).split(".")
    if parts[0] == kronoscope.__name__ and len(parts) > 1 and parts[1] in kronoscope.__all__:
        home = import_module(".".join(parts[:2]))
        if name in home.__all__ and getattr(home, name) is member:
            return home.__name__
    return module.__name__


def entry(name: str, member: Any) -> str:
    """The directive that documents one name."""
    if inspect.isclass(member):
        return f".. autoclass:: {name}\n   :members:\n"
    if callable(member):
        return f".. autofunction:: {name}\n"
    keys = ", ".join(f"``{key!r}``" for key in member) if isinstance(member, Mapping) else f"``{member!r}``"
    return f".. py:data:: {name}\n\n   {'Keys: ' if isinstance(member, Mapping) else ''}{keys}\n"


def plain(text: str) -> str:
    """A docstring's line with the characters escaped that would be markup; formulas such as |x - x'|^2 stay."""
    kept = SPAN.findall(text)
    escaped = [SPECIAL.sub(lambda match: "\\" + match.group(0), part) for part in SPAN.split(text)]
    return "".join(part + span for part, span in zip(escaped, [*kept, ""], strict=True))


def escape(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with formulas, so what looks like markup is escaped before napoleon reads them."""
    inside = False
    for number, line in enumerate(lines):
        inside = line.lstrip().startswith((">>>", "...")) or (inside and bool(line.strip()))
        if not inside:
            lines[number] = plain(line)
    lines[:] = separated(lines)


def separated(lines: list[str]) -> list[str]:
    """The lines with a blank one around each indented formula of the description, as reStructuredText wants it."""
    result: list[str] = []
    for number, line in enumerate(lines):
        if SECTION.fullmatch(line):
            return result + lines[number:]
        if result and line.strip() and result[-1].strip() and line.startswith(" ") != result[-1].startswith(" "):
            result.append("")
        result.append(line)
    return result


def outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Pages that are read from the package in every build: their own source does not show that it changed."""
    return [name for name in env.found_docs if name.startswith(f"{FOLDER}/") or name in FROM_STORED]


def skip(app: Sphinx, what: str, name: str, member: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what other packages put into our classes."""
    return True if (getattr(member, "__module__", None) or "").startswith("matplotlib") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages, priority=100)
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("autodoc-skip-member", skip)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
