"""``kronoscope reproduce video``: does a video transformer learn the path of a ball, and not only the ball?

``digit`` asks the same question about a harder object.
"""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from kronoscope import diffusion, models, video
from kronoscope.kernels import Matern
from kronoscope.nn import VideoDiT
from kronoscope.video import BallVideo

from ..stages import Stage, training_steps
from ..study import Run, Study
from . import paths
from .page import EARLY, GENERATED, SHUFFLED, TIME, TRUE, Attention, Clips, Evaluation, Result, Seconds, checks, page

EMPHASIS = (0.5, 6.0)  # ratios of noise to brightness between which it is decided where a ball stands
SAMPLER = "dpm-solver-sde"  # its fresh noise forgives errors of the score that a deterministic sampler keeps
SHOWN = 4  # videos of each sort on the page
EARLY_SHARE = 10  # the early network has had one train step in ten
EARLY_VIDEOS = 100
DIGIT = 2


@dataclass(frozen=True)
class Network:
    """Arguments of :class:`VideoDiT`."""

    patch: int
    width: int
    num_blocks: int
    num_heads: int = 4
    joint: bool = False


@dataclass(frozen=True)
class Training:
    """Arguments of the training."""

    max_steps: int
    batch_size: int
    learning_rate: float
    precision: str


@dataclass(frozen=True)
class Scale:
    """A run that suits a machine.

    Attributes:
        lengthscale: Of the path's Matern kernel of smoothness 1.5, in frames.
        pixels: Width and height of the square frames.
        frames: N.
        radius: Of the ball, pixels.
        videos: To train on.
        generated: To compare with the law.
        calls: Score calls of the sampler.
        network, training: Settings.
    """

    lengthscale: float
    pixels: int
    frames: int
    radius: float
    videos: int
    generated: int
    calls: int
    network: Network
    training: Training

    def film(self, thing: str) -> BallVideo:
        """What is filmed: a "ball", or a "digit" that moves by the same law.

        Raises:
            InputError: scikit-learn, which the digits come from, is not installed.
        """
        ball = BallVideo(Matern(self.lengthscale, 1.5), size=self.pixels, frames=self.frames, radius=self.radius)
        if thing == "ball":
            return ball
        times = self.pixels // 32 or 1  # 8 x 8 in frames of 16 x 16, 16 x 16 in frames of 64 x 64
        return replace(ball, sprite=video.digit(DIGIT).repeat_interleave(times, 0).repeat_interleave(times, 1))


@dataclass(frozen=True)
class Size:
    """What is filmed, and the scale of the run on a processor and on a GPU."""

    thing: str
    processor: Scale
    gpu: Scale

    @property
    def scale(self) -> Scale:
        """That of this machine."""
        return self.gpu if torch.cuda.is_available() else self.processor


def full(thing: str) -> Size:
    """16 frames of 16 x 16 for a processor, 64 of 64 x 64 for a GPU.

    The large one is bound by memory. A video of 64 frames of 64 x 64 has 2^18 values, 2.1 MB in float64. A fit holds
    5.3 float64 copies of its sequences at its peak (measured, with the float32 ones that it is given): 33 GB for 3000
    videos, and 1 GB for each of four sets of 1000 generated or true videos, below 40 GB.
    """
    precision, steps = ("bfloat16", 3700) if _multiplies_bfloat16() else ("float32", 2800)  # in the same time
    small = Scale(5.0, 16, 16, 2.5, 8000, 1000, 40, Network(8, 96, 3, joint=True), Training(steps, 32, 5e-3, precision))
    large = Scale(16.0, 64, 64, 6.0, 3000, 1000, 40, Network(8, 384, 8, 6), Training(40_000, 64, 3e-4, "bfloat16"))
    return Size(thing, small, large)


def quick(thing: str) -> Size:
    """A short training of the small network, also on a GPU."""
    small = full(thing).processor
    small = replace(small, videos=500, generated=40, calls=16, training=replace(small.training, max_steps=60))
    return Size(thing, small, small)


