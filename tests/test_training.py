"""Denoising score matching: the loss against theory, the loop against its rules."""

import copy
import json
import math
import types
from dataclasses import replace

import pytest
import scipy.stats
import torch
from tolerances import STANDARD_ERRORS
from torch import nn
from training_cases import PROCESS, QUICK, assert_same, quick, seeded, sequences, small_network

from kronoscope import DivergenceError, InputError, diffusion, metrics, models
from kronoscope.kernels import PowerExponential
from kronoscope.nn import MLP, DiT
from kronoscope.processes import GaussianSequence
from kronoscope.training import (
    HeldOutLoss,
    TrainingConfig,
    choose_device,
    denoising_loss,
    draw_times,
    loop,
    loss,
    lr_schedule,
    train,
)


class Clock:
    """time.monotonic that moves only when told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=fake.monotonic))
    return fake


@pytest.fixture
def optimizer_steps(monkeypatch):
    """(learning rate, norm of the gradient that the optimiser sees) of every train step."""
    seen = []
    real = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        seen.append((self.param_groups[0]["lr"], float(torch.cat(gradients).norm())))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return seen


# --- the loss -----------------------------------------------------------------------------------------------------


def test_times_are_uniform_on_the_clock_with_one_in_each_stratum():
    low, high = (float(diffusion.clock(t)) for t in (1e-2, 8.0))
    share = (diffusion.clock(draw_times(64, 1e-2, 8.0, generator=seeded(0))) - low) / (high - low)
    assert torch.equal((share * 64).floor(), torch.arange(64, dtype=torch.float64))
    generator = seeded(1)
    within = torch.stack([draw_times(4, 1e-2, 8.0, generator=generator) for _ in range(2000)])
    within = ((diffusion.clock(within) - low) / (high - low) * 4) % 1
    assert scipy.stats.kstest(within.flatten().numpy(), "uniform").pvalue > 1e-4


def exact_epsilon(x, t):
    return diffusion.epsilon_from_score(PROCESS.score(x, t), x, t)


def white_epsilon(x, t):
    return diffusion.sigma(t)[:, None, None] * x


@pytest.mark.parametrize("t", [0.02, 0.3, 2.0])
def test_loss_of_the_exact_epsilon_is_its_minimum(t):
    """Cov(epsilon | x) = I - sigma^2 C_t^-1, so the least is 1 - sigma^2 tr(C_t^-1) / (N d)."""
    n = 20_000
    x0 = PROCESS.sample(n, generator=seeded(0))
    epsilon = torch.randn(x0.shape, dtype=x0.dtype, generator=seeded(1))
    times = torch.full((n,), t, dtype=torch.float64)
    loss = float(denoising_loss(exact_epsilon, x0, times, epsilon))
    a, s = math.exp(-t), 1 - math.exp(-t)
    noised = a * PROCESS.covariance() + s * torch.eye(8, dtype=torch.float64)
    least = 1 - s * float(torch.linalg.inv(noised).trace()) / 8
    parts = zip(x0.split(100), times.split(100), epsilon.split(100), strict=True)
    each = torch.stack([denoising_loss(exact_epsilon, *part) for part in parts])
    assert abs(loss - least) < STANDARD_ERRORS * float(each.std()) / math.sqrt(len(each))
    assert float(denoising_loss(white_epsilon, x0, times, epsilon)) > loss * 1.02


def test_held_out_loss_is_score_kl_up_to_a_constant():
    """Two scores' held-out losses differ by the difference of their errors in nats; the exact one has none."""
    low, high = 0.01, 6.0
    x = PROCESS.sample(20_000, generator=seeded(0))
    evaluate = HeldOutLoss.draw(x, low, high, num_draws=20_000, generator=seeded(1))
    other = GaussianSequence(PowerExponential(2.0), torch.eye(2, dtype=torch.float64), times=4)

    def other_epsilon(x, t):
        return diffusion.epsilon_from_score(other.score(x, t), x, t)

    for epsilon, score in [(white_epsilon, lambda x, t: -x), (other_epsilon, other.score)]:
        error = metrics.score_kl(score, PROCESS, low, high, linear=True, dtype=torch.float64).value
        wrong, right = (
            (e(evaluate.noised, evaluate.times) - evaluate.epsilon).square().sum(dim=(1, 2))
            for e in (epsilon, exact_epsilon)
        )
        standard_error = 0.5 * evaluate.clock_span * float((wrong - right).std()) / math.sqrt(len(x))
        assert abs(evaluate(epsilon) - evaluate(exact_epsilon) - error) < STANDARD_ERRORS * standard_error
        assert error > 5 * STANDARD_ERRORS * standard_error  # so that the test can fail


