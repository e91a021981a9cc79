"""What tells the heads of an unrolled transformer apart shrinks in training, towards one Kronecker product."""

import pytest
import torch

from kronoscope.nn import UnrolledTransformer
from kronoscope.training import TrainingConfig, TrainingState


@pytest.mark.parametrize(
    ("options", "name"), [({"heads": 3}, "deviation"), ({"heads": 2, "positions": "absolute"}, "log_scale")]
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_what_tells_heads_apart_in_time_has_a_decay_of_its_own(options, name, weight_decay):
    network = UnrolledTransformer(6, 2, **options)
    config = TrainingConfig(weight_decay=weight_decay)
    state = TrainingState.start(network, config, torch.Generator().manual_seed(0))
    decays = {id(p): group["weight_decay"] for group in state.optimizer.param_groups for p in group["params"]}
    assert len(decays) == len(list(network.parameters()))
    for key, parameter in network.named_parameters():
        others = weight_decay if parameter.ndim >= 2 else 0.0
        assert decays[id(parameter)] == (0.05 if key == f"heads.{name}" else others)


def test_a_lone_head_does_not_shrink():
    assert UnrolledTransformer(6, 2).heads.shrinkage() == {}
    assert UnrolledTransformer(6, 2, positions="absolute").heads.shrinkage() == {}


def test_without_what_shrinks_the_covariance_is_one_kronecker_product_if_it_is_symmetric_in_time():
    torch.manual_seed(0)
    heads = UnrolledTransformer(6, 2, heads=3).heads
    for parameter in heads.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    heads.imaginary.data.zero_()

    def kronecker_rank():
        blocks = heads.covariance().detach().reshape(6, 2, 6, 2).permute(0, 2, 1, 3).reshape(36, 4)
        return int(torch.linalg.matrix_rank(blocks, rtol=1e-9))

    assert kronecker_rank() > 1
    for parameter in heads.shrinkage():
        parameter.data.zero_()
    assert kronecker_rank() == 1
