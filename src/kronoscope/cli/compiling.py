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

__all__ = ["app", "compile_process", "square_matrix", "verify"]
PROCESS, NETWORK = "Process", "Network"
WORTH_SAYING = 20.0  # seconds


@app.command(name="compile")
def compile_process(
    out: Annotated[Path, typer.Option(help="Folder to write: weights, process, certificate.", show_default=False)],
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
        float, typer.Option(help="Largest proven relative score error.", rich_help_panel=NETWORK)
    ] = 1e-2,
    min_time: Annotated[float, typer.Option(help="Smallest diffusion time.", rich_help_panel=NETWORK)] = 1e-2,
    gates: Annotated[str, typer.Option(help="modulated or relu.", rich_help_panel=NETWORK)] = "modulated",
    heads: Annotated[str, typer.Option(help="affine, arc, trapezoid or table.", rich_help_panel=NETWORK)] = "affine",
    max_lag: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of lags of the kernel. [default: the fewest that the tolerance allows]",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    max_depth: Annotated[int, typer.Option(min=1, help="Largest number of blocks.", rich_help_panel=NETWORK)] = 4096,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing compiled score.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the score of a Gaussian process as the weights of a transformer, with a certificate."""
    import torch

    from .. import compiler, kernels, processes

    compiler.check_target(out, force)
    if spatial is not None and features is not None:
        raise InputError("--spatial fixes the number of features: leave out --features")
    _say_minutes("decomposing the covariances", compiler.check_matrices(frames, features or 1), quiet)
    sigma = torch.eye(features or 1, dtype=torch.float64) if spatial is None else square_matrix(spatial)
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
    _say_minutes("measuring the error of the network", compiled.seconds_to_measure(), quiet)
    certificate = compiled.certificate
    worst = certificate.worst
    if worst.value - 4 * worst.standard_error > certificate.bound:
        raise InputError(
            f"nothing was written: the measured error at t = {worst.time:.3g} is {worst.value:.3g}, above the bound "
            f"{certificate.bound:.3g}; try a larger --min-time or another --iteration"
        )
    compiler.save(compiled, out, force)
    say(
        f"{certificate.depth} blocks, {certificate.num_heads} heads, width {certificate.width}, "
        f"{certificate.parameters:,} parameters\n"
        f"relative score error: proven at most {certificate.bound:.3g}, measured {worst.value:.3g}\n"
        f"score KL: {certificate.score_kl:.3g} nats\nfolder: {out}",
        quiet,
    )


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that `kronoscope compile` wrote.", show_default=False)],
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the random sequences, to repeat a check. [default: a new one each time]"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check a compiled score: its hashes, its weights and its bound. The exit code is 1 if a check fails.

    The score is compiled again and compared, and its network is run on random sequences.
    """
    from .. import compiler

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; verify takes a folder that kronoscope compile wrote")
    wrong = compiler.verify(folder, seed)
    for line in wrong:
        say(f"check failed: {line}", quiet)
    if wrong:
        raise typer.Exit(1)
    say(f"verified: {folder}", quiet)


def _say_minutes(what: str, seconds: float, quiet: bool) -> None:
    if seconds > WORTH_SAYING:
        say(f"{what} takes about {max(1, round(seconds / 60))} min", quiet)


def square_matrix(path: Path) -> Tensor:
    """A square matrix of real numbers from a file.

    Raises:
        InputError: There is none in it.
    """
    import numpy as np
    import torch

    from .. import compiler

    if path.suffix.lower() not in (".npy", ".csv"):
        raise InputError(f"{path}: the ending must be .npy or .csv, got {path.suffix!r}")
    if not path.is_file():
        raise InputError(f"{path} is not a file; --spatial takes an .npy or .csv file")
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, mmap_mode="r", allow_pickle=False)  # the file must be as long as its header says
        else:
            values = np.loadtxt(path, delimiter=",", ndmin=2)
        if values.ndim != 2 or values.shape[0] != values.shape[1]:
            raise InputError(f"{path} must hold a square matrix, got shape {values.shape}")
        if values.dtype.kind not in "biuf":
            raise InputError(f"{path} must hold real numbers, got {values.dtype}")
    except (ValueError, TypeError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as a matrix of numbers: {str(error).splitlines()[0]}") from None
    compiler.check_matrices(1, len(values))
    return torch.from_numpy(np.array(values, dtype=np.float64))
