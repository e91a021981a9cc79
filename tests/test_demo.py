"""The demo: its control against its own law, its files, its typed results, and its page made again from them."""

import json
import math
from dataclasses import replace

import pytest
import torch
from browser import chromium_or_skip, look

from kronoscope import data, models, report
from kronoscope.cli import run
from kronoscope_evidence.demo import control, demo, weather
from kronoscope_evidence.demo.demo_page import demo_report
from kronoscope_evidence.yardstick import yardstick


def test_the_control_finds_its_own_truth_in_a_covariance():
    truth = yardstick()
    covariance = truth.covariance()
    lags = torch.arange(32, dtype=torch.float64)
    torch.testing.assert_close(control.temporal_correlation(covariance), torch.exp(-lags / 8))
    torch.testing.assert_close(control.spatial_covariance(covariance), truth.spatial_covariance)
    assert float(truth.spatial_covariance.trace()) == pytest.approx(4.0)
    noised = math.exp(-0.01) * covariance + -math.expm1(-0.01) * torch.eye(128, dtype=torch.float64)
    torch.testing.assert_close(control._without_noise(noised), covariance)
    parts = control.parts("exact", covariance)
    assert parts.by_lag == pytest.approx([math.exp(-lag / 8) for lag in range(32)])
    assert torch.tensor(parts.first_frames, dtype=torch.float64).equal(covariance[:48, :48])


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo.demo(folder, quick=True)


def test_the_demo_leaves_its_files(rehearsal):
    folder, page = rehearsal
    assert sorted(p.name for p in folder.iterdir()) == ["generated.csv", "report.html", "results.json", "weather"]
    assert page == folder / "report.html"
    assert models.load(folder / "weather").feature_names[0] == "temp_EWR"
    result = demo.load_demo(folder)
    assert {learner.name for learner in result.control.learners} == {"dit", "position", *control.STRUCTURES}
    assert result.weather.row("training").share_inside == 1.0
    assert result.weather.row("sample covariance").share_inside > result.weather.row("separable").share_inside
    assert result.weather.parts == weather.Parts(262, 5, 67)
    assert result.weather.training.steps == 20


def test_the_page_is_made_again_without_training(rehearsal, monkeypatch):
    folder, page = rehearsal
    before = page.read_text()
    monkeypatch.setattr(models, "fit", None)
    monkeypatch.setattr(models, "fit_sequences", None)
    page.unlink()
    assert run(["report", str(folder)]) == 0
    assert page.read_text() == before
    assert "Rehearsal of the demo" in before
    assert run(["report", str(folder / "weather")]) == 0  # the run in it has a page of its own
    assert models.has_page(folder / "weather", models.read_run(folder / "weather"))


def test_numbers_of_the_page_are_those_of_the_results(rehearsal):
    folder, _ = rehearsal
    result = demo.load_demo(folder)
    shown = demo.demo_page_of(folder)
    share, _, position, dit = shown.verdict.numbers
    assert share.value == f"{100 * result.weather.row('generated').share_inside:.0f} %"
    assert position.value == f"{result.control.learner('position').kl.value:.2f} nats"
    assert dit.value == f"{result.control.learner('dit').kl.value:.2f} nats"
    titles = [section.title for section in shown.sections]
    assert titles[:2] == ["A rehearsal", "Weather: the data"]
    assert len(titles) == len(set(titles)) == 12


def test_warnings_of_the_weather_run_come_first(rehearsal):
    folder, _ = rehearsal
    result, run_page = demo.load_demo(folder), report.load_records(folder / "weather" / "report.json")
    warned = replace(
        run_page, sections=[report.Section("Warnings", "", [report.Text("Undertrained.")]), *run_page.sections]
    )
    titles = [s.title for s in demo_report(result.weather, result.control, warned, quick=False, facts={}).sections]
    assert titles[:3] == ["Warnings", "Weather: the data", "Weather: real and generated sequences"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: plain.update(format="kronoscope-demo-0"), "is not of the format kronoscope-demo-1"),
        (lambda plain: plain["weather"].pop("days"), "required field missing @ $.weather.days"),
        (lambda plain: plain["control"]["learners"][0].update(kl=1.0), "$.control.learners[0].kl"),
    ],
)
def test_damaged_results_are_one_clear_line(rehearsal, tmp_path, capsys, change, words):
    plain = json.loads((rehearsal[0] / "results.json").read_text())
    change(plain)
    (tmp_path / "results.json").write_text(json.dumps(plain))
    assert run(["report", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert str(tmp_path / "results.json") in line
    assert line.count("\n") == 1


def test_generated_days_read_back(rehearsal):
    folder, _ = rehearsal
    days = data.read(folder / "generated.csv", time="time_hour", timezone="America/New_York")
    assert days.values.shape == (64, 24, 9)
    assert days.feature_names[-1] == "wind_speed_LGA"


def test_the_demo_refuses_what_is_not_its_own(rehearsal):
    folder, _ = rehearsal
    with pytest.raises(ValueError, match="exists already"):
        demo.demo(folder, quick=True)
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files that are no demo's \(thesis.txt\)"):
        demo.demo(folder, quick=True, force=True)
    with pytest.raises(ValueError, match="is a file"):
        demo.demo(folder / "thesis.txt", quick=True)
    (folder / "thesis.txt").unlink()
    assert (folder / "report.html").exists()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_quiet_in_a_browser(rehearsal, width):
    chromium_or_skip()
    seen = look(rehearsal[1], width=width)
    assert (seen.complaints, seen.requests, seen.overflow) == ([], [], [])
