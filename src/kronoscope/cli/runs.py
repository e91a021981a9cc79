"""What ``fit`` and ``report`` do with a run folder, apart from parsing their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import _files
from .._errors import InputError, InterruptedCommand
from .progress import say

if TYPE_CHECKING:
    from ..data import FileSource, SequenceSet
    from ..models import FitSettings
    from ..training import TrainingConfig


def train(
    sequences: SequenceSet,
    settings: FitSettings,
    config: TrainingConfig,
    out: Path,
    source: FileSource,
    *,
    resume: bool,
    force: bool,
    device: str | None,
    quiet: bool,
) -> None:
    """Fit into the run folder ``out`` and write its page; the first of several processes alone writes and speaks."""
    from .. import models, pages, training

    try:
        model = models.fit_sequences(
            sequences,
            settings,
            config,
            out,
            source=source,
            resume=resume,
            force=force,
            device=device,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        raise _interrupted(out, resume) from None
    for note in model.record.get("notes", []):
        say(f"{'WARNING' if note.startswith('undertrained') else 'note'}: {note}", quiet)
    outcome = model.record["training"]
    say(
        f"trained {outcome['steps']} steps in {outcome['seconds']:.0f} s; kept the parameters of step "
        f"{outcome['best_step']} "
        f"({outcome['weights']:,} in all)",
        quiet,
    )
    if "initial" in model.record:
        start = model.record["initial"]
        say(
            f"training moved the distribution away from its start, {start['from']}, by {start['kl_moved']:.3g} "
            "nats per sequence",
            quiet,
        )
    if not training.Processes.join().is_first:
        return
    try:
        page = pages.write_run_page(out, model, sequences)
    except KeyboardInterrupt:
        raise InterruptedCommand(
            f"interrupted after the training: run kronoscope report {out} to write the page"
        ) from None
    say(f"run: {out}\nreport: {page}", quiet)


def _interrupted(out: Path, resume: bool) -> InterruptedCommand:
    """What is left of an interrupted training, and the command that continues it."""
    from .. import training

    if not resume and not any(path.parent == out for path in _files.written):
        return InterruptedCommand("interrupted; nothing was written")
    step = 0
    if (out / training.CHECKPOINT).exists():
        step = training.read_tensors(out / training.CHECKPOINT)[1]["step"]
    return InterruptedCommand(f"interrupted at step {step}; run kronoscope fit --resume --out {out} to continue")


def complete(out: Path, source: FileSource | None, quiet: bool) -> bool:
    """Write the page of a run whose training is done, but whose page is not; False where there is more to do.

    Args:
        out: The run folder.
        source: How to read its source; None takes it from the run.
        quiet: Whether to say nothing.
    """
    from .. import data, models, pages, training

    settings = models.read_run(out)
    if not models.is_finished(settings) or models.has_page(out, settings):
        return False
    if not training.Processes.join().is_first:
        return True
    say("training is finished; writing the page", quiet)
    sequences = None if source is None else data.read_source(source)
    say(f"run: {out}\nreport: {pages.complete_run(out, sequences)}", quiet)
    return True


def draw_stored(name: str, out: Path | None, force: bool) -> Path:
    """The page of a study's stored full result; ``NAME.html`` in the current folder by default."""
    import kronoscope_evidence as evidence

    from .. import report

    page = evidence.stored(name).page()
    return report.write(page, Path(f"{name}.html") if out is None else out, force=force)


def draw(folder: Path, out: Path | None, force: bool) -> Path:
    """The page of a folder drawn again from its records; those of a run are made again where they are missing."""
    import kronoscope_evidence as evidence
    from kronoscope_evidence.demo.demo import is_demo, render_demo

    from .. import report

    if not folder.is_dir():
        words = f"{folder} is not a folder; report takes a folder that fit, demo or reproduce wrote"
        if evidence.is_stored(str(folder)):
            words += f"; for the stored study, run kronoscope report --stored {folder}"
        raise InputError(words)
    target = folder / "report.html" if out is None else report.check_target(out, force)
    if evidence.is_study(folder):
        return evidence.render(folder, target, force=True)
    if is_demo(folder):
        return render_demo(folder, target)
    if not (folder / "run.json").exists():
        raise InputError(
            f"{folder} is not the folder of a run, study or demo: it has neither run.json nor results.json"
        )
    from .. import models, pages  # only now: they are slow to load

    settings = models.read_run(folder)
    if not models.is_finished(settings):
        raise InputError(f"{folder} is not a finished run: continue it with kronoscope fit --resume --out {folder}")
    has_records = models.RECORDS in settings["files"] and (folder / models.RECORDS).exists()
    if not has_records or (force and out is None):
        pages.complete_run(folder)
        if out is None:
            return target
    return pages.draw_run_page(folder, target)
