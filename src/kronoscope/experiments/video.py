"""``kronoscope reproduce video``: does a video transformer learn the path of a ball, and not only the ball?"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .. import diffusion, models, video
from ..kernels import Matern
from ..nn import VideoDiT
from ..video import BallVideo, Validation
from . import video_page
from .reproductions import Finding
from .stages import Stage, training_steps

LAGS = 8
GROUPS = 20
TIME = 0.5
EMPHASIS = (0.5, 6.0)  # where a ball stands is decided between these ratios of noise to brightness
SAMPLER = "dpm-solver-sde"  # its fresh noise forgives errors of the score that a deterministic sampler keeps
SHOWN = 6


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
    calls: int = 64


def preset(quick: bool, large: bool) -> Preset:
    """16 frames of 16 x 16 for a processor, 64 of 64 x 64 for a GPU."""
    if large:
        ball = BallVideo(Matern(16.0, 1.5), size=64, frames=64, radius=6.0)
        network = {"patch": 8, "width": 384, "num_blocks": 8, "num_heads": 6}
        training = {"max_steps": 40_000, "batch_size": 64, "learning_rate": 3e-4, "precision": "bfloat16"}
        return Preset(ball, 20_000, 1000, network, training)
    ball = BallVideo(Matern(5.0, 1.5))
    network = {"patch": 8, "width": 96, "num_blocks": 3}
    training = {"max_steps": 60 if quick else 2500, "batch_size": 32, "learning_rate": 3e-3}
    return Preset(ball, 500 if quick else 8000, 40 if quick else 600, network, training, 16 if quick else 64)


@dataclass(frozen=True, eq=False)
class Paths:
    """What positions say, with standard errors by a jackknife over videos.

    Attributes:
        name: "truth, exact", "true videos", "true videos, shuffled" or "generated".
        correlation, correlation_error: At lag 0..8.
        covariance, covariance_error: Of row and column, (3,): row, column, both; pixels squared.
        step, step_error: Root-mean-square distance between neighbouring frames, pixels.
        bend, bend_error: Root mean square of second differences, pixels.
        one_ball, one_ball_error: Share of frames with exactly one ball.
    """

    name: str
    correlation: list[float]
    correlation_error: list[float]
    covariance: list[float]
    covariance_error: list[float]
    step: float
    step_error: float
    bend: float
    bend_error: float
    one_ball: float
    one_ball_error: float


@dataclass(frozen=True, eq=False)
class VideoResult:
    """All that the page shows."""

    ball: BallVideo
    validation: Validation
    paths: list[Paths]
    movies: dict[str, Tensor]
    over_time: list[list[float]]
    over_space: Tensor
    history: list[dict[str, float]]
    seconds: dict[str, float]
    weights: int
    videos: int
    generated: int

    def of(self, name: str) -> Paths:
        """The paths of that name."""
        return next(one for one in self.paths if one.name == name)


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Film, train, generate, decode; compare the paths with their law and with shuffled videos."""
    large = torch.cuda.is_available() and not quick
    told = preset(quick, large)
    ball = told.ball
    seconds: dict[str, float] = {}
    with stage("decoder"):
        validation = video.validate(ball, generator=torch.Generator().manual_seed(seed + 1))
    frames, _ = ball.sample(told.videos, generator=torch.Generator().manual_seed(seed + 2))
    held_out, _ = ball.sample(told.generated, generator=torch.Generator().manual_seed(seed + 3))
    model = _trained(told, frames, seed, stage)
    seconds["training"] = model.record["training"]["seconds"]
    began = time.monotonic()
    with stage("generation"):
        generated = _generate(model, told, seed)
    seconds["generation"] = time.monotonic() - began
    with stage("decoding"):
        shuffled = _shuffled(held_out, seed)
        found = [exact(ball)]
        films = {"true videos": held_out, "true videos, shuffled": shuffled, "generated": generated}
        for name, film in films.items():
            found.append(measure(name, video.decode(film, ball)))
    over_time, over_space = _attention(model, held_out[:32], seed)
    movies = {name: film[:SHOWN] for name, film in films.items()}
    result = VideoResult(
        ball,
        validation,
        found,
        movies,
        over_time,
        over_space,
        model.record["training"]["history"],
        seconds,
        model.record["training"]["weights"],
        told.videos,
        told.generated,
    )
    return Finding(video_page.page(result, quick), _record(result))


