"""What the benchmark of mutants draws, compares and leaves out; running mutants is for the benchmark itself."""

import ast
import json
import random

import pytest
from benchmarks import mutants
from benchmarks.__main__ import main


def mutant(before, after, name="kronoscope.data.units.x_f__mutmut_1"):
    trees = [ast.parse(text).body[0] for text in (before, after)]
    return mutants.Mutant(name, *trees)


def test_a_mutant_is_named_by_its_function_and_its_changed_line():
    changed = mutant(
        "def x_f__mutmut_orig(a,\n        b=1):\n    return (a +\n            b)",
        "def x_f__mutmut_1(a, b=1):\n    return a - b",
    )
    assert (changed.function, changed.diff) == ("data.units.f", "- return a + b + return a - b")
    assert mutant("def f(a=1): 0", "def g(a=2): 0").diff == "- def f(a=1): + def f(a=2):"
    assert (
        mutant("def f(): 0", "def f(): 1", "kronoscope.data.gaps.xǁGapsǁfill__mutmut_12").function
        == "data.gaps.Gaps.fill"
    )


def test_a_long_line_is_shown_around_its_change():
    before, after = (f"def f(): return g({'1, ' * 99}{x}{', 2' * 99})" for x in ("a", "b"))
    assert mutant(before, after).shown.count("...") == 4
    assert "1, 1, a, 2, 2" in mutant(before, after).shown
    assert len(mutant(before, after).shown) < 200 < len(mutant(before, after).diff)
    assert mutant("def f(): return a", "def f(): return b").shown == "- return a + return b"


@pytest.mark.parametrize(
    ("before", "after", "reworded"),
    [
        ("raise E('no such file')", "raise E('XXno such fileXX')", True),
        ("raise E(f'{a} is no file')", "raise E(f'{a} IS NO FILE')", True),
        ("raise E('no such file')", "raise E(None)", False),
        ("return x['name']", "return x['XXnameXX']", False),
        ("return x.encode('utf-8')", "return x.encode('UTF-8')", True),
        ("return x.encode('utf-8')", "return x.encode('XXutf-8XX')", False),
        ("return f('two words', 1)", "return f('two words', 2)", False),
        ("return f(1, 2)", "return f(1)", False),
    ],
)
def test_sentences_and_keys_differ(before, after, reworded):
    assert mutant(f"def f(): {before}", f"def f(): {after}").reworded is reworded


def test_a_sample_is_in_proportion_to_files_and_repeats():
    made = {"a": [f"a{k}" for k in range(60)], "b": [f"b{k}" for k in range(30)], "c": ["c0"]}
    drawn = mutants._draw(made, 30, random.Random(1))
    assert drawn == mutants._draw(made, 30, random.Random(1))
    assert drawn != mutants._draw(made, 30, random.Random(2))
    assert len(set(drawn)) == 30
    assert {path: sum(name[0] == path for name in drawn) for path in made} == {"a": 20, "b": 10, "c": 0}
    assert sorted(mutants._draw(made, 1000, random.Random(1))) == sorted([*made["a"], *made["b"], *made["c"]])


def test_every_group_has_its_files_and_tests_and_every_equivalent_mutant_its_reason():
    for group in mutants.GROUPS:
        assert all(list((mutants.ROOT / "src/kronoscope").glob(pattern)) for pattern in group.files)
        assert all((mutants.ROOT / "tests" / f"{name}.py").is_file() for name in group.tests)
        for test in group.slow:
            name, _, function = test.partition("::")
            assert name in group.tests
            assert f"def {function}(" in (mutants.ROOT / "tests" / f"{name}.py").read_text("utf-8")
    listed = json.loads(mutants.EQUIVALENT.read_text("utf-8"))
    assert all(set(item) == {"function", "diff", "reason"} and all(item.values()) for item in listed)
    assert len({(item["function"], item["diff"]) for item in listed}) == len(listed)


def test_an_unknown_group_is_refused():
    pytest.importorskip("mutmut")
    with pytest.raises(SystemExit, match="--only must be of data, sampling, resume, bounds, got nothing"):
        main(["mutants", "--only", "nothing"])
