"""A few kills of the benchmark of kills, in a process of its own, since it forks before torch has started threads."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_kill_at_a_random_moment_loses_nothing_and_the_next_command_works():
    command = [sys.executable, "-m", "benchmarks", "kills", "--kills", "8", "--only", "fit --force,sample zarr,report"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert "kills: all commands: 8 (0 of them lost something or left a dead end)" in ended.stderr, ended.stderr
    assert ended.returncode == 0
