"""The page of a fitted run: its data, its training, and its samples compared with the real sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import data, models
from .._display import Displayed
from .._errors import InputError
from .._intervals import student_reach
from ..data.messages import counted
from ..models.figures import BLOCK, MOST_LAGS, MOST_VALUES, training_figure
from ..report import Facts, Number, Report, Section, Table, Text, Verdict
from ..report.records import Block
from . import panels
from .dependence import GENERATED, HELD_OUT, INDEPENDENT, Comparison, baselines, compare

LARGEST_COVARIANCE = 1024
FEWEST = 8
DATA_TITLE = "The data"  # of the first section after the warnings


@dataclass(frozen=True, eq=False, repr=False)
class RunShown(Displayed):
    """What a page shows of a run: real and generated sequences in original units, and their comparison."""

    model: models.Model
    sequences: data.SequenceSet
    generated: np.ndarray
    features: tuple[int, ...]
    comparison: Comparison | None
    why_not: str = ""
    units: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the features that are shown."""
        return [self.sequences.feature_names[j] for j in self.features]

    @property
    def real(self) -> np.ndarray:
        """The real sequences that the model was made from, complete ones only, in the order of the source."""
        parts = self.model.record["split"]
        return self.sequences.subset(sorted(parts["train"] + parts["validation"])).complete().values


