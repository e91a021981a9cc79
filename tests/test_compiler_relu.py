"""Networks whose only non-linear part multiplies: every kernel and iteration at N = 16, and what they generate."""

import math

import pytest
import torch
from compiler_cases import ITERATIONS, KERNELS, PROCESSES, relative, separable, sigma
from scipy import stats

import kronoscope as ks
from kronoscope import diffusion, sampling

LARGEST_FAITHFUL = 300.0  # condition number up to which gradient descent is unrolled however deep that is


def noised(process, t, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    data = process.sample(count, generator=generator)
    white = torch.randn(data.shape, dtype=data.dtype, generator=generator)
    return diffusion.noise(data, torch.full((count,), t, dtype=torch.float64), white)


@pytest.mark.parametrize("iteration", ITERATIONS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_and_iteration_stays_below_its_bound(kernel, iteration):
    """48 sequences at each time; 4.5 standard errors in 147 comparisons fail with probability below 1e-3."""
    process = separable(kernel, 1)
    deep = iteration == "gradient-descent"
    if deep and process.condition_number(1e-2) > LARGEST_FAITHFUL:
        with pytest.raises(ks.InputError, match=r"gradient-descent needs \d+ blocks .* iteration='spectral' needs"):
            ks.compile_score(process, iteration, gates="relu")
        return
    compiled = ks.compile_score(process, iteration, gates="relu", max_depth=2**17 if deep else 4096)
    assert compiled.bound <= 1e-2
    allowed = compiled.plan.parts["product"] + compiled.plan.parts["tail"]
    count = 8 if deep else 48
    for t in (1e-2,) if deep else (1e-2, 0.3, 6.0):
        x = noised(process, t, count)
        score, exact = compiled.score(x, t), process.score(x, t)
        energy = float((1 / (math.exp(-t) * compiled.iteration.spectrum - math.expm1(-t))).sum())
        squares = (score - exact).square().sum((1, 2)) / energy
        assert float(squares.mean() - 4.5 * squares.std() / math.sqrt(count)) <= compiled.bound**2
        assert relative(score, compiled.iteration.score(x, t)) <= 1.5 * allowed


def test_an_offer_of_another_iteration_is_kept():
    """What a refusal says would do, does, with the number of blocks that it says."""
    process = separable("squared exponential")
    with pytest.raises(ks.InputError) as caught:
        ks.compile_score(process, "gradient-descent", gates="relu")
    offers = [part.split("'") for part in str(caught.value).split("; ")[-1].split(", ")]
    assert [name for _, name, _ in offers] == ["chebyshev", "preconditioned-chebyshev", "spectral"]
    for _, name, needs in offers:
        compiled = ks.compile_score(process, name, gates="relu")
        assert needs == f" needs {compiled.network.depth}"


def test_out_of_product_layers_says_what_would_do():
    """The products of a Leja-ordered iteration may need more digits than there are; the refusal must still help."""
    kernel = ks.kernels.Cosine(5.3) + 0.1 * ks.kernels.White()
    process = ks.GaussianSequence(kernel, sigma(8), times=256)
    with pytest.raises(ks.InputError, match=r"\d+ blocks in all, are too few: .*; iteration='spectral' needs 1\d"):
        ks.compile_score(process, "chebyshev-steps", gates="relu")


def test_drawn_sequences_have_the_law_of_the_exact_score():
    """By Monte Carlo, as no closed form holds: the same noise by both scores, and the law of what is drawn.

    x' C^-1 x of 600 sequences of 32 entries against the chi-square law: fails at random once in 1000 runs of another
    seed.
    """
    process = PROCESSES["with a mean"]()
    compiled = ks.compile_score(process, "spectral", gates="relu", tolerance=1e-3)
    table = sampling.dpm_solver(32, 1e-2, 6.0)
    shape = (600, process.num_frames, process.num_features)
    drawn = sampling.sample(compiled.score, shape, table, dtype=torch.float64)
    exact = sampling.sample(process.score, shape, table, dtype=torch.float64)
    assert relative(drawn, exact) < 1e-2
    law = sampling.law(table, process.score, *shape[1:])
    gap = (drawn - law.mean).flatten(1)
    distance = (gap @ torch.linalg.inv(law.covariance()) * gap).sum(1)
    assert stats.kstest(distance.numpy(), stats.chi2(gap.shape[1]).cdf).pvalue > 1e-3
    cost = ks.metrics.score_kl(compiled.score, process, num_samples=1024, max_time=6.0, dtype=torch.float64)
    certified = compiled.certificate
    spread = math.hypot(cost.standard_error, certified.score_kl_standard_error)
    assert abs(cost.value - certified.score_kl) < 4 * spread
    assert cost.value < 1e-4
