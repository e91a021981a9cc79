"""What a run folder is made of, without any training: begun, finished, sealed, discarded, held and resumed."""

import hashlib
import json
import math
import platform
from importlib.metadata import version

import pytest
import torch

from kronoscope import InputError
from kronoscope.models import folder
from kronoscope.models.folder import PAGE, RECORDS, RESULT, RUN, WEIGHTS
from kronoscope.training import CHECKPOINT, read_tensors

SETTINGS = {"format": folder.FORMAT, "seed": 3, "names": ["a", "ü"]}
TENSORS = {"a": torch.arange(3.0)}


def finished(path):
    folder.begin(path, SETTINGS)
    folder.finish(path, SETTINGS, {"steps": 2}, TENSORS)
    return path


def test_the_environment_names_versions_and_machine():
    packages = ("kronoscope", "torch", "numpy", "pandas", "xarray")
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    assert folder.environment() == {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "accelerator": cuda,
        **{name: version(name) for name in packages},
    }


def test_a_package_that_is_missing_is_said_to_be(monkeypatch):
    def missing(name):
        raise folder.PackageNotFoundError(name)

    monkeypatch.setattr(folder, "version", missing)
    assert folder.environment()["xarray"] == "not installed"


def test_the_seal_is_the_hash_of_the_settings_and_of_every_file(tmp_path):
    text = (finished(tmp_path) / RUN).read_text(encoding="utf-8")
    record = json.loads(text)
    assert text == json.dumps(record, indent=1) + "\n"
    seal = record.pop("sha256")
    assert seal == hashlib.sha256(json.dumps(record, indent=1).encode()).hexdigest()
    files = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in (RESULT, WEIGHTS)}
    assert record == SETTINGS | {"files": files}
    assert folder.read_settings(tmp_path) == folder.read_run(tmp_path) == record
    assert (tmp_path / RESULT).read_text() == '{\n "steps": 2\n}\n'
    assert torch.equal(read_tensors(tmp_path / WEIGHTS)[0]["a"], TENSORS["a"])
    with pytest.raises(ValueError, match="JSON compliant"):
        folder.write_json(tmp_path / RESULT, {"loss": math.nan})


@pytest.mark.parametrize(
    "change", [lambda r: r | {"seed": 4}, lambda r: r | {"files": []}, lambda r: r | {"x": math.nan}]
)
def test_changed_settings_are_refused(tmp_path, change):
    record = json.loads((finished(tmp_path) / RUN).read_text())
    (tmp_path / RUN).write_text(json.dumps(change(record), indent=1) + "\n")
    with pytest.raises(InputError) as error:
        folder.read_run(tmp_path)
    remedy = "Restore it from a copy, or repeat the fit with --force"
    assert (
        str(error.value)
        == f"{tmp_path / RUN} is damaged or was changed: its SHA-256 does not match its content. {remedy}"
    )


def test_each_changed_file_is_named_with_its_remedy(tmp_path):
    finished(tmp_path)
    for name in (PAGE, RECORDS):
        (tmp_path / name).write_text("page")
    with folder.page_written(tmp_path, PAGE, RECORDS):
        assert folder.read_run(tmp_path)["files"].keys() == {RESULT, WEIGHTS}
    settings = folder.read_settings(tmp_path)
    assert list(settings["files"]) == [RESULT, WEIGHTS, PAGE, RECORDS]
    assert folder.has_page(tmp_path, settings)
    remedies = {
        PAGE: f"kronoscope report {tmp_path} makes it again",
        RECORDS: f"kronoscope report {tmp_path} --force makes it again",
        RESULT: "Restore it from a copy, or repeat the fit with --force",
    }
    for name, remedy in remedies.items():
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(before + " ")
        with pytest.raises(InputError) as error:
            folder.read_settings(tmp_path)
        reason = f"its SHA-256 is not the one in {RUN}"
        assert str(error.value) == f"{tmp_path / name} is damaged or was changed: {reason}. {remedy}"
        folder.check_files(tmp_path, settings, [name])  # not looked at
        (tmp_path / name).write_text(before)
    (tmp_path / PAGE).unlink()
    folder.read_settings(tmp_path)  # a page may be absent
    assert not folder.has_page(tmp_path, settings)
    assert not folder.has_page(tmp_path, {"files": {PAGE: ""}})
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(InputError) as error:
        folder.read_settings(tmp_path)
    complaint = f"{tmp_path} is not a complete run: {WEIGHTS} is missing."
    assert str(error.value) == f"{complaint} Restore it from a copy, or repeat the fit with --force"


