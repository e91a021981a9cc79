"""A sweep of twelve jobs that other processes can import; as a program it measures slowly, so that it can be killed."""

import os
import sys
import threading
import time
from dataclasses import dataclass

from kronoscope_evidence.learning.sweeps import Sweep, run


@dataclass(frozen=True)
class Job:
    power: int
    seed: int


@dataclass(frozen=True)
class Row:
    job: Job
    value: float
    pair: tuple[int, int | None]


@dataclass(frozen=True)
class Place:
    job: Job
    process: int
    thread: int


JOBS = [Job(power, seed) for power in (1, 2, 3) for seed in range(4)]
SWEEP = Sweep("powers", JOBS, {"base": "3"})


def measure(job):
    return Row(job, 3.0**job.power + 0.1 * job.seed, (job.seed, None))


def measure_slowly(job):
    time.sleep(0.05)
    return measure(job)


def where(job):
    """The process and thread that measured it; slow enough that one worker cannot take all."""
    time.sleep(0.05)
    return Place(job, os.getpid(), threading.get_ident())


def fail_on_the_third(job):
    if job == Job(1, 2):
        raise RuntimeError("the disc is on fire")
    return measure(job)


if __name__ == "__main__":
    run(SWEEP, measure_slowly, Row, sys.argv[1])
