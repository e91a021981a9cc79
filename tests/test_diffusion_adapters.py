"""score_from: the exact law dressed as a stranger in every convention, and undressed again."""

import math

import pytest
import torch

from kronoscope import diffusion, nn
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

PROCESS = GaussianSequence(
    PowerExponential(3.0),
    torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=torch.float64),
    times=6,
    mean=torch.full((6, 2), 0.3),
)
BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)  # the linear table of Ho et al. 2020
SURVIVAL = torch.cumprod(1 - BETAS, 0)
DDPM = torch.stack([SURVIVAL.sqrt(), (1 - SURVIVAL).sqrt()], dim=1)
COSINE = (lambda tau: (torch.cos(math.pi / 2 * tau), torch.sin(math.pi / 2 * tau)), (0.0, 1.0))
EDM = (lambda tau: (1.0, tau), (0.002, 80.0))
FLOW = (lambda tau: (1 - tau, tau), (0.0, 1.0))
REVERSED_FLOW = (lambda tau: (tau, 1 - tau), (0.0, 1.0))
TIMES = (0.01, 0.1, 0.7, 2.0, 6.0, 8.0)


def stranger(predicts, schedule, layout="bfd"):
    """The exact predictor in a stranger's convention, from dense Gaussian formulas in the stranger's own a and b.

    x~ = a x_0 + b eps is N(a mu, a^2 C + b^2), so E[eps | x~] = b (a^2 C + b^2)^-1 (x~ - a mu).
    """
    covariance, mean = PROCESS.covariance(), PROCESS.mean.reshape(-1)
    to_us = [layout.index(axis) for axis in "bfd"]

    def net(given, tau):
        assert tau.shape == (given.shape[to_us[0]],)
        x = given.permute(to_us).flatten(1)
        a, b = (torch.as_tensor(v, dtype=x.dtype).expand(len(x)) for v in schedule(tau))
        out = []
        for row, p, q in zip(x, a, b, strict=True):
            noised = p**2 * covariance + q**2 * torch.eye(len(covariance), dtype=x.dtype)
            epsilon = q * torch.linalg.solve(noised, row - p * mean)
            denoised = mean + p * covariance @ torch.linalg.solve(noised, row - p * mean)
            kinds = {"epsilon": epsilon, "denoised": denoised, "score": -epsilon / q}
            kinds |= {"velocity": p * epsilon - q * denoised, "flow": epsilon - denoised}
            out.append(kinds[predicts])
        shape = [len(x), 6, 2]
        return torch.stack(out).reshape(shape).permute(["bfd".index(axis) for axis in layout])

    return net


def relative_error(score, t, dtype=torch.float64):
    x = PROCESS.sample(5, generator=torch.Generator().manual_seed(3))
    epsilon = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(4))
    x = diffusion.noise(x, torch.tensor(t, dtype=torch.float64), epsilon)
    truth = PROCESS.score(x, t)
    got = score(x.to(dtype), t)
    assert got.dtype == dtype
    return float((got - truth).norm() / truth.norm())


@pytest.mark.parametrize(
    ("predicts", "layout"),
    [("epsilon", "bdf"), ("denoised", "fbd"), ("score", "dfb"), ("velocity", "bfd"), ("flow", "fdb")],
)
@pytest.mark.parametrize("schedule", [COSINE, EDM, FLOW, REVERSED_FLOW])
def test_continuous_strangers_are_recovered_to_round_off(predicts, schedule, layout):
    function, span = schedule
    score = diffusion.score_from(stranger(predicts, function, layout), predicts, function, layout, time_range=span)
    assert max(relative_error(score, t) for t in TIMES) < 1e-9


@pytest.mark.parametrize("predicts", ["epsilon", "denoised", "score", "velocity"])
def test_our_own_schedule_is_the_default(predicts):
    net = stranger(predicts, lambda t: (diffusion.alpha(t), diffusion.sigma(t)))
    assert max(relative_error(diffusion.score_from(net, predicts), t) for t in TIMES) < 1e-11


@pytest.mark.parametrize("predicts", ["epsilon", "denoised", "velocity"])
@pytest.mark.parametrize("table", [DDPM, (DDPM[:, 0], DDPM[:, 1]), DDPM.tolist()])
def test_ddpm_steps(predicts, table):
    """1000 integer steps: blending two keeps 3e-4 at every t, the nearest one alone 3e-2."""

    def net(given, step):
        assert step.dtype == torch.int64
        return stranger(predicts, lambda k: DDPM[k].unbind(-1))(given, step)

    blended = diffusion.score_from(net, predicts, table)
    nearest = diffusion.score_from(net, predicts, table, steps="nearest")
    assert max(relative_error(blended, t) for t in TIMES) < 3e-4
    assert max(relative_error(nearest, t) for t in TIMES) < 3e-2


@pytest.mark.parametrize(("share", "nearest"), [(0.0, 200), (0.4, 200), (0.6, 201)])
def test_which_steps_are_called(share, nearest):
    """At a step's own noise level its answer is exact; between two, the nearest in log SNR or both are called."""
    clocks = diffusion.clock(-torch.log(SURVIVAL[200:202]))
    t = float(diffusion.time_from_clock((1 - share) * clocks[0] + share * clocks[1]))
    called = []

    def net(given, k):
        called.append(int(k[0]))
        return stranger("epsilon", lambda k: DDPM[k].unbind(-1))(given, k)

    error = relative_error(diffusion.score_from(net, "epsilon", DDPM, steps="nearest"), t)
    assert called == [nearest]
    assert error < 1e-11 or share
    relative_error(diffusion.score_from(net, "epsilon", DDPM), t)
    assert share == 0 or called[1:] == [200, 201]


