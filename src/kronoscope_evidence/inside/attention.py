"""``kronoscope reproduce attention``: do attention maps hold the dependence in time, or the positions alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from kronoscope import compile_score, diffusion, probes
from kronoscope.kernels import PowerExponential
from kronoscope.models.networks import build_network
from kronoscope.nn import DiT, UnrolledTransformer

from ..reproductions import Finding
from ..stages import Show, Stage
from ..yardstick import FRAMES, yardstick
from ..yardstick_networks import NULLS, OTHER, network
from . import attention_page

TIME = attention_page.TIME  # p-values, profiles and the verdict are of it
TIMES = (0.05, TIME, 1.0)
LEVEL = 0.05
KINDS = ("trained", *NULLS, "other")
KINDS_OF_UNROLLED = (
    "trained",
    "white",
    "permuted",
    "other",
)  # untrained, its map is the identity and has no pairs to look at


@dataclass(frozen=True, eq=False)
class Reading:
    """The attention of one network at one noise level.

    Attributes:
        name: "unrolled", "position", "dit linear" or "dit softmax".
        kind: "trained" or a null.
        t: Diffusion time.
        correlation: Partial correlation of each head with Gamma beyond the null maps.
        other: The same with another kernel's covariance, beyond the same maps.
        p_value, family_p_value: Smallest over heads, among untrained networks; single and corrected over heads. None
            where training starts from the same weights whatever the seed, and at other times than ``TIME``.
        moved: How many heads are beyond untrained ones at 5 %, corrected over heads.
        by_lag: Share of each head's variation over pairs of frames that its mean along the lags explains.
        lag_means: Partial correlation with Gamma of each head's map with its means along the lags in its place.
        left: The same of each head beyond the distance and its own means along the lags.
        profile: Of the head that agrees best, weights by signed lag, (2 N - 1,), over their largest.
        profile_error: Its standard errors over sequences.
    """

    name: str
    kind: str
    t: float
    correlation: list[float]
    other: list[float]
    p_value: float | None
    family_p_value: float | None
    moved: int | None
    by_lag: list[float]
    lag_means: list[float]
    left: list[float]
    profile: list[float]
    profile_error: list[float]

    @property
    def best(self) -> float:
        """Largest |partial correlation| over heads."""
        return abs(self.correlation[self.best_head])

    @property
    def best_head(self) -> int:
        """The head of that correlation."""
        return max(range(len(self.correlation)), key=lambda k: abs(self.correlation[k]))


@dataclass(frozen=True, eq=False)
class AttentionResult:
    """All that the page shows. ``compiled_gap``: largest |sum of a compiled network's heads - Gamma|;
    ``untrained``: how many networks the p-values are ranks among;
    ``untrained_best``: by name and noise level, the 95 % point of the best head's agreement among these."""

    readings: list[Reading]
    gamma: list[float]
    compiled_gap: float
    untrained: int
    untrained_best: dict[tuple[str, float], float]

    def of(self, name: str, kind: str, t: float = TIME) -> Reading | None:
        """The reading of that network, if it was taken."""
        return next((one for one in self.readings if (one.name, one.kind, one.t) == (name, kind, t)), None)

    def null_best(self, name: str, t: float = TIME) -> float:
        """What a best head has to pass: any null network's, and 95 % of untrained ones."""
        seen = [found.best for kind in ("white", "permuted", "other") if (found := self.of(name, kind, t)) is not None]
        return max(*seen, self.untrained_best.get((name, t), 0.0))

    @property
    def levels(self) -> list[float]:
        """The noise levels that were read, from the least."""
        return sorted({one.t for one in self.readings})


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Probe compiled, trained and null networks with the same sequences."""
    process = yardstick()
    count = 39 if quick else 199
    generator = torch.Generator().manual_seed(seed + 9)
    data = process.sample(32 if quick else 64, generator=generator)
    noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
    inputs = {t: diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise).float() for t in TIMES}
    with stage("compiled"):
        gamma = probes.circuits(compile_score(process).network).nearest_kronecker()[0]
    readings: list[Reading] = []
    best: dict[tuple[str, float], float] = {}
    for name in ("unrolled", "position", "dit"):
        ensemble: dict[tuple[str, float], list[probes.AttentionProbe]] = {}
        if name != "unrolled":  # it starts from the identity, whatever the seed
            with stage(f"{name}, {count} untrained networks") as show:
                ensemble = _untrained(name, count, inputs, seed, show)
        best |= {key: _best_of_untrained(among) for key, among in ensemble.items()}
        for kind in KINDS if name != "unrolled" else KINDS_OF_UNROLLED:
            model = network(name, kind, quick=quick, seed=seed, folder=folder, stage=stage)
            for path, probe in _probes(name, model.network, inputs):
                readings.append(_read(path, kind, probe, ensemble.get((path, probe.t), [])))
    gap = float((gamma - process.temporal_covariance).abs().max())
    result = AttentionResult(readings, process.temporal_covariance[0].tolist(), gap, count, best)
    return Finding(attention_page.page(result, quick), _record(result))


def _untrained(
    name: str, count: int, inputs: Mapping[float, Tensor], seed: int, show: Show
) -> dict[tuple[str, float], list[probes.AttentionProbe]]:
    """Probes of networks of that kind as training finds them, from seeds of their own, by path and noise level."""
    found: dict[tuple[str, float], list[probes.AttentionProbe]] = {}
    frames, features = inputs[TIME].shape[1:]
    for k in range(count):
        generator = torch.Generator().manual_seed(100_000 * (seed + 1) + k)
        net = build_network(name, frames, features, {}, generator).eval()
        for path, probe in _probes(name, net, inputs):
            found.setdefault((path, probe.t), []).append(probe)
        show((k + 1) / count, "")
    return found


def _best_of_untrained(ensemble: Sequence[probes.AttentionProbe]) -> float:
    """95 % point over networks of the largest |partial correlation| of a head."""
    truth, nulls = yardstick().temporal_covariance, null_maps(ensemble)
    each = torch.stack([one.partial_correlation(truth, nulls).abs().max() for one in ensemble])
    return float(each.quantile(0.95))


def _probes(name: str, net: nn.Module, inputs: Mapping[float, Tensor]) -> list[tuple[str, probes.AttentionProbe]]:
    """Probes of a network by path, each at every noise level."""
    return [(path, probe) for t, x in inputs.items() for path, probe in _probes_at(name, net, x, t)]


def _probes_at(name: str, net: nn.Module, x: Tensor, t: float) -> list[tuple[str, probes.AttentionProbe]]:
    """An unrolled network's blocks are tied, so its heads are looked at once."""
    if isinstance(net, UnrolledTransformer):
        return [(name, probes.attention(net, x, t, maps=lambda x, t: [net.heads.weights_and_values()[0][None]]))]
    if isinstance(net, DiT):
        assert isinstance(net.linear, nn.Module)
        return [("dit linear", probes.attention(net.linear, x, t)), ("dit softmax", probes.attention(net, x, t))]
    return [(name, probes.attention(net, x, t))]


