"""The one writer: the old whole, the new whole or nothing at any kill; leftovers never stand in the way."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from kronoscope import InputError, _files
from kronoscope._files import is_temporary, locked, remove, replacing, write_text

KILLED = """
import os, signal, sys
from pathlib import Path
from kronoscope import _files

target, kind, moment = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0

def die(frame, event, argument):
    # counts the lines that _files and the writer below run, and kills at one of them
    global calls
    if frame.f_code.co_filename.endswith(("_files.py", "<string>")):
        calls += event == "line"
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return die

def write():
    with _files.replacing(target) as new:
        if kind == "file":
            new.write_text("new")
        else:
            new.mkdir()
            (new / "a").write_text("new")
            (new / "b").write_text("new")

if os.environ.get("NO_EXCHANGE"):
    _files._exchange = lambda one, other: False
sys.settrace(die)
write()
"""


def content(path):
    if path.is_dir():
        return {name: (path / name).read_text() for name in sorted(os.listdir(path))}
    return path.read_text() if path.exists() else None


WHOLE = {"file": ("old", "new"), "folder": ({"a": "old", "b": "old"}, {"a": "new", "b": "new"})}


def put(path, kind):
    if kind == "file":
        path.write_text("old")
    else:
        path.mkdir()
        (path / "a").write_text("old")
        (path / "b").write_text("old")


def write_in_child(target, kind, moment, exchange):
    """Fork, so that a kill at every line of the writer costs no start of Python."""
    child = os.fork()
    if child == 0:
        try:
            namespace = {"__name__": "child"}
            sys.argv = ["", str(target), kind, str(moment)]
            if not exchange:
                os.environ["NO_EXCHANGE"] = "1"
            exec(compile(KILLED, "<string>", "exec"), namespace)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_kill_at_every_line_leaves_the_old_or_the_new_whole(tmp_path, kind, exists, exchange):
    old, new = WHOLE[kind]
    moment, seen = 0, set()
    while True:
        moment += 1
        place = tmp_path / str(moment)
        place.mkdir()
        target = place / "out.zarr"
        if exists:
            put(target, kind)
        ended = write_in_child(target, kind, moment, exchange)
        if exchange:
            assert content(target) in (old if exists else None, new)
        _files.remove_leftovers(place)  # what a system without exchange had set aside goes back
        assert content(target) in (old if exists else None, new)
        assert os.listdir(place) == (["out.zarr"] if content(target) else [])
        seen.add(str(content(target)))
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert moment > 20
    assert seen == {str(old if exists else None), str(new)}


def test_a_living_writer_is_left_alone_and_a_dead_one_is_cleared(tmp_path):
    with replacing(tmp_path / "a") as new:
        new.write_text("a")
        write_text(tmp_path / "b", "b")
        assert new.exists()
    dead = tmp_path / ".kronoscope-0123abcd.part"
    dead.mkdir()
    (dead / "c").write_text("half")
    write_text(tmp_path / "b", "b again")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "a"


def test_names_like_ours_that_are_not_are_left(tmp_path):
    names = [".kronoscope-0123abc.part", ".kronoscope-0123abcd.parts", "kronoscope-0123abcd.part", ".a.part"]
    for name in names:
        (tmp_path / name).mkdir()
    write_text(tmp_path / "b", "b")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "b"])
    assert not any(map(is_temporary, names))


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0, 0o666, 0o777)])
def test_modes_follow_the_umask(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "secretive") as new:
            new.touch(0o600)
        with replacing(tmp_path / "folder") as new:
            new.mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secretive").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == folder


def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path):
    write_text(tmp_path / "a", "old")

    def full(path, kind):
        with replacing(path) as new:
            new.write_text("half") if kind == "file" else new.mkdir()
            raise OSError(28, "No space left on device")

    for kind in ("file", "folder"):
        with pytest.raises(InputError, match=rf"^{tmp_path / 'a'} cannot be written: No space left on device$"):
            full(tmp_path / "a", kind)
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write_text(tmp_path / "nowhere" / "a", "new")
    with pytest.raises(InputError, match="cannot be written"):
        write_text("/proc/a", "new")  # a folder in which not even root may write
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_long_name_can_be_written(tmp_path):
    write_text(tmp_path / ("x" * 255), "all of it")
    assert os.listdir(tmp_path) == ["x" * 255]


def test_files_and_folders_replace_each_other(tmp_path):
    for exchange in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not exchange:
                patch.setattr(_files, "_exchange", lambda one, other: False)
            write_text(tmp_path / "a", "file")
            with replacing(tmp_path / "a") as new:
                new.mkdir()
            assert (tmp_path / "a").is_dir()
            write_text(tmp_path / "a", "file")
            assert os.listdir(tmp_path) == ["a"]


def test_removing(tmp_path):
    write_text(tmp_path / "a", "file")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").touch()
    for name in "abx":
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_folder_goes_with_its_process(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", f"from kronoscope import _files; _files.locked({str(tmp_path)!r}); print(1); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    assert locked(tmp_path) is None
    holder.kill()
    holder.wait()
    lock = locked(tmp_path)
    assert lock is not None
    assert locked(tmp_path) is None
    os.close(lock)


def test_many_writers_of_one_file_at_once(tmp_path):
    """Each clears what it takes for left over; none may take away what another is writing."""
    failures = []

    def write(number):
        try:
            for _ in range(30):
                write_text(tmp_path / "a", str(number) * 1000)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    text = (tmp_path / "a").read_text()
    assert len(text) == 1000
    assert len(set(text)) == 1
    assert os.listdir(tmp_path) == ["a"]
