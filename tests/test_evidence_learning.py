"""The studies of learning: checks follow their numbers, in full and turned round; recommendations name their cells."""

import json
import math
from dataclasses import asdict, replace

import pytest

import kronoscope_evidence as evidence
from kronoscope import DivergenceError, report
from kronoscope_evidence.learning import decay, dimension, length, length_page
from kronoscope_evidence.learning import jobs as learning_jobs
from kronoscope_evidence.learning.curves import Ratio
from kronoscope_evidence.learning.jobs import Row
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.learning.length_page import COMPARED, OWN, ExtendedError, ExtensionJob, ExtensionRow
from kronoscope_evidence.networks import complexity
from kronoscope_evidence.results import FORMAT, Header, Results
from kronoscope_evidence.stages import quiet
from kronoscope_evidence.study import RECOMMENDATIONS, Run

SMALLEST = {"unrolled": 1, "position": 16, "dit": 16, "unet": 8, "linear": 4, "mlp": 32}
SHAPED = ("unrolled", "unrolled-4")
STUDIES = ["decay", "dimension", "length", "complexity"]


def row(job, error):
    """A row with that score error; or a failure, where it is a text."""
    if isinstance(error, str):
        return Row(job, seconds=2.0, failed=error)
    return Row(job, error, 0.0, 7 / job.n, 2.0, sum(job.options.values()) + 10)


def extension(job, error, growth, null):
    """Errors that grow like factor^growth for the whole, and ``null`` times as large for the other methods."""
    if isinstance(error(job), str):
        return ExtensionRow(job, (), error(job))
    own = {factor: error(replace(job, frames=factor * job.frames)) * factor**growth for factor in job.factors}
    times = {OWN: 1.0} | dict.fromkeys(COMPARED, null)
    errors = [ExtendedError(method, k, kl * times[method], 0.0) for method in times for k, kl in own.items()]
    return ExtensionRow(job, tuple(errors))


def result_of(name, error, quick=False, growth=0.9, null=1.0):
    """The study's whole table of jobs with invented errors: ``error(job)`` in nats, or why learning failed."""
    study = evidence.study(name)
    size = study.quick if quick else study.full
    if name == "decay":
        return decay.Result(*(tuple(row(job, error(job)) for job in part) for part in decay.jobs(size, 0)))
    if name == "length":
        extensions = tuple(extension(job, error, growth, null) for job in length.extension_jobs(size, 0))
        return length_page.Result(tuple(row(job, error(job)) for job in length.jobs(size, 0)), extensions)
    module = {"dimension": dimension, "complexity": complexity}[name]
    return module.Result(tuple(row(job, error(job)) for job in module.jobs(size, 0)))


def exponent_of(job):
    return float(job.kernel.split("(")[1].split(")")[0].split(",")[-1]) if "," in job.kernel else 1.0


def noise(job, size=0.03):
    return 1 + size * ((7 * job.seed + 3 * list(LEARNERS).index(job.learner)) % 5 - 2)


def wanted(job):
    """As the claims have it."""
    shaped = job.learner in (*SHAPED, "stationary-separable")
    nu = exponent_of(job)
    rise = 1 / (1 + nu) if job.learner not in ("tapered", "ledoit-wolf") else nu
    frames = job.frames ** (0.2 if shaped else 2.0)
    features = job.features ** (0.5 if shaped or job.learner == "separable" else 2.0)
    return 0.1 / job.n * frames * features * rise * (1 if shaped else 3) * noise(job)


def adverse(job):
    """The opposite of every claim: slopes are turned; kinds are alike, and sizes are not."""
    if job.options:
        return (sum(job.options.values()) / SMALLEST[job.learner]) ** 2 * noise(job) / job.n
    shaped = job.learner in (*SHAPED, "separable")
    nu = exponent_of(job)
    rise = nu if job.learner not in ("tapered", "ledoit-wolf") else 1 / (1 + nu)
    frames = job.frames ** (2.0 if shaped else 0.2)
    features = job.features ** (2.0 if shaped else 0.5)
    return 1 / job.n**0.5 * frames * features * rise * (3 if shaped else 1) * noise(job)


