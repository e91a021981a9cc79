"""Run folders from the command line: the seal, what is left after a kill, two processes at once, interruptions."""

import functools
import json
import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import kronoscope as ks
from kronoscope import InputError, data, models, pages, report
from kronoscope._codec import to_plain
from kronoscope.cli import run
from kronoscope.models import folder as run_folder
from kronoscope.models.folder import PAGE, RECORDS, RESULT, RUN, WEIGHTS

FILES = (RUN, WEIGHTS, RESULT, RECORDS, PAGE)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A table of three values a day, so that forecast and impute have something to do."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2021-03-01", periods=4 * 60, freq="6h")
    values = np.cumsum(rng.normal(size=(len(stamps), 2)), axis=0) * 0.2
    path = tmp_path_factory.mktemp("source") / "x.csv"
    pd.DataFrame({"when": stamps, "a": values[:, 0] + 10, "b": values[:, 1]}).to_csv(path, index=False)
    return path


def fit_arguments(source, out, *more):
    few = ["--max-steps", "3", "--quiet"]
    return ["fit", source, "--frames", "4", "--time", "when", "--test", "0.2", "--out", out, *few, *more]


def cli(*arguments):
    return run([str(argument) for argument in arguments])


@pytest.fixture
def plain_page(monkeypatch):
    """Pages that are made in no time, for tests of when they are made."""

    def page(model, sequences):
        total = float(sum(value.abs().sum() for value in model.network.state_dict().values()))
        return report.Report("plain", f"{len(sequences)} sequences", {"sum of the parameters": total})

    monkeypatch.setattr("kronoscope.pages.run_folder_page.run_report", page)


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli(*fit_arguments(source, folder)) == 0
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    return copied(finished, tmp_path / "copy")


