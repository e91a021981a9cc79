"""A sweep of twelve jobs that other processes can import; as a program it measures slowly, so that it can be killed."""

import os
import sys
import threading
import time

from kronoscope_evidence.learning.sweeps import Sweep, run

JOBS = [{"power": power, "seed": seed} for power in (1, 2, 3) for seed in range(4)]
SWEEP = Sweep("powers", JOBS, {"base": 3})


def measure(job):
    return {"value": 3.0 ** job["power"] + 0.1 * job["seed"], "list": [job["seed"], None]}


def measure_slowly(job):
    time.sleep(0.05)
    return measure(job)


def where(job):
    """Who measured it; slow enough that one worker cannot take all."""
    time.sleep(0.05)
    return {"process": os.getpid(), "thread": threading.get_ident()}


def fail_on_the_third(job):
    if job["power"] == 1 and job["seed"] == 2:
        raise RuntimeError("the disc is on fire")
    return measure(job)


if __name__ == "__main__":
    run(SWEEP, measure_slowly, sys.argv[1])
