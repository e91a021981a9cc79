"""Few sequences for a structure of many parameters: fitted and told in the record, or refused."""

import numpy as np
import pytest
import torch
from model_cases import seeded

import kronoscope as ks
from kronoscope import InputError
from kronoscope.models.sample_size import too_few

QUICK = {"max_steps": 1, "evaluate_every": 1, "held_out_draws": 16, "batch_size": 4}


def notes(network, n, frames=12, features=1, **options):
    x = torch.randn(n, frames, features, generator=seeded(0))
    model = ks.fit(x, network, network_options=options, validation=0.2, generator=seeded(1), **QUICK)
    return model.record.get("notes"), len(model.record["split"]["train"])


@pytest.mark.parametrize(("n", "told"), [(20, True), (29, True), (30, False)])
def test_free_matrices_are_told_where_the_covariance_of_the_training_part_is_singular(n, told):
    """By brute force: the rank of the sample covariance of as many sequences."""
    found, training = notes("linear", n, frames=12, features=2)
    x = torch.randn(training, 24, generator=seeded(2), dtype=torch.float64)
    assert (np.linalg.matrix_rank((x.T @ x).numpy()) < 24) == told
    assert (found is not None) == told
    if told:
        assert f"n = {training} training sequences are fewer than N d = 24" in found[0]
        assert "'linear' fit its noise; take at least 24, or a network with structure" in found[0]


@pytest.mark.parametrize("heads", [1, 2])
def test_absolute_positions_are_told_where_sequences_are_fewer_than_frames(heads):
    found, training = notes("unrolled", 14, positions="absolute", heads=heads)
    assert training == 11
    assert found == [
        "n = 11 training sequences are fewer than N = 12 frames: 78 free parameters are in the temporal covariance of "
        "network 'unrolled' with positions 'absolute', which costs about 78/(2n) = 3.5 nats of score error; "
        "take at least 12, or "
        "positions 'relative', which have 12"
    ]
    assert notes("unrolled", 15, positions="absolute", heads=heads) == (None, 12)


def test_a_value_for_every_lag_is_told_where_sequences_are_fewer_than_its_matrices_need():
    found, training = notes("unrolled", 20, features=3, values="lag")
    assert training == 16
    assert found == [
        "n = 16 training sequences are fewer than 2 d^2 = 18: 105 free parameters are in the lag matrices of network "
        "'unrolled' with values 'lag', which costs about 105/(2n) = 3.3 nats of score error; take at least 18, "
        "or values 'head'"
    ]
    assert notes("unrolled", 23, features=3, values="lag") == (None, 18)
    sequences = torch.randn(40, 12, 3, generator=seeded(0))
    assert ks.estimators.BlockToeplitz(min_time=0.01).fit(sequences).num_parameters == 105


@pytest.mark.parametrize(
    ("network", "options", "least", "words"),
    [
        (
            "linear",
            {},
            13,
            "10 training sequences hold 240 values, fewer than the 300 free parameters of the free matrices",
        ),
        ("unrolled", {"positions": "absolute"}, 4, "3 training sequences hold 72 values, fewer than the 78 free"),
        ("unrolled", {"values": "lag"}, 2, "1 training sequences hold 24 values, fewer than the 47 free parameters"),
    ],
)
def test_fewer_values_than_free_numbers_are_refused(network, options, least, words):
    """Twelve frames of two features: from ``least`` sequences on there are as many values as numbers."""
    built = ks.nn.LinearScore(12, 2) if network == "linear" else ks.nn.UnrolledTransformer(12, 2, **options)
    few = int(words.split()[0])
    with pytest.raises(InputError, match=f"n = {words}.*; take at least {least}, or ") as error:
        too_few(built, few, 12, 2)
    numbers = int(str(error.value).split("fewer than the ")[1].split()[0])
    assert 24 * (least - 1) < numbers <= 24 * least
    assert "training sequences are fewer than" in too_few(built, least, 12, 2)
    assert "training sequences are fewer than" in too_few(built, few, 12, 2, started=True)
    if few > 6:  # a fit needs eight sequences of any network
        x = torch.randn(few + 2, 12, 2, generator=seeded(0))
        with pytest.raises(InputError, match=words.split(",")[0]):
            ks.fit(x, network, network_options=options, validation=2 / (few + 2), **QUICK)


def test_the_number_of_free_numbers_is_that_of_a_symmetric_matrix():
    assert len(np.triu_indices(12)[0]) == 78
    assert ks.estimators.Separable().fit(torch.randn(40, 12, 1, generator=seeded(0))).num_parameters == 78


@pytest.mark.parametrize("network", ["unrolled", "position"])
def test_networks_tied_in_the_lag_are_told_nothing(network):
    options = {} if network == "unrolled" else {"width": 8, "num_blocks": 1, "num_heads": 2}
    assert notes(network, 8, **options)[0] is None


def test_a_module_of_ones_own_is_told_by_what_it_is():
    x = torch.randn(10, 12, 1, generator=seeded(0))
    model = ks.fit(x, ks.nn.LinearScore(12, 1), validation=0.2, **QUICK)
    assert "fewer than N d = 12" in model.record["notes"][0]
