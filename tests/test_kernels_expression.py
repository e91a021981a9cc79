"""Kernels are read back from what they print, and nothing else is ever read, let alone evaluated."""

import builtins
import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_kernels import CASES, composed

from kronoscope import kernels
from kronoscope._errors import InputError
from kronoscope.kernels import Constant, Cosine, Matern, PowerExponential, Product, Scaled, Sum, White, parse

NAMES = [name for name in kernels.__all__ if name not in ("parse", "Decay", "Kernel", "StationaryKernel")]


@pytest.mark.parametrize("kernel", CASES, ids=repr)
def test_every_kernel_is_read_back(kernel):
    assert parse(repr(kernel)) == kernel


@settings(max_examples=200, deadline=None)
@given(composed, composed, composed, st.floats(5e-324, 1.7e308))
def test_every_composition_is_read_back_in_its_own_order(a, b, c, factor):
    for kernel in (a, Sum(a, Sum(b, c)), Product(a, Product(b, c)), Product(Sum(a, b), c), Scaled(Sum(a, b), factor)):
        assert parse(repr(kernel)) == kernel
    nested = Scaled(Product(Scaled(Scaled(a, 2), factor), Scaled(b, 3)), 1) + c
    assert parse(repr(nested)) == nested


def test_numbers_of_numpy_are_written_as_plain_ones():
    kernel = np.float64(0.1) * PowerExponential(np.float64(8.1), np.float32(0.1)) + kernels.Wendland(3, np.int64(2))
    assert repr(kernel) == (
        f"0.1 * PowerExponential(lengthscale=8.1, exponent={float(np.float32(0.1))!r}) "
        "+ Wendland(lengthscale=3, smoothness=2.0)"
    )
    assert parse(repr(kernel)) == kernel


def test_it_reads_what_people_write():
    written = "0.9*PowerExponential(8.0, exponent = 1) * ( Cosine(24)+Constant() )\n + 1e-1 * White()"
    expected = 0.9 * PowerExponential(8.0, 1) * (Cosine(24) + Constant()) + 0.1 * White()
    assert parse(written) == expected
    assert repr(expected) == (
        "0.9 * PowerExponential(lengthscale=8.0, exponent=1) * (Cosine(period=24) + Constant()) + 0.1 * White()"
    )
    assert parse("White() * 2") == Scaled(White(), 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be written like"),
        ("matern(8, 1.5)", "there is no kernel 'matern'; did you mean Matern? The kernels are Cauchy, Circular"),
        ("exp(1)", "there is no kernel 'exp'. The kernels are "),
        ("Sum(1, 2)", "there is no kernel 'Sum'"),
        ("Kernel()", "there is no kernel 'Kernel'"),
        ("parse(1)", "there is no kernel 'parse'"),
        ("Matern", "Matern needs its arguments: Matern(lengthscale, smoothness)"),
        ("Matern(8)", "missing a required argument: 'smoothness'"),
        ("Matern(8, nu=1)", "Matern(lengthscale, smoothness) does not fit the arguments given: "),
        ("Cosine(period=1, period=2)", "an argument is given twice"),
        ("Cosine(*a)", "the arguments of Cosine must be numbers, got '*a'"),
        ("Cosine(**a)", "the arguments of Cosine must be numbers, got 'a'"),
        ("Cosine(True)", "the arguments of Cosine must be numbers, got 'True'"),
        ("Cosine(2j)", "the arguments of Cosine must be numbers, got '2j'"),
        ("Cosine(White())", "the arguments of Cosine must be numbers, got 'White()'"),
        ("Cosine(-3)", "period must be greater than 0, got -3"),
        ("Cosine(1e999)", "period must be finite, got inf"),
        ("White() + 1", "a kernel cannot be added to the number 1: write 1 * Constant() or 1 * White()"),
        ("2 * 3 * White()", "one factor must be a kernel, got 2 * 3"),
        ("-2 * White()", "factor must be greater than 0, got -2"),
        ("2", "got the number '2'"),
        ("White() - White()", "must be made of kernels, numbers, + and *, got 'White() - White()'"),
        ("White()(1)", "only kernels can be called, got 'White()'"),
        ("White().decay", "got 'White().decay'"),
        ("[White()]", "a kernel has no use for the character '['"),
        ("White(), White()", "got '(White(), White())'"),
        ("9" * 400 + " * White()", "must be finite in float64"),
        ("9" * 5000, "nested too deep, or a number too long"),
        ("White() + " * 101 + "White()", "nested at most 100 deep"),
        ("-" * 5000 + "1", "nested too deep"),
        ("(" * 300, "too many nested parentheses"),
        ("a" + ".a" * 2000, "nested too deep"),
        ("a" * 10_001, "at most 10000 characters, got 10001"),
    ],
    ids=lambda value: value[:24],
)
def test_refusals_say_what_was_wrong_in_one_line(text, message):
    with pytest.raises(InputError) as refusal:
        parse(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_every_refusal_of_a_name_lists_every_kernel():
    with pytest.raises(InputError) as refusal:
        parse("Nothing()")
    for name in set(NAMES) - {"Sum", "Product", "Scaled"}:
        assert re.search(rf"\b{name}\b", str(refusal.value))


def test_what_is_no_text_is_a_type_error():
    with pytest.raises(TypeError, match="must be written as a string, got Matern"):
        parse(Matern(1, 2))


MARKS = ["(", ")", "(", ")", "+", "*", "-", ",", "=", " ", ".", ":", "**", "\n", "'", "[", "\x00", "é"]
WORDS = ["1", "2.5", "1e999", "1j", "0x1f", "True", "lengthscale", "__import__", "exec", "lambda x", "if", "else", "or"]
pieces = st.sampled_from([*NAMES, *MARKS, *WORDS])
repeated = st.one_of(pieces, st.text(min_size=1, max_size=4))
hostile = st.one_of(
    st.text(max_size=60),
    st.lists(pieces, max_size=40).map("".join),
    st.builds(lambda piece, times: piece * times, repeated, st.integers(0, 3000)),
)
parse("White()")  # its first call imports, which the test below forbids


@settings(max_examples=600, deadline=None)
@given(hostile)
@example("__import__('os').system('true')")
@example("1or 2")
@example("a" + "()" * 3000)
@example("a" + "()" * 400)
@example("Matern(" * 90 + "1" + ")" * 90)
def test_hostile_text_gives_a_kernel_or_an_input_error_and_is_never_evaluated(text):
    def forbidden(*_, **__):
        raise AssertionError("text was evaluated")

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("eval", "exec", "__import__"):
            patch.setattr(builtins, name, forbidden)
        try:
            kernel = parse(text)
        except InputError as refusal:
            message = str(refusal)
        else:
            message = ""
    assert "\n" not in message
    if not message:
        assert parse(repr(kernel)) == kernel
