"""The unrolled transformer: against dense linear algebra, its two ways of differentiating, and what it learns."""

import ast
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import EXACT, relative_error

import kronoscope as ks
from kronoscope import InputError, estimators, iterations, metrics
from kronoscope.kernels import Cosine, PowerExponential, White
from kronoscope.nn import UnrolledTransformer
from kronoscope.nn.unrolled_solve import solve_dense, solve_separable
from kronoscope.processes import BlockToeplitzSequence, DenseGaussian, KroneckerSum, SeparableGaussian

FRAMES, FEATURES, BATCH = 6, 2, 5
TIMES = (0.0, 1.0, 1.5, 4.0, 6.0, 6.5)
VARIANTS = {
    "separable": {},
    "three heads": {"heads": 3},
    "irregular": {"times": TIMES},
    "irregular, three heads": {"heads": 3, "times": TIMES},
    "absolute": {"positions": "absolute"},
    "absolute, two heads": {"positions": "absolute", "heads": 2},
    "a value by lag": {"values": "lag"},
    "mean by feature": {"mean": "feature"},
    "free mean, two heads": {"mean": "free", "heads": 2},
}
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def inputs(dtype=torch.float64):
    x = torch.randn(BATCH, FRAMES, FEATURES, generator=seeded(1), dtype=torch.float64)
    return x.to(dtype), torch.tensor([1e-2, 0.1, 0.7, 3.0, 8.0], dtype=dtype)


