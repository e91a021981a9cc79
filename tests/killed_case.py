"""The study over dimension made small; as a program it runs it through the command line, in two processes."""

import importlib
import sys

from kronoscope.cli import run
from kronoscope_evidence.learning import jobs

STUDY = "dimension"
MODULE = importlib.import_module("kronoscope_evidence.learning.dimension")
LEARN = jobs._learn
TINY = {
    "QUICK_FEATURES": (1, 2),
    "QUICK_FRAMES": 4,
    "ESTIMATORS": ("separable", "sample-covariance"),
    "QUICK_SEEDS": 2,
    "QUICK_TRAINING": {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 32, "batch_size": 16},
    "N": 40,
}

if __name__ == "__main__":
    for name, value in TINY.items():
        setattr(MODULE, name, value)
    sys.exit(run(["reproduce", STUDY, "--quick", "--quiet", "--jobs", "2", "--out", sys.argv[1]]))
