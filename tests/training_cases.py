"""A process, a network and a training of 30 steps that the tests of training share."""

import torch

from kronoscope.kernels import PowerExponential
from kronoscope.nn import PositionTransformer
from kronoscope.processes import GaussianSequence
from kronoscope.training import TrainingConfig, train

PROCESS = GaussianSequence(PowerExponential(3.0), torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64), times=4)
QUICK = TrainingConfig(max_steps=30, batch_size=8, warmup_steps=5, evaluate_every=10, held_out_draws=64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def small_network(seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PositionTransformer(4, 2, width=8, num_blocks=1, num_heads=2, **options)


def sequences(n=40, m=16):
    x = PROCESS.sample(n + m, generator=seeded(3)).float()
    return x[:n], x[n:]


def quick(config=QUICK, network=None, **options):
    return train(network or small_network(), *sequences(), config, generator=seeded(1), **options)


def untimed(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def assert_same(a, b):
    assert a.best_step == b.best_step
    assert a.steps == b.steps
    assert a.stopped == b.stopped
    assert untimed(a.history) == untimed(b.history)
    for name, value in a.network.state_dict().items():
        assert torch.equal(value, b.network.state_dict()[name]), name