def stirred(name, dtype=torch.float64, **options):
    """A network with every weight away from its initial value."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UnrolledTransformer(FRAMES, FEATURES, **VARIANTS[name], **options)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return network.to(dtype)


def gradients(network, x, t):
    network.zero_grad()
    (network(x, t) * torch.linspace(-1, 2, x.numel(), dtype=x.dtype).reshape(x.shape)).sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters()}


# --- what it computes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_epsilon_is_a_dense_solve_with_the_sum_over_heads(name, dtype):
    network = stirred(name)
    x, t = inputs()
    weights, values = (part.detach().numpy() for part in network.heads.weights_and_values())
    size = FRAMES * FEATURES
    covariance = sum(np.kron(a, v) for a, v in zip(weights, values, strict=True))
    mean = np.zeros((FRAMES, FEATURES)) + (0 if network.mean is None else network.mean.detach().numpy())
    expected = []
    for one, time in zip(x.numpy(), t.tolist(), strict=True):
        noised = math.exp(-time) * covariance + (1 - math.exp(-time)) * np.eye(size)
        solved = np.linalg.solve(noised, (one - math.exp(-time / 2) * mean).reshape(-1))
        expected.append(math.sqrt(1 - math.exp(-time)) * solved.reshape(FRAMES, FEATURES))
    got = network.to(dtype)(*inputs(dtype)).detach()
    assert got.dtype == dtype
    # In float32 the weights are rounded, too, and C_t's condition number multiplies that.
    allowed = EXACT[dtype] * (1 if dtype == torch.float64 else 100)
    assert relative_error(got, torch.from_numpy(np.stack(expected))) < allowed


@pytest.mark.parametrize("name", VARIANTS)
def test_covariance_is_one_and_shows_its_structure(name):
    network = stirred(name)
    covariance = network.covariance().detach()
    torch.testing.assert_close(covariance, covariance.mT, rtol=1e-12, atol=1e-12)
    assert float(torch.linalg.eigvalsh(covariance)[0]) > -1e-9 * float(covariance.diagonal().max())
    blocks = covariance.reshape(FRAMES, FEATURES, FRAMES, FEATURES).transpose(1, 2)  # (i, j, a, b)
    options = VARIANTS[name]
    stationary = options.get("positions") != "absolute" and "times" not in options
    assert torch.allclose(blocks[1:, 1:], blocks[:-1, :-1], rtol=1e-9, atol=1e-9) == stationary
    reversible = options.get("positions") == "absolute" or (options.get("heads", 1) == 1 and "values" not in options)
    assert torch.allclose(blocks, blocks.transpose(0, 1), rtol=1e-9, atol=1e-9) == reversible


@pytest.mark.parametrize("name", ["separable", "three heads"])
def test_relative_heads_by_their_formula(name):
    """c_m and s_m summed over the frequencies, one entry at a time."""
    heads = stirred(name).heads
    power, half = heads.power().detach(), heads.power().shape[1] - 1
    share = [1 / half if 0 < j < half else 0.5 / half for j in range(half + 1)]
    weights, values = (part.detach() for part in heads.weights_and_values())
    for m, i, j in itertools.product(range(len(power)), range(FRAMES), range(FRAMES)):
        terms = [float(power[m, w]) * share[w] for w in range(half + 1)]
        even = sum(term * math.cos(math.pi * w / half * (i - j)) for w, term in enumerate(terms))
        odd = sum(term * math.sin(math.pi * w / half * (i - j)) for w, term in enumerate(terms))
        assert float(weights[m, i, j]) == pytest.approx(even, rel=1e-9, abs=1e-9)
        if name != "separable":
            assert float(weights[m + 3, i, j]) == pytest.approx(odd, rel=1e-9, abs=1e-9)
            root = torch.complex(heads.real, heads.imaginary)[m].detach()
            torch.testing.assert_close(torch.complex(values[m], -values[m + 3]), root @ root.mH)


def test_irregular_times_see_the_regular_grid_that_holds_them():
    """The same weights on 0..7 and on a subset with the same span and smallest step: a part of the same covariance."""
    regular = UnrolledTransformer(8, FEATURES, heads=2).double()
    some = [0, 1, 3, 7]
    irregular = UnrolledTransformer(4, FEATURES, heads=2, times=[5.0 + 0.5 * one for one in some]).double()
    with torch.no_grad():
        for parameter in regular.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=seeded(0), dtype=parameter.dtype)
    irregular.load_state_dict(regular.state_dict())
    blocks = regular.covariance().reshape(8, FEATURES, 8, FEATURES)[some][:, :, some]
    torch.testing.assert_close(irregular.covariance(), blocks.reshape(8, 8), rtol=1e-10, atol=1e-10)


def test_a_lone_head_starts_from_the_answer_for_white_data():
    x, t = inputs()
    for name in ("separable", "absolute", "a value by lag"):
        epsilon = UnrolledTransformer(FRAMES, FEATURES, **VARIANTS[name]).double()(x, t)
        torch.testing.assert_close(epsilon, (1 - torch.exp(-t)).sqrt()[:, None, None] * x, rtol=1e-6, atol=1e-6)


# --- blocks and gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_implicit_gradients_are_those_of_backpropagation_through_the_blocks(name):
    x, t = inputs()
    network = stirred(name, num_blocks=300)
    implicit, epsilon = gradients(network, x, t), network(x, t)
    network.gradients = "unrolled"
    unrolled = gradients(network, x, t)
    assert relative_error(network(x, t).detach(), epsilon.detach()) < 1e-8
    for weight, gradient in implicit.items():
        assert relative_error(unrolled[weight], gradient) < 1e-6, weight
        assert bool((gradient != 0).any()), weight


def test_solves_pass_gradcheck():
    """Against finite differences, in the data and in the covariances; two equal eigenvalues do no harm."""
    x, t = inputs()
    x.requires_grad_()
    scale, noise = torch.exp(-t), -torch.expm1(-t) + 0.1
    root = torch.randn(FRAMES * FEATURES, FRAMES * FEATURES, generator=seeded(2), dtype=torch.float64)
    full = (root @ root.mT / len(root)).requires_grad_()
    temporal, spatial = torch.eye(FRAMES, dtype=torch.float64).requires_grad_(), SIGMA.clone().requires_grad_()

    def symmetric(matrix):
        return (matrix + matrix.mT) / 2

    assert torch.autograd.gradcheck(lambda x, k: solve_dense(x, symmetric(k), scale, noise), (x, full))
    assert torch.autograd.gradcheck(
        lambda x, a, b: solve_separable(x, symmetric(a), symmetric(b), scale, noise), (x, temporal, spatial)
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_record_shows_blocks_that_converge_as_proven(name):
    x, t = inputs()
    network = stirred(name, num_blocks=24)
    record = network.record(x, t)
    weights, values = network.heads.weights_and_values()
    y = x if network.mean is None else x - torch.exp(-t / 2)[:, None, None] * network.mean
    spectrum = torch.linalg.eigvalsh(network.covariance())
    low, high = (torch.exp(-t) * end - torch.expm1(-t) for end in (spectrum[0].clamp_min(0), spectrum[-1]))
    bound = iterations.residual_bound("chebyshev", high / low, 24)
    assert len(record.blocks) == 24
    for block in record.blocks:
        assert torch.equal(block.weights[0], weights)
        assert block.stream.shape == (BATCH, FRAMES, 2 * FEATURES)
    solution = record.blocks[-1].stream[..., :FEATURES]
    product = torch.einsum("mij,bjc,mac->bia", weights, solution, values)
    residual = y - torch.exp(-t)[:, None, None] * product + torch.expm1(-t)[:, None, None] * solution
    assert bool((residual.flatten(1).norm(dim=1) <= bound * y.flatten(1).norm(dim=1) * (1 + 1e-9) + 1e-12).all())
    network.gradients = "unrolled"
    torch.testing.assert_close(network(x, t), record.epsilon)


def test_weights_that_are_not_finite_give_nan_and_no_foreign_error():
    network = stirred("three heads")
    network.heads.real.data[0, 0, 0] = math.inf
    assert bool(network(*inputs()).isnan().all())


# --- laws ---------------------------------------------------------------------------------------------------------


def law_kl(law, network):
    """KL(law | network's law) at t = 0.01."""
    scale, noise = math.exp(-0.01), 1 - math.exp(-0.01)
    identity = torch.eye(law.num_frames * law.num_features, dtype=torch.float64)
    p, q = (
        DenseGaussian(scale * k.detach() + noise * identity, law.num_features)
        for k in (law.covariance(), network.covariance())
    )
    return metrics.gaussian_kl(p, q)


def block_toeplitz():
    lagged = UnrolledTransformer(FRAMES, FEATURES, values="lag").double()
    with torch.no_grad():
        for parameter in lagged.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=seeded(4), dtype=parameter.dtype)
    return BlockToeplitzSequence(lagged.heads.values().detach())


