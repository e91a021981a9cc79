"""Where a train step's noise comes from: afresh, in antithetic pairs, or from copies that were drawn once."""

import copy
from dataclasses import replace

import pytest
import torch
from training_cases import QUICK, assert_same, quick, seeded, sequences, small_network

from kronoscope import InputError
from kronoscope.diffusion import alpha, clock, sigma
from kronoscope.training import TrainingConfig, train
from kronoscope.training.loss import FixedNoise


class Listener(torch.nn.Module):
    """The network inside; keeps what it is shown in training."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def __deepcopy__(self, memo):
        return Listener(copy.deepcopy(self.inner, memo))

    def forward(self, x, t):
        self.seen.append((x.detach().clone(), t.detach().clone()))
        return self.inner(x, t)


def shown(**settings):
    """Every batch of a training of 30 steps."""
    listener = Listener(small_network())
    quick(replace(QUICK, **settings), listener)
    assert len(listener.seen) == 30
    return listener.seen


def test_antithetic_batches_are_pairs_with_opposite_noise():
    x, _ = sequences()
    for noised, t in shown(antithetic=True):
        assert torch.equal(t[:4], t[4:])
        a, s = alpha(t[:4])[:, None, None], sigma(t[:4])[:, None, None]
        clean, noise = (noised[:4] + noised[4:]) / 2 / a, (noised[:4] - noised[4:]) / 2 / s
        gaps = (clean[:, None] - x[None]).abs().amax(dim=(2, 3)).min(dim=1).values
        assert float(gaps.max()) < 1e-3
        assert 0.4 < float(noise.std()) < 1.6


def distinct(seen):
    return {
        (round(float(t), 6), *(round(v, 4) for v in x.flatten().tolist())) for xs, ts in seen for x, t in zip(xs, ts)
    }


def test_noise_drawn_once_shows_the_same_noised_sequences_again():
    """30 batches of 8 from 40 sequences: afresh all 240 differ."""
    assert len(distinct(shown())) == 240
    assert 35 <= len(distinct(shown(noise_draws=1))) <= 40
    assert 70 <= len(distinct(shown(noise_draws=2))) <= 80


def test_fixed_times_are_one_from_each_stratum_for_every_sequence():
    low, high = 0.01, 8.0
    fixed = FixedNoise.draw((6, 3, 2), 5, low, high, seeded(0))
    assert fixed.epsilon.shape == (5, 6, 3, 2)
    share = (clock(fixed.times) - clock(low)) / (clock(high) - clock(low))
    assert torch.equal((share * 5).floor(), torch.arange(5.0).double()[:, None].expand(5, 6))
    index = torch.tensor([3, 3, 0])
    t, epsilon = fixed.of(index, seeded(1))
    for i, time, noise in zip(index, t, epsilon, strict=True):
        number = int((fixed.times[:, i] == time).nonzero())
        assert torch.equal(fixed.epsilon[number, i], noise)


@pytest.mark.parametrize("settings", [{"antithetic": True}, {"noise_draws": 3}])
def test_resume_is_exact(tmp_path, settings):
    config = replace(QUICK, **settings)

    def stop(progress):
        if progress.step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(config, checkpoint=tmp_path, on_progress=stop)
    resumed = train(small_network(9), *sequences(), config, generator=seeded(99), checkpoint=tmp_path, resume=True)
    assert_same(quick(config), resumed)


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="batch_size must be even for antithetic pairs, got 7"):
        TrainingConfig(antithetic=True, batch_size=7)
    with pytest.raises(InputError, match="noise_draws must be"):
        TrainingConfig(noise_draws=0)
    with pytest.raises(InputError, match="noise_draws cannot be combined with"):
        TrainingConfig(noise_draws=2, antithetic=True)
    config = TrainingConfig(antithetic=True)
    assert TrainingConfig.from_json(config.to_json()) == config