def copied(folder, target):
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def refused(capsys, arguments, *words, code=2):
    assert cli(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kronoscope: ")
    assert err.count("\n") == 1
    assert all(str(word) in err for word in words), err


# --- the seal


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_anywhere_is_refused_by_name(copy, name):
    content = (copy / name).read_bytes()
    rng = np.random.default_rng(0)
    for place in (0, len(content) - 1, *rng.integers(len(content), size=60)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        (copy / name).write_bytes(flipped)
        with pytest.raises(InputError, match=rf"^{copy / name} is (damaged|of the format)") as error:
            ks.load(copy)
        assert "\n" not in str(error.value)
    (copy / name).write_bytes(content)
    assert ks.load(copy).num_frames == 4


@pytest.mark.parametrize("name", [RUN, WEIGHTS, RESULT])
@pytest.mark.parametrize(
    "command",
    [
        ["sample", "RUN", "--out", "new.csv"],
        ["forecast", "RUN", "SOURCE", "--out", "new.csv"],
        ["impute", "RUN", "SOURCE", "--out", "new.csv"],
        ["audit", "SOURCE", "SOURCE", "--run", "RUN", "--out", "new.csv"],
        ["report", "RUN"],
        ["report", "RUN", "--force"],
        ["fit", "--resume", "--out", "RUN"],
    ],
)
def test_every_reader_checks_the_seal(copy, source, tmp_path, capsys, command, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    places = {"RUN": copy, "SOURCE": source, "new.csv": tmp_path / "new.csv"}
    refused(capsys, [places.get(word, word) for word in command], copy / name, "was changed", "--force")
    assert not (tmp_path / "new.csv").exists()
    assert before == {file.name: file.read_bytes() for file in copy.iterdir()}


def test_careless_edits_of_json_are_refused(copy):
    """What an editor would do: the scale ninefold, or training days moved into the held-out part."""
    for name, edit in [
        (RESULT, lambda told: told.update(transform=told["transform"].replace("1", "9"))),
        (RUN, lambda told: told["split"].update(test=told["split"]["train"][:5])),
        (RUN, lambda told: told.update(sha256="0" * 64)),
        (RUN, lambda told: told.update(files={})),
        (RUN, lambda told: told.pop("files")),
        (RUN, lambda told: told.pop("sha256")),
    ]:
        content = (copy / name).read_bytes()
        told = json.loads(content)
        edit(told)
        (copy / name).write_text(json.dumps(told, indent=1) + "\n")
        with pytest.raises(InputError, match=rf"^{copy / name} is damaged or was changed"):
            ks.load(copy)
        (copy / name).write_bytes(content)


def test_a_file_of_another_run_is_refused(copy, source, tmp_path, plain_page):
    assert cli(*fit_arguments(source, tmp_path / "other", "--seed", "1")) == 0
    for name in (RUN, WEIGHTS, RESULT):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes((tmp_path / "other" / name).read_bytes())
        with pytest.raises(InputError, match=r"is damaged or was changed: its SHA-256 is not the one in run.json"):
            ks.load(copy)
        (copy / name).write_bytes(content)


def test_a_run_of_an_earlier_version_is_refused_and_replaced_by_force(copy, source, capsys, plain_page):
    told = json.loads((copy / RUN).read_text())
    del told["files"], told["sha256"]
    (copy / RUN).write_text(json.dumps({**told, "format": "kronoscope-run-1"}))
    refused(capsys, ["report", copy], "'kronoscope-run-1'; this version reads 'kronoscope-run-3'", "--force")
    assert cli(*fit_arguments(source, copy, "--force")) == 0
    assert ks.load(copy).num_frames == 4


def test_a_damaged_run_is_replaced_by_force(copy, source, plain_page):
    content = bytearray((copy / RUN).read_bytes())
    content[100] ^= 255
    (copy / RUN).write_bytes(content)
    assert cli(*fit_arguments(source, copy, "--force")) == 0
    assert ks.load(copy).num_frames == 4


def test_all_files_of_a_run_have_the_mode_of_the_umask(finished):
    modes = {stat.S_IMODE((finished / name).stat().st_mode) for name in FILES}
    umask = os.umask(0)
    os.umask(umask)
    assert modes == {0o666 & ~umask}


# --- the page


@pytest.mark.parametrize("name", [RECORDS, PAGE])
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_the_command_that_the_error_names_makes_the_page_again(finished, copy, capsys, name, damage):
    content = (copy / name).read_bytes()
    if damage == "gone":
        (copy / name).unlink()
        assert ks.load(copy).num_frames == 4
        again = ["report", copy]
    else:
        (copy / name).write_bytes(content.replace(b"1", b"7"))
        again = ["report", copy] if name == PAGE else ["report", copy, "--force"]
        words = " ".join(map(str, again))
        refused(capsys, ["sample", copy, "--out", "never.csv"], copy / name, f"kronoscope {words} makes it again")
    assert cli(*again, "--quiet") == 0
    assert (copy / PAGE).read_bytes() == (finished / PAGE).read_bytes()
    assert (copy / RECORDS).read_bytes() == (finished / RECORDS).read_bytes()
    assert (copy / RUN).read_bytes() == (finished / RUN).read_bytes()


def test_a_page_cannot_be_made_without_the_file_or_from_another(copy, source, tmp_path, capsys):
    settings = {
        **run_folder.read_run(copy),
        "source": {"paths": [str(tmp_path / "gone.csv")], "reading": to_plain(data.Reading(frames=4))},
    }
    run_folder.write_run(copy, settings, (RESULT, WEIGHTS))
    refused(capsys, ["report", copy], copy, "needs the file that the run was fitted to", "gone.csv")
    table = pd.read_csv(source)
    table.loc[0, "a"] += 1
    table.to_csv(tmp_path / "gone.csv", index=False)
    settings["source"]["reading"]["time"] = "when"
    run_folder.write_run(copy, settings, (RESULT, WEIGHTS))
    refused(capsys, ["report", copy], "the source of", "has changed since the fit")


def test_a_model_saved_from_python_has_no_page_to_make(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(40, 4, 2))
    ks.fit(x, "position", max_steps=2).save(tmp_path / "saved")
    refused(capsys, ["report", tmp_path / "saved"], "was not fitted to a file")


# --- after a kill


class Killed(BaseException):
    """In the place of SIGKILL: what comes after it does not happen."""


def killed_at(monkeypatch, source, folder, moment, *more):
    """A fit that dies just before it writes or removes its k-th file."""
    count = 0

    def counted(function):
        def call(*arguments):
            nonlocal count
            count += 1
            if count == moment:
                raise Killed
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("_rename", "remove"):
            patch.setattr(ks._files, name, counted(getattr(ks._files, name)))
        try:
            cli(*fit_arguments(source, folder, *more))
        except Killed:
            return True
    return False


def same_run(folder, other):
    """But for the seconds that training took."""
    assert {file.name for file in folder.iterdir()} == set(FILES)
    assert (folder / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    records = [report.load_records(place / RECORDS) for place in (folder, other)]
    assert records[0].facts == records[1].facts
    ks.load(folder)


def test_resume_completes_a_run_that_was_killed_at_any_write(source, tmp_path, monkeypatch, plain_page):
    whole = tmp_path / "whole"
    assert cli(*fit_arguments(source, whole)) == 0
    moment = 0
    while True:
        moment += 1
        folder = tmp_path / str(moment)
        if not killed_at(monkeypatch, source, folder, moment):
            break
        if (folder / RUN).exists():
            assert cli("fit", "--resume", "--out", folder, "--quiet") == 0
        else:
            assert cli(*fit_arguments(source, folder)) == 0
        same_run(folder, whole)
    assert moment >= 10


def test_force_never_leaves_the_old_page_beside_new_weights(source, tmp_path, monkeypatch, plain_page):
    old, new = tmp_path / "old", tmp_path / "new"
    assert cli(*fit_arguments(source, new)) == 0
    assert cli(*fit_arguments(source, old, "--seed", "1")) == 0
    contents = {name: (old / name).read_bytes() for name in FILES}
    moment = -1
    while True:
        moment += 2  # every other one, to save time
        folder = copied(old, tmp_path / str(moment))
        (folder / "notes.txt").write_text("mine")
        if not killed_at(monkeypatch, source, folder, moment, "--force"):
            break
        has_old_weights = (folder / WEIGHTS).exists() and (folder / WEIGHTS).read_bytes() == contents[WEIGHTS]
        if (folder / PAGE).exists():
            was = (folder / PAGE).read_bytes() == contents[PAGE]
            assert was == has_old_weights
        settings = models.read_settings(folder)
        if models.is_finished(settings):
            ks.load(folder)
            assert has_old_weights == (settings["fit"]["seed"] == 1)
        assert cli(*fit_arguments(source, folder, "--force")) == 0
        assert (folder / "notes.txt").read_text() == "mine"
        (folder / "notes.txt").unlink()
        same_run(folder, new)
    assert moment >= 12


def test_left_over_files_do_not_stand_in_the_way(source, tmp_path, plain_page):
    folder = tmp_path / "run"
    (folder / ".kronoscope-01234567.part").mkdir(parents=True)
    for name in ("run.partial", "weights.partial", ".tmpAb3dE9"):
        (folder / name).write_text("half")
    assert cli(*fit_arguments(source, folder)) == 0
    assert {file.name for file in folder.iterdir()} == {*FILES, ".tmpAb3dE9"}  # which may be anybody's


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--columns", "none"], 2),
        (["--network", "none"], 2),
        (["--option", "width=-1"], 2),
        (["--test", "weeks:0"], 2),
        (["--learning-rate", "1e30"], 1),
        (["--device", "nonsense"], 2),
        (["--initial", "none"], 2),
    ],
)
def test_a_failed_fit_leaves_no_folder(source, tmp_path, capsys, more, code):
    arguments = fit_arguments(source, tmp_path / "deep" / "run", *more)
    if code == 1:
        arguments[arguments.index("3")] = "300"
    try:
        assert cli(*arguments) == code
    except RuntimeError:  # of torch, where the device has a name that it does not know
        assert "--device" in more
    assert os.listdir(tmp_path) == []


# --- two at once, and interruptions


@pytest.fixture
def training(source, tmp_path):
    """A fit in another process that has begun to train."""
    command = [sys.executable, "-m", "kronoscope", *map(str, fit_arguments(source, tmp_path / "run"))]
    command[command.index("3")] = "1000000"
    # A shell in the background ignores SIGINT, and so would its children.
    ctrl_c = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=ctrl_c)
    wait_for(tmp_path / "run" / "checkpoint.safetensors")
    yield process, tmp_path / "run"
    process.kill()
    process.communicate()


def wait_for(path):
    limit = time.monotonic() + 120
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.02)
    assert path.exists()


