"""What families of hostile files share: a case, small valid data, and ways to write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr


@dataclass(frozen=True)
class Case:
    """A file, how to read it, and what must come out (None: a clear error or anything finite)."""

    family: str
    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    expected: np.ndarray | None = None
    refused: bool = False


Rng = np.random.Generator
Family = Callable[[Rng, Path], Case]


def small_values(rng: Rng) -> np.ndarray:
    n, frames, features = int(rng.integers(12, 16)), int(rng.integers(2, 5)), int(rng.integers(1, 4))
    return rng.standard_normal((n, frames, features)).round(3)


def small_table(rng: Rng) -> tuple[pd.DataFrame, np.ndarray]:
    x = small_values(rng)
    n, frames, features = x.shape
    table = pd.DataFrame({"sequence": np.repeat(np.arange(n), frames), "frame": np.tile(np.arange(frames), n)})
    for j in range(features):
        table[f"v{j}"] = x[..., j].ravel()
    return table, x


def small_series(rng: Rng) -> tuple[pd.DataFrame, np.ndarray]:
    x = small_values(rng)
    n, frames, features = x.shape
    times = pd.date_range("2020-01-01", periods=n * frames, freq="h")
    table = pd.DataFrame({"time": times.strftime("%Y-%m-%dT%H:%M:%S")})
    for j in range(features):
        table[f"v{j}"] = x[..., j].ravel()
    return table, x


def save(x: np.ndarray, path: Path) -> Path:
    table = pd.DataFrame(x.reshape(-1, x.shape[2]), columns=[f"v{j}" for j in range(x.shape[2])])
    table.insert(0, "sequence", np.repeat(np.arange(len(x)), x.shape[1]))
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez_compressed(path, values=x)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        xr.DataArray(x, dims=("sequence", "time", "feature"), name="u").to_netcdf(path)
    return path


def any_ending(rng: Rng) -> str:
    return str(rng.choice([".npy", ".npz", ".csv", ".parquet", ".nc"]))