def test_held_out_loss_does_not_depend_on_the_chunk_and_repeats():
    _, held_out = sequences()
    draws = [HeldOutLoss.draw(held_out, 0.01, 8.0, num_draws=100, generator=seeded(1)) for _ in range(2)]
    network = small_network()
    values = [draws[0](network, chunk=7), draws[0](network), draws[1](network)]
    assert values[1] == values[2]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize(("n", "num_draws", "total"), [(16, 64, 64), (16, 1, 1), (3, 64, 63), (16, 20, 16)])
def test_held_out_draws_use_each_sequence_equally_often(n, num_draws, total):
    """x_0 is told apart by its value: alpha x_0 + sigma epsilon - sigma epsilon, over alpha."""
    x = torch.arange(float(n), dtype=torch.float64)[:, None, None].expand(n, 4, 2)
    draw = HeldOutLoss.draw(x, 0.01, 6.0, num_draws=num_draws, generator=seeded(0))
    alpha, sigma = (f(draw.times)[:, None, None] for f in (diffusion.alpha, diffusion.sigma))
    found = ((draw.noised - sigma * draw.epsilon) / alpha).mean(dim=(1, 2)).round()
    counts = torch.bincount(found.long(), minlength=n)
    assert len(draw.times) == total
    assert set(counts.tolist()) <= {total // n, -(-total // n)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_held_out_noise_is_the_same_on_cuda():
    _, held_out = sequences()
    here = HeldOutLoss.draw(held_out, 0.01, 8.0, num_draws=100, generator=seeded(1))
    there = HeldOutLoss.draw(held_out.cuda(), 0.01, 8.0, num_draws=100, generator=seeded(1))
    assert torch.equal(here.epsilon, there.epsilon.cpu())
    assert torch.equal(here.times, there.times.cpu())


class Wrong(nn.Module):
    """A network that returns what it should not."""

    def __init__(self, answer):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.answer = answer

    def forward(self, x, t):
        return self.answer(self.weight * x)


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (lambda x: x[..., :1], r"\(8, 4, 1\)"),
        (lambda x: x.mean(), r"\(\)"),
        (lambda x: (x, None), "tuple"),
    ],
)
def test_a_network_whose_answer_would_broadcast_is_refused(answer, came):
    with pytest.raises(InputError, match=f"network must return a tensor of the shape of x, .*got {came}"):
        quick(network=Wrong(answer))


def test_a_network_built_for_another_shape_is_told_what_it_was_given():
    x = torch.randn(20, 6, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"of the shape of x, \(\d+, 6, 2\), but MLP failed on them: mat1 and"):
        models.fit(x, MLP(8, 2), max_steps=2, batch_size=4)


# --- the loop -----------------------------------------------------------------------------------------------------


def test_learning_rate_schedule():
    assert lr_schedule(0.0, 0, 10) == pytest.approx(0.1)
    assert lr_schedule(0.0, 9, 10) == lr_schedule(0.0, 0, 0) == 1.0
    assert lr_schedule(0.5, 100, 10) == pytest.approx(0.5)
    assert lr_schedule(1.0, 100, 10) == lr_schedule(1.7, 100, 10) == 0.0


def test_the_schedule_and_the_clipping_reach_the_optimizer(optimizer_steps):
    quick(replace(QUICK, clip_norm=0.01))
    rates, norms = zip(*optimizer_steps, strict=True)
    wanted = [2e-3 * min(1, (k + 1) / 5) * 0.5 * (1 + math.cos(math.pi * k / 30)) for k in range(30)]
    assert rates == pytest.approx(wanted)
    assert max(norms) <= 0.01 * (1 + 1e-5)
    assert max(norms) > 0.0099