def run_report(
    model: models.Model,
    sequences: data.SequenceSet,
    *,
    num_samples: int = 1000,
    generator: torch.Generator | None = None,
) -> Report:
    """The page of a fitted run, as ``fit`` writes it.

    Args:
        model: The fitted model.
        sequences: What it was fitted to, all parts of it.
        num_samples: Sequences to generate at most; fewer where they are long.
        generator: None means seed 0.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    frames, features = model.num_frames, model.num_features
    number = max(32, min(num_samples, MOST_VALUES // (frames * features)))
    generated, starts = model.sample_values(number, generator=generator)
    return report_of(show_run(model, sequences, generated, starts, generator))


def report_of(shown: RunShown) -> Report:
    """The page of a run from what it shows."""
    model, number = shown.model, len(shown.sequences)
    name = model.network_name or type(model.network).__name__
    facts = {
        "sequences": number,
        "frames": model.num_frames,
        "features": model.num_features,
        "network": name,
        "parameters": model.record["training"]["weights"],
        "generated for this page": len(shown.generated),
    }
    return Report(
        "Sequences, real and generated",
        f"A diffusion model ({name}) was trained on {number} sequences of {model.num_frames} frames with "
        f"{model.num_features} "
        "features.",
        facts,
        [*_warnings(model), data_section(shown), *generated_sections(shown), training_section(shown)],
        _verdict(shown),
    )


def _warnings(model: models.Model) -> list[Section]:
    """The warnings of the fit, as the first section."""
    notes = model.record.get("notes", [])
    blocks: list[Block] = [Text(note[0].upper() + note[1:], "note") for note in notes]
    return [Section("Warnings", "Read these first.", blocks)] if blocks else []


def show_run(
    model: models.Model, sequences: data.SequenceSet, generated: np.ndarray, starts: Any, generator: torch.Generator
) -> RunShown:
    """Compare what a run generates with its own sequences, as far as their number and size allow."""
    parts = model.record["split"]
    places = np.asarray(parts["test"], dtype=np.int64)
    seen = sequences.subset(sorted(parts["train"] + parts["validation"])).complete()
    if len(seen) < FEWEST:
        every = tuple(range(min(model.num_features, panels.MOST_FEATURES)))
        few = f"only {counted(len(seen), 'sequence')} has no missing value" if len(seen) == 1 else ""
        few = few or f"only {counted(len(seen), 'sequence')} have no missing value"
        return RunShown(model, sequences, generated, every, None, few)
    places = places[sequences.is_complete[places]]
    training = torch.from_numpy(model.transform.apply(seen.values, seen.starts))
    new = torch.from_numpy(model.transform.apply(generated, starts))
    varying = (training - training.mean(dim=0)).square().mean(dim=(0, 1)) > 0
    features = varying.nonzero().flatten().tolist()[: panels.MOST_FEATURES]
    if not features:
        some = tuple(range(min(model.num_features, panels.MOST_FEATURES)))
        return RunShown(model, sequences, generated, some, None, "no feature varies between sequences")
    held_out, laws = None, {}
    if len(places) >= 3:
        test = sequences.subset(places)
        held_out = torch.from_numpy(model.transform.apply(test.values, test.starts))
        laws = baselines(training, _affordable(training))
    try:
        comparison = compare(
            new,
            training,
            held_out,
            laws,
            block=BLOCK if sequences.consecutive else 1,
            places=places if len(places) else None,
            max_lag=min(model.num_frames - 1, MOST_LAGS),
            features=features,
            generator=generator,
        )
    except InputError as error:
        return RunShown(model, sequences, generated, tuple(features), None, str(error))
    return RunShown(model, sequences, generated, tuple(features), comparison)


def _affordable(training: Tensor) -> tuple[str, ...]:
    size = training.shape[1] * training.shape[2]
    return ("sample covariance", INDEPENDENT) if size <= LARGEST_COVARIANCE else ()


def data_section(shown: RunShown) -> Section:
    """What was read, how it was split and scaled, and what was left out and why."""
    record, model = shown.model.record, shown.model
    scaling = record["fit"]["scaling"]
    parts = {name: len(indices) for name, indices in record["split"].items()}
    season = f", {scaling['harmonics']} annual harmonics" if scaling["harmonics"] else ""
    margins = "; then an increasing map of each feature to a normal margin" if scaling["margins"] else ""
    facts = {
        "features": ", ".join(_few(shown.sequences.feature_names)),
        "train / validation / test": f"{parts['train']} / {parts['validation']} / {parts['test']} sequences",
        "preprocessing (undone after sampling)": f"mean: {scaling['mean']}; scaling: "
        f"{scaling['scaling'] or 'none'}{season}" + margins,
        "trained on diffusion times": f"{model.training.min_time:g} to {model.training.max_time:g}",
    }
    notes = list(record["data"]["notes"]) or ["Nothing was left out."]
    blocks: list[Block] = [Facts(facts), Text("\n\n".join(notes), "note")]
    lead = "The input of the fit. Mean, scale, season and margins were estimated on the training part alone."
    return Section(DATA_TITLE, lead, blocks)


def generated_sections(shown: RunShown) -> list[Section]:
    """Sequences side by side, dependence, marginals."""
    names, axis, comparison = shown.names, panels.Axis.of(shown.sequences), shown.comparison
    chosen = list(shown.features)
    if not len(shown.real):
        return [
            Section(
                "Dependence",
                "",
                [Text(f"Real and generated sequences are not compared, because {shown.why_not}.", "note")],
            ),
            _marginals(shown),
        ]
    real, generated = shown.real[..., chosen], shown.generated[..., chosen]
    figure = panels.sequence_figure(real, generated, names, dict(shown.units), axis)
    left = shown.model.num_features - len(names)
    more = (
        f" {counted(left, 'more feature')} in the model but not shown (constant, or too many to show)." if left else ""
    )
    sections = [
        Section("Real and generated sequences", f"Single sequences, their mean and their spread.{more}", [figure])
    ]
    if comparison is None:
        text = Text(f"Correlations are not compared, because {shown.why_not}.", "note")
        return [*sections, Section("Dependence", "", [text]), _marginals(shown)]
    lead = "Correlations between frames and between features, in scaled coordinates."
    blocks: list[Block] = [
        panels.dependence_table(comparison),
        panels.lag_figure(comparison, names, axis),
        panels.spatial_figure(comparison, names),
        panels.difference_figure(comparison, names, axis),
        panels.worst_table(comparison, names, axis),
    ]
    return [*sections, Section("Dependence in time and between features", lead, blocks), _marginals(shown)]


def training_section(shown: RunShown) -> Section:
    """The loss by step and the step of the checkpoint."""
    outcome, config = shown.model.record["training"], shown.model.training
    facts = {
        "network": shown.model.network_name or type(shown.model.network).__name__,
        "parameters": outcome["weights"],
        "training steps": outcome["steps"],
        "checkpoint of step": outcome["best_step"],
        "seconds": float(outcome["seconds"]),
        "stopped by": outcome["stopped"].replace("_", " "),
        "batch size": config.batch_size,
        "peak learning rate": config.learning_rate,
    }
    sizes = shown.model.num_frames, shown.model.num_features
    figure = training_figure(outcome["history"], outcome["best_step"], config, *sizes)
    return Section("Training", "", [Facts(facts), figure])


def _marginals(shown: RunShown) -> Section:
    quantiles = (0.0, 0.01, 0.5, 0.99, 1.0)
    parts = shown.model.record["split"]
    real = shown.sequences.values[sorted(parts["train"] + parts["validation"])]
    rows: list[list[Any]] = []
    for j, name in zip(shown.features, shown.names, strict=True):
        label = panels.with_unit(name, dict(shown.units))
        for kind, values in (("real", real), ("generated", shown.generated)):
            rows.append([label, kind, *(float(v) for v in np.nanquantile(values[..., j], quantiles))])
    number = f"{len(real)} real and {len(shown.generated)} generated sequences"
    table = Table(
        ["feature", "", "minimum", "1 %", "median", "99 %", "maximum"],
        rows,
        "Values of each feature over all frames, in the units of the file. The 1 %, 50 % and 99 % quantiles should "
        "agree. The extremes grow with the number of sequences. Impossible values, such as a negative "
        "speed, are shown as generated.",
        note=number,
        row_roles=["truth", "learnt"] * len(shown.names),
    )
    return Section("Values", "The marginal distribution of each feature.", [table])


def _verdict(shown: RunShown) -> Verdict | None:
    comparison = shown.comparison
    if comparison is None:
        return None
    numbers = [share_number(comparison)]
    if comparison.held_out_blocks:
        numbers.append(energy_number(comparison))
    outcome = shown.model.record["training"]
    steps, planned = outcome["steps"], shown.model.training.max_steps
    short = any(note.startswith("undertrained") for note in shown.model.record.get("notes", []))
    words = f"undertrained: {steps} of {planned} steps" if short else f"{steps} steps"
    numbers.append(Number(f"{outcome['seconds']:.0f} s", "of training", words, "bad" if short else "neutral"))
    return Verdict(numbers)


def share_number(comparison: Comparison) -> Number:
    """The headline of the band, with its baselines."""
    share = comparison.row(GENERATED).share_inside
    names = {row.name: row.share_inside for row in comparison.rows}
    yardsticks = [
        f"{label} {100 * names[name]:.0f} %"
        for name, label in (
            (HELD_OUT, "held-out real"),
            ("separable", "separable"),
            (INDEPENDENT, "independent frames"),
        )
        if name in names
    ]
    against = "; ".join(yardsticks) or "a perfect generator reaches about 95 %"
    label = "of the generated correlations within the real 95 % band"
    return Number(f"{100 * share:.0f} %", label, against, "good" if share >= 0.8 else "bad")


def energy_number(comparison: Comparison) -> Number:
    """The headline of the energy distance, against the sample covariance where it could be fitted."""
    energy = comparison.row(GENERATED).energy
    assert energy is not None
    value, label = f"{energy.value:.3f}".replace("-", "\N{MINUS SIGN}"), "energy distance to held-out sequences"
    rival = next((row for row in comparison.rows if row.name in ("sample covariance", INDEPENDENT)), None)
    if rival is None or rival.energy is None or rival.difference is None:
        return Number(value, label, "0 means the same distribution")
    gap = rival.difference
    clear = abs(gap.value) > student_reach(max(comparison.held_out_blocks - 1, 1)) * gap.standard_error
    standing = "neutral" if not clear else "good" if gap.value < 0 else "bad"
    against = f"{rival.name} {rival.energy.value:.3f}; difference {gap.value:+.3f} ± {gap.standard_error:.3f} (paired)"
    return Number(value, label, against.replace("-", "\N{MINUS SIGN}"), standing)


def _few(names: tuple[str, ...], most: int = 12) -> list[str]:
    return [*names[:most], f"and {len(names) - most} more"] if len(names) > most else list(names)
