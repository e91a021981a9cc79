"""``kronoscope reproduce attention``: do attention maps hold the dependence in time, or the positions alone?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import compile_score, diffusion, probes
from ..kernels import PowerExponential
from ..models.networks import build_network
from ..nn import DiT, UnrolledTransformer
from . import attention_page
from .control import FRAMES, control_process
from .reproductions import Finding
from .stages import Show, Stage
from .yardstick_networks import NULLS, OTHER, network

TIME = 0.2
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
    """The attention of one network.

    Attributes:
        name: "unrolled", "position", "dit linear" or "dit softmax".
        kind: "trained" or a null.
        correlation: Partial correlation of each head with Gamma beyond the null maps.
        other: The same with another kernel's covariance, beyond the same maps.
        p_value, family_p_value: Smallest over heads, among untrained networks; single and corrected over heads. None
            where training starts from the same weights whatever the seed.
        moved: How many heads are beyond untrained ones at 5 %, corrected over heads.
        profile: Of the head that agrees best, weights by signed lag, (2 N - 1,), over their largest.
        profile_error: Its standard errors over sequences.
    """

    name: str
    kind: str
    correlation: list[float]
    other: list[float]
    p_value: float | None
    family_p_value: float | None
    moved: int | None
    profile: list[float]
    profile_error: list[float]

    @property
    def best(self) -> float:
        """Largest |partial correlation| over heads."""
        return max(abs(one) for one in self.correlation)


@dataclass(frozen=True, eq=False)
class AttentionResult:
    """All that the page shows. ``compiled_gap``: largest |sum of a compiled network's heads - Gamma|;
    ``untrained``: how many networks the p-values are ranks among;
    ``untrained_best``: by name, the 95 % point of the best head's agreement among these."""

    readings: list[Reading]
    gamma: list[float]
    compiled_gap: float
    untrained: int
    untrained_best: dict[str, float]

    def of(self, name: str, kind: str) -> Reading | None:
        """The reading of that network, if it was taken."""
        return next((one for one in self.readings if (one.name, one.kind) == (name, kind)), None)

    def null_best(self, name: str) -> float:
        """What a best head has to pass: any null network's, and 95 % of untrained ones."""
        seen = [one.best for one in self.readings if one.name == name and one.kind in ("white", "permuted", "other")]
        return max(*seen, self.untrained_best.get(name, 0.0))


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Probe compiled, trained and null networks with the same sequences."""
    process = control_process()
    count = 39 if quick else 199
    generator = torch.Generator().manual_seed(seed + 9)
    data = process.sample(32 if quick else 64, generator=generator)
    noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
    x = diffusion.noise(data, torch.tensor(TIME, dtype=torch.float64), noise).float()
    with stage("compiled"):
        gamma = probes.circuits(compile_score(process).network).nearest_kronecker()[0]
    readings, best = [], {}
    for name in ("unrolled", "position", "dit"):
        ensemble: dict[str, list[probes.AttentionProbe]] = {}
        if name != "unrolled":  # it starts from the identity, whatever the seed
            with stage(f"{name}, {count} untrained networks") as show:
                ensemble = _untrained(name, count, x, seed, show)
        for path, among in ensemble.items():
            best[path] = _best_of_untrained(among)
        for kind in KINDS if name != "unrolled" else KINDS_OF_UNROLLED:
            model = network(name, kind, quick=quick, seed=seed, folder=folder, stage=stage)
            for path, probe in _probes(name, model.network, x):
                readings.append(_read(path, kind, probe, ensemble.get(path, [])))
    gap = float((gamma - process.temporal_covariance).abs().max())
    result = AttentionResult(readings, process.temporal_covariance[0].tolist(), gap, count, best)
    return Finding(attention_page.page(result, quick), _record(result))


def _untrained(name: str, count: int, x: Tensor, seed: int, show: Show) -> dict[str, list[probes.AttentionProbe]]:
    """Probes of networks of that kind as training finds them, from seeds of their own, by path."""
    found: dict[str, list[probes.AttentionProbe]] = {}
    for k in range(count):
        generator = torch.Generator().manual_seed(100_000 * (seed + 1) + k)
        net = build_network(name, x.shape[1], x.shape[2], {}, generator).eval()
        for path, probe in _probes(name, net, x):
            found.setdefault(path, []).append(probe)
        show((k + 1) / count, "")
    return found


def _best_of_untrained(ensemble: Sequence[probes.AttentionProbe]) -> float:
    """95 % point over networks of the largest |partial correlation| of a head."""
    truth, nulls = control_process().temporal_covariance, null_maps(ensemble)
    each = torch.stack([one.partial_correlation(truth, nulls).abs().max() for one in ensemble])
    return float(each.quantile(0.95))


def _probes(name: str, net: nn.Module, x: Tensor) -> list[tuple[str, probes.AttentionProbe]]:
    """Probes of a network, by path; an unrolled network's blocks are tied, so its heads are looked at once."""
    if isinstance(net, UnrolledTransformer):
        return [(name, probes.attention(net, x, TIME, maps=lambda x, t: [net.heads.weights_and_values()[0][None]]))]
    if isinstance(net, DiT):
        assert isinstance(net.linear, nn.Module)
        return [
            ("dit linear", probes.attention(net.linear, x, TIME)),
            ("dit softmax", probes.attention(net, x, TIME)),
        ]
    return [(name, probes.attention(net, x, TIME))]


def null_maps(untrained: Sequence[probes.AttentionProbe]) -> list[Tensor]:
    """What positions alone give: the distance of the frames, and the mean map of the untrained networks' heads."""
    frames = torch.arange(FRAMES, dtype=torch.float64)
    distance = (frames[:, None] - frames[None, :]).abs()
    means = [one.weights.mean(dim=0) for one in untrained]
    return [distance, torch.stack(means).mean(dim=0)] if means else [distance]


def _read(name: str, kind: str, probe: probes.AttentionProbe, untrained: Sequence[probes.AttentionProbe]) -> Reading:
    truth = control_process().temporal_covariance
    other = PowerExponential(OTHER).covariance(torch.arange(FRAMES, dtype=torch.float64))
    nulls = null_maps(untrained)
    correlation, elsewhere = (probe.partial_correlation(one, nulls) for one in (truth, other))
    found = probe.against(untrained, truth, nulls) if untrained else None
    best = int(correlation.abs().argmax())
    profile = probe.lag_profile()[best]
    error = torch.stack([probe.standard_error[best].diagonal(-lag).mean() for lag in range(1 - FRAMES, FRAMES)])
    size = profile.abs().max().clamp_min(1e-12)
    return Reading(
        name,
        kind,
        correlation.tolist(),
        elsewhere.tolist(),
        None if found is None else float(found.p_value.min()),
        None if found is None else float(found.family_p_value.min()),
        None if found is None else int((found.family_p_value <= LEVEL + 1e-9).sum()),
        (profile / size).tolist(),
        (error / size).tolist(),
    )


def _record(result: AttentionResult) -> dict:
    return {
        "compiled_gamma_gap": result.compiled_gap,
        "untrained_networks": result.untrained,
        "untrained_best_95": result.untrained_best,
        "readings": [vars(one) for one in result.readings],
    }
