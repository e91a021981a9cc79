"""The audit: all questions over the same relabellings, corrected together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..metrics import published_metrics
from . import family, joint, marginals, memory, moments, spectra, structure
from .pool import Inputs, Pool, Sequences, check
from .questions import Cell, Question
from .records import AuditResult
from .resampling import FEWEST, Exchange, Flips, Relabelling, block_length, paired_blocks
from .tally import CellStatistic, Tally
from .verdicts import TITLES, verdict

POWER = 1.2816  # normal quantile at 0.9: the power at which a deviation counts as detectable


MOST_DRAWS = 1_000_000


def audit(
    real: Sequences,
    generated: Sequences,
    held_out: Sequences | None = None,
    consecutive: bool = False,
    alpha: float = 0.05,
    generator: torch.Generator | None = None,
    *,
    num_draws: int = 999,
    training: Sequences | None = None,
    published: bool = False,
) -> AuditResult:
    """Test whether generated sequences have the distribution of the real ones, and locate the differences.

    Every question (means, covariance by lag and pair of features, spectra, coherence, separability, stationarity,
    direction of time, marginals, tails, energy and kernel distance, a cross-fitted classifier, diversity; with
    ``held_out`` memorisation) pools its numbers by their largest standardised deviation. All are calibrated by
    the same relabellings of real and generated sequences, which is exact for independent sequences whatever the
    dependence inside them, and corrected over the questions by step-down minimum p-values.

    Args:
        real: (n, N, d) tensor, numpy array, xarray object, or what ``data.read`` gave; n >= 10.
        generated: (m, N, d), the same features and units, m >= 10.
        held_out: (h, N, d) real sequences outside the training set, where ``real`` is the training set; switches the
            question of memorisation on, which takes both for draws of one law.
        consecutive: The real sequences follow each other in time and depend on their neighbours: blocks of them, whose
            length is read off the data, are kept together and compared with as many generated ones: generate as
            many as there are. Tests are then approximate.
        alpha: Probability that a perfect generator fails.
        generator: None means seed 0.
        num_draws: Relabellings; p-values are multiples of 1 / (num_draws + 1).
        training: In place of ``held_out``, where ``real`` was held out: what the generator has seen.
        published: Also compute ``metrics.published_metrics``, for comparison with papers; it trains small networks,
            which takes minutes, and decides nothing.

    Raises:
        InputError: Sets that differ in frames, features, units or time step (named), values that are not finite, too
            few sequences or blocks, alpha outside (0, 1).
        TypeError: Something that is not an array.

    Example:
        >>> import torch
        >>> x = torch.randn(120, 8, 2, generator=torch.Generator().manual_seed(1))
        >>> audit(x[:60], x[60:], num_draws=199).passed
        True
        >>> audit(x[:60], x[60:].cumsum(dim=1), num_draws=199).passed
        False

    Source: docs/theory.md, section 9; Westfall and Young, "Resampling-Based Multiple Testing" (1993).
    """
    given = check(real, generated, held_out, training, consecutive)
    if not 0 < _checks.real("alpha", alpha) < 1:
        raise InputError(f"alpha must be greater than 0 and less than 1, got {alpha:g}")
    draws = _checks.count("num_draws", num_draws, 1, MOST_DRAWS)
    if draws + 1 < 1 / alpha - 1e-9:
        raise InputError(
            f"num_draws must be at least {1 / alpha - 1:.6g} for alpha = {alpha:g}, got {draws}; "
            f"alpha (--alpha) must be at least {1 / (draws + 1):.3g} for {draws}"
        )
    generator = _checks.generator_or_seed_zero(generator)
    block = block_length(given.real) if consecutive else 1
    tallies = ask(given, block, draws, generator)
    names = [name for name, tally in tallies.items() if tally.cells]
    statistics = torch.stack([tallies[name].largest for name in names])
    adjusted = family.step_down(statistics)
    questions = [_answer(name, tallies[name], float(adjusted[k]), alpha) for k, name in enumerate(names)]
    order = sorted(range(len(names)), key=lambda k: (adjusted[k], -tallies[names[k]].worst[0].deviation))
    papers = published_metrics(given.real, given.generated, generator=generator) if published else ()
    return AuditResult(
        tuple(questions[k] for k in order),
        float(alpha),
        len(given.real),
        len(given.generated),
        0 if given.unseen is None else len(given.unseen),
        given.real.shape[1],
        given.names,
        block,
        draws,
        (*given.notes, *_left_out(given, block)),
        0 if given.seen is None else len(given.seen),
        papers,
    )


def ask(given: Inputs, block: int, draws: int, generator: torch.Generator) -> dict[str, Tally]:
    """Every question that can be asked of these sets, over one set of relabellings."""
    pool, relabelling = _arrange(given, given.real, given.generated, block, draws, generator)
    tallies = {name: Tally(relabelling) for name in TITLES}
    several, longer = pool.features > 1, pool.frames > 1
    steps: list[tuple[bool, Callable[..., None], tuple[Any, ...]]] = [
        (True, moments.mean, ("mean",)),
        (True, moments.covariances, ("covariance", "autocorrelation", "cross-correlation")),
        (longer, spectra.spectrum, ("spectrum",)),
        (longer and several, spectra.coherence, ("coherence",)),
        (longer and several, structure.separability, ("separability",)),
        (longer, structure.stationarity, ("stationarity",)),
        (longer, structure.asymmetry, ("time-asymmetry",)),
        (True, marginals.marginals, ("marginals",)),
        (True, marginals.tails, ("tails",)),
        (True, joint.distances, ("energy distance", "diversity")),
        (True, joint.kernel_distance, ("kernel distance",)),
    ]
    for applies, measure, names in steps:
        if applies:
            measure(pool, *(tallies[name] for name in names))
    joint.classifier(pool, tallies["classifier"], generator)
    if given.unseen is not None and given.seen is not None:
        blocks = min(block, len(given.unseen) // FEWEST)  # what was held out is often short
        both, own = _arrange(given, given.unseen, given.seen, blocks, draws, generator)
        tallies["memorisation"] = Tally(own)
        memory.memorisation(both, given.generated, tallies["memorisation"])
    return tallies


def _arrange(
    given: Inputs, first: Tensor, second: Tensor, block: int, draws: int, generator: torch.Generator
) -> tuple[Pool, Relabelling]:
    if not given.consecutive:
        relabelling: Relabelling = Exchange(len(first), len(second), draws, generator)
    else:
        first_blocks, two = paired_blocks(len(first), len(second), block)
        first, second = first[first_blocks], second[two]
        relabelling = Flips(len(first), block, draws, generator)
    return Pool(torch.cat([first, second]), given.names, given.units), relabelling


def _left_out(given: Inputs, block: int) -> list[str]:
    if not given.consecutive:
        return []
    used = min(len(given.real), len(given.generated)) // block * block
    left = {"real": len(given.real) - used, "generated": len(given.generated) - used}
    many = [f"{count} {name}" for name, count in left.items() if count > used // 10]
    return [f"Not used, since blocks are compared in pairs: {' and '.join(many)} sequences."] if many else []


def _answer(name: str, tally: Tally, adjusted: float, alpha: float) -> Question:
    ordered = tally.largest.sort().values
    draws = len(ordered)
    threshold = float(ordered[min(draws - 1, math.ceil((1 - alpha) * draws) - 1)])
    cells = tuple(_cell(measured, ordered, threshold) for measured in tally.worst)
    p = float(family.p_values(tally.largest)[0])
    compared = ("held-out", "training") if name == "memorisation" else ("real", "generated")
    worst, rejected = cells[0], adjusted <= alpha
    return Question(
        name,
        TITLES[name],
        worst.effect,
        worst.unit,
        worst.lower,
        worst.upper,
        p,
        adjusted,
        worst.detectable,
        rejected,
        verdict(name, worst, rejected, p <= alpha, compared),
        cells,
        tally.cells,
        tally.worst[0].deviation / max(threshold, 1e-9),
        compared,
    )


def _cell(measured: CellStatistic, ordered: Tensor, threshold: float) -> Cell:
    reach = max(threshold, 0.0) * measured.standard_error
    above = len(ordered) - int(torch.searchsorted(ordered, measured.deviation * (1 - 1e-6), side="left"))
    return Cell(
        measured.label,
        measured.unit,
        measured.real,
        measured.generated,
        measured.effect,
        measured.effect - reach,
        measured.effect + reach,
        max(1, above) / len(ordered),
        (max(threshold, 0.0) + POWER) * measured.null_scale,
    )
