"""What the pages of the study say follows from their numbers: fed with adverse results, they say the opposite."""

import importlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from kronoscope import report
from kronoscope_evidence import stages
from kronoscope_evidence.learning import curves as learning_curves
from kronoscope_evidence.learning import jobs as learning
from kronoscope_evidence.learning.curves import curves, front, point, ratio
from kronoscope_evidence.learning.jobs import Job, Row
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.learning.length_page import BESIDE, OWN, ExtensionRow, LongerError
from kronoscope_evidence.learning.words import cost_of_training, is_beyond, is_near, learners_left_out
from kronoscope_evidence.reproductions import REPRODUCTIONS
from kronoscope_evidence.slopes import Slope

STUDIES = ["decay", "length", "dimension", "complexity"]
SMALLEST = {"unrolled": 1, "position": 16, "dit": 16, "unet": 8, "linear": 4, "mlp": 32}
SHAPED = ("unrolled", "unrolled-4")


def page_of(name, monkeypatch, error, quick=False, grow=0.9, zero=1.0):
    """The page made of invented errors: ``error(job)`` in nats."""

    def result(job, measurement):
        value = error(job)
        if measurement.__name__ == "measure_longer":
            own = {k: error(replace(job, frames=k * job.frames)) * k**grow for k in job.factors}
            methods = {OWN: 1.0} | dict.fromkeys(BESIDE, zero)
            errors = [LongerError(m, k, kl * times, 0.0) for m, times in methods.items() for k, kl in own.items()]
            return ExtensionRow(job, tuple(errors))
        return Row(job, value, 0.0, 7 / job.n, 2.0, sum(job.options.values()) + 10)

    def run(table, measurement, row, folder, on_result):
        return [result(job, measurement) for job in table.jobs]

    monkeypatch.setattr(learning.sweeps, "run", run)
    module = importlib.import_module(f"kronoscope_evidence.{REPRODUCTIONS[name].module}")
    return module.run(quick=quick, seed=0, stage=stages.quiet).page


def noise(job, size=0.03):
    return 1 + size * ((7 * job.seed + 3 * list(LEARNERS).index(job.learner)) % 5 - 2)


def wanted(job):
    """As the claims have it."""
    shaped = job.learner in (*SHAPED, "stationary-separable")
    nu = float(job.kernel.split("(")[1].split(")")[0].split(",")[-1]) if "," in job.kernel else 1.0
    rise = 1 / (1 + nu) if job.learner not in ("tapered", "ledoit-wolf") else nu
    frames = job.frames ** (0.2 if shaped else 2.0)
    features = job.features ** (0.5 if shaped or job.learner == "separable" else 2.0)
    return 0.1 / job.n * frames * features * rise * (1 if shaped else 3) * noise(job)


def adverse(job):
    """Whatever is claimed to be good is bad, and the other way round; slopes are turned; kinds alike, sizes not."""
    if job.options:
        return (sum(job.options.values()) / SMALLEST[job.learner]) ** 2 * noise(job) / job.n
    shaped = job.learner in (*SHAPED, "separable")
    nu = float(job.kernel.split("(")[1].split(")")[0].split(",")[-1]) if "," in job.kernel else 1.0
    rise = nu if job.learner not in ("tapered", "ledoit-wolf") else 1 / (1 + nu)
    frames = job.frames ** (2.0 if shaped else 0.2)
    features = job.features ** (2.0 if shaped else 0.5)
    return 1 / job.n**0.5 * frames * features * rise * (3 if shaped else 1) * noise(job)


def noisy(job):
    """Nothing to tell apart: seeds differ by far more than learners."""
    place = job.frames + 3 * job.features + len(job.kernel) + 5 * sum(job.options.values())
    draw = math.sin(97.0 * job.seed + 13.0 * len(job.learner) + 0.7 * place)
    return 10 / job.n * job.frames * job.features**1.7 * math.exp(2.5 * draw)


def texts(page):
    return page.subtitle + " " + " ".join(" ".join(map(str, row)) for row in advice(page))


def advice(page):
    block = next(section for section in page.sections if section.title == "Take-aways").blocks[0]
    return block.rows if isinstance(block, report.Table) else ()


def standings(page):
    return [number.standing for number in page.verdict.numbers]


CLAIMS = {
    "decay": ("Smoothness hides parameters under the noise", "pays for it"),
    "length": ("Do not cut long series", "they are a gift"),
    "dimension": ("look for structure before looking for data", "Little for the unrolled network"),
    "complexity": ("Choose the kind of network before its size", "Between kinds of networks the error differs more"),
}


