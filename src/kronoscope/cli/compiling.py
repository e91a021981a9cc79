"""``kronoscope compile`` and ``verify``. Importing this module registers the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import InputError
from .app import Quiet, app
from .progress import say

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["app", "compile_process", "verify"]
PROCESS, NETWORK = "Process", "Network"


@app.command(name="compile")
def compile_process(
    out: Annotated[Path, typer.Option(help="Folder to make: weights, process, certificate.", show_default=False)],
    kernel: Annotated[
        str,
        typer.Option(help='Such as "Matern(lengthscale=8, smoothness=1.5) + 0.1 * White()".', rich_help_panel=PROCESS),
    ] = "PowerExponential(lengthscale=8, exponent=1)",
    frames: Annotated[int, typer.Option(min=1, help="N, at times 0..N-1.", rich_help_panel=PROCESS)] = 64,
    features: Annotated[
        int | None,
        typer.Option(min=1, help="d, with the identity as spatial covariance. [default: 1]", rich_help_panel=PROCESS),
    ] = None,
    spatial: Annotated[
        Path | None,
        typer.Option(help=".npy or .csv (no header): spatial covariance, d x d.", rich_help_panel=PROCESS),
    ] = None,
    iteration: Annotated[
        str,
        typer.Option(
            help="gradient-descent, heavy-ball, chebyshev, chebyshev-steps, preconditioned-chebyshev or spectral.",
            rich_help_panel=NETWORK,
        ),
    ] = "chebyshev",
    tolerance: Annotated[
        float, typer.Option(help="Largest proven relative score error, between 0 and 1.", rich_help_panel=NETWORK)
    ] = 1e-2,
    min_time: Annotated[float, typer.Option(help="Smallest diffusion time.", rich_help_panel=NETWORK)] = 1e-2,
    gates: Annotated[str, typer.Option(help="modulated or relu.", rich_help_panel=NETWORK)] = "modulated",
    heads: Annotated[str, typer.Option(help="affine, arc, trapezoid or table.", rich_help_panel=NETWORK)] = "affine",
    max_lag: Annotated[
        int | None,
        typer.Option(min=0, help="Lags to keep. [default: as few as the tolerance allows]", rich_help_panel=NETWORK),
    ] = None,
    max_depth: Annotated[int, typer.Option(min=1, help="Most blocks.", rich_help_panel=NETWORK)] = 4096,
    quiet: Quiet = False,
) -> None:
    """Write the score of a Gaussian process as the weights of a transformer, with a certificate."""
    import torch

    from .. import compiler, kernels, processes

    if out.exists():
        raise InputError(f"{out} exists; --out makes a new folder")
    if spatial is not None and features is not None:
        raise InputError("--spatial says how many features there are: leave out --features")
    sigma = torch.eye(features or 1, dtype=torch.float64) if spatial is None else _matrix(spatial)
    process = processes.GaussianSequence(kernels.parse(kernel), sigma, times=frames)
    compiled = compiler.compile_score(
        process,
        iteration=iteration,
        tolerance=tolerance,
        min_time=min_time,
        gates=gates,
        heads=heads,
        max_lag=max_lag,
        max_depth=max_depth,
    )
    compiler.save(compiled, out)
    told = compiled.certificate
    say(
        f"{told.depth} blocks, {told.num_heads} heads, width {told.width}, {told.parameters:,} weights\n"
        f"relative score error: proven at most {told.bound:.3g}, measured {told.worst.value:.3g}\n"
        f"score KL: {told.score_kl:.3g} nats\nfolder: {out}",
        quiet,
    )


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that kronoscope compile made.", show_default=False)],
    quiet: Quiet = False,
) -> None:
    """Compile the process of FOLDER again, measure everything again; exit code 1 where anything disagrees."""
    from .. import compiler

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; verify takes one that kronoscope compile made")
    wrong = compiler.verify(folder)
    for line in wrong:
        say(f"disagrees: {line}", quiet)
    if wrong:
        raise typer.Exit(1)
    say(f"verified: {folder}", quiet)


def _matrix(path: Path) -> Tensor:
    """A square matrix from a file."""
    import numpy as np
    import torch

    try:
        if path.suffix.lower() == ".npy":
            found = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".csv":
            found = np.loadtxt(path, delimiter=",", ndmin=2)
        else:
            raise InputError(f"{path}: the ending must be .npy or .csv, got {path.suffix!r}")
        return torch.from_numpy(np.asarray(found, dtype=np.float64))
    except (ValueError, TypeError, EOFError) as error:
        raise InputError(f"{path} holds no matrix of numbers: {str(error).splitlines()[0]}") from None
