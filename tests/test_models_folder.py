"""Run folders: what is saved is what is loaded, damage is refused, and a killed run resumes to the same bytes."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import QUICK, TINY, assert_same_weights, fitted, seeded, values

import kronoscope as ks
from kronoscope import InputError, data, models
from kronoscope.models import folder
from kronoscope.models.folder import RESULT, RUN, WEIGHTS
from kronoscope.training import CHECKPOINT


@pytest.fixture(scope="module")
def model():
    return fitted(mean="free", scaling="standard")


@pytest.fixture
def run(model, tmp_path):
    return model.save(tmp_path / "run")


@pytest.mark.parametrize("network", ["position", "dit"])
def test_saved_and_loaded_is_the_same_model(tmp_path, network):
    options = {"mean": "free", "scaling": "standard"}
    model = fitted(network=network, **options)
    again = ks.load(model.save(tmp_path / "run"))
    x, t = torch.randn(5, 4, 2, generator=seeded(0)), torch.tensor([0.01, 0.1, 1.0, 3.0, 8.0])
    assert torch.equal(again.score(x, t), model.score(x, t))
    a, b = again.sample(4, generator=seeded(8)), model.sample(4, generator=seeded(8))
    assert isinstance(a, torch.Tensor)
    assert torch.equal(a, b)
    assert again.training == model.training
    assert again.feature_names == model.feature_names
    assert again.record == json.loads(json.dumps(model.record))
    assert not again.network.training
    assert not any(p.requires_grad for p in again.network.parameters())


def test_a_saved_run_holds_three_files_and_no_pickle(run):
    assert sorted(p.name for p in run.iterdir()) == sorted([RUN, RESULT, WEIGHTS])
    told = json.loads((run / RUN).read_text())
    assert told["network"] == {"name": "position", "options": TINY}
    assert told["training"]["max_steps"] == 12
    assert set(told["split"]) == {"train", "validation", "test"}
    assert "torch" in told["environment"]


def test_the_package_unpickles_nothing():
    """No pickle, no torch.load, no numpy or pandas door that could unpickle."""
    package = Path(ks.__file__).parent
    doors = ("pickle(?!=False)", r"torch\.load\(", r"torch\.save\(", "allow_pickle=True", r"joblib\.load", "dill")
    forbidden = re.compile("|".join(rf"\b{door}" for door in doors))
    found = [
        f"{path.name}: {line.strip()}"
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if forbidden.search(line.split("#")[0])
    ]
    assert found == []
    loads = [line for path in package.rglob("*.py") for line in path.read_text().splitlines() if "np.load(" in line]
    assert loads
    assert all("allow_pickle=False" in line for line in loads)


def refused(folder, words):
    with pytest.raises(InputError, match=words) as error:
        ks.load(folder)
    assert "\n" not in str(error.value)


def test_a_missing_or_foreign_folder_is_refused(tmp_path, run):
    refused(tmp_path / "nowhere", "does not exist; give a run folder that fit wrote")
    refused(run / RUN, "does not exist|no run folder")
    (tmp_path / "photos").mkdir()
    refused(tmp_path / "photos", f"is not a run folder: it has no {RUN}")
    (tmp_path / "photos" / RUN).write_text('{"format": "other-run-7"}')
    refused(tmp_path / "photos", "is of the format 'other-run-7'; this version reads 'kronoscope-run-3'")
    (tmp_path / "photos" / RUN).write_text("[1, 2]")
    refused(tmp_path / "photos", "is not a JSON object")
    (tmp_path / "photos" / RUN).write_bytes(b"\xff\xfe{")
    refused(tmp_path / "photos", "is damaged")


@pytest.mark.parametrize("name", [RUN, RESULT, WEIGHTS])
def test_a_lost_or_truncated_file_is_refused(run, name):
    content = (run / name).read_bytes()
    for keep in (0, 10, len(content) // 2, len(content) - 2):
        (run / name).write_bytes(content[:keep])
        refused(run, f"{name} is damaged")
    (run / name).unlink()
    refused(run, f"it has no {RUN}" if name == RUN else f"{name} is missing")


@pytest.mark.parametrize("place", [0, 0.1, 0.5, 0.9, -1])
def test_one_changed_byte_in_the_weights_is_refused(run, place):
    content = bytearray((run / WEIGHTS).read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 0x04
    (run / WEIGHTS).write_bytes(content)
    refused(run, f"{WEIGHTS} is damaged")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (RUN, lambda run: run["network"]["options"].update(width=16)),
        (RUN, lambda run: run["network"].update(name="unheard-of")),
        (RUN, lambda run: run.update(num_frames=5)),
        (RUN, lambda run: run.update(num_features="two")),
        (RUN, lambda run: run.pop("training")),
        (RUN, lambda run: run.update(training=None)),
        (RUN, lambda run: run.update(network=[])),
        (RESULT, lambda result: result.pop("transform")),
        (RESULT, lambda result: result.update(transform="{}")),
        (RESULT, lambda result: result.update(container=3)),
        (RESULT, lambda result: result.update(training_starts=["yesterday-ish"])),
        (RESULT, lambda result: result.update(feature_names=7)),
    ],
)
def test_a_run_whose_parts_disagree_is_refused(run, name, change):
    """With a seal that fits: what a person would make who computes it anew, or an error of ours."""
    settings = folder.read_run(run)
    if name == RUN:
        change(settings)
    else:
        result = json.loads((run / name).read_text())
        change(result)
        (run / name).write_text(json.dumps(result))
    folder.write_run(run, settings, (RESULT, WEIGHTS))
    refused(run, ".")


def test_an_existing_folder_is_not_overwritten(model, run, tmp_path):
    before = (run / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="exists already"):
        model.save(run)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    with pytest.raises(InputError, match=f"it has no {RUN}"):
        model.save(tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "words"
    (tmp_path / "file").write_text("words")
    with pytest.raises(InputError, match="is a file; give a folder for the run"):
        model.save(tmp_path / "file", force=True)
    (run / "notes.txt").write_text("mine")
    assert ks.load(model.save(run, force=True)).num_frames == 4
    assert (run / "notes.txt").read_text() == "mine"
    assert (run / WEIGHTS).read_bytes() == before
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")


def test_a_full_disk_leaves_no_part_of_a_file(model, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written") as error:
            model.save(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert [p.name for p in (tmp_path / "run").rglob("*.partial")] == []


# --- fit_sequences ------------------------------------------------------------------------------------------------


SETTINGS = {"network_options": TINY, "test": 0.2, "seed": 4}
SOURCE = data.FileSource(("x.npy",), data.Reading())


def fit_run(folder, x=None, config=None, settings=None, **options):
    sequences = data.from_array((values() if x is None else x).numpy())
    settings = settings or models.FitSettings.for_input("table", **SETTINGS)
    config = config or models.training_config("position", QUICK)
    return models.fit_sequences(sequences, settings, config, folder, source=SOURCE, **options)


def stop_at(step):
    def stop(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return stop


def test_a_finished_run_loads_and_is_not_resumed(tmp_path):
    model = fit_run(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted([RUN, RESULT, WEIGHTS])
    again = ks.load(tmp_path / "run")
    np.testing.assert_array_equal(again.sample(3), model.sample(3))
    assert again.record["split"]["test"] == list(range(32, 40))
    assert models.begun_with(tmp_path / "run") == (
        SOURCE,
        models.FitSettings.for_input("table", **SETTINGS),
        model.training,
    )
    with pytest.raises(InputError, match="is finished; there is nothing to resume"):
        fit_run(tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="exists already; give --force to replace the run"):
        fit_run(tmp_path / "run")
    fit_run(tmp_path / "run", force=True)


def test_poison_in_the_test_part_changes_nothing(tmp_path):
    plain = fit_run(tmp_path / "a")
    x = values()
    x[32:] = 1e6
    poisoned = fit_run(tmp_path / "b", x)
    assert_same_weights(plain, poisoned)
    assert np.array_equal(plain.transform.scale, poisoned.transform.scale)


@pytest.mark.parametrize("step", [1, 5, 8])
def test_an_interrupted_run_resumes_to_the_same_bytes(tmp_path, step):
    fit_run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_run(tmp_path / "run", on_progress=stop_at(step))
    refused(tmp_path / "run", "is not a finished run: continue it with kronoscope fit --resume")
    fit_run(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_a_run_is_not_resumed_under_other_settings_or_data(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit_run(tmp_path / "run", on_progress=stop_at(3))
    changed = values()
    changed[0, 0, 0] += 1e-9
    for options, what in [
        ({"config": models.training_config("position", {**QUICK, "batch_size": 9})}, "training"),
        ({"settings": models.FitSettings.for_input("table", network_options=TINY, seed=5)}, "fit"),
        ({"x": changed}, "data"),
    ]:
        with pytest.raises(InputError, match=rf"was begun with other settings \(.*{what}.*\)"):
            fit_run(tmp_path / "run", resume=True, **options)
    with pytest.raises(InputError, match=f"it has no {RUN}"):
        fit_run(tmp_path / "elsewhere", resume=True)


def test_a_refused_fit_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="at least 8 sequences"):
        fit_run(tmp_path / "run", values(5))
    with pytest.raises(InputError, match="there is no 'depth'"):
        fit_run(tmp_path / "run", settings=models.FitSettings.for_input("table", network_options={"depth": 1}))
    assert not (tmp_path / "run").exists()


KILLED = """
import json, os, signal, sys
import numpy as np
from kronoscope import data, models
from kronoscope.training import loop

def progress(now):
    if now.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)

loop.SECONDS_BETWEEN_CHECKPOINTS = -1.0
told = json.loads(sys.argv[1])
models.fit_sequences(
    data.from_array(np.load(told["source"])),
    models.FitSettings.for_input("table", **told["settings"]),
    models.training_config("position", told["training"]),
    told["folder"],
    source=data.FileSource(("x.npy",), data.Reading()),
    on_progress=progress,
)
"""


def test_a_killed_process_leaves_a_run_that_resume_finishes(tmp_path):
    """SIGKILL cannot be caught: what is on the disk at that moment must be enough."""
    np.save(tmp_path / "x.npy", values().numpy())
    told = {"source": str(tmp_path / "x.npy"), "folder": str(tmp_path / "run"), "settings": SETTINGS, "training": QUICK}
    command = [sys.executable, "-c", KILLED, json.dumps(told)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted([RUN, CHECKPOINT])
    fit_run(tmp_path / "whole")
    steps = []
    fit_run(tmp_path / "run", resume=True, on_progress=lambda progress: steps.append(progress.step))
    assert steps[0] == 7  # the checkpoint before the seventh report is that of step 6
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
