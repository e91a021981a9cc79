"""``kronoscope theory``. Importing this module registers the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import InputError
from ..settings.options import suggestion
from .app import Quiet, Seed, app
from .compiling import PROCESS, square_matrix
from .progress import say

if TYPE_CHECKING:
    from ..kernels import Kernel
    from ..processes import GaussianSequence
    from ..theory import Statement

__all__ = ["app", "theory"]
STATEMENTS = ("assumption1", "lemma1", "corollary1", "theorem1", "theorem2")
EMBEDDINGS = ("circle", "line")


@app.command()
def theory(
    statement: Annotated[
        list[str] | None,
        typer.Argument(help=f"Any of {', '.join(STATEMENTS)}. [default: all]", show_default=False),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            help='Such as "Matern(lengthscale=8, smoothness=1.5)", in place of the next four.', rich_help_panel=PROCESS
        ),
    ] = None,
    lengthscale: Annotated[
        float | None,
        typer.Option(help="ell^(1/nu) in frames, greater than 0. [default: 0.5]", rich_help_panel=PROCESS),
    ] = None,
    exponent: Annotated[
        float | None, typer.Option(help="nu; the theorems are for 1 to 2. [default: 1]", rich_help_panel=PROCESS)
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            help="circle: distances are chords, as in the example of the paper; line: distances are lags, as in its "
            "experiments. [default: circle]",
            rich_help_panel=PROCESS,
        ),
    ] = None,
    period: Annotated[
        float | None,
        typer.Option(help="Of the circle, in frames, greater than 0. [default: 2 N]", rich_help_panel=PROCESS),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="N, at times 0..N-1; at most 2048.", rich_help_panel=PROCESS)] = 16,
    features: Annotated[
        int | None,
        typer.Option(min=1, help="d, with the identity as spatial covariance. [default: 2]", rich_help_panel=PROCESS),
    ] = None,
    spatial: Annotated[
        Path | None,
        typer.Option(help=".npy or .csv (no header): spatial covariance, d x d.", rich_help_panel=PROCESS),
    ] = None,
    diffusion_time: Annotated[
        float,
        typer.Option(
            "--time", help="t of Lemma 1 and Corollary 1, t0 of the theorems; greater than 0 and less than 8."
        ),
    ] = 0.1,
    tolerance: Annotated[float, typer.Option(help="epsilon, between 0 and 1.")] = 0.05,
    number: Annotated[int, typer.Option("-n", "--number", min=2, help="Training sequences of Theorem 2.")] = 1000,
    lags: Annotated[
        int | None, typer.Option(min=1, help="J of Lemma 1. [default: the fewest that --tolerance allows]")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="K of Lemma 1. [default: the fewest that --tolerance allows]")
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Compile a network for Theorem 1, and fit an estimator for Theorem 2.")
    ] = True,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Evaluate the theorems of Fu et al. (2025): their conditions, sizes and bounds, beside what is measured."""
    import torch

    from .. import processes

    chosen = _chosen(statement)
    if spatial is not None and features is not None:
        raise InputError("--spatial says how many features there are: leave out --features")
    sigma = torch.eye(features or 2, dtype=torch.float64) if spatial is None else square_matrix(spatial)
    gamma = _kernel(kernel, lengthscale, exponent, embedding, period, frames)
    process = processes.GaussianSequence(gamma, sigma, times=frames)
    settings = Settings(diffusion_time, tolerance, number, lags, iterations, measure, seed)
    results = [_evaluated(name, process, settings) for name in chosen]
    for result in results:
        say(f"{result}\n", quiet)


@dataclass(frozen=True)
class Settings:
    """The options that are not of the process."""

    t: float
    tolerance: float
    number: int
    lags: int | None
    iterations: int | None
    measure: bool
    seed: int


def _evaluated(name: str, process: GaussianSequence, settings: Settings) -> Statement:
    import torch

    from .. import theory as paper

    t, tolerance = settings.t, settings.tolerance
    if name == "assumption1":
        return paper.assumption1(process)
    if name == "lemma1":
        lags, iterations = settings.lags, settings.iterations
        if lags is None or iterations is None:
            fewest = paper.corollary1(process, t, tolerance).at_fewest
            lags, iterations = lags or fewest.num_lags, iterations or fewest.num_iterations
        return paper.lemma1(process, t, lags, iterations)
    if name == "corollary1":
        return paper.corollary1(process, t, tolerance)
    if name == "theorem1":
        return paper.theorem1(process, tolerance, t, measure=settings.measure)
    source = torch.Generator().manual_seed(settings.seed)
    return paper.theorem2(process, settings.number, t, measure=settings.measure, generator=source)


def _chosen(names: list[str] | None) -> list[str]:
    """The statements that were asked for, in the order of the paper."""
    for name in names or []:
        if name not in STATEMENTS:
            raise InputError(
                f"STATEMENT must be one of {', '.join(STATEMENTS)}, got {name!r}{suggestion(name, STATEMENTS)}"
            )
    return [name for name in STATEMENTS if not names or name in names]


def _kernel(
    text: str | None,
    lengthscale: float | None,
    exponent: float | None,
    embedding: str | None,
    period: float | None,
    frames: int,
) -> Kernel:
    from .. import kernels

    given = {"lengthscale": lengthscale, "exponent": exponent, "embedding": embedding, "period": period}
    if text is not None:
        extra = [f"--{name}" for name, value in given.items() if value is not None]
        if extra:
            raise InputError(f"--kernel says all of the kernel: leave out {', '.join(extra)}")
        return kernels.parse(text)
    shape = "circle" if embedding is None else embedding
    if shape not in EMBEDDINGS:
        raise InputError(f"--embedding must be circle or line, got {shape!r}{suggestion(shape, EMBEDDINGS)}")
    scale, nu = 0.5 if lengthscale is None else lengthscale, 1.0 if exponent is None else exponent
    if shape == "line":
        if period is not None:
            raise InputError("--period belongs to --embedding circle: leave out one of them")
        return kernels.PowerExponential(scale, nu)
    return kernels.CircularPowerExponential(scale, nu, 2.0 * frames if period is None else period)
