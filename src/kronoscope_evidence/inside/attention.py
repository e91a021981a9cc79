"""``kronoscope reproduce attention``: do attention maps hold the dependence in time, or the positions alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kronoscope import compile_score, diffusion, probes
from kronoscope.kernels import PowerExponential
from kronoscope.models.networks import build_network
from kronoscope.nn import DiT, UnrolledTransformer

from ..stages import Show
from ..study import Run, Study
from ..yardstick import FRAMES, yardstick
from .attention_page import FEWEST_SEQUENCES, TIME, Attention, Head, Rank, Result, Untrained, checks, page
from .networks import FULL, NULLS, OTHER_LENGTHSCALE, QUICK, Training, network

TIMES = (0.05, TIME, 1.0)
LEVEL = 0.05
KINDS = ("trained", *NULLS, "other")
LEARNERS = ("unrolled", "position", "dit")
STARTS_ALIKE = "unrolled"  # its map is the identity before training, whatever the seed

Ensembles = Mapping[tuple[str, float], Sequence[probes.AttentionProbe]]


@dataclass(frozen=True)
class Size:
    """Sequences per probe, untrained networks of each sort, diffusion times, and the training."""

    sequences: int
    untrained: int
    times: tuple[float, ...]
    training: Training


def measure(run: Run[Size]) -> Result:
    """Probe compiled, trained and null networks with the same sequences."""
    process, count = yardstick(), run.size.untrained
    generator = torch.Generator().manual_seed(run.seed + 9)
    data = process.sample(run.size.sequences, generator=generator)
    noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
    inputs = {t: diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise).float() for t in run.size.times}
    with run.stage("compiled"):
        gamma = probes.circuits(compile_score(process).network).nearest_kronecker()[0]
    attention: list[Attention] = []
    untrained: list[Untrained] = []
    for name in LEARNERS:
        ensembles: Ensembles = {}
        if name != STARTS_ALIKE:
            with run.stage(f"{name}, {count} untrained networks") as show:
                ensembles = _untrained(name, count, inputs, run.seed, show)
        untrained += [Untrained(path, t, _best_of(ensemble)) for (path, t), ensemble in ensembles.items()]
        for kind in KINDS:
            if name == STARTS_ALIKE and kind == "untrained":
                continue
            model = network(name, kind, run.size.training, run.seed, run.store, run.stage)
            for path, probe in _probes(name, model.network, inputs):
                attention.append(_attention(path, kind, probe, ensembles.get((path, probe.t), [])))
    gap = float((gamma - process.temporal_covariance).abs().max())
    return Result(tuple(attention), tuple(untrained), count, tuple(process.temporal_covariance[0].tolist()), gap)


def _untrained(name: str, count: int, inputs: Mapping[float, Tensor], seed: int, show: Show) -> Ensembles:
    """Probes of networks as training finds them, each from its own seed, by path and noise level."""
    ensembles: dict[tuple[str, float], list[probes.AttentionProbe]] = {}
    frames, features = inputs[TIME].shape[1:]
    for k in range(count):
        generator = torch.Generator().manual_seed(100_000 * (seed + 1) + k)
        net = build_network(name, frames, features, {}, generator).eval()
        for path, probe in _probes(name, net, inputs):
            ensembles.setdefault((path, probe.t), []).append(probe)
        show((k + 1) / count, "")
    return ensembles


def _best_of(ensemble: Sequence[probes.AttentionProbe]) -> float:
    """95 % point over networks of the largest |partial correlation| of a head."""
    truth, nulls = yardstick().temporal_covariance, null_maps(ensemble)
    largest = torch.stack([probe.partial_correlation(truth, nulls).abs().max() for probe in ensemble])
    return float(largest.quantile(0.95))


def _probes(name: str, net: nn.Module, inputs: Mapping[float, Tensor]) -> list[tuple[str, probes.AttentionProbe]]:
    """Probes of a network by path, each at every noise level."""
    return [(path, probe) for t, x in inputs.items() for path, probe in _probes_at(name, net, x, t)]


def _probes_at(name: str, net: nn.Module, x: Tensor, t: float) -> list[tuple[str, probes.AttentionProbe]]:
    """An unrolled network's blocks are tied, so its heads are probed once."""
    if isinstance(net, UnrolledTransformer):
        return [(name, probes.attention(net, x, t, maps=lambda x, t: [net.tied_heads.weights_and_values()[0][None]]))]
    if isinstance(net, DiT):
        assert isinstance(net.linear, nn.Module)
        return [("dit linear", probes.attention(net.linear, x, t)), ("dit softmax", probes.attention(net, x, t))]
    return [(name, probes.attention(net, x, t))]


