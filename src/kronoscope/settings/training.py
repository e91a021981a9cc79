"""The settings of a training run: a frozen record, written beside its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypedDict

from .._errors import InputError
from .options import Range, described, suggestion


class TrainingSettings(TypedDict, total=False):
    """Keywords, one for each field of :class:`TrainingConfig`."""

    max_steps: int
    max_seconds: float | None
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    ema_decay: float
    clip_norm: float
    min_time: float
    max_time: float
    evaluate_every: int
    keep: str
    patience: int | None
    held_out_draws: int
    precision: str
    emphasis: tuple[float, float] | None
    compile: bool
    antithetic: bool
    noise_draws: int | None


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of denoising score matching.

    Attributes:
        max_steps: Most training steps.
        max_seconds: Seconds of training at most; None for no limit. Progress through the learning-rate schedule is the
            larger of step/max_steps and elapsed/max_seconds, so a slow machine finishes its schedule too, with fewer
            steps. Where the seconds decide, two runs are not equal bit for bit.
        batch_size: Sequences in each training step.
        learning_rate: Peak learning rate of the cosine schedule.
        warmup_steps: Steps of linear warm-up.
        weight_decay: Decoupled (AdamW), on matrices only.
        ema_decay: Decay of the weights' moving average, which is what is evaluated and kept.
        clip_norm: Largest gradient norm.
        min_time, max_time: Range of diffusion time; uniform on the clock.
        evaluate_every: Train steps between evaluations of the held-out loss.
        keep: "best": the averaged weights of the least held-out loss. "last": those of the last evaluation, for a
            network that cannot overfit much, or where little is held out.
        patience: Evaluations without a better held-out loss after which training stops; None for never.
        held_out_draws: Noised copies of the held-out sequences (in all) that the held-out loss averages.
        precision: "float32" or "bfloat16" (autocast).
        emphasis: (low, high) of the noise-to-signal ratio r = sigma_t / alpha_t at which training spends itself: log r
            is drawn normal with four fifths of it between the two (within the range of t), and a sequence's loss is
            weighted by 1 + (r/s)^2, s the root mean square of the training data, over the batch's mean: the error
            of the denoised data counts alike at all noise (EDM's loss). None is likelihood weighting, by which the
            loss is in nats; the held-out loss always is. For data whose few nats of interest (where an object is)
            drown in many others (its pixels).
        compile: Whether to pass the network through ``torch.compile``.
        antithetic: Whether a batch is of pairs, the same sequence and time with noise +epsilon and -epsilon: less
            variance from the noise, and half as many sequences. Needs an even ``batch_size``.
        noise_draws: Noised copies of a sequence, (t, epsilon) drawn once, from which every train step takes; None
            draws afresh in every step. For experiments on what fresh noise buys.
    """

    max_steps: int = field(
        default=5000, metadata=described("Most training steps.", bounds=Range(0, 10**9), unset="by network")
    )
    max_seconds: float | None = field(
        default=None,
        metadata=described("Most seconds of training.", bounds=Range(0, 10**9, is_open=True), unset="no limit"),
    )
    batch_size: int = field(
        default=64, metadata=described("Sequences in each training step.", bounds=Range(1, 10**6), unset="by network")
    )
    learning_rate: float = field(
        default=2e-3,
        metadata=described(
            "Peak learning rate of the cosine schedule.", bounds=Range(0, 1e38, is_open=True), unset="by network"
        ),
    )
    warmup_steps: int = 100
    weight_decay: float = 0.0
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    min_time: float = 1e-2
    max_time: float = 8.0
    evaluate_every: int = 100
    keep: str = field(
        default="best",
        metadata=described(
            "Parameters to keep: best (by held-out loss) or last.",
            choices=("best", "last"),
            unset="by network",
        ),
    )
    patience: int | None = None
    held_out_draws: int = 4096
    precision: str = field(
        default="float32",
        metadata=described("Arithmetic of the training.", choices=("float32", "bfloat16")),
    )
    emphasis: tuple[float, float] | None = None
    compile: bool = False
    antithetic: bool = False
    noise_draws: int | None = None

    def __post_init__(self) -> None:
        from .. import _checks  # loads torch, which the command line's help must not

        _checks.count("max_steps", self.max_steps, 0)
        _checks.count("warmup_steps", self.warmup_steps, 0)
        _checks.non_negative("weight_decay", self.weight_decay)
        for name in ("batch_size", "evaluate_every", "held_out_draws"):
            _checks.count(name, getattr(self, name))
        for name in ("learning_rate", "clip_norm", "min_time", "max_time"):
            _checks.positive(name, getattr(self, name))
        if self.max_seconds is not None:
            _checks.positive("max_seconds", self.max_seconds)
        if self.patience is not None:
            _checks.count("patience", self.patience)
        if not 0 <= _checks.real("ema_decay", self.ema_decay) < 1:
            raise InputError(f"ema_decay must be at least 0 and less than 1, got {self.ema_decay:g}")
        if self.min_time >= self.max_time:
            raise InputError(f"min_time must be less than max_time, got {self.min_time:g} and {self.max_time:g}")
        if self.keep not in ("best", "last"):
            raise InputError(f'keep must be "best" or "last", got {self.keep!r}')
        if self.keep == "last" and self.patience is not None:
            raise InputError('patience needs keep="best", which waits for a better held-out loss; leave patience out')
        if self.emphasis is not None:
            low, high = (_checks.positive("emphasis", end) for end in self.emphasis)
            if low >= high:
                raise InputError(f"emphasis must be (low, high) with low < high, got ({low:g}, {high:g})")
            object.__setattr__(self, "emphasis", (low, high))  # a list, as JSON has it, becomes a pair
        if self.antithetic and self.batch_size % 2:
            raise InputError(f"batch_size must be even for antithetic pairs, got {self.batch_size}")
        if self.noise_draws is not None:
            _checks.count("noise_draws", self.noise_draws)
            if self.antithetic or self.emphasis is not None:
                raise InputError(
                    "noise_draws cannot be combined with antithetic or emphasis, which draw in "
                    "every step: leave one out"
                )
        if self.precision not in ("float32", "bfloat16"):
            raise InputError(f'precision must be "float32" or "bfloat16", got {self.precision!r}')

    def to_json(self) -> dict[str, Any]:
        """Plain values, as written beside a result."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingConfig:
        """Inverse of :meth:`to_json`; an unknown setting is refused by name."""
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(f"there is no training setting {name!r}{suggestion(name, known)}")
        return cls(**values)