LAWS = {
    "exponential": (ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=FRAMES), {}),
    "smooth": (ks.GaussianSequence(PowerExponential(4.0, 2.0), SIGMA, times=FRAMES), {}),
    "spectral line": (ks.GaussianSequence(Cosine(5.3) + 0.01 * White(), SIGMA, times=16), {}),
    "irregular": (ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=TIMES), {"times": TIMES}),
    "unlike variances": (
        SeparableGaussian(torch.diag(torch.arange(1.0, 7.0)).double() + 0.5, SIGMA),
        {"positions": "absolute"},
    ),
    "two terms": (
        KroneckerSum([(PowerExponential(3.0), SIGMA), (Cosine(4.0), torch.eye(2) * 0.5)], times=FRAMES),
        {"heads": 2},
    ),
    "block-Toeplitz": (block_toeplitz(), {"values": "lag"}),
    "large": (ks.GaussianSequence(PowerExponential(3.0), 1e4 * SIGMA, times=FRAMES), {}),
}


@pytest.mark.parametrize("name", LAWS)
def test_from_law_finds_a_law_of_its_class(name):
    law, options = LAWS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UnrolledTransformer.from_law(law, **options)
    assert next(network.parameters()).dtype == torch.float32
    assert law_kl(law, network) < 1e-4


def test_from_law_takes_the_mean():
    mean = torch.arange(12.0).reshape(FRAMES, FEATURES).double()
    law = ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=FRAMES, mean=mean)
    network = UnrolledTransformer.from_law(law).double()
    x, t = inputs()
    expected = -(1 - torch.exp(-t)).sqrt()[:, None, None] * law.score(x, t)
    assert relative_error(network(x, t).detach(), expected) < 1e-3
    with pytest.raises(InputError, match=r'^mean must be "free"'):
        UnrolledTransformer.from_law(law, mean="zero")


# --- learning -----------------------------------------------------------------------------------------------------

PROCESS = ks.GaussianSequence(PowerExponential(4.0), SIGMA, times=8)
QUICK = {"max_steps": 300, "evaluate_every": 300, "validation": 0.02, "warmup_steps": 20, "ema_decay": 0.99}