@pytest.mark.parametrize("name", STUDIES)
def test_claims_are_made_where_numbers_bear_them_out(name, monkeypatch):
    page = page_of(name, monkeypatch, wanted)
    assert "bad" not in standings(page)
    assert "good" in standings(page)
    for claim in CLAIMS[name]:
        assert claim in texts(page)


@pytest.mark.parametrize("name", STUDIES)
def test_adverse_numbers_make_the_page_say_the_opposite(name, monkeypatch):
    page = page_of(name, monkeypatch, adverse)
    assert "good" not in standings(page)
    assert "bad" in standings(page)
    for claim in CLAIMS[name]:
        assert claim not in texts(page)


@pytest.mark.parametrize("name", STUDIES)
def test_numbers_that_settle_nothing_are_said_to_settle_nothing(name, monkeypatch):
    page = page_of(name, monkeypatch, noisy, grow=0.0)
    assert standings(page).count("neutral") == len(standings(page))
    for claim in CLAIMS[name]:
        assert claim not in texts(page)
    assert "settle" in page.subtitle or "do not set it apart" in page.subtitle


@pytest.mark.parametrize("error", [wanted, adverse, noisy])
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", STUDIES)
def test_the_row_that_a_sentence_names_is_in_a_table_of_its_page(name, quick, error, monkeypatch):
    page = page_of(name, monkeypatch, error, quick)
    tables = [b for s in page.sections if s.title != "Take-aways" for b in s.blocks if isinstance(b, report.Table)]
    found = {
        (row[0], head.label)
        for table in tables
        for row in table.rows
        for cell, head in zip(row, table.columns, strict=True)
        if cell is not None
    }
    for what, because, row, column in advice(page):
        assert (row, column) in found, (what, because)


def test_length_that_is_not_generalised_is_not_recommended(monkeypatch):
    """Errors for a frame that grow like factor^0.1, then like factor^2."""
    first = page_of("length", monkeypatch, wanted, grow=0.9, zero=3.0)
    assert "may be run on 1024 frames" in texts(first)
    assert "Run it whole" in texts(first)
    assert "take for 1024 frames: unrolled" in texts(first)
    assert "take for 1024 frames: 1-D U-Net" not in texts(first)
    second = page_of("length", monkeypatch, wanted, grow=2.8, zero=0.5)
    assert "Train an unrolled network on as many frames as it is to run on" in texts(second)
    assert "Run it stretch by stretch" in texts(second)
    assert standings(second)[-2:] == ["bad", "good"]  # maximum likelihood, extended alike, errs as much


def test_what_training_loses_on_longer_sequences_is_told_from_what_the_class_does(monkeypatch):
    def lossy(job):
        lost = 3 if job.learner == "unrolled" and job.frames > 128 else 1
        return lost * wanted(job)

    page = page_of("length", monkeypatch, lossy)
    assert standings(page)[-1] == "bad"
    assert "times the error of maximum likelihood, extended alike, at 1024 frames" in page.verdict.numbers[-1].label


def test_what_is_cheap_in_sequences_and_dear_in_training_is_to_be_trained_longer(monkeypatch):
    assert "the longer train a generic network" not in texts(page_of("decay", monkeypatch, wanted))

    def harder(job):
        nu = float(job.kernel.split(",")[1].rstrip(")")) if "," in job.kernel else 1.0
        return wanted(job) * (nu**3 if job.learner in ("dit", "unet") else 1)

    told = texts(page_of("decay", monkeypatch, harder))
    assert "The more smoothness, the longer train a generic network" in told
    assert "The more reach, the longer" not in told

    def dear(job):
        nu = float(job.kernel.split(",")[1].rstrip(")")) if "," in job.kernel else 1.0
        return wanted(job) * nu**3

    assert "the longer train" not in texts(page_of("decay", monkeypatch, dear))  # dearer in sequences, too


def test_a_slope_is_on_minus_one_only_if_it_is_close_and_its_interval_narrow():
    assert is_near(Slope(-1.04, -1.10, -0.98), -1) is True
    assert is_near(Slope(-1.0, -1.5, -0.5), -1) is None
    assert is_near(Slope(-0.85, -0.93, -0.77), -1) is False
    assert is_near(Slope(-0.5, -0.7, -0.3), -1) is False
    assert is_near(None, -1) is None
    assert is_beyond(Slope(-0.3, -0.5, -0.1), 0, below=True) is True
    assert is_beyond(Slope(-0.3, -0.7, 0.1), 0, below=True) is None
    assert is_beyond(Slope(0.3, 0.1, 0.5), 0, below=True) is False


