"""``kronoscope reproduce video``: does a video transformer learn the path of a ball, and not only the ball?

``video_digit`` puts the same question with a harder object.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from kronoscope import diffusion, models, video
from kronoscope.kernels import Matern
from kronoscope.nn import VideoDiT
from kronoscope.video import BallVideo, Validation

from ..reproductions import Finding
from ..stages import Stage, training_steps
from . import page as video_page
from .paths import Paths, exact, measure, withhold

TIME = 0.5
EMPHASIS = (0.5, 6.0)  # where a ball stands is decided between these ratios of noise to brightness
SAMPLER = "dpm-solver-sde"  # its fresh noise forgives errors of the score that a deterministic sampler keeps
SHOWN = 6
EARLY = 10  # the null has had a tenth of the train steps
EARLY_VIDEOS = 100


@dataclass(frozen=True)
class Preset:
    """Sizes of one run.

    Attributes:
        ball: What is filmed.
        videos: To train on.
        generated: To judge by.
        network: Arguments of :class:`VideoDiT`.
        training: Arguments of the training.
        calls: Score calls of the sampler.
    """

    ball: BallVideo
    videos: int
    generated: int
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    calls: int = 40


def preset(quick: bool, large: bool) -> Preset:
    """16 frames of 16 x 16 for a processor, 64 of 64 x 64 for a GPU.

    The large one is bound by memory. A video of 64 frames of 64 x 64 has 2^18 values, 2.1 MB in float64. A fit holds
    5.3 float64 copies of its sequences at its peak (measured, with the float32 ones that it is given): 33 GB for 3000
    videos, and 1 GB for each of four sets of 1000 videos to judge by, below 40 GB.
    """
    if large:
        ball = BallVideo(Matern(16.0, 1.5), size=64, frames=64, radius=6.0)
        network = {"patch": 8, "width": 384, "num_blocks": 8, "num_heads": 6}
        training = {"max_steps": 40_000, "batch_size": 64, "learning_rate": 3e-4, "precision": "bfloat16"}
        return Preset(ball, 3000, 1000, network, training)
    ball = BallVideo(Matern(5.0, 1.5))
    network = {"patch": 8, "width": 96, "num_blocks": 3, "joint": True}
    precision, steps = ("bfloat16", 3700) if _multiplies_bfloat16() else ("float32", 2800)  # in the same time
    training = {"max_steps": 60 if quick else steps, "precision": precision, "batch_size": 32, "learning_rate": 5e-3}
    return Preset(ball, 500 if quick else 8000, 40 if quick else 1000, network, training, 16 if quick else 40)


def _multiplies_bfloat16() -> bool:
    """Whether the processor does by itself, so that it is the faster for it."""
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch that we take
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


@dataclass(frozen=True, eq=False)
class VideoResult:
    """All that the page shows.

    Attributes:
        ball: What was filmed.
        validation: The decoder on true frames.
        on_noise: The decoder on true frames with white noise as large as what generated frames leave of the fit.
        refusal: Why what is read off generated frames is withheld; None where it is told.
        paths: Truth, true videos, shuffled ones, those of the null, generated ones.
        movies: A few of each.
        over_time: Attention over time by signed lag, by block.
        untrained: The same of the network before training.
        over_space: Attention between patches in the last block.
        history: Held-out loss by train step.
        seconds: By stage.
        weights, videos, generated: How many weights, training videos, generated videos.
        early: Train steps of the null, and how many videos it generated.
        joint: Whether space and time share one attention.
        precision: Of training.
    """

    ball: BallVideo
    validation: Validation
    on_noise: Validation
    refusal: str | None
    paths: list[Paths]
    movies: dict[str, Tensor]
    over_time: list[list[float]]
    untrained: list[list[float]]
    over_space: Tensor
    history: list[dict[str, float]]
    seconds: dict[str, float]
    weights: int
    videos: int
    generated: int
    early: tuple[int, int]
    joint: bool
    precision: str

    def of(self, name: str) -> Paths:
        """The paths of that name."""
        return next(one for one in self.paths if one.name == name)


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """The evidence on a ball."""
    return evidence(preset(quick, torch.cuda.is_available() and not quick), quick=quick, seed=seed, stage=stage)


def evidence(told: Preset, *, quick: bool, seed: int, stage: Stage) -> Finding:
    """Film, train, generate, decode; compare the paths with their law and with two nulls.

    Raises:
        InputError: The decoder fails on true frames; nothing has been trained then.
    """
    ball = told.ball
    seconds: dict[str, float] = {}
    with stage("decoder"):
        validation = video.validate(ball, generator=torch.Generator().manual_seed(seed + 1))
    frames, _ = ball.sample(told.videos, generator=torch.Generator().manual_seed(seed + 2))
    held_out, _ = ball.sample(told.generated, generator=torch.Generator().manual_seed(seed + 3))
    model, early, early_steps = _trained(told, frames, seed, stage)
    seconds["training"] = model.record["training"]["seconds"]
    began = time.monotonic()
    with stage("generation"):
        films = {"true videos": held_out, "true videos, shuffled": _shuffled(held_out, seed)}
        few = replace(told, generated=min(EARLY_VIDEOS, told.generated))
        films["generated, early"] = _generate(replace(model, network=early), few, seed)
        films["generated"] = _generate(model, told, seed)
    seconds["generation"] = time.monotonic() - began
    with stage("decoding"):
        found = [exact(ball)]
        for name, film in films.items():
            decoded = video.decode(film, ball)
            found.append(measure(name, decoded, kernel=name in ("true videos", "generated")))
        # The last film is the generated one; all of its frames count, those without a ball, too.
        left = float(decoded.noise.square().mean().sqrt())
        on_noise = video.trial(ball, noise=left, generator=torch.Generator().manual_seed(seed + 7))
        refusal = on_noise.refusal(fewest=0.0)
        if refusal is not None:
            found[-1] = withhold(found[-1])
    x = _noised(model, held_out[:32], seed)
    over_time, over_space = _attention(model.network, x)
    untrained, _ = _attention(_network(told, _scale(frames), seed), x)
    training = model.record["training"]
    result = VideoResult(
        ball,
        validation,
        on_noise,
        refusal,
        found,
        {name: film[:SHOWN] for name, film in films.items()},
        over_time,
        untrained,
        over_space,
        training["history"],
        seconds,
        training["weights"],
        told.videos,
        told.generated,
        (early_steps, few.generated),
        bool(told.network.get("joint", False)),
        told.training.get("precision", "float32"),
    )
    return Finding(video_page.page(result, quick), _record(result))


def _trained(told: Preset, frames: Tensor, seed: int, stage: Stage) -> tuple[models.Model, nn.Module, int]:
    """The model; the same network at the first evaluation, and after how many steps that was."""
    kept: list[tuple[nn.Module, int]] = []

    def keep_first(network: nn.Module, step: int) -> None:
        if step and not kept:
            kept.append((copy.deepcopy(network), step))

    steps = told.training["max_steps"]
    network = _network(told, _scale(frames), seed)
    with stage("training") as show:
        model = models.fit(
            frames,
            network,
            mean="feature",
            validation=min(0.1, 200 / len(frames)),
            generator=torch.Generator().manual_seed(seed),
            on_progress=training_steps(show),
            on_evaluation=keep_first,
            **{
                "ema_decay": 0.995,
                "evaluate_every": max(1, steps // EARLY),
                "held_out_draws": 128,
                "keep": "last",
                "min_time": 2e-2,
                "max_time": 6.0,
                "emphasis": EMPHASIS,
                **told.training,
            },
        )
    return model, *kept[0]


def _scale(frames: Tensor) -> float:
    """Standard deviation of a pixel about its mean, without a second copy of all frames."""
    mean = frames.mean(dim=(0, 1))
    square = sum(float((film - mean).square().sum(dtype=torch.float64)) for film in frames)
    return (square / frames.numel()) ** 0.5


def _network(told: Preset, scale: float, seed: int) -> VideoDiT:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return VideoDiT(told.ball.frames, told.ball.pixels, told.ball.shape[0], data_scale=scale, **told.network)


def _generate(model: models.Model, told: Preset, seed: int, batch: int = 100) -> Tensor:
    parts = []
    generator = torch.Generator().manual_seed(seed + 4)
    for start in range(0, told.generated, batch):
        part = model.sample(
            min(batch, told.generated - start), generator=generator, sampler=SAMPLER, num_calls=told.calls
        )
        parts.append(torch.as_tensor(part).float())
    return torch.cat(parts)


def _shuffled(film: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 5)
    return torch.stack([one[torch.randperm(len(one), generator=generator)] for one in film])


def _noised(model: models.Model, frames: Tensor, seed: int) -> Tensor:
    scaled = torch.from_numpy(model.transform.apply(frames.double().numpy(), None)).float()
    noise = torch.randn(scaled.shape, generator=torch.Generator().manual_seed(seed + 6))
    return diffusion.noise(scaled, torch.tensor(TIME), noise)


def _attention(network: nn.Module, x: Tensor) -> tuple[list[list[float]], Tensor]:
    """Attention over time by lag, mean over the heads of each block; over space in the last block, mean over heads."""
    assert isinstance(network, VideoDiT)
    x = x.to(next(network.parameters()).device)
    with torch.no_grad():
        found = network.record(x, torch.full((len(x),), TIME, device=x.device))
    profiles = []
    for block in found.blocks:
        weights = block.weights.double().mean(dim=(0, 1)).cpu()
        profiles.append([float(weights.diagonal(-lag).mean()) for lag in range(1 - len(weights), len(weights))])
    return profiles, found.space[-1].double().mean(dim=(0, 1)).cpu()


def _record(result: VideoResult) -> dict:
    return {
        "decoder": vars(result.validation),
        "decoder_on_noise": vars(result.on_noise),
        "refusal": result.refusal,
        "early_steps": result.early[0],
        "early_videos": result.early[1],
        "paths": [vars(one) for one in result.paths],
        "seconds_by_stage": result.seconds,
        "history": result.history,
        "weights": result.weights,
        "precision": result.precision,
        "videos": result.videos,
        "generated": result.generated,
    }