def learnt(x, process, **options):
    fitted = ks.fit(x, network="unrolled", **{**QUICK, **options})
    return fitted, metrics.score_kl(fitted.score, process, linear=True).value


def test_learns_as_well_as_maximum_likelihood_of_its_class():
    """Seeds are fixed: the ratio is a number, not a chance. Without training the network is bad."""
    x = PROCESS.sample(400, generator=seeded(5)).float()
    law = estimators.StationarySeparable(min_time=0.01).fit(x)
    best = metrics.score_kl(law.score, PROCESS, linear=True).value
    assert learnt(x, PROCESS)[1] < 1.15 * best
    assert learnt(x, PROCESS, max_steps=0)[1] > 100 * best


def test_heads_learn_what_no_separable_law_holds():
    law = KroneckerSum([(PowerExponential(6.0), SIGMA), (Cosine(4.0), torch.diag(torch.tensor([0.1, 1.0])))], times=8)
    x = law.sample(1000, generator=seeded(5)).float()
    separable = estimators.Separable(min_time=0.01).fit(x)
    value = learnt(x, law, network_options={"heads": 3}, max_steps=1200, evaluate_every=1200)[1]
    assert value < 0.2 * metrics.score_kl(separable.score, law, linear=True).value


def test_a_value_for_every_lag_learns_as_well_as_maximum_likelihood_of_its_class():
    """Means over three draws; one value matrix for all lags cannot hold the law."""
    law = KroneckerSum([(PowerExponential(3.0), SIGMA), (Cosine(4.0), torch.diag(torch.tensor([0.1, 1.0])))], times=6)
    errors = []
    for seed in range(3):
        x = law.sample(400, generator=seeded(seed)).float()
        best = metrics.score_kl(estimators.BlockToeplitz(min_time=0.01).fit(x).score, law, linear=True).value
        settings = {"max_steps": 400, "evaluate_every": 400, "batch_size": 256, "generator": seeded(seed)}
        free = learnt(x, law, network_options={"values": "lag"}, **settings)[1]
        errors.append([best, free, learnt(x, law, **settings)[1]])
    best, free, one = np.mean(errors, axis=0)
    assert free < 1.15 * best
    assert one > 5 * free


def test_learns_a_mean():
    mean = torch.linspace(-2, 2, 16).reshape(8, 2).double()
    process = ks.GaussianSequence(PowerExponential(4.0), SIGMA, times=8, mean=mean)
    x = process.sample(400, generator=seeded(5)).float()
    settings = {"max_steps": 800, "evaluate_every": 800}
    assert learnt(x, process, network_options={"mean": "free"}, **settings)[1] < 0.1
    assert learnt(x, process, **settings)[1] > 0.5


def test_fitted_model_comes_back_from_disk_and_draws(tmp_path):
    options = {"heads": 2, "mean": "feature", "times": [0.0, 1, 2, 3, 4, 5, 7, 9]}
    fitted = ks.fit(PROCESS.sample(40), "unrolled", network_options=options, max_steps=5, batch_size=16)
    fitted.save(tmp_path / "run")
    loaded = ks.load(tmp_path / "run")
    x = PROCESS.sample(3)
    assert torch.equal(loaded.score(x, 0.3), fitted.score(x, 0.3))
    assert torch.equal(loaded.sample(2, num_calls=4), fitted.sample(2, num_calls=4))
    assert fitted.sample(2, num_calls=4).shape == (2, 8, 2)