def row_of(learner, seed, kl, **measured):
    return Row(Job(learner, 100, seed), kl, **{"seconds": 1.0, "parameters": 7, **measured})


def test_a_ratio_is_paired_by_draws_and_its_interval_covers_as_often_as_it_says():
    """Common draws move both errors by 30 %, own noise by 5 %: 2000 times, 95 % +- 2 % (4 standard errors)."""
    rng, covered, widths = np.random.default_rng(0), 0, []
    for _ in range(2000):
        common = np.exp(0.3 * rng.standard_normal(5))
        a, b = (level * common * (1 + 0.05 * rng.standard_normal(5)) for level in (2.0, 1.0))
        found = ratio(
            point(1.0, [row_of("dit", i, v) for i, v in enumerate(a)]),
            point(1.0, [row_of("unrolled", i, v) for i, v in enumerate(b)]),
        )
        covered += found.lower <= 2.0 <= found.upper
        widths.append(found.upper / found.lower)
    assert abs(covered / 2000 - 0.95) < 0.02
    assert np.mean(widths) < 1.3  # unpaired it would be near 3
    assert ratio(point(1.0, [row_of("dit", 0, 1.0)]), point(1.0, [row_of("unrolled", 1, 1.0)])) is None


def test_the_front_is_what_brute_force_keeps():
    rng = np.random.default_rng(3)
    places = [(float(a), float(b)) for a, b in rng.integers(1, 12, size=(40, 2))]
    kept = {places[i] for i in front(places)}
    for a, b in places:
        beaten = any((c <= a and d <= b) and (c, d) != (a, b) for c, d in places)
        assert ((a, b) in kept) != beaten
    assert [places[i][0] for i in front(places)] == sorted(places[i][0] for i in front(places))


class OneLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 7)

    def forward(self, x, t):
        return self.layer(x)


def test_operations_of_a_linear_layer_are_counted():
    # 2 in out a row forward, and as many for the gradient of the weights; none flows to the data
    assert learning.operations(OneLayer(), torch.randn(2, 3, 5)) == 2 * (2 * 5 * 7) * (2 * 3)


def test_who_is_matched_is_read_off_the_seconds():
    def summaries(seconds):
        several = [("unrolled", 1, 10.0), ("dit", 1, 12.0), ("unrolled", 2, 20.0), ("dit", 2, seconds)]
        rows = [
            Row(Job(name, 1, 0, frames=x), kl=1.0, seconds=took, parameters=5, operations=3e12 * x)
            for name, x, took in several
        ]
        return curves(rows, lambda row: row.job.frames)

    alike, apart = cost_of_training(summaries(25.0), "N = "), cost_of_training(summaries(100.0), "N = ")
    assert "N = 1: 10 (unrolled) to 12 (DiT with a linear path); N = 2: 20 (unrolled) to 25" in alike
    assert "operations of training (matrix products and convolutions) at N = 1: unrolled 3, DiT with a linear" in alike
    assert "matched in time, to a factor of 1.5" in alike
    assert "N = 2: 20 (unrolled) to 100 (DiT with a linear path)" in apart
    assert "not matched in time to a factor of 1.5 at N = 2" in apart


def test_floors_and_sizes_have_exponents_of_their_own():
    rows = [
        Row(Job("separable", 1, 0, frames=x), kl=x**0.3, floor=0.1 / x, seconds=1.0, parameters=10 * x**2)
        for x in (1, 2, 4)
    ]
    curve = curves(rows, lambda row: row.job.frames)[0]
    assert curve.floor_exponent == pytest.approx(-1)
    assert curve.size_exponent == pytest.approx(2)
    assert learning_curves._exponent([(1.0, 2.0), (2.0, None)]) is None


@pytest.mark.parametrize("name", STUDIES)
def test_every_page_says_which_learners_it_leaves_out(name, monkeypatch):
    page = page_of(name, monkeypatch, wanted)
    told = next(section for section in page.sections if section.title == "How it was done").blocks[0].text
    rows = {row[0] for s in page.sections for b in s.blocks if isinstance(b, report.Table) for row in b.rows}
    shown = {label.split(",")[0] for label in map(str, rows)}
    for learner in LEARNERS.values():
        base = learner.label.split(",")[0]
        if learner.label not in rows and base not in shown and learner.label != "stationary separable":
            assert learner.label in told
    assert learners_left_out(list(LEARNERS), 1.0).startswith("No learner")
