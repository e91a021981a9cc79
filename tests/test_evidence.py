"""Studies: results come back as they were written, pages need no measurement, quick runs are no evidence."""

import json
import math
from dataclasses import dataclass, replace

import pytest

import kronoscope_evidence as evidence
from kronoscope import InputError, _codec, report
from kronoscope.cli import run
from kronoscope_evidence import registry
from kronoscope_evidence.results import NOT_EVALUATED, RESULTS, Results


@dataclass(frozen=True)
class Inner:
    x: float
    y: int | None
    pairs: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    by_name: dict[str, tuple[float, ...]]
    flag: bool | None


RECORD = Outer((Inner(math.inf, None, ((1, "a"),)), Inner(-math.inf, 2, ())), {"z": (1.0, 0.1)}, None)


def test_records_come_back_as_they_were_written():
    assert _codec.from_plain(Outer, json.loads(_codec.to_text(_codec.to_plain(RECORD)))) == RECORD
    nan = _codec.from_plain(Inner, _codec.to_plain(Inner(math.nan, 1, ())))
    assert math.isnan(nan.x)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: plain.pop("flag"), "required field missing @ $.flag"),
        (lambda plain: plain.update(more=1), "has no field 'more'"),
        (lambda plain: plain.update(flag=1), "expected bool"),
        (lambda plain: plain["inner"][0].update(x="3"), "expected float @ $.inner[0].x"),
        (lambda plain: plain["inner"][1].update(y=2.0), "int | None @ $.inner[1].y"),
        (lambda plain: plain["inner"][0].update(pairs=[[1, "a", 2]]), "$.inner[0].pairs"),
        (lambda plain: plain["by_name"].update(z=[True]), "expected float"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change, words):
    plain = _codec.to_plain(RECORD)
    change(plain)
    with pytest.raises(InputError) as error:
        _codec.from_plain(Outer, plain)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_record_is_refused():
    with pytest.raises(TypeError, match="complex cannot be written"):
        _codec.to_plain(replace(RECORD, flag=1j))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return evidence.reproduce("krylov", tmp_path_factory.mktemp("study") / "krylov", quick=True).parent


def test_a_page_is_made_again_without_measuring(folder, monkeypatch, capsys):
    page = (folder / "report.html").read_text()
    study = registry.study("krylov")

    def never(run):
        raise AssertionError("measured again")

    monkeypatch.setattr(
        registry.importlib.import_module(study.measure.__module__), "STUDY", replace(study, measure=never)
    )
    (folder / "report.html").unlink()
    assert run(["report", str(folder)]) == 0
    assert (folder / "report.html").read_text() == page


def test_a_quick_run_evaluates_nothing(folder):
    results = evidence.load(folder / RESULTS)
    assert results.page().title.startswith("Smoke run")
    assert all(check.holds is None for check in results.checks())
    assert {number.standing for number in results.page().verdict.numbers} == {"neutral"}
    assert NOT_EVALUATED in (folder / "report.html").read_text()
    full = Results(replace(results.header, quick=False), results.result)
    assert {number.standing for number in full.page().verdict.numbers} == {"good"}
    assert not full.page().title.startswith("Smoke run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: plain.update(format="kronoscope-study-0"), "is not of the format"),
        (lambda plain: plain.update(study="astrology"), "name must be one of"),
        (lambda plain: plain["result"].pop("floor"), "required field missing @ $.floor"),
        (lambda plain: plain.pop("seed"), "required field missing @ $.seed"),
    ],
)
def test_damaged_results_are_one_clear_line(folder, tmp_path, capsys, change, words):
    plain = json.loads((folder / RESULTS).read_text())
    change(plain)
    (tmp_path / RESULTS).write_text(json.dumps(plain))
    assert run(["report", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert str(tmp_path / RESULTS) in line
    assert line.count("\n") == 1


def stored():
    return sorted(path.stem for path in evidence.STORED.glob("*.json"))


@pytest.mark.parametrize("name", stored())
def test_stored_results_are_full_runs_whose_pages_render(name):
    results = evidence.load(evidence.STORED / f"{name}.json")
    assert results.header.study == name
    assert not results.header.quick
    assert report.render(results.page())


def test_every_study_says_what_it_claims_and_costs(capsys):
    assert run(["reproduce", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == len(evidence.MODULES)
    for name in evidence.MODULES:
        study = evidence.study(name)
        assert study.minutes[0] >= study.minutes[1] > 0
        (line,) = [line for line in listed if line.startswith(f"{name}: {study.claim} (")]
        cost = f"stored; in full {study.minutes[0]:g} min" if name in stored() else "not stored yet: "
        assert f"({cost}" in line


def test_a_stored_result_becomes_a_page_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["report", "--stored", "depth"]) == 0
    assert (tmp_path / "depth.html").read_text() == report.render(evidence.stored("depth").page())
    assert run(["report", "depth", "--stored"]) == 2
    assert "depth.html exists" in capsys.readouterr().err
    assert run(["report", "depth", "--stored", "--force", "--out", "other.html"]) == 0
    assert (tmp_path / "other.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["video", "--stored"], "kronoscope reproduce video measures it in about 5 minutes"),
        (["astrology", "--stored"], "name must be one of ablation"),
        (["depth"], "for the stored study, run kronoscope report --stored depth"),
        (["."], ". is not the folder of a run, study or demo"),
    ],
)
def test_what_has_no_page_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert run(["report", *arguments]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1
    assert not list(tmp_path.iterdir())
