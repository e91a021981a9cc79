"""``kronoscope reproduce ablation``: heads taken away one by one, and kernels swapped between networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kronoscope import compile_score, diffusion, models, probes, sampling
from kronoscope._typing import DiffusionTime, ScoreFunction
from kronoscope.kernels import PowerExponential
from kronoscope.nn import UnrolledTransformer
from kronoscope.processes import GaussianSequence

from ..reproductions import Finding
from ..stages import Stage, training_steps
from ..yardstick import FRAMES, LENGTHSCALE, MIN_TIME, yardstick
from ..yardstick_networks import law_of, network
from . import ablation_page

DONOR = 3.0
MAX_LAG = 8
TIME = 0.2
CALLS, GENERATED = 32, 4000


@dataclass(frozen=True)
class Generated:
    """Correlation by lag 0..MAX_LAG of generated sequences, and how far it is from what theory says of them.

    Attributes:
        value, error: Of the sequences, and standard errors.
        target: Of the donor's kernel with the noise that is left where the sampler stops (:func:`noised`).
    """

    value: list[float]
    error: list[float]
    target: list[float]

    @property
    def gap(self) -> tuple[float, float]:
        """Largest difference from the target over the lags, and its standard error."""
        return max((abs(v - t), e) for v, e, t in zip(self.value, self.error, self.target, strict=True))


@dataclass(frozen=True)
class Swap:
    """Correlation by lag 0..MAX_LAG before and after a kernel was swapped.

    Attributes:
        name: "compiled" or "learnt".
        before, after: Read off the Jacobian.
        target: Of the donor's kernel.
        spatial_gap: Largest change of Sigma / tr Sigma, which must stay, over the largest entry.
        generated_before, generated_after: Of sequences from the same noise, with the own kernel (the null) and with the
            donor's; None if none were generated.
    """

    name: str
    before: list[float]
    after: list[float]
    target: list[float]
    spatial_gap: float
    generated_before: Generated | None = None
    generated_after: Generated | None = None

    @property
    def gap(self) -> float:
        """Largest difference of the correlation after the swap from the donor's."""
        return max(abs(a - b) for a, b in zip(self.after, self.target))

    @property
    def gap_before(self) -> float:
        """The same before the swap."""
        return max(abs(a - b) for a, b in zip(self.before, self.target))


