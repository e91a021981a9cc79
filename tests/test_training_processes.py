"""Training under torchrun: two processes give what one gives with the same batch."""

import os
import subprocess
import sys

import pytest
import torch
import torchrun_case
from safetensors.torch import load_file

from kronoscope._errors import InputError
from kronoscope.training import CHECKPOINT, Processes, read_tensors


def under_torchrun(*arguments):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, torchrun_case.__file__, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def assert_equal_to_one(out, network):
    two = load_file(out)
    assert int(two.pop("processes")) == 2
    one = torchrun_case.train(network)
    assert torch.allclose(two.pop("loss"), torch.tensor([row["held_out_loss"] for row in one.history]), rtol=1e-4)
    for name, value in one.network.state_dict().items():
        assert torch.allclose(two[name], value, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("network", ["position", "dit"])
def test_two_processes_equal_one(tmp_path, network):
    under_torchrun(network, tmp_path / "two.safetensors")
    assert_equal_to_one(tmp_path / "two.safetensors", network)


def test_two_processes_go_on_from_where_one_was_stopped(tmp_path):
    """The unrolled network, whose gradients are a solve; both processes read the checkpoint of one alone."""

    def stop(progress):
        if progress.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torchrun_case.train("unrolled", tmp_path, on_progress=stop)
    assert read_tensors(tmp_path / CHECKPOINT)[1]["step"] == 7
    under_torchrun("unrolled", tmp_path / "two.safetensors", tmp_path)
    assert_equal_to_one(tmp_path / "two.safetensors", "unrolled")
    assert read_tensors(tmp_path / CHECKPOINT)[1]["step"] == 20


def test_shares_cover_the_batch_once():
    taken = [index for rank in range(4) for index in range(24)[Processes(rank, 4).share(24)]]
    assert taken == list(range(24))
    with pytest.raises(InputError, match="batch_size must be a multiple of the 3 processes, got 16"):
        Processes(0, 3).share(16)


def test_alone_nothing_is_shared():
    alone = Processes.join()
    network = torch.nn.Linear(1, 1)
    assert (alone.rank, alone.size, alone.is_first) == (0, 1, True)
    assert alone.together(network) is network
    assert alone.largest(0.3) == 0.3
    alone.wait()
