"""Irish daily wind (Haslett and Raftery 1989), from a file of your own: held-out nats of what a network learns.

    python examples/irish_wind.py irish_wind.csv      # --frames 5, --heads 4; half a minute

The file holds a column ``date`` and 12 stations in knots, 1961 to 1978. The seasonal cycle, the scale and the network
see 1961 to 1975 only; blocks of 1976 to 1978 judge. Preparation and figures to hold it
against: docs/theory.md, section 7.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import kronoscope as ks
from kronoscope import estimators

METRES_A_SECOND = 0.5148
TRAINING_DAYS = int(15 * 365.25)
REFERENCES = {5: "separable 41.77, block-Toeplitz 40.68", 10: "separable 79.84, block-Toeplitz 77.91"}


def anomalies(path: Path) -> torch.Tensor:
    """Standardised anomalies of the square root of the speed, (days, stations), fitted to the training days."""
    table = pd.read_csv(path, parse_dates=["date"])
    if len(table) <= TRAINING_DAYS:
        raise ks.InputError(f"{path} must hold more than {TRAINING_DAYS} days, got {len(table)}")
    root = np.sqrt(METRES_A_SECOND * table.drop(columns="date").to_numpy(dtype=float))
    angle = 2 * np.pi * np.arange(len(root)) / 365.25
    design = np.column_stack([np.ones(len(root)), *(wave(k * angle) for k in (1, 2) for wave in (np.cos, np.sin))])
    past = slice(0, TRAINING_DAYS)
    cycle, *_ = np.linalg.lstsq(design[past], root[past].mean(axis=1), rcond=None)
    rest = root - (design @ cycle)[:, None]
    return torch.from_numpy((rest - rest[past].mean(axis=0)) / rest[past].std(axis=0))


def main(arguments: list[str] | None = None) -> None:
    """Print nats of held-out blocks under three laws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--frames", type=int, default=5, help="days in a block")
    parser.add_argument("--heads", type=int, default=4, help="of the unrolled transformer")
    parser.add_argument("--steps", type=int, default=1500, help="train steps")
    told = parser.parse_args(arguments)
    days, n = anomalies(told.path), told.frames
    past, future = days[:TRAINING_DAYS], days[TRAINING_DAYS:]
    windows = past.unfold(0, n, 1).mT.contiguous()
    blocks = windows[::n]
    test = future[: len(future) // n * n].reshape(-1, n, days.shape[1])
    print(f"{len(blocks)} blocks of {n} days to learn from ({len(windows)} windows), {len(test)} held out")
    model = ks.fit(
        windows.float(), "unrolled", network_options={"heads": told.heads}, validation=0.02, max_steps=told.steps,
        batch_size=512,
    )  # fmt: skip
    laws = {
        "separable": estimators.Separable().fit(blocks),
        "block-Toeplitz": estimators.BlockToeplitz().fit(windows),
        f"learnt, {told.heads} heads": model.law().data,
    }
    nats = {name: -law.log_prob(test) for name, law in laws.items()}
    print("separable from the blocks, the others from the windows")
    print(f"held-out nats a block, and less block-Toeplitz (paired, ± one standard error); {REFERENCES.get(n, '')}")
    for name, each in nats.items():
        gap = each - nats["block-Toeplitz"]
        print(f"  {name:17} {each.mean():.2f}   {gap.mean():+.2f} ± {gap.std() / len(gap) ** 0.5:.2f}")


if __name__ == "__main__":
    main()