def test_max_seconds_finishes_the_schedule(clock, optimizer_steps):
    told = []

    def second(progress):
        told.append(progress)
        clock.now += 1.0

    result = quick(replace(QUICK, max_steps=1000, max_seconds=20.0), on_progress=second)
    assert (result.steps, result.stopped, result.seconds) == (20, "max_seconds", 20.0)
    assert [row["step"] for row in result.history] == [10, 20]
    assert optimizer_steps[-1][0] == pytest.approx(2e-3 * 0.5 * (1 + math.cos(math.pi * 19 / 20)))
    assert told[10].steps_per_second == pytest.approx(1.1)  # 11 steps in the 10 seconds before the eleventh report
    assert told[10].seconds_left == pytest.approx(10.0)
    assert told[10].fraction == pytest.approx(0.5)


def test_rate_after_a_resume_counts_from_the_resume(clock, tmp_path):
    told = []

    def second(progress):
        told.append(progress)
        clock.now += 1.0
        if progress.step == 15 and not told[0].step > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(checkpoint=tmp_path, on_progress=second)
    clock.now += 1000.0
    told.clear()
    result = quick(checkpoint=tmp_path, resume=True, on_progress=second)
    assert told[-1].step == 30
    assert told[-1].steps_per_second == pytest.approx(15 / 14)
    assert result.seconds == 30.0


