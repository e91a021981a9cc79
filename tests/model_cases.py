"""A small process and fits of a dozen steps that the tests of models share."""

import torch

import kronoscope as ks

SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
PROCESS = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), SIGMA, times=4)
TINY = {"width": 8, "num_blocks": 1, "num_heads": 2}
QUICK = {"max_steps": 12, "batch_size": 8, "evaluate_every": 5, "held_out_draws": 64}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def values(n=40):
    return PROCESS.sample(n, generator=seeded(3))


def fitted(x=None, network="position", **options):
    return ks.fit(
        values() if x is None else x, network, **{"generator": seeded(1), "network_options": TINY, **QUICK, **options}
    )


def weights_of(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def assert_same_weights(a, b):
    a, b = weights_of(a), weights_of(b)
    assert set(a) == set(b)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