def unsettled(job):
    """Seeds differ by far more than learners."""
    place = job.frames + 3 * job.features + len(job.kernel) + 5 * sum(job.options.values())
    draw = math.sin(97.0 * job.seed + 13.0 * len(job.learner) + 0.7 * place)
    return 10 / job.n * job.frames * job.features**1.7 * math.exp(2.5 * draw)


def outcomes(name, result):
    return [check.holds for check in evidence.study(name).checks(result)]


def recommendations_section(page):
    """Rows of the recommendations: what to do, because, row, column."""
    block = next(section for section in page.sections if section.title == RECOMMENDATIONS).blocks[0]
    return block.rows if isinstance(block, report.Table) else ()


def advice(name, result):
    return " ".join(cells[0] for cells in recommendations_section(evidence.study(name).page(result)))


EXPECTED = {
    "decay": [True] * 3,
    "dimension": [True] * 3,
    "length": [True, True, True, True],
    "complexity": [None, True],
}
ADVICE = {
    "decay": "If the smoothness of your data is unknown, trust",
    "dimension": "look for structure before you collect more data",
    "length": "Do not shorten long series",
    "complexity": "Choose the kind of network before its size",
}


@pytest.mark.parametrize("name", STUDIES)
def test_numbers_that_support_the_claims_pass_every_check(name):
    result = result_of(name, wanted, growth=0.8)
    assert outcomes(name, result) == EXPECTED[name]
    assert ADVICE[name] in advice(name, result)


@pytest.mark.parametrize("name", STUDIES)
def test_adverse_numbers_fail_the_checks_and_give_other_advice(name):
    result = result_of(name, adverse)
    assert True not in outcomes(name, result)
    assert False in outcomes(name, result)
    if name != "decay":  # its advice names a learner, which is another one then
        assert ADVICE[name] not in advice(name, result)


@pytest.mark.parametrize("name", STUDIES)
def test_numbers_that_settle_nothing_decide_nothing(name):
    result = result_of(name, unsettled, growth=0.0)
    assert set(outcomes(name, result)) == {None}
    assert ADVICE[name] not in advice(name, result)


@pytest.mark.parametrize("error", [wanted, adverse, unsettled])
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", STUDIES)
def test_every_recommendation_names_a_cell_of_its_page(name, quick, error):
    page = evidence.study(name).page(result_of(name, error, quick))
    tables = [b for s in page.sections if s.title != RECOMMENDATIONS for b in s.blocks if isinstance(b, report.Table)]
    cells = {
        (line[0], head.label)
        for table in tables
        for line in table.rows
        for cell, head in zip(line, table.columns, strict=True)
        if cell is not None
    }
    for advice_, _, first, column in recommendations_section(page):
        assert (first, column) in cells, advice_


@pytest.mark.parametrize("name", STUDIES)
def test_a_result_is_written_and_read_and_a_quick_page_recommends_nothing(name, tmp_path):
    result = result_of(name, wanted, quick=True)
    results = Results(Header(FORMAT, name, True, 0, 1.0), result)
    (tmp_path / "results.json").write_text(results.to_text())
    assert evidence.load(tmp_path / "results.json") == results
    full = replace(results, header=replace(results.header, quick=False))
    assert RECOMMENDATIONS in [section.title for section in full.page().sections]
    assert RECOMMENDATIONS not in [section.title for section in results.page().sections]
    html = report.render(results.page())
    assert "Smoke run" in html
    assert "nan" not in html.lower().replace("finan", "").split()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", STUDIES)
def test_a_training_that_diverges_is_left_out_by_name(name, whole):
    """Every training of the U-Net, or that of its first seed alone."""

    def broken(job):
        diverges = job.learner == "unet" and (whole or job.seed == 0)
        return "training diverged at step 3" if diverges else wanted(job)

    result = result_of(name, broken)
    text = str(asdict(evidence.study(name).page(result)))
    assert "training diverged at step 3" in text
    if name == "length":
        assert "1-D U-Net, seed 0, is left out: training diverged at step 3" in text
    assert False not in outcomes(name, result)