def null_maps(untrained: Sequence[probes.AttentionProbe]) -> list[Tensor]:
    """What positions alone give: the distance of the frames, the mean map of the untrained networks' heads, and that
    map's means along the lags."""
    means = [one.weights.mean(dim=0) for one in untrained]
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
    whole, smooth = (((one + one.mT) / 2)[:, above[0], above[1]] for one in (maps, lag_means(maps)))
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


def _read(name: str, kind: str, probe: probes.AttentionProbe, untrained: Sequence[probes.AttentionProbe]) -> Reading:
    truth = yardstick().temporal_covariance
    other = PowerExponential(OTHER).covariance(torch.arange(FRAMES, dtype=torch.float64))
    nulls = null_maps(untrained)
    smooth, share = lag_means(probe.weights), share_by_lag(probe.weights)
    smoothed = replace(probe, weights=smooth)
    correlation, elsewhere = (probe.partial_correlation(one, nulls) for one in (truth, other))
    found = probe.against(untrained, truth, nulls) if untrained and probe.t == TIME else None
    best = int(correlation.abs().argmax())
    profile = probe.lag_profile()[best]
    error = torch.stack([probe.standard_error[best].diagonal(-lag).mean() for lag in range(1 - FRAMES, FRAMES)])
    size = profile.abs().max().clamp_min(1e-12)
    return Reading(
        name,
        kind,
        probe.t,
        correlation.tolist(),
        elsewhere.tolist(),
        None if found is None else float(found.p_value.min()),
        None if found is None else float(found.family_p_value.min()),
        None if found is None else int((found.family_p_value <= LEVEL + 1e-9).sum()),
        share.tolist(),
        smoothed.partial_correlation(truth, nulls).tolist(),
        _beyond_own_lags(probe, truth, smooth, share),
        (profile / size).tolist(),
        (error / size).tolist(),
    )


def _record(result: AttentionResult) -> dict:
    return {
        "compiled_gamma_gap": result.compiled_gap,
        "untrained_networks": result.untrained,
        "untrained_best_95": [
            {"name": name, "t": t, "value": value} for (name, t), value in result.untrained_best.items()
        ],
        "readings": [vars(one) for one in result.readings],
    }
