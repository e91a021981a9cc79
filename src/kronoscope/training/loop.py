"""The training loop: one function, no callbacks but one that reports."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import _checks
from .._display import Displayed
from .._errors import DivergenceError, InputError
from ..settings import TrainingConfig
from .devices import choose_device
from .loss import FixedNoise, HeldOutLoss, denoised_weights, denoising_loss, draw_times, split_missing
from .processes import Processes
from .state import CHECKPOINT, TrainingState

SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclass(frozen=True)
class Progress:
    """What the loop reports after a train step."""

    step: int
    fraction: float
    loss: float
    held_out_loss: float
    steps_per_second: float
    seconds_left: float


@dataclass(frozen=True, repr=False)
class TrainingResult(Displayed):
    """The averaged network that was kept (by default the best by held-out loss), and how it came about.

    Attributes:
        network: In evaluation mode, without gradients.
        history: One record for each evaluation: step, seconds, held_out_loss (nats a sequence, up to a constant of
            the data) and, after the first step, train_loss (a running mean).
        best_step: The step whose average was kept.
        stopped: "max_steps", "max_seconds" or "patience".
    """

    network: nn.Module
    history: list[dict[str, float]]
    best_step: int
    steps: int
    seconds: float
    stopped: str

    def _facts(self) -> dict[str, object]:
        return {
            "network": self.network,
            "steps": self.steps,
            "best step": self.best_step,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "evaluations": len(self.history),
        }


def lr_schedule(fraction: float, step: int, warmup_steps: int) -> float:
    """Linear warm-up by step, cosine to zero by the fraction of the run that is done."""
    return min(1.0, (step + 1) / max(1, warmup_steps)) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


def train(
    network: nn.Module,
    x: Tensor,
    held_out: Tensor,
    config: TrainingConfig,
    *,
    generator: torch.Generator | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_evaluation: Callable[[nn.Module, int], None] | None = None,
) -> TrainingResult:
    """Fit ``network`` to sequences by denoising score matching with early stopping.

    Under ``torchrun`` every process calls this with the same arguments and takes its share of each batch; gradients are
    averaged (DistributedDataParallel), so the result is that of one process with the same ``batch_size``, but for
    the order of sums. The first process alone writes.

    Args:
        network: (x, t) to epsilon; moved to ``device`` and trained in place. Where sequences have missing values it
            is called as (x, t, mask), and is taught the score of the entries that are there.
        x: Training sequences (n, frames, features); NaN where a value is missing.
        held_out: Sequences for the held-out loss alone, (m, frames, features).
        config: Settings.
        generator: CPU generator of all noise; None means seed 0.
        device: None chooses CUDA where it is there.
        checkpoint: Folder for a checkpoint at the start, every 10 seconds, and when interrupted between two train
            steps (an interruption inside one leaves the checkpoint before it); None for none.
        resume: Whether to go on from the checkpoint in that folder. On the CPU the result is bit for bit that of
            a run that was never stopped, unless ``max_seconds`` decided or the network draws from torch's global
            random state, as dropout does.
        on_progress: Called after every train step.
        on_evaluation: Called with the averaged network and the step at each evaluation; for experiments that compare
            the held-out loss with a known truth. It sees, and cannot change, what is kept.

    Raises:
        DivergenceError: The loss is not finite; names the step, that of the best weights so far, and the last
            checkpoint, whose weights are finite.
        InputError: Sequences or what the network returns have a wrong shape; values are infinite, or missing where
            the network takes no mask; nothing to train; a checkpoint that is missing, damaged or of another network.
    """
    processes = Processes.join()
    where = processes.device() if device is None and processes.size > 1 else choose_device(device)
    generator = _checks.generator_or_seed_zero(generator)
    _check(network, x, held_out, generator)
    x, held_out = x.to(where, torch.float32), held_out.to(where, torch.float32)
    network.to(where).train()
    state = TrainingState.start(network, config, generator)
    if resume and checkpoint is not None:
        state.restore(checkpoint)
    evaluate = HeldOutLoss.draw(
        held_out,
        config.min_time,
        config.max_time,
        num_draws=config.held_out_draws,
        generator=torch.Generator().manual_seed(state.held_out_seed),
    )
    run = _Run(state, x, config, evaluate, checkpoint, on_progress, on_evaluation, processes)
    stopped = run.until_done()
    return TrainingResult(
        state.best_network(), list(state.history), state.best_step, state.step, round(state.seconds, 3), stopped
    )


def _check(network: nn.Module, x: Tensor, held_out: Tensor, generator: torch.Generator) -> None:
    _checks.sequences("x", x)
    _checks.sequences("held_out", held_out, *x.shape[1:])
    for name, part in (("x", x), ("held_out", held_out)):
        _checks.count(f"the number of sequences in {name}", len(part))
        _check_missing(network, name, part)
    if not any(p.requires_grad for p in network.parameters()):
        raise InputError("network must have parameters that can be trained, got none")
    if generator.device.type != "cpu":
        raise InputError(f"generator must be a CPU generator, got one on {generator.device}")


def _check_missing(network: nn.Module, name: str, x: Tensor) -> None:
    missing = x.isnan()
    if not bool(missing.any()):
        _checks.finite(name, x)
        return
    _checks.finite(name, x[~missing])
    empty = int(missing.flatten(1).all(dim=1).sum())
    if empty:
        raise InputError(f"{name} must have a value in every sequence, but {empty} of {len(x)} have none")
    if "mask" not in inspect.signature(network.forward).parameters:
        raise InputError(
            f"{name} has missing values, which need a network whose forward takes a mask, such as "
            f"'unrolled'; {type(network).__name__} needs complete sequences"
        )


@dataclass
class _Run:
    """One call of :func:`train`: what its parts share."""

    state: TrainingState
    x: Tensor
    config: TrainingConfig
    evaluate: HeldOutLoss
    checkpoint: str | os.PathLike[str] | None
    on_progress: Callable[[Progress], None] | None
    on_evaluation: Callable[[nn.Module, int], None] | None
    processes: Processes

    def __post_init__(self) -> None:
        network = self.processes.together(self.state.network)
        self.forward = torch.compile(network) if self.config.compile else network
        self.share = self.processes.share(self.config.batch_size)
        self.scale = float(self.x.square().nanmean().sqrt())
        self.x, self.mask = split_missing(self.x)
        self.fixed = self.fixed_noise()
        self.started = time.monotonic() - self.state.seconds
        self.saved = time.monotonic()
        self.first_step, self.first_seconds = self.state.step, self.state.seconds
        self.saved_step = self.state.step if self.checkpoint is not None and self.state.step else None  # resumed
        self.between_steps = True
        self.done = 0.0

    def fixed_noise(self) -> FixedNoise | None:
        """Of a seed that the checkpoint holds, so that a resumed run has the same."""
        config = self.config
        if config.noise_draws is None:
            return None
        generator = torch.Generator().manual_seed(self.state.held_out_seed ^ 1)
        return FixedNoise.draw(tuple(self.x.shape), config.noise_draws, config.min_time, config.max_time, generator)

    def fraction(self) -> float:
        done = self.state.step / self.config.max_steps if self.config.max_steps else 1.0
        if self.config.max_seconds is not None:
            done = max(done, (time.monotonic() - self.started) / self.config.max_seconds)
            done = self.processes.largest(done)
        return done

    def until_done(self) -> str:
        if self.state.step == 0:
            self.save()
        try:
            while (fraction := self.fraction()) < 1 and not self.out_of_patience():
                self.between_steps = False
                self.train_step(fraction)
                self.done = fraction
                if self.state.step % self.config.evaluate_every == 0:
                    self.look()
                self.between_steps = True
                self.report()
                if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
                    self.save()
        except KeyboardInterrupt:
            if self.between_steps:  # otherwise weights, noise and step may not belong together
                self.save()
            raise
        except Exception:
            self.drop_first_checkpoint()
            raise
        if not self.state.history or self.state.history[-1]["step"] != self.state.step:
            self.look()
        self.save()
        if self.out_of_patience():
            return "patience"
        return "max_steps" if self.state.step >= self.config.max_steps else "max_seconds"

    def train_step(self, fraction: float) -> None:
        config, state = self.config, self.state
        index, t, epsilon = self.draw()
        weights = None if config.emphasis is None else denoised_weights(t, self.scale)[self.share]
        index, epsilon = index.to(self.x.device), epsilon.to(self.x.device)
        x0, mask = self.x[index], None if self.mask is None else self.mask[index][self.share]
        x0, t, epsilon = x0[self.share], t[self.share], epsilon[self.share]
        rate = config.learning_rate * lr_schedule(fraction, state.step, config.warmup_steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        with self.autocast():
            loss = denoising_loss(self.forward, x0, t.to(x0.device), epsilon, weights, mask)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.clip_norm)
        if not math.isfinite(float(norm)):
            raise self.divergence(f"at step {state.step}: the loss is {float(loss.detach()):g}")
        state.optimizer.step()
        state.average.update_parameters(state.network)
        state.step += 1
        value = float(self.processes.mean(loss.detach()))
        state.recent_loss = value if state.step == 1 else 0.98 * state.recent_loss + 0.02 * value

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Which sequences, at which times (batch,), with which noise (batch, frames, features): a train step's."""
        config, generator = self.config, self.state.generator
        num = config.batch_size // 2 if config.antithetic else config.batch_size
        index = torch.randint(len(self.x), (num,), generator=generator)
        if self.fixed is not None:
            return index, *self.fixed.of(index, generator)
        t = draw_times(num, config.min_time, config.max_time, generator=generator, emphasis=config.emphasis)
        epsilon = torch.randn(num, *self.x.shape[1:], generator=generator)
        if config.antithetic:
            return index.repeat(2), t.repeat(2), torch.cat([epsilon, -epsilon])
        return index, t, epsilon

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision == "bfloat16":
            return torch.autocast(self.x.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def look(self) -> None:
        state = self.state
        state.average.eval()
        loss = self.evaluate(state.average.module)
        state.seconds = time.monotonic() - self.started
        record = {"step": state.step, "seconds": state.seconds, "held_out_loss": loss}
        state.history.append(record | ({"train_loss": state.recent_loss} if state.step else {}))
        if not math.isfinite(loss):
            raise self.divergence(f"by step {state.step}: the held-out loss is {loss:g}")
        if loss < state.best_loss or self.config.keep == "last":
            state.keep_best(loss)
        if self.on_evaluation is not None:
            self.on_evaluation(state.average.module, state.step)

    def out_of_patience(self) -> bool:
        waited = (self.state.step - self.state.best_step) // self.config.evaluate_every
        return self.config.patience is not None and waited >= self.config.patience

    def save(self) -> None:
        """Write a checkpoint, unless the last update left the finite numbers: then the one before it stays."""
        self.state.seconds = time.monotonic() - self.started
        if self.checkpoint is not None and self.processes.is_first and self.is_finite():
            self.state.save(self.checkpoint)
            self.saved_step = self.state.step
        self.saved = time.monotonic()

    def drop_first_checkpoint(self) -> None:
        """After a failure: a checkpoint of step 0 holds nothing that was learnt."""
        if self.checkpoint is not None and self.saved_step == 0 and self.processes.is_first:
            (Path(self.checkpoint) / CHECKPOINT).unlink(missing_ok=True)

    def is_finite(self) -> bool:
        return all(bool(p.isfinite().all()) for p in self.state.network.parameters())

    def divergence(self, what: str) -> DivergenceError:
        """The error that says where training was lost, and what is left of it."""
        if self.checkpoint is None or not self.saved_step:
            kept = "no checkpoint was written"
        else:
            kept = f"the last checkpoint, of step {self.saved_step}, is {Path(self.checkpoint) / CHECKPOINT}"
        if not self.processes.is_first:
            kept = "see the message of the first process for the checkpoint"
        return DivergenceError(
            f"training diverged {what}. The best parameters so far are those of step {self.state.best_step}; {kept}; "
            f"try a learning_rate below {self.config.learning_rate:g}"
        )

    def report(self) -> None:
        if self.on_progress is None or not self.processes.is_first:
            return
        elapsed = time.monotonic() - self.started
        state = self.state
        fraction = max(self.done, state.step / self.config.max_steps)
        held_out = state.history[-1]["held_out_loss"] if state.history else math.nan
        rate = (state.step - self.first_step) / max(1e-9, elapsed - self.first_seconds)
        left = max(0.0, elapsed / fraction - elapsed)
        self.on_progress(Progress(state.step, min(1.0, fraction), state.recent_loss, held_out, rate, left))
