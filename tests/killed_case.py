"""The study of dimension made tiny; as a program it runs it through the command line, in two processes."""

import sys
from dataclasses import replace

from kronoscope.cli import run
from kronoscope_evidence.learning import dimension

STUDY = "dimension"
TRAINING = {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 32, "batch_size": 16}
SIZE = dimension.Size((1, 2), 40, 4, 1, ("unrolled", "separable", "sample-covariance"), {"unrolled": TRAINING})
TINY = replace(dimension.STUDY, quick=SIZE)

if __name__ == "__main__":
    dimension.STUDY = TINY
    sys.exit(run(["reproduce", STUDY, "--quick", "--quiet", "--jobs", "2", "--out", sys.argv[1]]))