def null_maps(untrained: Sequence[probes.AttentionProbe]) -> list[Tensor]:
    """Maps that positions alone give.

    These are the distance of the frames, the mean map of the untrained networks' heads, and its means along the lags.
    """
    means = [probe.weights.mean(dim=0) for probe in untrained]
    if not means:
        return [_distance()]
    mean = torch.stack(means).mean(dim=0)
    return [_distance(), mean, lag_means(mean[None])[0]]


def _distance() -> Tensor:
    frames = torch.arange(FRAMES, dtype=torch.float64)
    return (frames[:, None] - frames[None, :]).abs()


def lag_means(maps: Tensor) -> Tensor:
    """Maps (heads, N, N) with the mean along the signed lag i - j in place of every entry: their Toeplitz part."""
    frames = maps.shape[-1]
    lags = torch.arange(frames)[:, None] - torch.arange(frames)[None, :] + frames - 1
    means = torch.stack([maps.diagonal(-lag, 1, 2).mean(dim=-1) for lag in range(1 - frames, frames)], dim=1)
    return means[:, lags]


def share_by_lag(maps: Tensor) -> Tensor:
    """R^2 of each map's symmetric part, over pairs of different frames, by its means along the lags; 1 if constant."""
    above = torch.triu_indices(maps.shape[1], maps.shape[1], 1)
    whole, smooth = (((part + part.mT) / 2)[:, above[0], above[1]] for part in (maps, lag_means(maps)))
    total = (whole - whole.mean(dim=1, keepdim=True)).square().sum(dim=1)
    rest = (whole - smooth).square().sum(dim=1)
    constant = total <= 1e-24 * whole.square().sum(dim=1)
    return torch.where(constant, 1.0, 1 - rest / total.clamp_min(torch.finfo(total.dtype).tiny))


def _beyond_own_lags(probe: probes.AttentionProbe, truth: Tensor, smooth: Tensor, share: Tensor) -> list[float]:
    """Partial correlation of each head with the truth beyond the distance and its own means along the lags."""
    return [
        0.0  # a function of the lag alone has nothing left
        if float(share[k]) > 1 - 1e-12
        else float(probe.partial_correlation(truth, [_distance(), smooth[k]])[k])
        for k in range(len(smooth))
    ]


def _attention(
    name: str, kind: str, probe: probes.AttentionProbe, untrained: Sequence[probes.AttentionProbe]
) -> Attention:
    truth = yardstick().temporal_covariance
    other = PowerExponential(OTHER_LENGTHSCALE).covariance(torch.arange(FRAMES, dtype=torch.float64))
    nulls = null_maps(untrained)
    smooth, share = lag_means(probe.weights), share_by_lag(probe.weights)
    gamma = probe.partial_correlation(truth, nulls)
    columns = (
        gamma.tolist(),
        probe.partial_correlation(other, nulls).tolist(),
        share.tolist(),
        replace(probe, weights=smooth).partial_correlation(truth, nulls).tolist(),
        _beyond_own_lags(probe, truth, smooth, share),
    )
    best = int(gamma.abs().argmax())
    profile = probe.lag_profile()[best]
    error = torch.stack([probe.standard_error[best].diagonal(-lag).mean() for lag in range(1 - FRAMES, FRAMES)])
    scale = profile.abs().max().clamp_min(1e-12)
    return Attention(
        name=name,
        kind=kind,
        t=probe.t,
        heads=tuple(Head(*values) for values in zip(*columns, strict=True)),
        rank=_rank(probe, truth, nulls, untrained) if untrained and probe.t == TIME else None,
        profile=tuple((profile / scale).tolist()),
        profile_error=tuple((error / scale).tolist()),
    )


def _rank(
    probe: probes.AttentionProbe, truth: Tensor, nulls: list[Tensor], untrained: Sequence[probes.AttentionProbe]
) -> Rank:
    association = probe.against(untrained, truth, nulls)
    family = association.family_p_value
    return Rank(float(association.p_value.min()), float(family.min()), int((family <= LEVEL + 1e-9).sum()))


STUDY = Study(
    claim="Attention maps show the dependence where they agree with it better than the maps of null networks do.",
    full=Size(64, 199, TIMES, FULL),
    quick=Size(FEWEST_SEQUENCES, 39, TIMES, QUICK),
    minutes=(14, 2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
