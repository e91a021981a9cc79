"""``kronoscope reproduce ablation``: heads taken away one by one, and kernels swapped between networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kronoscope import compile_score, diffusion, probes, sampling
from kronoscope._typing import DiffusionTime, ScoreFunction
from kronoscope.kernels import PowerExponential
from kronoscope.nn import UnrolledTransformer
from kronoscope.processes import GaussianSequence

from ..stages import Stage
from ..study import Run, Study
from ..yardstick import FRAMES, LENGTHSCALE, MIN_TIME, yardstick
from .ablation_page import FEWEST_SAMPLES, GROUPS, KINDS, PATCHES, Ablated, Generated, Result, Swap, checks, page
from .networks import FULL, QUICK, Training, law_of, network, train

DONOR_LENGTHSCALE = 3.0
MAX_LAG = 8
TIME = 0.2
CALLS = 32


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        samples: Sequences that damages are averaged over.
        compiled_frames: Frames of the compiled networks.
        generated: Sequences generated before and after the learnt swap.
        training: Of all networks.
    """

    samples: int
    compiled_frames: int
    generated: int
    training: Training


def measure(run: Run[Size]) -> Result:
    """Every head of the trained DiT and of the one trained on white noise; then the swaps."""
    size = run.size
    nets = {kind: network("dit", kind, size.training, run.seed, run.store, run.stage) for kind in KINDS}
    ablated = []
    with run.stage("ablation") as show:
        for kind in KINDS:
            for patch in PATCHES:
                ablation = probes.ablate(
                    nets[kind],
                    law_of(kind),
                    patch=patch,
                    num_samples=size.samples,
                    generator=torch.Generator().manual_seed(run.seed),
                )
                ablated.append(Ablated(kind, patch, ablation))
                show(len(ablated) / (len(KINDS) * len(PATCHES)), f"{kind}, {patch}")
    own, other = learnt_networks(size.training, run.seed, run.stage)
    with run.stage("swaps") as show:
        compiled = swap_compiled(size.compiled_frames)
        show(0.1, "compiled")
        learnt = swap_networks(own, other, donor_process(), run.seed, size.generated)
    return Result(tuple(ablated), (compiled, learnt), size.samples, size.generated)


def donor_process(frames: int = FRAMES) -> GaussianSequence:
    """The yardstick with another kernel."""
    return GaussianSequence(PowerExponential(DONOR_LENGTHSCALE), yardstick().spatial_covariance, times=frames)


def swap_compiled(frames: int) -> Swap:
    """Compile two kernels; put the heads' output weights of the one into the network of the other.

    Both have the same queries and keys (knots at the lags); a head's output times value matrix is its knot's
    coefficient times Sigma, so exchanging it exchanges the kernel. The recurrence stays that of the first, whose
    interval holds the donor's spectrum (the donor's kernel is the shorter).
    """
    donor = donor_process(frames)
    own_process = GaussianSequence(PowerExponential(LENGTHSCALE), donor.spatial_covariance, times=frames)
    own, other = (compile_score(process, tolerance=1e-4) for process in (own_process, donor))
    before = probes.jacobian(own.score, donor, TIME, num_samples=2)
    with torch.no_grad():
        for mine, theirs in zip(own.network.unique_blocks(), other.network.unique_blocks()):
            if mine.output is not None and mine.value is not None and theirs.output is not None:
                assert theirs.value is not None
                mine.output.copy_(theirs.output)
                mine.value.copy_(theirs.value)
    after = probes.jacobian(own.score, donor, TIME, num_samples=2)
    return _swap("compiled", before, after, donor)


def learnt_networks(training: Training, seed: int, stage: Stage) -> tuple[UnrolledTransformer, UnrolledTransformer]:
    """Unrolled networks trained on the yardstick and on the donor's process."""
    nets = []
    for title, process in (("own kernel", yardstick()), ("donor's kernel", donor_process())):
        x = process.sample(training.sequences, generator=torch.Generator().manual_seed(seed + 5)).float()
        net = train("unrolled", x, training, seed, stage, title).network
        assert isinstance(net, UnrolledTransformer)
        nets.append(net)
    return nets[0], nets[1]


def swap_networks(
    own: UnrolledTransformer, other: UnrolledTransformer, donor: GaussianSequence, seed: int, count: int
) -> Swap:
    """Put the lag table of ``other`` into ``own``; probe the Jacobian and ``count`` generated sequences.

    The sequences before and after come from the same noise, by the probability-flow ODE.

    Args:
        own, other: Separable networks, of the process of ``donor``'s Sigma and of ``donor``.
        donor: Whose temporal covariance the swapped network must show.
        seed: Of the noise.
        count: Sequences to generate, each time.
    """
    swapped, last = probes.swap_kernel(own, other), min(MAX_LAG, donor.num_frames - 1)
    before, after = (
        probes.jacobian(_score(net), donor, TIME, num_samples=2, dtype=torch.float32) for net in (own, swapped)
    )
    table = sampling.dpm_solver(CALLS, MIN_TIME)
    # Gamma and Sigma share a scale that the swap leaves free, so the noise is put beside the variance of the swapped.
    variance = float(after.spatial_covariance().value.trace()) / donor.num_features
    target = noised(donor.temporal_covariance[0, : last + 1], variance, table.end_time)
    generated = []
    for net in (own, swapped):
        generator = torch.Generator().manual_seed(seed)
        x = sampling.sample(_score(net), (count, donor.num_frames, donor.num_features), table, generator=generator)
        value, error = lag_correlations(x.double(), last)
        generated.append(Generated(tuple(value.tolist()), tuple(error.tolist()), tuple(target.tolist())))
    return _swap("learnt", before, after, donor, *generated)


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


def lag_correlations(x: Tensor, last: int, groups: int = GROUPS) -> tuple[Tensor, Tensor]:
    """tr C(lag) / tr C(0) of sequences (n, N, d) with zero mean, lag 0..last, and standard errors by a jackknife."""

    def sums(part: Tensor) -> Tensor:
        return torch.stack([(part[:, lag:] * part[:, : part.shape[1] - lag]).sum(-1).mean() for lag in range(last + 1)])

    each = torch.stack([sums(part) for part in x.tensor_split(groups)])
    total = each.mean(dim=0)
    without = torch.stack([(each.sum(dim=0) - group) / (groups - 1) for group in each])
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
    spatial = [probe.spatial_covariance().value for probe in (before, after)]
    sigmas = [sigma / sigma.trace() for sigma in spatial]  # their scale is shared with the lag table's
    return Swap(
        name,
        tuple(before.lag_profile(last).value.tolist()),
        tuple(after.lag_profile(last).value.tolist()),
        tuple(donor.temporal_covariance[0, : last + 1].tolist()),
        float((sigmas[1] - sigmas[0]).abs().max() / sigmas[0].abs().max()),
        generated_before,
        generated_after,
    )


GENERATED = 4000
STUDY = Study(
    claim="Removing a head of a trained network raises the score error; in a network trained on white noise it "
    "does not.",
    full=Size(256, 16, GENERATED, FULL),
    quick=Size(FEWEST_SAMPLES, 8, GENERATED, QUICK),
    minutes=(8, 1.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
