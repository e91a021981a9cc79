"""Networks on more frames than they were trained on."""

import pytest
import torch

import kronoscope as ks
from kronoscope import InputError
from kronoscope.models import extended_law, extended_score, spectral_law
from kronoscope.models.extrapolation import padded_network
from kronoscope.nn import PositionTransformer, UNet


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_an_unrolled_network_on_longer_sequences_keeps_its_lags_and_adds_nothing():
    """A Markov law is extended exactly; the spectrum as it is agrees at the trained lags alone."""
    kernel = ks.kernels.PowerExponential(3.0)
    network = ks.nn.UnrolledTransformer.from_law(ks.GaussianSequence(kernel, torch.eye(2), times=6))
    for extended in (extended_law, spectral_law):
        same = extended(network, 6).covariance()
        torch.testing.assert_close(same, network.covariance().detach(), rtol=1e-6, atol=1e-6)
        long = extended(network, 24).covariance()
        torch.testing.assert_close(long[:12, :12], network.covariance().detach(), rtol=1e-6, atol=1e-6)
        assert float(torch.linalg.eigvalsh(long)[0]) > -1e-9
    truth = ks.GaussianSequence(kernel, torch.eye(2), times=24).covariance()
    torch.testing.assert_close(extended_law(network, 24).covariance(), truth, rtol=1e-6, atol=1e-6)
    gap, spectral = (float((law(network, 24).covariance() - truth).norm()) for law in (extended_law, spectral_law))
    assert spectral > 1000 * gap
    with pytest.raises(InputError, match="network must have one head"):
        extended_law(ks.nn.UnrolledTransformer(6, 2, heads=2), 12)
    with pytest.raises(
        InputError, match=r"learnt must be a Gaussian law with a separable covariance .*, got DenseGaussian"
    ):
        extended_law(ks.processes.DenseGaussian(torch.eye(4), 2), 12)


def test_a_padded_position_network_is_the_same_where_it_was_trained():
    torch.manual_seed(0)
    network = PositionTransformer(6, 2, width=8, num_blocks=2, num_heads=2)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x, t = torch.randn(3, 6, 2), torch.tensor([0.1, 1.0, 5.0])
    torch.testing.assert_close(padded_network(network, 6)(x, t), network(x, t))
    larger = padded_network(network, 15)
    tables = [(a.lag_table, b.lag_table) for a, b in zip(network.blocks, larger.blocks, strict=True)]
    for short, long in tables:
        assert torch.equal(long[:, 9:-9], short)
        assert torch.count_nonzero(long[:, :9]) + torch.count_nonzero(long[:, -9:]) == 0


def test_what_can_run_on_more_frames_and_what_cannot():
    x = torch.randn(2, 12, 2, generator=seeded(0))
    for network in (UNet(6, 2, width=8, num_heads=2), PositionTransformer(6, 2, width=8, num_blocks=1, num_heads=2)):
        assert extended_score(network, 12)(x, 0.5).shape == x.shape
    with pytest.raises(InputError, match=r"tied in the lag to run on 12 frames .* got DiT: train it"):
        extended_score(ks.nn.DiT(6, 2, width=8, num_heads=2), 12)
    with pytest.raises(InputError, match="frames must be"):
        extended_score(UNet(6, 2, width=8, num_heads=2), 0)
    with pytest.raises(InputError, match="frames must be"):
        extended_law(ks.nn.UnrolledTransformer(6, 2), 0)


@pytest.mark.parametrize("name", ["unrolled", "position", "unet"])
def test_a_fitted_model_is_extended_and_keeps_its_score_at_its_own_length(name):
    x = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), torch.eye(2), times=6).sample(60).float()
    model = ks.fit(x, name, max_steps=3, held_out_draws=32, batch_size=16, progress=False)
    y = torch.randn(3, 6, 2, generator=seeded(1))
    for t in (0.1, 2.0):
        torch.testing.assert_close(extended_score(model, 6)(y, t), model.score(y, t), rtol=1e-4, atol=1e-5)
    assert ks.models.extended_score(model, 12)(torch.zeros(1, 12, 2), 0.5).shape == (1, 12, 2)


def test_an_unrolled_network_on_fewer_frames_has_their_marginal_law():
    process = ks.GaussianSequence(ks.kernels.Matern(3.0, 1.5), torch.eye(2), times=8)
    network = ks.nn.UnrolledTransformer.from_law(process)
    law = extended_law(network, 5).covariance()
    torch.testing.assert_close(law, network.covariance().detach()[:10, :10], rtol=1e-6, atol=1e-6)
