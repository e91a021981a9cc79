"""The study of value matrices with networks that are hardly trained, and invented results that turn its verdict."""

from dataclasses import replace

import pytest

import kronoscope_evidence as evidence
from kronoscope_evidence.inside import networks, values, values_page
from kronoscope_evidence.inside.values_page import Alignment

STEPS = {"dit": 3, "position": 3, "unrolled": 60}
TINY = values.Size(99, networks.Training(100, STEPS, held_out_draws=1))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "STUDY", replace(values.STUDY, quick=TINY))
        page = evidence.reproduce("values", tmp_path_factory.mktemp("values") / "out", quick=True)
    assert page.read_text().count("trained on white noise") >= 2
    return evidence.load(page.parent / "results.json").result


def test_values_of_the_compiled_network_are_sigma(result):
    compiled = result.of("compiled", "compiled")
    assert max(compiled.gap, compiled.temporal_gap) < 1e-6
    (head,), (spectrum,) = compiled.alignments, compiled.spectra
    assert head.cosine == pytest.approx(1.0)
    assert head.p_value == pytest.approx(1 / 100)
    assert head.angle_p_values == pytest.approx([1 / 100] * 3)
    assert spectrum.distance < 1e-6
    assert spectrum.p_value == pytest.approx(1 / 100)
    assert all(each.spectra for each in result.values)


def with_cosine(result, name, kind, cosine):
    """The result with one head of that cosine in one network."""
    head = Alignment(cosine, 0.01, (1.0,) * 3, (50.0,) * 3, (0.01,) * 3)
    changed = [
        replace(each, alignments=(head,)) if (each.name, each.kind) == (name, kind) else each for each in result.values
    ]
    return replace(result, values=tuple(changed))


def holds(result, name):
    label = f"mean |cosine| with Sigma, {values_page.NAMES[name]}"
    return next(check.holds for check in values_page.checks(result) if check.label == label)


def test_a_network_must_pass_chance_and_white_noise(result):
    chance = result.null_cosine.upper
    assert 0 < result.null_cosine.mean < chance < 1
    aligned = with_cosine(with_cosine(result, "unrolled", "trained", 0.99), "unrolled", "white", 0.0)
    assert holds(aligned, "unrolled") is True
    assert holds(with_cosine(aligned, "unrolled", "trained", 0.9 * chance), "unrolled") is None
    assert holds(with_cosine(aligned, "unrolled", "white", 0.995), "unrolled") is None
    off = replace(result, values=(replace(result.values[0], gap=1e-5), *result.values[1:]))
    assert values_page.checks(off)[0].holds is False