def test_two_processes_do_not_train_in_one_folder(training, source, capsys):
    """The first is then interrupted as by Ctrl-C: it says how to go on, and the next one may."""
    process, folder = training
    refused(capsys, ["fit", "--resume", "--out", folder, "-q"], f"another process is training in {folder}")
    refused(capsys, fit_arguments(source, folder, "--force"), f"another process is training in {folder}")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    step = ks.training.read_tensors(folder / "checkpoint.safetensors")[1]["step"]
    words = f"kronoscope: interrupted at step {step}; run kronoscope fit --resume --out {folder} to continue\n"
    assert err == words


def test_an_interruption_before_anything_was_written_says_so(source, finished, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ks.data, "read_source", interrupted)
    refused(capsys, fit_arguments(source, tmp_path / "run"), "interrupted; nothing was written", code=130)
    monkeypatch.setattr(ks.Model, "sample_values", interrupted)
    arguments = ["sample", finished, "--out", tmp_path / "new.csv", "-q"]
    refused(capsys, arguments, "interrupted; nothing was written", code=130)
    assert os.listdir(tmp_path) == []


def test_an_interruption_of_force_before_the_old_run_is_touched_says_so(copy, source, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    monkeypatch.setattr(ks.data, "split", interrupted)
    refused(capsys, fit_arguments(source, copy, "--force"), "interrupted; nothing was written", code=130)
    assert before == {file.name: file.read_bytes() for file in copy.iterdir()}


def test_an_interruption_while_the_page_is_made_says_how_to_make_it(source, tmp_path, monkeypatch, capsys, plain_page):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(pages, "write_run_page", interrupted)
        words = f"after the training: run kronoscope report {folder} to write the page"
        refused(capsys, fit_arguments(source, folder), words, code=130)
    assert cli("report", folder, "--quiet") == 0
    assert ks.load(folder).num_frames == 4
    assert models.has_page(folder, models.read_settings(folder))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_becomes_another_exception_is_one_all_the_same(finished, monkeypatch, capsys, number):
    """As where it comes in the middle of an import."""

    def spoilt(*arguments, **options):
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt:
            raise RecursionError("in __getattr__") from None

    monkeypatch.setattr(models, "load", spoilt)
    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    outside = signal.signal(number, handler)  # a shell in the background ignores SIGINT
    try:
        refused(capsys, ["sample", finished, "--out", "never.csv"], "interrupted; nothing was written", code=130)
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, outside)
