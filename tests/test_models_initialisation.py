"""What the unrolled transformer starts from: the law that it was given, and how far training moved it."""

import pytest
import torch
from model_cases import PROCESS, seeded

import kronoscope as ks
from kronoscope import InputError, estimators, metrics
from kronoscope.models.initialisation import ESTIMATORS, _read, law_of
from kronoscope.nn import MLP
from kronoscope.processes import DenseGaussian

NONE = {"max_steps": 0, "held_out_draws": 64}
SHORT = {"max_steps": 25, "evaluate_every": 25, "held_out_draws": 64, "batch_size": 64, "warmup_steps": 5}


def values(n=200):
    return PROCESS.sample(n, generator=seeded(3))


def learnt(initial, x=None, **options):
    return ks.fit(values() if x is None else x, "unrolled", initial=initial, generator=seeded(1), **{**NONE, **options})


def test_untrained_from_a_law_it_is_that_law():
    model = learnt(PROCESS)
    assert metrics.score_kl(model.score, PROCESS, linear=True).value < 1e-4
    assert model.record["initial"] == {"from": "a law", "kl_moved": pytest.approx(0, abs=1e-12)}
    assert "initial" not in learnt(None).record
    assert metrics.score_kl(learnt(None).score, PROCESS, linear=True).value > 0.1


@pytest.mark.parametrize("gates", ["modulated", "relu"])
def test_untrained_from_a_compiled_network_it_computes_that_networks_score(gates):
    compiled = ks.compile_score(PROCESS, "chebyshev", 1e-2, gates=gates)
    model = learnt(compiled)
    assert metrics.score_kl(model.score, PROCESS, linear=True).value < 5e-3
    assert model.record["initial"]["from"] == "a compiled network"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_law_of_a_compiled_network_of_data_far_from_zero_is_read_off_it(dtype):
    sigma = torch.tensor([[25.0, 10.0], [10.0, 25.0]])
    process = ks.GaussianSequence(ks.kernels.PowerExponential(8.0), sigma, 8, torch.full((8, 2), 280.0))
    law, source = _read(ks.compile_score(process, "spectral", dtype=dtype), values(), 1e-2)
    accuracy = 1e-4 if dtype == torch.float32 else 1e-11
    assert source == "a compiled network"
    torch.testing.assert_close(law.mean, process.mean, rtol=0, atol=accuracy)
    torch.testing.assert_close(law.covariance(), process.covariance(), rtol=0, atol=10 * accuracy)


def test_it_reads_the_compiled_weights_and_not_the_process_they_were_made_for():
    other = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), 1.5 * PROCESS.spatial_covariance, times=4)
    swapped = ks.compile_score(other, "spectral")
    object.__setattr__(swapped, "process", PROCESS)
    assert metrics.score_kl(learnt(swapped).score, other, linear=True).value < 1e-4


@pytest.mark.parametrize("name", ["stationary-separable", "separable", "tapered"])
def test_untrained_from_an_estimator_it_is_closest_to_the_estimate_from_the_training_part(name):
    model = learnt(name, network_options={"positions": "absolute"} if name == "separable" else None)
    part = values()[model.record["split"]["train"]].float()
    law = ESTIMATORS[name](min_time=1e-2).fit(part)
    gap = metrics.gaussian_kl(law, law_of(model.network), 1e-2)
    assert gap < (1e-4 if name != "tapered" else 0.2)  # the last is outside the class: projected


def test_training_moves_it_and_says_how_far():
    """The KL that is recorded is that of dense matrices, by its formula."""
    model = learnt("stationary-separable", **SHORT)
    start = learnt("stationary-separable")
    after, before = (one.network.covariance() for one in (model, start))
    noised = [0.99004983 * k + 0.00995017 * torch.eye(8, dtype=torch.float64) for k in (after, before)]
    ratio = torch.linalg.solve(noised[1], noised[0])
    expected = 0.5 * float(ratio.trace() - 8 - torch.logdet(ratio))
    assert model.record["initial"]["kl_moved"] == pytest.approx(expected, rel=1e-4)
    assert 0 < expected < 1


def test_a_bad_start_is_left_and_a_good_one_is_kept():
    """Trained from the truth it moves less than from a wrong law, and ends near the same place."""
    wrong = ks.GaussianSequence(ks.kernels.PowerExponential(0.5), 2 * PROCESS.spatial_covariance, times=4)
    told = {"max_steps": 300, "evaluate_every": 300, "warmup_steps": 20, "held_out_draws": 64, "ema_decay": 0.98}
    x = values(2000)
    near, far = (learnt(law, x, **told) for law in (PROCESS, wrong))
    assert near.record["initial"]["kl_moved"] < 0.1 * far.record["initial"]["kl_moved"]
    errors = [metrics.score_kl(one.score, PROCESS, linear=True).value for one in (near, far)]
    assert max(errors) < 0.02


def test_a_mean_travels_into_the_network_and_the_run_folder(tmp_path):
    mean = torch.arange(8.0, dtype=torch.float64).reshape(4, 2)
    law = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), PROCESS.spatial_covariance, times=4, mean=mean)
    model = learnt(law, law.sample(40, generator=seeded(0)))
    assert metrics.score_kl(model.score, law, linear=True).value < 1e-3
    model.save(tmp_path / "run")
    loaded = ks.load(tmp_path / "run")
    x = values(3)
    assert torch.equal(loaded.score(x, 0.5), model.score(x, 0.5))
    assert loaded.record["initial"] == model.record["initial"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"initial": "maximum-likelihood"},
            InputError,
            "initial must be one of sample-covariance, .*, a law or",
        ),
        (
            {"initial": 3},
            TypeError,
            "initial must be None, a law, .*, got int",
        ),
        (
            {"initial": "separable", "network": "dit"},
            InputError,
            "initial needs network=\"unrolled\", .* got 'dit'",
        ),
        ({"initial": PROCESS, "network": MLP(4, 2)}, InputError, "got 'a module of your own'"),
        ({"initial": PROCESS, "scaling": "standard"}, InputError, "initial must be the name of an estimator where"),
        ({"initial": PROCESS, "mean": "free"}, InputError, "initial must be the name of an estimator where"),
        (
            {"initial": DenseGaussian(torch.eye(6), 2)},
            InputError,
            r"initial must have \(4, 2\) frames and features, as x has, got \(3, 2\)",
        ),
        ({"initial": PROCESS, "network_options": {"depth": 3}}, InputError, "network options of 'unrolled'"),
    ],
)
def test_what_cannot_be_a_start_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        ks.fit(values(20), **{"network": "unrolled", **NONE, **options})


def test_estimators_have_the_names_of_their_structures():
    assert set(ESTIMATORS.values()) == {
        getattr(estimators, name) for name in estimators.__all__ if name[0].isupper() and name != "Estimator"
    }