def _trained(told: Preset, frames: Tensor, seed: int, stage: Stage) -> models.Model:
    network = _network(told, float((frames - frames.mean(dim=(0, 1))).std()), seed)
    with stage("training") as show:
        return models.fit(
            frames,
            network,
            mean="feature",
            validation=min(0.1, 200 / len(frames)),
            generator=torch.Generator().manual_seed(seed),
            on_progress=training_steps(show),
            **{
                "ema_decay": 0.995,
                "evaluate_every": max(20, told.training["max_steps"] // 6),
                "held_out_draws": 256,
                "keep": "last",
                "min_time": 2e-2,
                "max_time": 6.0,
                "emphasis": EMPHASIS,
                **told.training,
            },
        )


def _network(told: Preset, scale: float, seed: int) -> VideoDiT:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return VideoDiT(told.ball.frames, told.ball.size**2, data_scale=scale, **told.network)


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


def exact(ball: BallVideo) -> Paths:
    """What the law of the path says."""
    path = ball.path
    gamma, sigma = path.temporal_covariance, path.spatial_covariance
    correlation = gamma[0, : LAGS + 1].tolist()
    variance = float(sigma.trace())
    step = math.sqrt(2 * variance * (1 - correlation[1]))
    bend = math.sqrt(variance * (6 - 8 * correlation[1] + 2 * correlation[2]))
    covariance = [float(sigma[0, 0]), float(sigma[1, 1]), float(sigma[0, 1])]
    none = [0.0] * (LAGS + 1)
    return Paths("truth, exact", correlation, none, covariance, [0.0] * 3, step, 0.0, bend, 0.0, 1.0, 0.0)


def measure(name: str, decoded: video.Decoded) -> Paths:
    """Statistics of decoded paths; the mean position is that of all frames."""
    positions, single = decoded.positions, decoded.one_ball.double()
    centred = positions - positions.mean(dim=(0, 1))

    def of(part: Tensor, ones: Tensor) -> Tensor:
        frames = part.shape[1]
        lags = torch.stack([(part[:, k:] * part[:, : frames - k]).sum(-1).mean() for k in range(LAGS + 1)])
        rows, columns = part[..., 0], part[..., 1]
        covariance = torch.stack([rows.square().mean(), columns.square().mean(), (rows * columns).mean()])
        steps = part.diff(dim=1)
        sizes = torch.stack([steps.square().sum(-1).mean().sqrt(), steps.diff(dim=1).square().sum(-1).mean().sqrt()])
        return torch.cat([lags / lags[0], covariance, sizes, ones.mean()[None]])

    value = of(centred, single)
    folds = torch.arange(len(centred)) % min(GROUPS, len(centred))
    without = torch.stack([of(centred[folds != k], single[folds != k]) for k in range(int(folds.max()) + 1)])
    error = ((len(without) - 1) * without.var(dim=0, correction=0)).sqrt().tolist()
    told, last = value.tolist(), LAGS + 1
    return Paths(
        name,
        told[:last],
        error[:last],
        told[last : last + 3],
        error[last : last + 3],
        told[-3],
        error[-3],
        told[-2],
        error[-2],
        told[-1],
        error[-1],
    )


def _attention(model: models.Model, frames: Tensor, seed: int) -> tuple[list[list[float]], Tensor]:
    """Attention over time by lag, mean over the heads of each block; over space in the last block, mean over heads."""
    network = model.network
    assert isinstance(network, VideoDiT)
    scaled = torch.from_numpy(model.transform.apply(frames.double().numpy(), None)).float()
    noise = torch.randn(scaled.shape, generator=torch.Generator().manual_seed(seed + 6))
    x = diffusion.noise(scaled, torch.tensor(TIME), noise).to(next(network.parameters()).device)
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
        "paths": [vars(one) for one in result.paths],
        "seconds_by_stage": result.seconds,
        "history": result.history,
        "weights": result.weights,
        "videos": result.videos,
        "generated": result.generated,
    }