def test_blending_is_second_order_and_nearest_first():
    """A table four times as coarse: 16 times the error against 4 times (to 30 %), averaged over t."""

    def mean_error(stride, steps):
        table = DDPM[::stride]
        net = stranger("epsilon", lambda k: table[k].unbind(-1))
        score = diffusion.score_from(net, "epsilon", table, steps=steps)
        grid = diffusion.times_on_clock(0.5, 3.0, 40)
        return sum(relative_error(score, float(t)) for t in grid)

    assert mean_error(40, "interpolated") / mean_error(10, "interpolated") == pytest.approx(16, rel=0.3)
    assert mean_error(40, "nearest") / mean_error(10, "nearest") == pytest.approx(4, rel=0.3)


def test_a_time_for_each_sequence():
    times = torch.tensor([0.05, 0.5, 5.0], dtype=torch.float64)
    x = torch.randn(3, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for net, schedule, span in (
        (stranger("denoised", EDM[0]), *EDM),
        (stranger("denoised", lambda k: DDPM[k].unbind(-1)), DDPM, None),
    ):
        score = diffusion.score_from(net, "denoised", schedule, time_range=span)
        alone = torch.cat([score(x[i : i + 1], float(times[i])) for i in range(3)])
        torch.testing.assert_close(score(x, times), alone, rtol=1e-11, atol=1e-11)


def test_network_of_another_dtype():
    net = stranger("epsilon", EDM[0])

    def single(x, tau):
        assert x.dtype == tau.dtype == torch.float32
        return net(x.double(), tau.double()).float()

    score = diffusion.score_from(single, "epsilon", EDM[0], time_range=EDM[1], dtype=torch.float32)
    assert relative_error(score, 0.5) < 1e-5


def test_zero_terminal_snr_table_leaves_its_last_step_out():
    table = torch.cat([DDPM, torch.tensor([[0.0, 1.0]], dtype=torch.float64)])
    score = diffusion.score_from(stranger("velocity", lambda k: table[k].unbind(-1)), "velocity", table)
    assert relative_error(score, 8.0) < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predicts": "noise"}, "predicts must be one of epsilon, .* got 'noise'"),
        ({"layout": "bfx"}, "layout must order the letters"),
        ({"alpha_sigma": EDM[0]}, "time_range must be given"),
        ({"time_range": (0.0, 1.0)}, "time_range belongs to a function"),
        ({"alpha_sigma": EDM[0], "time_range": (2.0, 1.0)}, "time_range must be"),
        ({"alpha_sigma": lambda s: (1.0, (s - 1) ** 2), "time_range": (0.0, 2.0)}, "only grows or only falls"),
        ({"alpha_sigma": lambda s: s, "time_range": (0.0, 2.0)}, r"must return a pair \(a, b\), got Tensor"),
        ({"alpha_sigma": lambda s: (1.0, -s), "time_range": (0.1, 2.0)}, "b finite and 0 or greater"),
        ({"alpha_sigma": torch.ones(5)}, r"\(steps, 2\) table"),
        ({"alpha_sigma": torch.ones(5, 2)}, "only grows or only falls"),
        ({"alpha_sigma": (torch.ones(5), torch.ones(4))}, "two columns of one length"),
        ({"alpha_sigma": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}, "at least 2 steps"),
        ({"alpha_sigma": DDPM, "steps": "linear"}, "steps must be"),
    ],
)
def test_bad_conventions_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        diffusion.score_from(lambda x, tau: x, **arguments)


def test_times_outside_the_schedule_are_refused():
    table = diffusion.score_from(lambda x, k: x, "epsilon", DDPM)
    with pytest.raises(ValueError, match=r"t must be from 0\.0001 to 10\.12, .* got 11"):
        table(torch.ones(1, 6, 2), 11.0)
    continuous = diffusion.score_from(lambda x, s: x, "epsilon", EDM[0], time_range=(0.1, 10.0))
    with pytest.raises(ValueError, match=r"got 0\.001 to 1"):
        continuous(torch.ones(2, 6, 2), torch.tensor([1.0, 0.001]))
    with pytest.raises(ValueError, match="t must be greater than 0"):
        continuous(torch.ones(2, 6, 2), 0.0)


@pytest.mark.parametrize("built", [nn.MLP(8, 2), nn.UnrolledTransformer(8, 2), nn.LinearScore(8, 2), nn.DiT(8, 2)])
def test_networks_of_another_shape_are_told_what_they_were_given(built):
    words = r"net must take sequences of the shape of x in layout 'bfd', \(3, 6, 2\), but \w+ failed on them: "
    with pytest.raises(ValueError, match=words):
        diffusion.score_from(built)(torch.ones(3, 6, 2), 0.5)
    assert diffusion.score_from(built)(torch.ones(3, 8, 2), 0.5).shape == (3, 8, 2)


def test_networks_that_answer_in_another_shape_are_refused():
    score = diffusion.score_from(lambda x, t: x.transpose(1, 2), "epsilon", layout="bdf")
    with pytest.raises(ValueError, match=r"net must return the shape that it was given, \(1, 2, 6\) in layout 'bdf'"):
        score(torch.ones(1, 6, 2), 0.5)
    with pytest.raises(TypeError, match="net must return a tensor, got tuple"):
        diffusion.score_from(lambda x, t: (x,), "epsilon")(torch.ones(1, 6, 2), 0.5)
    with pytest.raises(ValueError, match="x must have shape"):
        score(torch.ones(6, 2), 0.5)
