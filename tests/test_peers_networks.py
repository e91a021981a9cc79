"""Outside networks as scores: diffusers' own models and schedulers, and azula's convention."""

import math
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet1DModel
from diffusers.models.unets.unet_1d import UNet1DOutput
from tolerances import EXACT, relative_error

import kronoscope as ks
from kronoscope import diffusion
from kronoscope.kernels import PowerExponential

PROCESS = ks.GaussianSequence(
    PowerExponential(3.0),
    torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=torch.float64),
    times=4,
    mean=torch.full((4, 2), 0.3),
)
# What diffusers calls a prediction, and what score_from does.
NAMES = {"epsilon": "epsilon", "sample": "denoised", "v_prediction": "velocity"}
LINEAR = DDPMScheduler(clip_sample=False)
COSINE = DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False)
ZERO_SNR = DDIMScheduler(rescale_betas_zero_snr=True, clip_sample=False)


def table(scheduler):
    return scheduler.alphas_cumprod.sqrt(), (1 - scheduler.alphas_cumprod).sqrt()


def draws(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def exact(given, a, b):
    """E[x_0 | x~] and E[eps | x~] for x~ = a x_0 + b eps, (batch, frames, features), by dense Gaussian formulas."""
    covariance, mean = PROCESS.covariance(), PROCESS.mean.reshape(-1)
    noised = a.reshape(-1, 1, 1) ** 2 * covariance + b.reshape(-1, 1, 1) ** 2 * torch.eye(8, dtype=torch.float64)
    pulled = torch.linalg.solve(noised, given.flatten(1) - a.reshape(-1, 1) * mean)
    denoised = mean + a.reshape(-1, 1) * pulled @ covariance
    return denoised.reshape(given.shape), (b.reshape(-1, 1) * pulled).reshape(given.shape)


class ExactModel:
    """The exact predictor, called as diffusers' 1-D models are: (batch, channels, length), integer steps, an output."""

    def __init__(self, scheduler, prediction="epsilon"):
        self.scheduler, self.prediction = scheduler, prediction

    def __call__(self, sample, timestep, return_dict=True):
        a, b = (column.double()[timestep] for column in table(self.scheduler))
        denoised, epsilon = exact(sample.transpose(1, 2), a, b)
        velocity = self.scheduler.get_velocity(denoised, epsilon, timestep)
        kinds = {"epsilon": epsilon, "sample": denoised, "v_prediction": velocity}
        out = kinds[self.prediction].transpose(1, 2)
        return UNet1DOutput(sample=out) if return_dict else (out,)


def score_of(model, scheduler, prediction="epsilon", **options):
    return ks.score_from(lambda x, k: model(x, k).sample, NAMES[prediction], table(scheduler), "bdf", **options)


def kl(score):
    return ks.metrics.score_kl(score, PROCESS, linear=True, dtype=torch.float64).value


@pytest.mark.parametrize("prediction", NAMES)
@pytest.mark.parametrize("kind", [DDPMScheduler, DDIMScheduler])
def test_unet_against_its_scheduler(kind, prediction):
    """At a step's own noise level: the input is what add_noise makes, the score that of pred_original_sample."""
    scheduler = kind(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(1000)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        unet = UNet1DModel(
            sample_size=16,
            block_out_channels=(8, 16),
            down_block_types=("DownResnetBlock1D", "DownResnetBlock1D"),
            up_block_types=("UpResnetBlock1D",),
            mid_block_type="MidResTemporalBlock1D",
            out_block_type="OutConv1DBlock",
            time_embedding_type="positional",
            use_timestep_embedding=True,
            act_fn="mish",
        ).eval()
    x0, noise = draws(3, 16, 2), draws(3, 16, 2, seed=1)
    steps = torch.tensor([20, 400, 900])
    level = scheduler.alphas_cumprod[steps].double()
    times = -torch.log(level)
    x = diffusion.noise(x0, times, noise)
    given = scheduler.add_noise(x0, noise, steps)
    assert relative_error(x, given) < EXACT[torch.float32]  # diffusers' table is in float32
    with torch.no_grad():
        output = unet(given.transpose(1, 2).float(), steps).sample
        got = score_of(unet, scheduler, prediction, dtype=torch.float32)(x, times)
    for k in range(3):
        stepped = scheduler.step(output[k : k + 1], int(steps[k]), given[k : k + 1].transpose(1, 2))
        denoised = stepped.pred_original_sample[0].T
        by_hand = -(x[k] - level[k].sqrt() * denoised) / (1 - level[k])
        # x - alpha D cancels at little noise: 1/sigma times the round-off of the inputs.
        assert relative_error(got[k], by_hand) < EXACT[torch.float32] / (1 - level[k]).sqrt()


@pytest.mark.parametrize("prediction", NAMES)
@pytest.mark.parametrize("scheduler", [LINEAR, COSINE, ZERO_SNR])
def test_the_exact_model_costs_nothing(scheduler, prediction):
    """What is left is the interpolation of integer steps, of second order: 5e-10 nats; the nearest one costs 2e-5."""
    model = ExactModel(scheduler, prediction)
    assert kl(score_of(model, scheduler, prediction)) < 1e-8
    assert 1e-6 < kl(score_of(model, scheduler, prediction, steps="nearest")) < 1e-4


def test_another_schedulers_table_is_seen():
    assert kl(score_of(ExactModel(LINEAR), COSINE)) > 0.1


def test_flow_matching():
    """x~ = (1 - s) x_0 + s eps, the network told 1000 s; one Euler step to s = 0 is the posterior mean."""

    def model(sample, timestep):
        noise_share = timestep / 1000
        denoised, epsilon = exact(sample, 1 - noise_share, noise_share)
        return epsilon - denoised

    score = ks.score_from(lambda x, s: model(x, 1000 * s), "flow", lambda s: (1 - s, s), time_range=(1e-3, 1.0))
    assert kl(score) < 1e-20
    share = 0.25
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[share])
    given = scheduler.scale_noise(draws(3, 4, 2), scheduler.timesteps, draws(3, 4, 2, seed=1))
    assert relative_error(given, (1 - share) * draws(3, 4, 2) + share * draws(3, 4, 2, seed=1)) < EXACT[torch.float64]
    velocity = model(given, scheduler.timesteps.double().expand(3))
    stepped = scheduler.step(velocity, scheduler.timesteps[0], given).prev_sample
    t = float(diffusion.time_from_clock(2 * math.log(share / (1 - share))))
    x = given / math.hypot(share, 1 - share)
    by_score = (x + diffusion.sigma_squared(t) * score(x, t)) / diffusion.alpha(t)
    assert relative_error(by_score, stepped) < EXACT[torch.float32]  # the scheduler steps in float32


@pytest.mark.parametrize("one_time", [False, True])
def test_azulas_convention(one_time):
    """azula's VPSchedule (a^2 + b^2 is 1 + 1e-6) and a denoiser that returns a posterior, written out.

    Its package needs torchvision, so it is no dependency, even of the tests. Its networks take a time a sequence, its
    GaussianDenoiser one number for all.
    """

    def schedule(t):
        a = torch.exp(t**2 * math.log(1e-3))
        return a, torch.sqrt(1 - a**2 + 1e-3**2)

    def denoiser(x_t, t):
        a, b = (value.expand(len(x_t)) for value in schedule(t))
        return SimpleNamespace(mean=exact(x_t, a, b)[0])

    score = ks.score_from(
        lambda x, t: denoiser(x, t[0] if one_time else t).mean, "denoised", schedule, time_range=(0.0, 1.0)
    )
    assert kl(score) < 1e-20