@pytest.mark.parametrize("name", STUDIES)
def test_every_learner_is_on_the_page_or_said_to_be_left_out(name):
    page = evidence.study(name).page(result_of(name, wanted))
    method = next(section for section in page.sections if section.title == "How it was done").blocks[0].text
    rows = {str(line[0]) for s in page.sections for b in s.blocks if isinstance(b, report.Table) for line in b.rows}
    shown = {label.split(",")[0] for label in rows}
    for learner in LEARNERS.values():
        if (
            learner.label not in rows
            and learner.label.split(",")[0] not in shown
            and learner.label != "stationary separable"
        ):
            assert learner.label in method


@pytest.mark.parametrize("name", ["decay", "length", "dimension"])
def test_effective_parameters_are_those_of_whole_sequences_on_every_axis(name):
    """2 n KL of a sequence, also where the errors of the page are those of a frame."""
    result = result_of(name, lambda job: 0.03 * noise(job))
    summaries = result.along_exponent() if name == "decay" else result.curves()
    unrolled = next(curve for curve in summaries if curve.learner == "unrolled")
    errors = [0.03 * noise(job) for job in (row.job for row in _rows(result)) if job.learner == "unrolled"][:5]
    for point in unrolled.points:
        assert point.effective == pytest.approx(2 * 500 * sum(errors) / 5)


def _rows(result):
    return result.shapes if isinstance(result, decay.Result) else result.rows


@pytest.mark.parametrize("name", STUDIES)
def test_full_studies_have_five_seeds(name):
    rows = _rows(result_of(name, wanted))
    assert {r.job.seed for r in rows} == set(range(5))
    learners = {r.job.learner for r in rows}
    assert all({r.job.seed for r in rows if r.job.learner == learner} == set(range(5)) for learner in learners)


def test_the_two_axes_of_decay_have_other_draws():
    shapes, lengthscales = decay.jobs(decay.STUDY.full, 3)
    assert {job.seed for job in shapes} == {3, 4, 5, 6, 7}
    assert {job.seed for job in lengthscales} == {8, 9, 10, 11, 12}


def test_the_learner_to_trust_is_the_one_with_the_least_worst_error():
    """Of two learners, the first is best at all places but one, where it is far worse than the second."""

    def uneven(job):
        nu = exponent_of(job)
        if job.learner == "separable":
            return 0.1 * noise(job) * (100 if nu == 2.0 else 1)
        return (0.3 if job.learner == "tapered" else 1.0) * noise(job)

    (first, *_) = recommendations_section(decay.page(result_of("decay", uneven)))
    assert first[0] == "If the smoothness of your data is unknown, trust tapered and not separable."
    assert first[2:] == ("separable", "ν = 2")


@pytest.mark.parametrize(
    ("kinds", "sizes", "expected"),
    [
        (Ratio(3.0, 2.6, 5.0), Ratio(2.0, 1.5, 2.5), True),
        (Ratio(3.0, 2.0, 5.0), Ratio(2.0, 1.5, 2.5), None),
        (Ratio(2.0, 1.5, 2.5), Ratio(3.0, 2.0, 5.0), None),
        (Ratio(2.0, 1.5, 2.5), Ratio(3.0, 2.6, 5.0), False),
        (Ratio(9.0, None, None), Ratio(2.0, 1.5, 2.5), None),
        (None, Ratio(2.0, 1.5, 2.5), None),
    ],
)
def test_kinds_and_sizes_are_told_apart_by_intervals_that_do_not_overlap(kinds, sizes, expected, monkeypatch):
    monkeypatch.setattr(complexity.Result, "between", lambda result: (kinds, None))
    monkeypatch.setattr(complexity.Result, "within", lambda result: (sizes, None))
    assert complexity.Result(()).kinds_differ_more() is expected


