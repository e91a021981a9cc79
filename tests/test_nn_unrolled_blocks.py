"""Unrolled transformers whose blocks differ, or whose steps are learnt: against the tied one and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch.func import functional_call

import kronoscope as ks
from kronoscope import InputError, metrics, probes
from kronoscope.kernels import PowerExponential
from kronoscope.nn import UnrolledTransformer

FRAMES, FEATURES, BATCH, BLOCKS = 6, 2, 5, 12
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
PROCESS = ks.GaussianSequence(PowerExponential(4.0), SIGMA, times=8)
FREEDOMS = {
    "untied": {"blocks": "untied"},
    "learned steps": {"steps": "learned"},
    "both": {"blocks": "untied", "steps": "learned"},
}
HEADS = {
    "separable": {},
    "three heads": {"heads": 3},
    "absolute, two heads": {"positions": "absolute", "heads": 2},
    "a value by lag": {"values": "lag"},
    "irregular, free mean": {"times": (0.0, 1.0, 1.5, 4.0, 6.0, 6.5), "mean": "free"},
}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def build(seed=0, frames=FRAMES, **options):
    """In float64, its first weights those of ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UnrolledTransformer(
            frames, FEATURES, **{"gradients": "unrolled", "num_blocks": BLOCKS, **options}
        ).double()


def stir(network, size=0.2):
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter += size * torch.randn(parameter.shape, generator=seeded(number), dtype=parameter.dtype)
    return network


def inputs(frames=FRAMES):
    x = torch.randn(BATCH, frames, FEATURES, generator=seeded(1), dtype=torch.float64)
    return x, torch.tensor([1e-2, 0.1, 0.7, 3.0, 8.0], dtype=torch.float64)


# --- the start ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("heads", HEADS)
def test_at_the_start_it_is_the_tied_network(freedom, heads):
    """Away from K = I, too: the tied weights are stirred and put into every block."""
    x, t = inputs()
    tied = stir(build(**HEADS[heads]))
    network = build(**HEADS[heads], **FREEDOMS[freedom])
    blocks = network.heads.each() if "blocks" in FREEDOMS[freedom] else [network.heads]
    for block in blocks:
        block.load_state_dict(tied.heads.state_dict())
    if tied.mean is not None:
        network.mean.data.copy_(tied.mean)
    mask = torch.rand(x.shape, generator=seeded(2)) < 0.7
    for given in ((x, t), (x, t, mask)):
        torch.testing.assert_close(network(*given), tied(*given), rtol=1e-12, atol=1e-12)
    fresh = build(**HEADS[heads], **FREEDOMS[freedom])(x, t)
    torch.testing.assert_close(fresh, build(**HEADS[heads])(x, t), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_from_law_starts_every_block_from_the_law(freedom):
    process = ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=FRAMES)
    options = {"gradients": "unrolled", "num_blocks": 200, **FREEDOMS[freedom]}
    network = UnrolledTransformer.from_law(process, **options).double()
    x, t = inputs()
    exact = -(1 - torch.exp(-t)).sqrt()[:, None, None] * process.score(x, t)
    assert float((network(x, t).detach() - exact).norm() / exact.norm()) < 1e-3


# --- what it computes ---------------------------------------------------------------------------------------------


def test_untied_blocks_by_the_recursion_with_each_ones_own_matrix():
    """s_{k+1} = s_k + d_k, d_k = momentum_k d_{k-1} + step_k (y - C^k s_k), written out in dense matrices.

    The table is that of the interval which holds the spectra of all blocks.
    """
    network = stir(build(blocks="untied", num_blocks=4))
    x, t = inputs()
    matrices = [heads.covariance() for heads in network.heads.each()]
    spectra = torch.stack([torch.linalg.eigvalsh(matrix) for matrix in matrices])
    for row, (one, time) in enumerate(zip(x, t.tolist(), strict=True)):
        scale, noise = math.exp(-time), -math.expm1(-time)
        low, high = scale * spectra.min().clamp_min(0) + noise, scale * spectra.max() + noise
        table = ks.iterations.chebyshev(low, high, 4)
        y = one.flatten()
        solution = direction = torch.zeros_like(y)
        for k in range(4):
            product = scale * matrices[k - 1] @ solution + noise * solution if k else 0.0
            direction = table.momentum[0, k] * direction + table.step[0, k] * (y - product)
            solution = solution + direction
        expected = math.sqrt(noise) * solution.reshape(one.shape)
        torch.testing.assert_close(network(x, t)[row], expected, rtol=1e-10, atol=1e-10)


