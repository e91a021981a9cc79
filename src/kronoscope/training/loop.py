"""The training loop: one function, no callbacks but one that reports."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import _checks
from .._errors import DivergenceError
from .config import TrainingConfig, choose_device
from .loss import HeldOutLoss, denoising_loss, draw_times
from .state import TrainingState

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


@dataclass(frozen=True)
class TrainingResult:
    """The best averaged network by held-out loss, and how it came about.

    Attributes:
        network: In evaluation mode, without gradients.
        history: One record for each evaluation: step, seconds, train_loss, held_out_loss (nats a sequence, up to a
            constant of the data).
        best_step: The step whose average was kept.
        stopped: "max_steps", "max_seconds" or "patience".
    """

    network: nn.Module
    history: list[dict[str, float]]
    best_step: int
    steps: int
    seconds: float
    stopped: str


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

    Args:
        network: (x, t) to epsilon; moved to ``device`` and trained in place.
        x: Training sequences (n, frames, features).
        held_out: Sequences for the held-out loss alone, (m, frames, features).
        config: Settings.
        generator: CPU generator of all noise; None means seed 0.
        device: None chooses CUDA where it is there.
        checkpoint: Folder for a checkpoint after each evaluation and when interrupted; None for none.
        resume: Whether to go on from the checkpoint in that folder. On the CPU the result is bit for bit that of
            a run that was never stopped, unless ``max_seconds`` decided.
        on_progress: Called after every train step.
        on_evaluation: Called with the averaged network and the step at each evaluation; for experiments that compare
            the held-out loss with a known truth. It sees, and cannot change, what is kept.

    Raises:
        DivergenceError: The loss is not finite; names the step and the last good checkpoint.
    """
    where = choose_device(device)
    generator = _checks.generator_or_seed_zero(generator)
    x, held_out = x.to(where, torch.float32), held_out.to(where, torch.float32)
    network.to(where).train()
    held_out_seed = int(torch.randint(2**62, (), generator=generator))
    state = TrainingState.start(network, config, generator)
    evaluate = HeldOutLoss.draw(
        held_out,
        config.min_time,
        config.max_time,
        num_draws=config.held_out_draws,
        generator=torch.Generator(device=where).manual_seed(held_out_seed),
    )
    if resume and checkpoint is not None:
        state.restore(checkpoint)
    run = _Run(state, x, config, evaluate, checkpoint, on_progress, on_evaluation)
    stopped = run.until_done()
    return TrainingResult(
        state.best_network(), list(state.history), state.best_step, state.step, round(state.seconds, 3), stopped
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

    def __post_init__(self) -> None:
        self.forward = torch.compile(self.state.network) if self.config.compile else self.state.network
        self.started = time.monotonic() - self.state.seconds
        self.saved = time.monotonic()
        self.first_step = self.state.step
        self.recent_loss = self.state.history[-1]["train_loss"] if self.state.history else math.nan

    def fraction(self) -> float:
        done = self.state.step / max(1, self.config.max_steps)
        if self.config.max_seconds is not None:
            done = max(done, (time.monotonic() - self.started) / self.config.max_seconds)
        return done

    def until_done(self) -> str:
        try:
            while (fraction := self.fraction()) < 1:
                self.train_step(fraction)
                if self.state.step % self.config.evaluate_every == 0:
                    self.look()
                    if self.out_of_patience():
                        return "patience"
                self.report()
                if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
                    self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        if self.state.step % self.config.evaluate_every or self.state.step == 0:
            self.look()
        self.save()
        return "max_steps" if self.state.step >= self.config.max_steps else "max_seconds"

    def train_step(self, fraction: float) -> None:
        config, state = self.config, self.state
        index = torch.randint(len(self.x), (config.batch_size,), generator=state.generator)
        t = draw_times(config.batch_size, config.min_time, config.max_time, generator=state.generator)
        x0 = self.x[index.to(self.x.device)]
        epsilon = torch.randn(x0.shape, generator=state.generator).to(x0.device)
        rate = config.learning_rate * lr_schedule(fraction, state.step, config.warmup_steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        with self.autocast():
            loss = denoising_loss(self.forward, x0, t.to(x0.device), epsilon)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.clip_norm)
        if not math.isfinite(float(norm)):
            raise DivergenceError(
                f"training diverged at step {state.step}: the loss is {float(loss.detach()):g}. "
                f"The best weights so far are those of step {state.best_step}; "
                f"try a learning_rate below {config.learning_rate:g}"
            )
        state.optimizer.step()
        state.average.update_parameters(state.network)
        state.step += 1
        value = float(loss.detach())
        self.recent_loss = value if math.isnan(self.recent_loss) else 0.98 * self.recent_loss + 0.02 * value

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision == "bfloat16":
            return torch.autocast(self.x.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def look(self) -> None:
        state = self.state
        state.average.eval()
        loss = self.evaluate(state.average.module)
        state.seconds = time.monotonic() - self.started
        state.history.append(
            {"step": state.step, "seconds": state.seconds, "train_loss": self.recent_loss, "held_out_loss": loss}
        )
        if not math.isfinite(loss):
            raise DivergenceError(f"training diverged by step {state.step}: the held-out loss is {loss:g}")
        if loss < state.best_loss:
            state.keep_best(loss)
        if self.on_evaluation is not None:
            self.on_evaluation(state.average.module, state.step)

    def out_of_patience(self) -> bool:
        waited = (self.state.step - self.state.best_step) // self.config.evaluate_every
        return self.config.patience is not None and waited >= self.config.patience

    def save(self) -> None:
        if self.checkpoint is not None:
            self.state.seconds = time.monotonic() - self.started
            self.state.save(self.checkpoint)
        self.saved = time.monotonic()

    def report(self) -> None:
        if self.on_progress is None:
            return
        elapsed = time.monotonic() - self.started
        fraction = max(self.fraction(), 1e-9)
        state = self.state
        held_out = state.history[-1]["held_out_loss"] if state.history else math.nan
        rate = (state.step - self.first_step) / max(1e-9, elapsed - (state.seconds if self.first_step else 0.0))
        left = max(0.0, elapsed / fraction - elapsed)
        self.on_progress(Progress(state.step, min(1.0, fraction), self.recent_loss, held_out, rate, left))