def _multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 natively, so that it is faster than float32."""
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch that we take
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def measure(run: Run[Size]) -> Result:
    """Film, train, generate, decode; compare the paths with their law and with two nulls.

    Raises:
        InputError: The decoder fails on true frames; nothing has been trained then.
    """
    scale, seed = run.size.scale, run.seed
    ball = scale.film(run.size.thing)
    with run.stage("decoder"):
        validation = video.validate(ball, generator=torch.Generator().manual_seed(seed + 1))
    frames, _ = ball.sample(scale.videos, generator=torch.Generator().manual_seed(seed + 2))
    held_out, _ = ball.sample(scale.generated, generator=torch.Generator().manual_seed(seed + 3))
    build = partial(_network, scale.network, ball, _brightness_scale(frames), seed)
    model, early, early_steps = _trained(scale.training, build(), frames, seed, run.stage)
    began = time.monotonic()
    early_videos = min(EARLY_VIDEOS, scale.generated)
    with run.stage("generation"):
        films = {
            TRUE: held_out,
            SHUFFLED: _shuffled(held_out, seed),
            EARLY: _generate(replace(model, network=early), early_videos, scale.calls, seed),
            GENERATED: _generate(model, scale.generated, scale.calls, seed),
        }
    generation = time.monotonic() - began
    with run.stage("decoding"):
        measured = [paths.exact(ball)]
        for name, film in films.items():
            decoded = video.decode(film, ball)
            measured.append(paths.measure(name, decoded, kernel=name in (TRUE, GENERATED)))
        # The last film is the generated one. All of its frames count, also those without a ball.
        left = float(decoded.noise.square().mean().sqrt())
        on_noise = video.trial(ball, noise=left, generator=torch.Generator().manual_seed(seed + 7))
        refusal = on_noise.refusal(fewest=0.0)
        if refusal is not None:
            measured[-1] = paths.withhold(measured[-1])
    x = _noised(model, held_out[:32], seed)
    training = model.record["training"]
    return Result(
        thing=run.size.thing,
        kernel=str(ball.kernel),
        coordinate_correlation=ball.correlation,
        frames=ball.frames,
        shape=ball.shape,
        validation=validation,
        on_noise=on_noise,
        refusal=refusal,
        paths=tuple(measured),
        clips=tuple(Clips.of(name, films[name][:SHOWN]) for name in (TRUE, GENERATED)),
        attention=_attention(model.network, x),
        untrained_attention=_attention(build(), x),
        history=tuple(Evaluation(**entry) for entry in training["history"]),
        seconds=Seconds(training["seconds"], generation),
        parameters=training["weights"],
        videos=scale.videos,
        generated=scale.generated,
        early_steps=early_steps,
        early_videos=early_videos,
        joint=scale.network.joint,
        precision=scale.training.precision,
    )


def _trained(
    training: Training, network: VideoDiT, frames: Tensor, seed: int, stage: Stage
) -> tuple[models.Model, nn.Module, int]:
    """The model; the same network at the first evaluation, and after how many steps that was."""
    first: list[tuple[nn.Module, int]] = []

    def keep_first(network: nn.Module, step: int) -> None:
        if step and not first:
            first.append((copy.deepcopy(network), step))

    with stage("training") as show:
        model = models.fit(
            frames,
            network,
            mean="feature",
            validation=min(0.1, 200 / len(frames)),
            generator=torch.Generator().manual_seed(seed),
            progress=False,
            on_progress=training_steps(show),
            on_evaluation=keep_first,
            ema_decay=0.995,
            evaluate_every=max(1, training.max_steps // EARLY_SHARE),
            held_out_draws=128,
            keep="last",
            min_time=2e-2,
            max_time=6.0,
            emphasis=EMPHASIS,
            **asdict(training),
        )
    return model, *first[0]


def _brightness_scale(frames: Tensor) -> float:
    """Standard deviation of a pixel about its mean, without a second copy of all frames."""
    mean = frames.mean(dim=(0, 1))
    square = sum(float((film - mean).square().sum(dtype=torch.float64)) for film in frames)
    return (square / frames.numel()) ** 0.5


def _network(network: Network, ball: BallVideo, scale: float, seed: int) -> VideoDiT:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return VideoDiT(ball.frames, ball.pixels, ball.shape[0], data_scale=scale, **asdict(network))


def _generate(model: models.Model, count: int, calls: int, seed: int, batch: int = 100) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 4)
    parts = []
    for start in range(0, count, batch):
        part = model.sample(min(batch, count - start), generator=generator, sampler=SAMPLER, num_calls=calls)
        parts.append(torch.as_tensor(part).float())
    return torch.cat(parts)


def _shuffled(films: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 5)
    return torch.stack([film[torch.randperm(len(film), generator=generator)] for film in films])


def _noised(model: models.Model, frames: Tensor, seed: int) -> Tensor:
    scaled = torch.from_numpy(model.transform.apply(frames.double().numpy(), None)).float()
    noise = torch.randn(scaled.shape, generator=torch.Generator().manual_seed(seed + 6))
    return diffusion.noise(scaled, torch.tensor(TIME), noise)


def _attention(network: nn.Module, x: Tensor) -> Attention:
    """Attention over time by lag, mean over the heads of each block; over space in the last block, mean over heads."""
    assert isinstance(network, VideoDiT)
    x = x.to(next(network.parameters()).device)
    with torch.no_grad():
        record = network.record(x, torch.full((len(x),), TIME, device=x.device))
    profiles = []
    for block in record.blocks:
        weights = block.weights.double().mean(dim=(0, 1)).cpu()
        lags = range(1 - len(weights), len(weights))
        profiles.append(tuple(float(weights.diagonal(-lag).mean()) for lag in lags))
    space = record.space[-1].double().mean(dim=(0, 1)).cpu()
    return Attention(tuple(profiles), tuple(tuple(row) for row in space.tolist()))


STUDY = Study(
    claim="A video transformer learns the distribution of a ball's path; positions are decoded from its pixels.",
    full=full("ball"),
    quick=quick("ball"),
    minutes=(5, 0.7),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
