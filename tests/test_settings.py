"""Command line, run folder and Python say what the records of ``kronoscope.settings`` say, and nothing else."""

import re
import subprocess
import sys
from dataclasses import MISSING, fields, replace
from datetime import timedelta
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from model_cases import QUICK, TINY, fitted, seeded, values, weights_of

import kronoscope as ks
from kronoscope import InputError, data, models, settings
from kronoscope._codec import from_plain, to_plain
from kronoscope.cli import run

RECORDS = {
    settings.Reading: settings.ReadingOptions,
    settings.Scaling: settings.ScalingOptions,
    settings.SplitRule: settings.SplitOptions,
    settings.TrainingConfig: settings.TrainingSettings,
}
FITTED = fitted(max_steps=0)
LAW = ks.GaussianSequence(ks.kernels.White(), torch.eye(2), times=4)
EXAMPLES = [
    settings.Reading(24, "when", ["a", "b"], limits={"a": (0.0, None)}, step=timedelta(minutes=10), dayfirst=False),
    settings.Reading(step=0.5, na_values=["-"]),
    settings.FileSource(("a.csv", "b.csv"), settings.Reading(frames=3)),
    settings.FitSettings.for_input("table", "dit", network_options={"width": 8}, test=0.2),
    settings.FitSettings.for_input("array", initial="separable", test="weeks:5", seed=None),
]


@pytest.mark.parametrize(("record", "keywords"), RECORDS.items(), ids=lambda kind: kind.__name__)
def test_keywords_have_the_names_and_types_of_the_fields(record, keywords):
    assert get_type_hints(keywords) == get_type_hints(record)


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_is_its_json(record):
    assert from_plain(type(record), to_plain(record)) == record


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        (settings.Reading, "colums", "columns"),
        (settings.FitSettings, "netwrok", "network"),
        (settings.FileSource, "path", "paths"),
    ],
)
def test_an_unknown_name_in_json_is_refused_with_the_one_that_was_meant(kind, name, meant):
    plain = {**to_plain(next(example for example in EXAMPLES if type(example) is kind)), name: 1}
    with pytest.raises(InputError, match=f"no field '{name}'; did you mean {meant}"):
        from_plain(kind, plain)
    with pytest.raises(InputError, match="no training setting 'max_step'; did you mean max_steps"):
        settings.TrainingConfig.from_json({"max_step": 3})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ks.fit(values(), netwrok="dit"), r"fit\(\) got an unexpected keyword .*'netwrok'; did you mean net"),
        (lambda: models.choose_heads(values(), max_step=3), r"choose_heads\(\) .*'max_step'; did you mean max_steps"),
        (lambda: data.read("x.csv", frame=3), r"read\(\) got .*'frame'; did you mean frames"),
        (lambda: data.from_array(values(), mising="drop"), r"from_array\(\) got .*'mising'; did you mean missing"),
        (lambda: settings.FitSettings.for_input("array", tests=0.1), r"for_input\(\) .*'tests'; did you mean test\?"),
        (lambda: FITTED.sample(3, smapler="heun"), r"sample\(\) got .*'smapler'; did you mean sampler"),
        (lambda: ks.nn.UnrolledTransformer.from_law(LAW, hedas=2), r"from_law\(\) got .*'hedas'; did you mean heads"),
        (lambda: models.training_config("dit", {"batchsize": 3}), r"'batchsize'; did you mean batch_size"),
    ],
)  # fmt: skip
def test_a_misspelled_keyword_is_a_type_error_that_names_the_one_that_was_meant(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_defaults_are_keyed_by_the_kind_of_input(tmp_path):
    x = values()
    model = ks.fit(x, network_options={}, max_steps=0)
    assert (model.network_name, model.record["fit"]["scaling"]["mean"]) == ("unrolled", "zero")
    assert model.coordinates is None
    pd.DataFrame(x.reshape(-1, 2).numpy(), columns=["a", "b"]).to_csv(tmp_path / "x.csv", index=False)
    assert (
        run(["fit", str(tmp_path / "x.csv"), "--frames", "4", "--max-steps", "0", "--out", str(tmp_path / "run")]) == 0
    )
    source, begun, config = models.begun_with(tmp_path / "run")
    default = settings.DEFAULTS["table"]
    assert begun == settings.FitSettings.for_input("table")
    assert (begun.network, begun.scaling.mean, begun.scaling.scaling) == (default.network, "free", "standard")
    assert config == replace(models.NETWORKS[begun.network].training, max_steps=0)
    assert source == data.FileSource((str(tmp_path / "x.csv"),), data.Reading(frames=4))


def test_python_and_the_command_line_are_one_fit(tmp_path):
    """The same settings give the same parameters bit for bit, and the same record but for times and source."""
    np.save(tmp_path / "x.npy", values().numpy())
    arguments = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--network", "position"]
    options = ["--option", "width=8", "--option", "num_blocks=1", "--option", "num_heads=2", "--seed", "3"]
    assert run([*arguments, *options, "--test", "0.2", "--max-steps", "12", "--batch-size", "8", "--keep", "last"]) == 0
    one = ks.load(tmp_path / "run")
    training = {"max_steps": 12, "batch_size": 8, "keep": "last"}
    two = ks.fit(
        values().numpy(), "position", network_options=TINY, mean="free", scaling="standard", test=0.2,
        generator=seeded(3), **training,
    )  # fmt: skip
    assert weights_of(one).keys() == weights_of(two).keys()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(one).values(), weights_of(two).values(), strict=True))
    assert {**one.record["fit"], "seed": None} == two.record["fit"]
    assert one.record["split"] == two.record["split"]
    assert {**one.record["data"], "units": None} == {**two.record["data"], "units": None}