def test_learned_steps_are_interpolated_on_the_clock():
    """By numpy's piecewise linear interpolation of the learnt tables, beside Chebyshev's of the same K."""
    network = stir(build(steps="learned"))
    steps = network.steps
    nodes = np.linspace(-7.0, 9.0, 9)
    for time in (1e-4, 1e-2, 0.3, 2.0, 8.0, 20.0):
        clock = math.log(math.expm1(time))
        spectrum = torch.linalg.eigvalsh(network.covariance())
        scale, noise = math.exp(-time), -math.expm1(-time)
        base = ks.iterations.chebyshev(scale * spectrum[0] + noise, scale * spectrum[-1] + noise, BLOCKS)
        found = steps(base, torch.tensor([clock], dtype=torch.float64))
        learnt = [np.interp(clock, nodes, row) for row in steps.log_step.detach().numpy()]
        more = [0.0] + [np.interp(clock, nodes, row) for row in steps.momentum.detach().numpy()]
        expected = base.step.detach().numpy()[0] * np.exp(learnt)
        np.testing.assert_allclose(found.step.detach().numpy()[0], expected, rtol=1e-12)
        np.testing.assert_allclose(
            found.momentum.detach().numpy()[0], base.momentum.detach().numpy()[0] + more, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("options", [{}, {"heads": 2}, {"mean": "free"}])
def test_gradients_are_those_of_finite_differences(freedom, options):
    network = stir(build(frames=3, num_blocks=3, **options, **FREEDOMS[freedom]))
    x, t = inputs(frames=3)
    names, weights = zip(*network.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(
        lambda x, *w: functional_call(network, dict(zip(names, w, strict=True)), (x, t)),
        (x.requires_grad_(), *(w.detach().clone().requires_grad_() for w in weights)),
        fast_mode=True,
    )


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_every_weight_is_used(freedom):
    network = stir(build(heads=2, **FREEDOMS[freedom]))
    network(*inputs()).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert bool((parameter.grad != 0).any()), name


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_record_is_the_forward_pass_with_each_blocks_own_attention(freedom):
    network = stir(build(heads=2, **FREEDOMS[freedom]))
    x, t = inputs()
    record = network.record(x, t)
    torch.testing.assert_close(record.epsilon, network(x, t), rtol=0, atol=0)
    assert len(record.blocks) == BLOCKS
    if "blocks" in FREEDOMS[freedom]:
        own = [torch.zeros(4, FRAMES, FRAMES), *(heads.weights_and_values()[0] for heads in network.heads.each())]
    else:
        own = [network.heads.weights_and_values()[0]] * BLOCKS
    for block, weights in zip(record.blocks, own, strict=True):
        torch.testing.assert_close(block.weights[0], weights, check_dtype=False)
        assert block.stream.shape == (BATCH, FRAMES, 2 * FEATURES)


def test_untied_blocks_have_no_covariance_and_say_why():
    network = build(blocks="untied")
    with pytest.raises(InputError, match=r'^blocks must be "tied" for a covariance, got "untied": .* no common K'):
        network.covariance()
    with pytest.raises(InputError, match=r'^blocks must be "tied"'):
        probes.circuits(network)
    assert not network.is_separable
    with pytest.raises(InputError, match="one head"):
        probes.swap_kernel(network, network)


# --- learning -----------------------------------------------------------------------------------------------------

QUICK = {"max_steps": 120, "evaluate_every": 120, "validation": 0.05, "warmup_steps": 10, "ema_decay": 0.99}
QUICK |= {"batch_size": 64}


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_training_moves_it_nearer_and_it_comes_back_from_disk(freedom, tmp_path):
    """The fitted score is affine, has a law though untied blocks hold none, and is the same after a load."""
    options = {"gradients": "unrolled", "num_blocks": 6, **FREEDOMS[freedom]}
    x = PROCESS.sample(400, generator=seeded(5)).float()
    fitted = ks.fit(x, "unrolled", network_options=options, **QUICK)
    before = ks.fit(x, "unrolled", network_options=options, **{**QUICK, "max_steps": 0})
    value, start = (metrics.score_kl(m.score, PROCESS, linear=True).value for m in (fitted, before))
    assert value < 0.1 * start
    assert fitted.is_affine
    generated = metrics.gaussian_kl(fitted.generated_law, PROCESS)
    assert math.isfinite(generated)
    assert generated < 0.1 * metrics.gaussian_kl(before.generated_law, PROCESS)
    fitted.save(tmp_path / "run")
    loaded = ks.load(tmp_path / "run")
    given = PROCESS.sample(3, generator=seeded(6))
    assert torch.equal(loaded.score(given, 0.3), fitted.score(given, 0.3))
    network = fitted.network
    if "blocks" in FREEDOMS[freedom]:
        assert float((network.heads.each()[0].shared - network.heads.each()[-1].shared).abs().max()) > 1e-3
    if "steps" in FREEDOMS[freedom]:
        assert float(network.steps.log_step.abs().max()) > 1e-3


def test_learned_steps_make_few_blocks_better():
    """Four blocks, the same draws and settings; seeds are fixed, so the comparison is a number and not a chance."""
    x = PROCESS.sample(400, generator=seeded(5)).float()
    found = {}
    for steps in ("spectrum", "learned"):
        options = {"gradients": "unrolled", "num_blocks": 4, "steps": steps}
        fitted = ks.fit(x, "unrolled", network_options=options, **{**QUICK, "max_steps": 300, "evaluate_every": 300})
        found[steps] = metrics.score_kl(fitted.score, PROCESS, linear=True).value
    assert found["learned"] < 0.75 * found["spectrum"]


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": "free"}, "^blocks must be one of tied, untied, got 'free'"),
        ({"steps": "free"}, "^steps must be one of spectrum, learned, got 'free'"),
        (
            {"blocks": "untied", "gradients": "implicit"},
            '^blocks="untied" goes with gradients="unrolled", got gradients="implicit"',
        ),
        (
            {"steps": "learned", "gradients": "implicit"},
            '^steps="learned" goes with gradients="unrolled", got gradients="implicit"',
        ),
        ({"blocks": "untied", "num_blocks": 1}, '^num_blocks must be at least 2 with blocks="untied", got 1'),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)