def test_a_begun_run_leaves_nothing_of_the_one_before(tmp_path):
    finished(tmp_path)
    for name in (PAGE, RECORDS, CHECKPOINT, "weights.partial", ".tmpab12cd", "notes.txt"):
        (tmp_path / name).write_text("old")
    folder.begin(tmp_path, SETTINGS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmpab12cd", "notes.txt", RUN]
    assert folder.read_settings(tmp_path) == SETTINGS | {"files": {}}
    assert not folder.is_finished(folder.read_run(tmp_path))
    (tmp_path / CHECKPOINT).write_text("state")
    folder.finish(tmp_path, SETTINGS, {}, TENSORS)
    assert folder.is_finished(folder.read_run(tmp_path))
    assert not (tmp_path / CHECKPOINT).exists()
    (tmp_path / CHECKPOINT).write_text("left by a kill")
    with folder.page_written(tmp_path):
        assert not (tmp_path / CHECKPOINT).exists()
    folder.discard(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmpab12cd", "notes.txt"]


def test_which_folders_a_new_run_may_take(tmp_path):
    assert folder.is_empty(tmp_path / "none")
    for name in ("run.partial", "checkpoint.partial", ".tmpab12cd"):
        (tmp_path / name).write_text("left by a kill")
    assert folder.is_empty(tmp_path)
    assert folder.check_new(tmp_path) == tmp_path
    (tmp_path / "run.partial.txt").write_text("mine")
    assert not folder.is_empty(tmp_path)
    with pytest.raises(InputError) as error:
        folder.check_new(tmp_path)
    assert str(error.value) == f"{tmp_path} exists already; give --force to replace the run, or --resume to continue it"
    with pytest.raises(InputError, match=f"it has no {RUN}.*so --force does not replace it"):
        folder.check_new(tmp_path, force=True)
    (tmp_path / RUN).write_text("other")
    with pytest.raises(InputError, match="so --force does not replace it"):
        folder.check_new(tmp_path, force=True)
    folder.begin(tmp_path, SETTINGS)
    assert folder.check_new(tmp_path, force=True) == tmp_path
    with pytest.raises(InputError, match="is a file; give a folder for the run"):
        folder.check_new(tmp_path / RUN)


def test_a_run_is_saved_into_folders_that_are_made_or_replaced(tmp_path):
    path = tmp_path / "a" / "b"
    assert folder.save(path, SETTINGS, {"steps": 1}, TENSORS, False) == path
    assert sorted(file.name for file in path.iterdir()) == sorted([RUN, RESULT, WEIGHTS])
    assert [file.name for file in path.parent.iterdir()] == ["b"]
    with pytest.raises(InputError, match="exists already"):
        folder.save(path, SETTINGS, {"steps": 2}, TENSORS, False)
    folder.save(path, SETTINGS, {"steps": 2}, TENSORS, True)
    assert folder.read_json(path / RESULT) == {"steps": 2}
    assert folder.is_finished(folder.read_settings(path))


def fail(path, first):
    with folder.opened(path, SETTINGS, resume=False, force=False):
        first(path)
        raise RuntimeError("stop")


def held(path):
    assert folder.read_run(path) == SETTINGS | {"files": {}}
    with pytest.raises(InputError, match="another process is training in"), folder.claimed(path):
        pass


def test_a_run_that_learnt_nothing_leaves_no_trace(tmp_path):
    path = tmp_path / "a" / "b"
    with pytest.raises(RuntimeError, match="stop"):
        fail(path, held)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="stop"):
        fail(path, lambda path: (path / CHECKPOINT).write_text("state"))
    assert sorted(file.name for file in path.iterdir()) == sorted([RUN, CHECKPOINT])
    with folder.opened(path, SETTINGS | {"environment": 1, "source": 2}, resume=True, force=False):
        pass
    assert (path / CHECKPOINT).read_text() == "state"
    other = SETTINGS | {"seed": 4, "extra": 1}
    with (
        pytest.raises(InputError, match=r"was begun with other settings \(extra, seed\); resume it with the same"),
        folder.opened(path, other, resume=True, force=False),
    ):
        pass
    assert (path / CHECKPOINT).read_text() == "state"
    with folder.opened(path, other, resume=False, force=True):
        assert folder.read_run(path)["seed"] == 4
    folder.finish(path, other, {}, TENSORS)
    with (
        pytest.raises(InputError, match="is finished; there is nothing to resume"),
        folder.opened(path, other, resume=True, force=False),
    ):
        pass
    with (
        pytest.raises(InputError, match="exists already; give --force to replace"),
        folder.opened(path, other, resume=False, force=False),
    ):
        pass
    assert folder.is_finished(folder.read_settings(path))


def test_damaged_json_is_named(tmp_path):
    file = tmp_path / RESULT
    for content, says in (
        (b"{", "Expecting"),
        (b"[1]", "it is not a JSON object"),
        (b"\xff", "utf-8"),
        (b"[" * 10**5, ""),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=f"^{file} is damaged or was changed: .*{says}"):
            folder.read_json(file)
    file.unlink()
    with pytest.raises(InputError, match="No such file"):
        folder.read_json(file)