def test_the_help_shows_every_option_of_the_records_with_default_and_range(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["fit", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    headings = ["Data:", "Preprocessing:", "Split:", "Network:", "Training:"]
    assert [line for line in shown.splitlines() if line in headings] == headings
    one_line = " ".join(shown.split())
    defaults = vars(settings.DEFAULTS["table"])
    for record in (*RECORDS, settings.FitSettings):
        for name, (field, option) in settings.options_of(record).items():
            flag = option.flags[0].split("/")[0] if option.flags else f"--{name.replace('_', '-')}"
            words = re.split(r" --[a-z-]+ <", one_line.split(f" {flag} ", 1)[1])[0].replace("- ", "-")
            default = defaults.get(name, field.default)
            expected = option.unset or ("none" if default is None and option.choices else default)
            if expected not in (None, MISSING):
                assert f"[default: {expected}" in words, name
            assert all(choice in words for choice in option.choices), name
            if option.bounds is not None:
                assert (str(option.bounds) if option.bounds.is_open else f"<=x<={option.bounds.high}") in words, name


def test_choices_are_those_that_the_library_knows():
    of_fit = settings.options_of(settings.FitSettings)
    assert of_fit["network"][1].choices == tuple(models.NETWORKS)
    assert of_fit["initial"][1].choices == tuple(models.ESTIMATORS)
    of_scaling = settings.options_of(settings.Scaling)
    assert set(of_scaling["mean"][1].choices) == set(data.transform.MEANS)
    assert {None if word == "none" else word for word in of_scaling["margins"][1].choices} == set(data.margins.MARGINS)


def test_resume_without_source_takes_no_other_settings(tmp_path, capsys):
    assert run(["fit", "--resume", "--out", str(tmp_path / "run"), "--max-steps", "3", "--na-values", "-"]) == 2
    assert "takes all settings from the run in --out; leave out --na-values, --max-steps" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_values_beyond_float32_are_refused_with_the_option_that_works(tmp_path, capsys):
    np.save(tmp_path / "x.npy", 1e200 * values().numpy())
    fit = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--max-steps", "2"]
    assert run([*fit, "--scaling", "none"]) == 2
    assert "values must be below 1.8e+19" in (message := capsys.readouterr().err)
    assert 'give scaling="standard" (--scaling standard)' in message
    np.save(tmp_path / "x.npy", 1e120 * values().numpy())
    assert run([*fit, "--scaling", "standard"]) == 0


def test_a_law_starts_a_network_as_an_estimator_does():
    model = ks.fit(values(), initial=LAW, max_steps=0)
    assert model.record["fit"]["initial"] is None
    assert model.record["initial"]["from"] == "a law"


def test_the_records_load_neither_torch_nor_pandas():
    code = "import sys, kronoscope.settings; sys.exit(bool({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_field_has_a_line_of_help_or_is_for_python_alone():
    """Options of the command line are a choice: whoever adds a field decides."""
    hidden = {field.name for record in RECORDS for field in fields(record)} - {
        name for record in RECORDS for name in settings.options_of(record)
    }
    assert hidden == {
        "warmup_steps", "weight_decay", "ema_decay", "clip_norm", "min_time", "max_time", "evaluate_every", "patience",
        "held_out_draws", "emphasis", "compile", "antithetic", "noise_draws",
    }  # fmt: skip
    assert QUICK.keys() <= {field.name for field in fields(settings.TrainingConfig)}
