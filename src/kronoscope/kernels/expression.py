"""Kernels from text, the inverse of their ``repr``: a small language that is read and never evaluated.

kernel = Name(numbers) | kernel + kernel | kernel * kernel | number * kernel | kernel * number | (kernel)
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import warnings
from collections.abc import Iterator
from functools import cache

from .._errors import InputError
from .base import Kernel, Product, Scaled, Sum

_MAX_LENGTH = 10_000
_MAX_DEPTH = 100


def parse(text: str) -> Kernel:
    """The kernel that ``text`` writes out: ``parse(repr(kernel)) == kernel`` for every kernel of this package.

    Known are the kernels' names with numbers as positional or keyword arguments, +, *, a minus before a number, and
    parentheses. Nothing else is, and nothing of the text is ever evaluated as Python.

    Args:
        text: At most 10 000 characters, nested at most 100 deep (each + and * of a chain counts).

    Raises:
        TypeError: ``text`` is not a string.
        InputError: It writes no kernel; the message says why in one line.

    Example:
        >>> parse("0.9 * PowerExponential(8) + 0.1 * White()")
        0.9 * PowerExponential(lengthscale=8, exponent=1.0) + 0.1 * White()
    """
    if not isinstance(text, str):
        raise TypeError(f"a kernel must be written as a string, got {type(text).__name__}")
    if len(text) > _MAX_LENGTH:
        raise InputError(f"a kernel must be written in at most {_MAX_LENGTH} characters, got {len(text)}")
    strange = re.search(r"[^A-Za-z0-9_.,=+*() \t\r\n-]", text)
    if strange:
        raise InputError(f"a kernel has no use for the character {strange[0]!a}, got {_shown(text)}")
    tree = _tree(" ".join(text.split()))
    value = _value(tree, 0)
    if not isinstance(value, Kernel):
        raise InputError(f"a kernel must be written like {_EXAMPLE}, got the number {_shown(text)}")
    return value


_EXAMPLE = "'0.9 * Matern(8, 1.5) + 0.1 * White()'"


def _tree(line: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on literals like "1or"
            return ast.parse(line, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else ""
        if not 0 < len(reason) < 60:
            reason = "nested too deep, or a number too long"
        raise InputError(f"a kernel must be written like {_EXAMPLE}, got {_shown(line)} ({reason})") from None


def _value(node: ast.expr, depth: int) -> Kernel | float:
    if depth > _MAX_DEPTH:
        raise InputError(f"a kernel must be nested at most {_MAX_DEPTH} deep")
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        first, second = _value(node.left, depth + 1), _value(node.right, depth + 1)
        return _sum(first, second) if isinstance(node.op, ast.Add) else _product(first, second)
    if isinstance(node, ast.Call):
        return _kernel(node)
    if isinstance(node, ast.Name):
        _kernel_class(node.id)
        raise InputError(f"{node.id} needs its arguments: {node.id}{_signature(node.id)}")
    return _number(node)


def _sum(first: Kernel | float, second: Kernel | float) -> Kernel:
    if isinstance(first, Kernel) and isinstance(second, Kernel):
        return Sum(first, second)
    number = second if isinstance(first, Kernel) else first
    raise InputError(
        f"a kernel cannot be added to the number {number}: write {number} * Constant() or {number} * White()"
    )


def _product(first: Kernel | float, second: Kernel | float) -> Kernel:
    if isinstance(first, Kernel):
        return Product(first, second) if isinstance(second, Kernel) else Scaled(first, second)
    if isinstance(second, Kernel):
        return Scaled(second, first)
    raise InputError(f"one factor must be a kernel, got {first} * {second}")


def _kernel(node: ast.Call) -> Kernel:
    if not isinstance(node.func, ast.Name):
        raise InputError(f"only kernels can be called, got {_shown(_text_of(node.func))}; {_known()}")
    name = node.func.id
    kernel = _kernel_class(name)
    positional = [_number(argument, name) for argument in node.args]
    named = [(keyword.arg or "**", _number(keyword.value, name)) for keyword in node.keywords]
    try:
        if len(dict(named)) < len(named):
            raise TypeError("an argument is given twice")
        arguments = inspect.signature(kernel).bind(*positional, **dict(named))
    except TypeError as error:
        raise InputError(f"{name}{_signature(name)} does not fit the arguments given: {error}") from None
    return kernel(*arguments.args, **arguments.kwargs)


def _number(node: ast.expr, owner: str = "") -> float:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    literal = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    value = literal.value if isinstance(literal, ast.Constant) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        what = f"the arguments of {owner}" if owner else "a kernel and what multiplies it"
        allowed = "be numbers" if owner else "be made of kernels, numbers, + and *"
        raise InputError(f"{what} must {allowed}, got {_shown(_text_of(node))}")
    try:
        float(value)
    except OverflowError:
        raise InputError("a number of a kernel must be finite in float64, got one of over 308 digits") from None
    return -value if negative else value


def _text_of(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return "something nested too deep"


def _kernel_class(name: str) -> type[Kernel]:
    if name not in _kernel_classes():
        close = difflib.get_close_matches(name, _kernel_classes(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else "."
        raise InputError(f"there is no kernel {_shown(name)}{hint} {_known()}")
    return _kernel_classes()[name]


@cache
def _kernel_classes() -> dict[str, type[Kernel]]:
    """The kernels of this package that are made of numbers, by name."""
    composed = (Sum, Product, Scaled)
    made_of_numbers = [
        kernel
        for kernel in _subclasses(Kernel.__subclasses__())
        if kernel.__module__.startswith(f"{__package__}.") and not (inspect.isabstract(kernel) or kernel in composed)
    ]
    return {kernel.__name__: kernel for kernel in sorted(made_of_numbers, key=lambda kernel: kernel.__name__)}


def _subclasses(kernels: list[type[Kernel]]) -> Iterator[type[Kernel]]:
    for kernel in kernels:
        yield kernel
        yield from _subclasses(kernel.__subclasses__())


def _signature(name: str) -> str:
    parameters = inspect.signature(_kernel_classes()[name]).parameters.values()
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"({', '.join(shown)})"


def _known() -> str:
    return f"The kernels are {', '.join(_kernel_classes())}."


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return ascii(line if len(line) <= 60 else f"{line[:57]}...")