def test_costly_learners_are_left_out_of_large_sequences_alone():
    jobs = dimension.jobs(dimension.STUDY.full, 0)
    features = {name: {job.features for job in jobs if job.learner == name} for name in LEARNERS}
    assert features["linear"] == features["unrolled-4"] == features["block-toeplitz"] == {1, 2, 4, 8}
    assert features["unrolled"] == features["dit"] == {1, 2, 4, 8, 16}
    jobs = length.jobs(length.STUDY.full, 0)
    frames = {name: {job.frames for job in jobs if job.learner == name} for name in LEARNERS}
    assert frames["block-toeplitz"] == frames["dit"] == {8, 16, 32, 64}
    assert frames["unrolled"] == frames["separable"] == {8, 16, 32, 64, 128}


def test_length_that_is_not_generalised_is_not_recommended():
    """Errors for a frame that grow like factor^0.1, then like factor^2."""
    good = advice("length", result_of("length", wanted, growth=0.9, null=3.0))
    assert "may be run on 1024 frames" in good
    assert "on the whole sequence, not stretch by stretch" in good
    assert "choose for 1024 frames: unrolled" in good
    bad = result_of("length", wanted, growth=2.8, null=0.5)
    assert "Train an unrolled network on as many frames as you will run it on" in advice("length", bad)
    assert "stretch by stretch, 32 frames each" in advice("length", bad)
    assert outcomes("length", bad)[-2:] == [False, True]  # maximum likelihood, extended alike, errs as much


def test_what_training_loses_on_longer_sequences_is_told_from_what_the_class_does():
    def lossy(job):
        return (3 if job.learner == "unrolled" and job.frames > 128 else 1) * wanted(job)

    result = result_of("length", lossy)
    check = evidence.study("length").checks(result)[-1]
    assert check.holds is False
    assert check.label == "times the error of maximum likelihood, extended alike, at 1024 frames, unrolled"
    shares = [e.kl("own", 32) for e in result.extensions if e.job.learner in ("unrolled", "stationary-separable")]
    assert check.value == pytest.approx(sum(shares[:5]) / sum(shares[5:]))


def test_what_costs_training_and_no_sequences_is_to_be_trained_longer():
    assert "the longer train a generic network" not in advice("decay", result_of("decay", wanted))

    def harder(job):
        return wanted(job) * (exponent_of(job) ** 3 if job.learner in ("dit", "unet") else 1)

    text = advice("decay", result_of("decay", harder))
    assert "The more smoothness, the longer train a generic network" in text
    assert "The more reach, the longer" not in text
    dearer_in_sequences = result_of("decay", lambda job: wanted(job) * exponent_of(job) ** 3)
    assert "the longer train" not in advice("decay", dearer_in_sequences)


def test_a_diverged_training_on_longer_sequences_is_a_row_without_errors(monkeypatch):
    def diverging(*args, **kwargs):
        raise DivergenceError("training diverged at step 3")

    monkeypatch.setattr(length, "fitted", diverging)
    job = ExtensionJob("unet", 20, 0, frames=4, features=2, training={"max_steps": 2}, factors=(1,))
    assert length.measure_extension(job) == ExtensionRow(job, (), "training diverged at step 3")


def test_a_measured_study_gives_the_same_result_again_without_learning(tmp_path, monkeypatch):
    """A tiny study, truly measured: a second run with its store computes nothing."""
    training = {"unrolled": {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 32}}
    size = dimension.Size((1, 2), 40, 4, 1, ("unrolled", "separable", "tapered"), training)
    run = Run(size, 0, quiet, tmp_path / "store")
    first = dimension.measure(run)
    assert [row.job.features for row in first.rows] == [1, 1, 1, 2, 2, 2]
    assert all(row.kl > 0 for row in first.rows)
    monkeypatch.setattr(learning_jobs, "_learn", None)
    assert dimension.measure(run) == first
    table = json.loads((tmp_path / "store" / "sweep.json").read_text())
    assert len(table["jobs"]) == 6