def test_moving_average_against_the_recursion():
    network, weights, averages = small_network(), [], []
    quick(
        replace(QUICK, evaluate_every=1, ema_decay=0.7),
        network,
        on_progress=lambda _: weights.append([p.detach().double().clone() for p in network.parameters()]),
        on_evaluation=lambda average, _: averages.append([p.detach().double().clone() for p in average.parameters()]),
    )
    expected = weights[0]
    for k, (now, got) in enumerate(zip(weights, averages, strict=True)):
        if k:
            decay = min(0.7, (k + 1) / (k + 10))
            expected = [decay * a + (1 - decay) * w for a, w in zip(expected, now, strict=True)]
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class Normalised(nn.Module):
    """A network with buffers that are no parameters: running moments, and a count."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.linear = nn.Linear(9, 8)

    def forward(self, x, t):
        return self.linear(torch.cat([self.norm(x.flatten(1)), t[:, None]], dim=1)).view_as(x)


def test_a_strangers_network_with_running_moments(tmp_path):
    """t comes in the dtype of x, as a plain Linear needs it; buffers follow the network, also over a resume."""
    torch.manual_seed(0)
    start = Normalised()
    network = copy.deepcopy(start)
    modes = []
    whole = quick(network=network, on_evaluation=lambda average, _: modes.append(average.training))
    assert modes == [False] * 3
    assert whole.best_step == 30
    assert int(whole.network.norm.num_batches_tracked) == 30
    assert torch.equal(whole.network.norm.running_var, network.norm.running_var)
    assert not torch.equal(whole.network.linear.weight, network.linear.weight)

    def stop(progress):
        if progress.step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(network=copy.deepcopy(start), checkpoint=tmp_path, on_progress=stop)
    assert_same(whole, quick(network=copy.deepcopy(start), checkpoint=tmp_path, resume=True))


def test_the_last_weights_are_kept_where_that_is_asked_for():
    torch.manual_seed(0)
    x, held_out = sequences(6, 50)
    config = replace(QUICK, max_steps=300, learning_rate=1e-2, ema_decay=0.5, held_out_draws=500, keep="last")
    result = train(DiT(4, 2, width=32, num_blocks=2), x, held_out, config)
    losses = [row["held_out_loss"] for row in result.history]
    assert result.best_step == 300 == result.steps
    assert min(losses) < losses[-1] - 0.1  # so that the best and the last differ here
    with pytest.raises(InputError, match='patience needs keep="best"'):
        replace(config, patience=3)
    with pytest.raises(InputError, match=r"keep must be .* got 'worst'"):
        replace(config, keep="worst")


def test_early_stopping_keeps_the_best():
    """A big network on 6 sequences overfits: the held-out loss turns, and the weights of its lowest value are kept."""
    torch.manual_seed(0)
    x, held_out = sequences(6, 50)
    config = replace(QUICK, max_steps=600, learning_rate=1e-2, ema_decay=0.5, held_out_draws=500, patience=2)
    seen = {}
    network = DiT(4, 2, width=32, num_blocks=2)
    result = train(
        network,
        x,
        held_out,
        config,
        on_evaluation=lambda average, step: seen.update({step: copy.deepcopy(average.state_dict())}),
    )
    losses = {row["step"]: row["held_out_loss"] for row in result.history}
    assert result.stopped == "patience"
    assert result.best_step == min(losses, key=losses.get)
    assert result.steps == result.best_step + 2 * 10 < 600
    for name, value in result.network.state_dict().items():
        assert torch.equal(value, seen[result.best_step][name])
    assert not result.network.training
    assert not any(p.requires_grad for p in result.network.parameters())


def test_training_goes_below_the_white_answer_and_repeats():
    config = replace(QUICK, max_steps=150, batch_size=32, learning_rate=1e-2, held_out_draws=512)
    before = copy.deepcopy(torch.get_rng_state())
    a, b = quick(config), quick(config)
    assert torch.equal(before, torch.get_rng_state())
    assert_same(a, b)
    white = quick(replace(config, max_steps=0))
    assert a.history[-1]["held_out_loss"] < white.history[0]["held_out_loss"] - 0.3
    other = train(small_network(), *sequences(), config, generator=seeded(2))
    assert other.history[-1]["train_loss"] != a.history[-1]["train_loss"]


def test_no_steps_leave_the_network_that_came(tmp_path):
    start = small_network()
    result = quick(replace(QUICK, max_steps=0), copy.deepcopy(start), checkpoint=tmp_path)
    assert (result.steps, result.best_step, result.stopped) == (0, 0, "max_steps")
    assert [set(row) for row in result.history] == [{"step", "seconds", "held_out_loss"}]
    json.dumps(result.history, allow_nan=False)
    for name, value in start.state_dict().items():
        assert torch.equal(value, result.network.state_dict()[name])


def test_the_last_step_is_evaluated_once():
    assert [row["step"] for row in quick(replace(QUICK, max_steps=25)).history] == [10, 20, 25]
    assert [row["step"] for row in quick().history] == [10, 20, 30]


def test_divergence_is_an_error_that_names_the_step():
    with pytest.raises(DivergenceError, match=r"training diverged (at|by) step \d+.*\S") as error:
        quick(replace(QUICK, learning_rate=1e6, max_steps=300))
    assert "\n" not in str(error.value)


def test_frozen_weights_stay_and_none_to_train_is_refused():
    network = small_network()
    network.enter.requires_grad_(False)
    before = network.enter.weight.clone()
    assert torch.equal(quick(network=network).network.enter.weight, before)
    with pytest.raises(InputError, match="network must have parameters that can be trained"):
        quick(network=small_network().requires_grad_(False))


def test_bfloat16_autocast_trains_float32_weights():
    inside = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_network()

        def forward(self, x, t):
            inside.append(self.inner.enter(x).dtype)
            return self.inner(x, t)

    config = replace(QUICK, precision="bfloat16", learning_rate=1e-2, max_steps=60)
    result = quick(config, Spy())
    plain = quick(replace(config, precision="float32"))
    assert set(inside) == {torch.bfloat16, torch.float32}  # train steps, and evaluations in full precision
    assert {p.dtype for p in result.network.parameters()} == {torch.float32}
    assert result.history[-1]["held_out_loss"] == pytest.approx(plain.history[-1]["held_out_loss"], rel=0.02)
    assert result.history[-1]["held_out_loss"] != plain.history[-1]["held_out_loss"]


def test_compile_is_asked_for_the_training_network_only(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda network: asked.append(network) or network)
    network = small_network()
    quick(replace(QUICK, compile=True), network)
    assert asked == [network]


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"max_steps": -1}, "max_steps must be at least 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"evaluate_every": None}, "evaluate_every must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"learning_rate": math.nan}, "learning_rate must be finite"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"weight_decay": -0.1}, "weight_decay must be 0 or greater"),
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and less than 1"),
        ({"ema_decay": "slow"}, "ema_decay must be a number"),
        ({"clip_norm": -1.0}, "clip_norm must be greater than 0"),
        ({"min_time": 0.0}, "min_time must be greater than 0"),
        ({"min_time": 9.0}, "min_time must be less than max_time, got 9 and 8"),
        ({"max_seconds": 0.0}, "max_seconds must be greater than 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"precision": "float16"}, 'precision must be "float32" or "bfloat16"'),
    ],
)
def test_impossible_settings_are_refused_by_name(setting, words):
    with pytest.raises((InputError, TypeError), match=words):
        TrainingConfig(**setting)


def test_settings_round_trip_and_unknown_ones_are_named():
    config = TrainingConfig(max_steps=7, patience=None, max_seconds=3.5)
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(InputError, match="there is no training setting"):
        TrainingConfig.from_json({"lr": 1.0})


def test_sequences_that_cannot_be_trained_on_are_refused():
    x, held_out = sequences()
    holed = x.clone()
    holed[2, 1, 0] = math.nan
    for bad, words in [
        ((x[0], held_out), "x must have shape"),
        ((x, held_out[:, :3]), r"held_out must have shape \(batch, 4, 2\)"),
        ((x[:0], held_out), "the number of sequences in x must be at least 1"),
        ((x, held_out[:0]), "the number of sequences in held_out must be at least 1"),
        ((holed, held_out), "x has missing values, which need .* PositionTransformer needs complete"),
        ((x / 0.0, held_out), "x must be finite"),
        ((torch.full_like(x, math.nan), held_out), "x must have a value in every sequence"),
    ]:
        with pytest.raises(InputError, match=words):
            train(small_network(), *bad, QUICK)
    with pytest.raises(TypeError, match="generator must be a torch"):
        train(small_network(), x, held_out, QUICK, generator=3)


def test_device():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_weights_of_the_denoised_error():
    """Loss times weight is the error of D over the variance of x_0 given x_t, were x_0 white of that scale."""
    t = torch.tensor([0.01, 1.0, 5.0], dtype=torch.float64)
    alpha, sigma = torch.exp(-t / 2), (1 - torch.exp(-t)).sqrt()
    from_epsilon_to_denoised = sigma / alpha
    posterior = 1 / (1 / 0.3**2 + alpha**2 / sigma**2)
    expected = from_epsilon_to_denoised**2 / posterior
    weights = loss.denoised_weights(t, 0.3)
    torch.testing.assert_close(weights / weights[0], expected / expected[0])
    assert float(weights.mean()) == pytest.approx(1)
    x0, epsilon = torch.ones(3, 2, 1), torch.ones(3, 2, 1)
    value = denoising_loss(lambda x, t: torch.zeros_like(x), x0, t, epsilon, torch.tensor([1.0, 2.0, 3.0]))
    assert float(value) == 2.0


def test_emphasis_draws_times_where_it_says():
    """Log ratios are a truncated normal with 80 % between the ends: Kolmogorov-Smirnov on one draw a stratum."""
    low, high, ends = 0.02, 6.0, (0.5, 3.5)
    t = draw_times(4000, low, high, generator=seeded(0), emphasis=ends)
    log_ratio = 0.5 * torch.expm1(t).log().numpy()
    centre, spread = (math.log(0.5) + math.log(3.5)) / 2, math.log(7) / 2 / scipy.stats.norm.ppf(0.9)
    cuts = [(0.5 * math.log(math.expm1(end)) - centre) / spread for end in (low, high)]
    law = scipy.stats.truncnorm(*cuts, loc=centre, scale=spread)
    assert scipy.stats.kstest(log_ratio, law.cdf).statistic < 1 / 4000  # a stratum is that wide
    assert float(t.min()) >= low
    assert float(t.max()) <= high


def test_emphasis_is_checked_and_written_down():
    config = TrainingConfig(emphasis=[0.2, 3.0])
    assert TrainingConfig.from_json(config.to_json()) == config
    with pytest.raises(InputError, match="emphasis must be"):
        TrainingConfig(emphasis=(3.0, 0.2))