def test_training_learns_nothing_from_estimators():
    """No module of the network or of training imports them."""
    root = Path(ks.__file__).parent
    for path in [*(root / "nn").glob("*.py"), *(root / "training").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            assert "estimators" not in " ".join([*names, module]), path


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 0}, "^heads must be at least 1, got 0"),
        ({"num_frames": 2.5}, "^num_frames must be a whole number"),
        ({"num_features": 0}, "^num_features must be at least 1"),
        ({"num_blocks": 0}, "^num_blocks must be at least 1"),
        ({"positions": "learned"}, "^positions must be one of relative, absolute, got 'learned'"),
        ({"values": "free"}, "^values must be one of head, lag"),
        ({"mean": "yes"}, "^mean must be one of zero, feature, free"),
        ({"gradients": "none"}, "^gradients must be one of implicit, unrolled"),
        ({"values": "lag", "heads": 2}, '^values="lag" goes with'),
        ({"values": "lag", "times": TIMES}, '^values="lag" goes with'),
        ({"positions": "absolute", "times": TIMES}, '^times go with positions="relative"'),
        ({"times": [0.0, 1.0]}, r"^times must have shape \(6,\), got \(2,\)"),
        ({"times": [0.0, 1, 1, 2, 3, 4]}, "^times must be a strictly increasing"),
        ({"times": [0.0, 1, math.nan, 2, 3, 4]}, "^times must be finite"),
        ({"num_frames": 5000}, "^num_frames must be at most 4096, got 5000"),
        ({"num_frames": 2100, "heads": 2}, "^num_frames \\* num_features of several heads must be at most 4096"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises((InputError, TypeError), match=message):
        UnrolledTransformer(**{"num_frames": FRAMES, "num_features": FEATURES, **options})


def masks():
    """Nothing missing, a few entries, whole frames, a whole feature, all but one."""
    mask = torch.rand(BATCH, FRAMES, FEATURES, generator=seeded(3)) < 0.7
    mask[0] = True
    mask[2, 2:5] = False
    mask[3, :, 0], mask[3, :, 1] = False, True
    mask[4] = False
    mask[4, 3, 1] = True
    return mask


def by_brute_force(network, x, t, mask):
    """sigma_t (C_t)_MM^-1 (x - alpha_t mu)_M for each sequence, through which autograd differentiates."""
    covariance, rows = network.covariance(), []
    mean = 0.0 if network.mean is None else network.mean.expand(FRAMES, FEATURES)
    for one, time, there in zip(x, t, mask.flatten(1), strict=True):
        scale, noise = math.exp(-float(time)), -math.expm1(-float(time))
        centred = (one - math.sqrt(scale) * mean).flatten()[there]
        inner = scale * covariance[there][:, there] + noise * torch.eye(int(there.sum()), dtype=x.dtype)
        solved = math.sqrt(noise) * torch.linalg.solve(inner, centred)
        rows.append(torch.zeros(FRAMES * FEATURES, dtype=x.dtype).masked_scatter(there, solved))
    return torch.stack(rows).reshape(x.shape)


@pytest.mark.parametrize("name", VARIANTS)
def test_under_a_mask_it_is_the_score_of_the_entries_that_are_there(name, monkeypatch):
    network, (x, t), mask = stirred(name), inputs(), masks()
    monkeypatch.setattr("kronoscope.nn.unrolled_masked.LARGEST_CHUNK", 2 * FRAMES**2 * FEATURES**2)  # several chunks
    weights = torch.linspace(-1, 2, x.numel(), dtype=x.dtype).reshape(x.shape)
    got, given = [], []
    for forward in (network, lambda *told: by_brute_force(network, *told)):
        network.zero_grad()
        leaf = x.clone().requires_grad_()
        value = forward(leaf, t, mask)
        (value * weights).sum().backward()
        got.append(value.detach())
        given.append({"x": leaf.grad} | {k: p.grad.clone() for k, p in network.named_parameters()})
    assert relative_error(got[0], got[1]) < 1e-10
    for key, gradient in given[0].items():
        assert relative_error(gradient, given[1][key]) < 1e-9, key
    assert torch.equal(got[0] != 0, mask)
    # What stands in the missing entries is never read.
    assert torch.equal(network(torch.where(mask, x, 1e6), t, mask).detach(), got[0])
    whole = network(x, t, torch.ones_like(mask)).detach()
    assert relative_error(whole, network(x, t).detach()) < 1e-12


@pytest.mark.parametrize("name", ["separable", "three heads", "mean by feature"])
def test_masked_blocks_converge_to_the_masked_solution(name):
    network, (x, t), mask = stirred(name), inputs(), masks()
    blocks = stirred(name, gradients="unrolled", num_blocks=400)
    assert relative_error(blocks(x, t, mask).detach(), network(x, t, mask).detach()) < 1e-8
    again = blocks(torch.where(mask, x, 1e6), t, mask).detach()
    assert torch.equal(again, blocks(x, t, mask).detach())