@dataclass(frozen=True)
class AblationResult:
    """All that the page shows: ablations by network and patch, and the swaps."""

    ablations: dict[tuple[str, str], probes.Ablation]
    swaps: list[Swap]
    samples: int
    generated: int = GENERATED


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every head of the trained DiT and of the one that saw white noise; then the swaps."""
    samples = ablation_page.FEWEST_SAMPLES if quick else 256
    nets = {
        kind: network("dit", kind, quick=quick, seed=seed, folder=folder, stage=stage) for kind in ("trained", "white")
    }
    found = {}
    with stage("ablation") as show:
        for k, (kind, patch) in enumerate((kind, patch) for kind in nets for patch in ("zero", "mean")):
            found[kind, patch] = probes.ablate(
                nets[kind],
                law_of(kind),
                patch=patch,  # type: ignore[arg-type]
                num_samples=samples,
                generator=torch.Generator().manual_seed(seed),
            )
            show((k + 1) / 4, f"{kind}, {patch}")
    with stage("swaps") as show:
        swaps = [swap_compiled(8 if quick else 16)]
        show(0.1, "compiled")
        swaps.append(swap_learnt(quick, seed, stage))
    result = AblationResult(found, swaps, samples)
    return Finding(ablation_page.page(result, quick), _record(result))


def donor_process() -> GaussianSequence:
    """The yardstick with another kernel."""
    return GaussianSequence(PowerExponential(DONOR), yardstick().spatial_covariance, times=FRAMES)


def swap_compiled(frames: int) -> Swap:
    """Compile two kernels; put the heads' output weights of the one into the network of the other.

    Both have the same queries and keys (knots at the lags); a head's output times value matrix is its knot's
    coefficient times Sigma, so exchanging it exchanges the kernel. The recurrence stays that of the first, whose
    interval holds the donor's spectrum (the donor's kernel is the shorter).
    """
    sigma = yardstick().spatial_covariance
    ours, theirs = (
        compile_score(GaussianSequence(PowerExponential(scale), sigma, times=frames), tolerance=1e-4)
        for scale in (LENGTHSCALE, DONOR)
    )
    process = GaussianSequence(PowerExponential(DONOR), sigma, times=frames)
    before = probes.jacobian(ours.score, process, TIME, num_samples=2)
    with torch.no_grad():
        for mine, other in zip(ours.network.unique_blocks(), theirs.network.unique_blocks()):
            if mine.output is not None and mine.value is not None and other.output is not None:
                assert other.value is not None
                mine.output.copy_(other.output)
                mine.value.copy_(other.value)
    after = probes.jacobian(ours.score, process, TIME, num_samples=2)
    return _swap("compiled", before, after, process)


def swap_learnt(quick: bool, seed: int, stage: Stage) -> Swap:
    """Train on two kernels; the lag table of the one in the network of the other; generate."""
    donor, n = donor_process(), 500 if quick else 2000
    steps: dict[str, Any] = {"max_steps": 300} if quick else {}
    fitted = []
    for name, process in (("own kernel", yardstick()), ("donor's kernel", donor)):
        with stage(f"unrolled, {name}") as show:
            x = process.sample(n, generator=torch.Generator().manual_seed(seed + 5)).float()
            fitted.append(
                models.fit(
                    x,
                    "unrolled",
                    validation=0.02,
                    generator=torch.Generator().manual_seed(seed),
                    on_progress=training_steps(show),
                    **steps,
                )
            )
    own, other = (one.network for one in fitted)
    assert isinstance(own, UnrolledTransformer)
    assert isinstance(other, UnrolledTransformer)
    return swap_networks(own, other, donor, seed)


def swap_networks(
    own: UnrolledTransformer, other: UnrolledTransformer, donor: GaussianSequence, seed: int, count: int = GENERATED
) -> Swap:
    """Put the lag table of ``other`` into ``own``; look at the Jacobian and at ``count`` generated sequences.

    The sequences before and after come from the same noise, by the probability-flow ODE.

    Args:
        own, other: Separable networks, of the process of ``donor``'s Sigma and of ``donor``.
        donor: Whose temporal covariance the swapped network must show.
        seed: Of the noise.
        count: Sequences to generate, each time.
    """
    swapped, last = probes.swap_kernel(own, other), min(MAX_LAG, donor.num_frames - 1)
    before, after = (
        probes.jacobian(_score(one), donor, TIME, num_samples=2, dtype=torch.float32) for one in (own, swapped)
    )
    table = sampling.dpm_solver(CALLS, MIN_TIME)
    # Gamma and Sigma share a scale that the swap leaves free, so the noise is put beside the variance of the swapped.
    variance = float(after.spatial_covariance().value.trace()) / donor.num_features
    target = noised(donor.temporal_covariance[0, : last + 1], variance, table.end_time)
    found = []
    for one in (own, swapped):
        generator = torch.Generator().manual_seed(seed)
        x = sampling.sample(_score(one), (count, donor.num_frames, donor.num_features), table, generator=generator)
        value, error = lag_correlations(x.double(), last)
        found.append(Generated(value.tolist(), error.tolist(), target.tolist()))
    return _swap("learnt", before, after, donor, *found)


def noised(correlation: Tensor, variance: float, t: float) -> Tensor:
    """Correlation by lag, from lag 0, of alpha_t x_0 + sigma_t z: alpha^2 v gamma / (alpha^2 v + sigma^2), 1 at lag 0.

    Args:
        correlation: gamma(h) / gamma(0) of the data, (lags,).
        variance: v, of the data, mean over features.
        t: Diffusion time.
    """
    signal, noise = float(diffusion.alpha(t)) ** 2 * variance, float(diffusion.sigma_squared(t))
    shrunk = correlation * signal / (signal + noise)
    return torch.cat([torch.ones_like(shrunk[:1]), shrunk[1:]])


def _score(net: nn.Module) -> ScoreFunction:
    def score(x: Tensor, t: DiffusionTime) -> Tensor:
        return diffusion.score_from_epsilon(net(x, torch.as_tensor(t, dtype=x.dtype).expand(len(x))), x, t)

    return score


def lag_correlations(x: Tensor, last: int, groups: int = ablation_page.GENERATED_GROUPS) -> tuple[Tensor, Tensor]:
    """tr C(lag) / tr C(0) of sequences (n, N, d) with zero mean, lag 0..last, and standard errors by a jackknife."""

    def sums(part: Tensor) -> Tensor:
        return torch.stack([(part[:, lag:] * part[:, : part.shape[1] - lag]).sum(-1).mean() for lag in range(last + 1)])

    each = torch.stack([sums(part) for part in x.tensor_split(groups)])
    total = each.mean(dim=0)
    without = torch.stack([(each.sum(dim=0) - one) / (groups - 1) for one in each])
    without = without / without[:, :1]
    return total / total[0], ((groups - 1) * without.var(dim=0, correction=0)).sqrt()


def _swap(
    name: str,
    before: probes.JacobianProbe,
    after: probes.JacobianProbe,
    donor: GaussianSequence,
    generated_before: Generated | None = None,
    generated_after: Generated | None = None,
) -> Swap:
    last = min(MAX_LAG, donor.num_frames - 1)
    found = [one.spatial_covariance().value for one in (before, after)]
    sigmas = [one / one.trace() for one in found]  # their scale is shared with the lag table's
    return Swap(
        name,
        before.lag_profile(last).value.tolist(),
        after.lag_profile(last).value.tolist(),
        donor.temporal_covariance[0, : last + 1].tolist(),
        float((sigmas[1] - sigmas[0]).abs().max() / sigmas[0].abs().max()),
        generated_before,
        generated_after,
    )


def _record(result: AblationResult) -> dict:
    rows = [
        {
            "network": kind,
            "patch": patch,
            "score_kl_nats": one.score_kl,
            "standard_error": one.standard_error,
            "heads": [vars(head) for head in one.damages],
        }
        for (kind, patch), one in result.ablations.items()
    ]
    return {"samples": result.samples, "ablations": rows, "swaps": [_swap_record(one) for one in result.swaps]}


def _swap_record(one: Swap) -> dict:
    told = {**vars(one), "gap": one.gap, "gap_before": one.gap_before}
    for key in ("generated_before", "generated_after"):
        found: Generated | None = told[key]
        told[key] = None if found is None else {**vars(found), "gap": found.gap[0], "gap_standard_error": found.gap[1]}
    return told
