"""Figures of results: what they show are the numbers of the result, and nothing global changes."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from compiler_cases import PROCESSES
from matplotlib.figure import Figure as MatplotlibFigure
from model_cases import PROCESS, SIGMA, fitted, seeded, values
from report_sample import HOSTILE, sample
from test_display import attended, audited, compiled, conditioned, probed

import kronoscope as ks
from kronoscope import report
from kronoscope._errors import InputError
from kronoscope.report import Bar, BarPanel, Figure, Line, LinePanel, MatrixPanel


@pytest.fixture(scope="module")
def model():
    return fitted(max_steps=30)


def text_of(figure):
    axes = [(a.get_title(loc="left"), a.get_xlabel(), a.get_ylabel()) for a in figure.axes]
    legends = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return " ".join([part for parts in axes for part in parts] + legends).replace("\n", " ")


# --- the drawing of records


def record(*panels, **more):
    return Figure(panels, "a caption", "in words", **more)


def test_lines_matrices_and_bars_hold_the_numbers_of_the_record():
    line = Line("a", "learnt", [1.0, 2.0, 4.0], [3.0, -1.0, 2.0], [2.0, -2.0, 1.0], [4.0, 0.0, 3.0])
    figure = report.plot(
        record(
            LinePanel("one", "x", "y", [line], log_x=True),
            MatrixPanel("two", [[1.0, -2.0], [0.5, 0.0]], "column", "row", "what", diverging=True),
            BarPanel("three", "size", [Bar("first", "learnt", 2.0), Bar("second", "null", 5.0, 4.0, 6.0)]),
            columns=2,
        )
    )
    lines, matrix, bars = figure.axes[:3]
    assert np.array_equal(lines.lines[0].get_xydata(), [[1, 3], [2, -1], [4, 2]])
    assert lines.get_xscale() == "log"
    assert len(lines.collections) == 1
    assert np.array_equal(matrix.images[0].get_array(), [[1.0, -2.0], [0.5, 0.0]])
    assert matrix.images[0].get_clim() == (-2.0, 2.0)
    assert [bar.get_width() for bar in bars.patches] == [2.0, 5.0]
    assert figure.record.caption == "a caption"
    assert text_of(figure).split() == ["one", "x", "y", "two", "column", "row", "three", "size", "what", "a"]


def test_every_figure_of_a_page_can_be_drawn_by_itself_in_both_schemes():
    figures = [
        block for section in sample(HOSTILE[0]).sections for block in section.blocks if isinstance(block, Figure)
    ]
    assert len(figures) == 4
    for figure in figures:
        drawn = {scheme: report.plot(figure, scheme) for scheme in ("light", "dark")}
        assert len(drawn["light"].axes) == len(figure.panels) + bool(figure.matrices)
        assert drawn["light"].get_facecolor() != drawn["dark"].get_facecolor()
        assert drawn["light"]._repr_png_().startswith(b"\x89PNG")


def test_settings_are_left_alone():
    with matplotlib.rc_context({"font.size": 7.0, "lines.linewidth": 9.0}):
        before = dict(matplotlib.rcParams)
        PROCESS.plot()._repr_png_()
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_loaded():
    code = (
        "import sys, torch, kronoscope as ks;"
        "process = ks.GaussianSequence(ks.kernels.White(), torch.eye(2), times=4); process.plot()._repr_png_();"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


def test_ticks_keep_their_look_under_the_users_settings():
    figure = report.plot(record(LinePanel("", "x", "y", [Line("a", "learnt", [0.0, 1.0], [0.0, 1.0])])))
    with matplotlib.rc_context({"xtick.labelcolor": "red", "xtick.labelsize": 30, "grid.color": "red"}):
        figure._repr_png_()
        colours = {
            tick.label1.get_color()
            for tick in figure.axes[0].get_xticklabels()
            for tick in figure.axes[0].xaxis.get_major_ticks()
        }
        sizes = {tick.label1.get_size() for tick in figure.axes[0].xaxis.get_major_ticks()}
    assert colours == {report.palette.MUTED["light"]}
    assert sizes == {11.5}


def test_a_name_with_markup_of_matplotlib_stays_text():
    figure = report.plot(record(LinePanel("$\\frac{", "a $ b", "$_", [Line("$^$", "learnt", [0.0, 1.0], [0.0, 1.0])])))
    assert figure._repr_png_()
    assert "$\\frac{" in text_of(figure)


# --- the figures of results

FIGURES = {
    "process": (PROCESS.plot, "between frames frame frame between features"),
    "joint law": (lambda: PROCESSES["Kronecker sum"]().plot(2), "draws"),
    "conditional": (lambda: conditioned().plot(0.8), "mean and 80 % interval observed"),
    "audit": (lambda: audited().plot(), "critical value of one question"),
    "compiled score": (lambda: compiled().plot(), "tolerance proven bound measured"),
    "certificate": (lambda: compiled().certificate.plot(), "relative score error"),
    "score error": (lambda: ks.metrics.score_kl(PROCESS.score, PROCESS, num_samples=512).plot(), "nats per unit"),
    "jacobian": (lambda: probed().plot(), "score, 95 % interval truth"),
    "attention": (lambda: attended().plot(), "block 0, head 0"),
    "alignment": (lambda: ks.probes.alignment(SIGMA, SIGMA, rotations=19).plot(), "random rotations"),
    "spectrum": (lambda: ks.probes.spectrum(SIGMA, SIGMA, draws=19).plot(), "Sigma value matrix"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_result_plots_itself(name):
    build, words = FIGURES[name]
    figure = build()
    assert isinstance(figure, MatplotlibFigure)
    assert words in text_of(figure)
    assert figure._repr_png_()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("lags", "real, with 95 % bootstrap band generated"),
        ("features", "real feature"),
        ("sequences", "feature_0, real"),
    ],
)
def test_a_model_beside_real_sequences(model, what, words):
    assert words in text_of(model.plot(values(60), what, num_samples=40))


def test_the_training_curve_marks_the_step_that_was_kept(model):
    figure = model.plot()
    kept = next(line for line in figure.record.panels[0].series if line.label == "kept")
    assert kept.x == (model.record["training"]["best_step"],)
    assert "denoising loss" in text_of(figure)


def test_the_lags_are_those_of_the_metrics(model):
    x = values(60)
    figure = model.plot(x, num_samples=40, generator=seeded(5))
    real, generated = figure.record.panels[1].series
    assert real.y == pytest.approx(ks.metrics.lagged_correlation(x)[:, 1, 1].tolist(), abs=1e-12)
    drawn = model.sample(40, generator=seeded(5))
    assert generated.y == pytest.approx(ks.metrics.lagged_correlation(drawn)[:, 1, 1].tolist(), abs=1e-9)


def test_a_forecast_of_a_model_is_drawn_in_its_units(model):
    mask = torch.zeros(4, 2, dtype=torch.bool)
    mask[0] = True
    conditional = model.condition_on(mask, values(1)[0])
    line = conditional.plot(0.5).record.panels[0].series[0]
    lower, upper = conditional.interval(0.5)
    assert line.lower == pytest.approx(lower[:, 0].tolist())
    assert line.upper == pytest.approx(upper[:, 0].tolist())


def test_the_law_is_drawn_with_its_own_spread():
    figure = PROCESS.plot()
    frames, features = figure.record.panels[:2]
    assert np.allclose(frames.values, PROCESS.temporal_covariance)
    assert features.values[0][1] == pytest.approx(0.4 / 0.7**0.5)
    band = figure.record.panels[3].series[-1]
    assert band.upper == pytest.approx([1.6449 * 0.7**0.5] * 4)
    joint = PROCESSES["Kronecker sum"]()
    again = ks.processes.DenseGaussian(joint.covariance(), 2)
    assert np.allclose(joint.plot().record.panels[0].values, again.plot().record.panels[0].values)


def test_long_laws_show_their_first_frames():
    process = ks.GaussianSequence(ks.kernels.PowerExponential(5.0), SIGMA, times=2**13)
    figure = process.plot(1)
    assert len(figure.record.panels[0].values) == 128
    assert "Of 8192 frames the first 128 are shown." in figure.record.caption


def test_what_cannot_be_drawn_is_refused(model):
    with pytest.raises(InputError, match="what must be one of training, lags"):
        model.plot(what="nothing")
    with pytest.raises(InputError, match="what='lags' needs real sequences"):
        model.plot(what="lags")
    with pytest.raises(InputError, match="real must be sequences of 4 frames with 2 features"):
        model.plot(torch.zeros(9, 4, 3))
    with pytest.raises(InputError, match="real must vary"):
        model.plot(torch.zeros(9, 4, 2))
    with pytest.raises(InputError, match="level must be"):
        conditioned().plot(1.5)


def test_a_law_that_is_not_gaussian_is_drawn_by_its_own_draws():
    process = ks.processes.StudentT(PROCESS, 5.0)
    figure = process.plot(2)
    assert "estimates from 2000 draws" in figure.record.caption
    assert np.allclose(figure.record.panels[0].values, PROCESS.temporal_covariance, atol=0.1)
    band = figure.record.panels[2].series[-1]
    assert all(low < -1.2 < 1.2 < high for low, high in zip(band.lower, band.upper))


def test_the_page_of_an_audit_opens_with_its_result():
    page = audited().to_report()
    assert page.subtitle.startswith("The audit failed: 6 of 15 questions show a difference: marginals, tails, mean, ")
    assert page.subtitle.endswith(" and classifier.")
    same = ks.audit(values(30), values(60)[30:], num_draws=19, generator=seeded(1)).to_report()
    assert same.subtitle == "The audit passed: none of 15 questions shows a difference beyond chance."
