"""Hostile arguments at the doors of the library: each is refused in one line that names the argument."""

import numpy as np
import pytest
import torch
from torch import nn

import kronoscope as ks
from kronoscope import _checks, data

X = np.random.default_rng(0).standard_normal((24, 4, 2))
T = torch.from_numpy(X)
KERNEL = ks.kernels.Matern(8.0, 1.5)
PROCESS = ks.GaussianSequence(KERNEL, torch.eye(2), times=4)
RAGGED = np.array([[1.0], [1.0, 2.0]], dtype=object)
GAPS = np.ma.masked_greater(X, 1.5)


class Network(nn.Module):
    """A module that is a network."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x, t):
        return self.weight * x


class TimesFirst(Network):
    """A module whose forward takes one argument."""

    def forward(self, x):
        return x


NOT_NUMBERS = ("text", b"", object(), {}, RAGGED, float, [[1.0], [2.0, 3.0]])
NOT_COUNTS = ("3", 2.5, True, np.nan, np.inf, [1], -1, 10**30, -(10**30), 1j)
NOT_AMOUNTS = ("3", np.nan, -np.inf, [1.0, 2.0], -1.0, 10**400, 1j, object())
NOT_SHAPES = (None, 3.0, np.array(3.0), np.zeros((0, 4, 2)), np.zeros((24, 4, 2), complex), X > 0)
NOT_ARRAYS = (*NOT_NUMBERS, *NOT_SHAPES)
NOT_NAMES = ("nonsense", "", 3, b"zero", ["zero"])
NOT_NETWORKS = ("netwrok", "", 3, Network, TimesFirst(), nn.Linear, lambda x, t: x)
NOT_OPTIONS = ({"widht": 3}, *({"width": v} for v in (-1, 10**9, 10**30, "8", None)))
NOT_LIMITS = ({"nothing": (0, 1)}, {"feature_0": 3}, {"feature_0": (1, 0)}, {"feature_0": ("a", 1)})
MASKED = np.ma.masked_equal(np.eye(2), 0.0)
SMALL = {"max_steps": 0, "network": "position", "network_options": {"width": 8, "num_blocks": 1}}


def fit(x=X, **options):
    return ks.fit(x, **SMALL | options)


def process(kernel=KERNEL, spatial_covariance=None, times=4, mean=None):
    return ks.GaussianSequence(kernel, torch.eye(2) if spatial_covariance is None else spatial_covariance, times, mean)


@pytest.fixture(scope="module")
def model():
    return fit(T)


# The argument's name is the last word of the key. Each value goes to the call, beside a fitted model.
DOORS = {
    "x": (NOT_ARRAYS, lambda v, _: fit(v)),
    "frames": (NOT_COUNTS, lambda v, _: fit(X.reshape(-1, 2), frames=v)),
    "network": (NOT_NETWORKS, lambda v, _: fit(network=v, network_options=None)),
    "width": (NOT_OPTIONS, lambda v, _: fit(network_options=v)),
    "max_steps": (NOT_COUNTS[:-3], lambda v, _: fit(max_steps=v)),
    "batch_size": (NOT_COUNTS, lambda v, _: fit(batch_size=v)),
    "learning_rate": (NOT_AMOUNTS, lambda v, _: fit(learning_rate=v)),
    "validation": ((*NOT_AMOUNTS, None), lambda v, _: fit(validation=v)),
    "generator": ((0, "seed", np.random.default_rng(0), torch.Generator), lambda v, _: fit(generator=v)),
    "device": (("cuda:99", "nonsense", 3.5, "meta", object()), lambda v, _: fit(device=v)),
    "mean": ((*NOT_NAMES, None), lambda v, _: fit(mean=v)),
    "missing": ((*NOT_NAMES, None), lambda v, _: fit(missing=v)),
    "margins": (NOT_NAMES, lambda v, _: fit(margins=v)),
    "real": (NOT_ARRAYS, lambda v, _: ks.audit(v, X)),
    "generated": ((*NOT_ARRAYS, GAPS), lambda v, _: ks.audit(X, v)),
    "alpha": ((*NOT_AMOUNTS, None), lambda v, _: ks.audit(X, X, alpha=v)),
    "consecutive": ((0, "no", None, [True]), lambda v, _: ks.audit(X, X, consecutive=v)),
    "kernel": ((*NOT_NUMBERS, None, 3, ks.kernels.Matern), lambda v, _: process(v)),
    "spatial_covariance": (
        (*NOT_NUMBERS, 3.0, -torch.eye(2), torch.zeros(0, 0), MASKED),
        lambda v, _: process(KERNEL, v),
    ),
    "times": (
        (*NOT_NUMBERS, None, 0, -1, True, 2.5, np.nan, [1.0, 1.0], [0.0, np.inf], MASKED[0]),
        lambda v, _: process(times=v),
    ),
    "process mean": ((*NOT_NUMBERS, X, MASKED, np.full((4, 2), np.nan)), lambda v, _: process(mean=v)),
    "draws n": (NOT_COUNTS, lambda v, _: PROCESS.sample(v)),
    "score x": ((*NOT_ARRAYS, X, T[..., :1], T.long()), lambda v, _: PROCESS.score(v, 0.1)),
    "t": ((*NOT_NUMBERS, None, -1.0, np.nan, [0.1, 0.2], MASKED[0]), lambda v, _: PROCESS.score(T, v)),
    "lengthscale": ((*NOT_AMOUNTS, None), lambda v, _: ks.kernels.Matern(v, 1.5)),
    "estimator x": (NOT_ARRAYS, lambda v, _: ks.estimators.Separable().fit(v)),
    "min_time": ((*NOT_AMOUNTS, None), lambda v, _: ks.estimators.Separable(min_time=v).fit(T)),
    "folder": ((None, 3, b"nowhere", object()), lambda v, _: ks.load(v)),
    "tolerance": ((*NOT_AMOUNTS, None), lambda v, _: ks.compile_score(PROCESS, tolerance=v)),
    "compiled process": ((*NOT_NUMBERS, None, ks.GaussianSequence), lambda v, _: ks.compile_score(v)),
    "sample n": ((*NOT_COUNTS, None), lambda v, model: model.sample(v)),
    "num_calls": ((*NOT_COUNTS, None), lambda v, model: model.sample(2, num_calls=v)),
    "sampler": ((*NOT_NAMES, None), lambda v, model: model.sample(2, sampler=v)),
    "sample batch_size": (NOT_COUNTS[:-3], lambda v, model: model.sample(2, batch_size=v)),
    "condition mask": (NOT_ARRAYS, lambda v, model: model.condition_on(v, X[0])),
    "condition values": ((*NOT_NUMBERS, None, X, X[0] * np.nan), lambda v, model: model.condition_on(X[0] < 9, v)),
    "log_prob x": (NOT_ARRAYS, lambda v, model: model.log_prob(v)),
    "limits": (NOT_LIMITS, lambda v, _: data.from_array(X, limits=v)),
    "net": ((*NOT_NAMES, None, Network), lambda v, _: ks.score_from(v)),
}
CASES = [(door, k) for door, (values, _) in DOORS.items() for k in range(len(values))]


@pytest.mark.parametrize(("door", "k"), CASES, ids=[f"{door}-{k}" for door, k in CASES])
def test_a_hostile_argument_is_refused_in_one_line_that_names_it(door, k, model):
    values, call = DOORS[door]
    with pytest.raises((ks.InputError, TypeError)) as refusal:
        call(values[k], model)
    message = str(refusal.value).replace(":\n- ", ": ")  # a list of one reason
    assert "\n" not in message
    assert len(message) < 600
    assert door.split()[-1] in message, message
    raised_in = refusal.traceback[-1].frame.f_globals["__name__"]
    assert raised_in.startswith("kronoscope."), raised_in


def test_masked_entries_are_missing_values():
    """As NaN, whatever stands under the mask; an array with an empty mask is the array."""
    holes = np.where(GAPS.mask, np.nan, X)
    poisoned = np.ma.masked_array(np.where(GAPS.mask, 1e300, X), GAPS.mask)
    for missing in ("drop", "mask"):
        read, expected = (data.from_array(x, missing=missing) for x in (poisoned, holes))
        np.testing.assert_array_equal(read.values, expected.values)
        assert read.notes == expected.notes
    assert len(data.from_array(poisoned)) < len(X)
    np.testing.assert_array_equal(data.from_array(np.ma.masked_array(X, False)).values, X)
    integers = np.ma.masked_array(np.arange(192).reshape(X.shape), GAPS.mask)
    np.testing.assert_array_equal(np.isnan(data.from_array(integers, missing="mask").values), GAPS.mask)
    laws = [ks.audit(x, X + 0.01, num_draws=199) for x in (poisoned, holes)]
    assert laws[0].to_json() == laws[1].to_json()


def test_a_misspelled_setting_suggests_the_nearest_name():
    for word, meant in (("netwrok", "network"), ("max_step", "max_steps"), ("batchsize", "batch_size")):
        with pytest.raises(
            TypeError, match=rf"fit\(\) got an unexpected keyword argument '{word}'; did you mean {meant}\?"
        ):
            fit(**{word: 3})
    with pytest.raises(ks.InputError, match="did you mean unrolled"):
        fit(network="unroled")
    with pytest.raises(ks.InputError, match="did you mean num_blocks"):
        fit(network_options={"blocks": 3})


@pytest.mark.parametrize("values", [0.1, [0.1, 1.1], np.array([0.1]), torch.tensor(0.1, dtype=torch.float64)])
def test_numbers_keep_their_digits_on_the_way_to_float64(values):
    """By way of float32 a diffusion time of 0.1 would be 0.10000000149."""
    got = _checks.tensor("t", values, torch.float64)
    np.testing.assert_array_equal(got.numpy(), np.asarray(values, dtype=np.float64))


def test_lists_of_numbers_are_float64():
    law = ks.GaussianSequence(ks.kernels.PowerExponential(2.0), [[1.0, 0.1], [0.1, 0.7]], times=3)
    assert float(law.spatial_covariance[0, 1]) == 0.1


PLAIN = ks.GaussianSequence(ks.kernels.PowerExponential(2.0), torch.eye(2), times=4)
SEEN = torch.tensor([[True, True], [False, False], [True, False], [True, True]])
TURNED = torch.eye(2) + 0.5j * torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
KERNEL = ks.kernels.PowerExponential(2.0)
COMPLEX = {
    "Sigma of a kernel": lambda made: ks.GaussianSequence(KERNEL, made(TURNED), times=4),
    "Sigma, dense": lambda made: ks.processes.DenseGaussian(made(TURNED), 1),
    "Gamma": lambda made: ks.processes.SeparableGaussian(made(TURNED), torch.eye(2)),
    "Sigma, separable": lambda made: ks.processes.SeparableGaussian(torch.eye(2), made(TURNED)),
    "blocks": lambda made: ks.processes.BlockToeplitzSequence(made(torch.stack([TURNED, 0 * TURNED]))),
    "terms": lambda made: ks.processes.KroneckerSum([(KERNEL, made(TURNED))], 4),
    "times": lambda made: ks.GaussianSequence(KERNEL, torch.eye(2), made(torch.tensor([0, 1 + 1j, 2]))),
    "mean": lambda made: ks.GaussianSequence(KERNEL, torch.eye(2), 4, made(torch.ones(4, 2) * 1j)),
    "a kernel's parameter": lambda made: ks.kernels.PowerExponential(made(torch.tensor(2 + 1j))),
    "a kernel's times": lambda made: KERNEL(made(torch.tensor([1 + 1j])), torch.zeros(1)),
    "a kernel's lags": lambda made: KERNEL.at_lag(made(torch.tensor([1 + 1j]))),
    "x of a score": lambda made: PLAIN.score(torch.ones(1, 4, 2) * 1j, 0.1),
    "t of a score": lambda made: PLAIN.score(torch.ones(1, 4, 2), made(torch.tensor(0.1 + 1j))),
    "values": lambda made: PLAIN.condition_on(SEEN, made(torch.ones(4, 2) * 1j)),
    "training data": lambda made: ks.fit(made(torch.ones(9, 4, 2) * 1j), max_steps=1),
    "real sequences of an audit": lambda made: ks.audit(made(torch.ones(9, 4, 2) * 1j), np.ones((9, 4, 2))),
    "data of an estimator": lambda made: ks.estimators.Separable().fit(torch.ones(9, 4, 2) * 1j),
    "what a score returns": lambda made: ks.metrics.score_kl(lambda x, t: x * 1j, PLAIN),
    "what an affine score returns": lambda made: ks.metrics.score_kl(lambda x, t: x * 1j, PLAIN, linear=True),
    "a number of calls": lambda made: ks.sampling.ddim(np.complex128(4)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("made", [lambda x: x, lambda x: x.numpy()], ids=["torch", "numpy"])
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_are_refused_wherever_real_ones_are_taken(name, made):
    """Not made real with a warning: half of a Hermitian covariance is another law."""
    with pytest.raises(
        (TypeError, ValueError), match=r"must be real|must be a number|floating dtype|real numbers|whole"
    ):
        COMPLEX[name](made)


def test_numbers_reach_the_mathematics_in_float64():
    """A Python float does not pass through float32 on the way."""
    exact = torch.tensor(0.01, dtype=torch.float64)
    assert torch.equal(PROCESS.score(T, 0.01), PROCESS.score(T, exact))
    assert float(KERNEL.at_lag(0.1)) == float(KERNEL.at_lag(torch.tensor(0.1, dtype=torch.float64)))
    assert process(times=[0.1, 0.7, 0.9, 1.3]).times.tolist() == [0.1, 0.7, 0.9, 1.3]
    assert process(mean=[[0.1, 0.2]] * 4).mean.tolist() == [[0.1, 0.2]] * 4


class Net(nn.Module):
    def forward(self, x, t):
        return -x


LONGER = ks.GaussianSequence(KERNEL, torch.eye(2), times=5)
WRONG_KINDS = {
    "swapped": (lambda: ks.metrics.score_kl(PLAIN, PLAIN.score), "score and process are swapped: score must be a func"),
    "swapped for a network": (lambda: ks.metrics.score_kl(PLAIN, Net()), "score and process are swapped"),
    "swapped in a probe": (lambda: ks.probes.jacobian(PLAIN, PLAIN.score), "score and process are swapped"),
    "two laws": (
        lambda: ks.metrics.score_kl(LONGER, PLAIN),
        r"score must be .* got a GaussianSequence: give its method",
    ),
    "two scores": (
        lambda: ks.metrics.score_kl(PLAIN.score, PLAIN.score),
        "process must be a law.*got a method",
    ),
    "sequences as the law": (
        lambda: ks.metrics.score_kl(PLAIN.score, torch.ones(9, 4, 2)),
        "process must be a law",
    ),
    "a class": (lambda: ks.metrics.score_kl(Net, PLAIN), r"score must be a network, got the class Net.*score=Net\("),
    "a class of laws": (
        lambda: ks.metrics.score_kl(Net(), ks.GaussianSequence),
        "process must be .* class GaussianSeq",
    ),
    "another shape": (
        lambda: ks.metrics.score_kl(LONGER.score, PLAIN),
        r"score must be of as many .*\(4, 2\).*\(5, 2\)",
    ),
    "a dtype by name": (
        lambda: ks.metrics.score_kl(PLAIN.score, PLAIN, dtype="float64"),
        "dtype must be a floating dtype",
    ),
    "linear as a word": (lambda: ks.metrics.score_kl(PLAIN.score, PLAIN, linear="yes"), "linear must be True or False"),
    "p": (lambda: ks.metrics.gaussian_kl(PLAIN.score, PLAIN), "p must be a Gaussian law"),
    "q": (lambda: ks.metrics.gaussian_kl(PLAIN, None), "q must be a Gaussian law.*got None"),
    "q of a distance": (lambda: ks.metrics.bures_wasserstein(PLAIN, Net()), "q must be a Gaussian law.*got a Net"),
    "modes": (
        lambda: ks.probes.jacobian(PLAIN.score, PLAIN, num_samples=2).by_mode(Net()),
        "process must be a Gaussian",
    ),
    "sampling a law": (
        lambda: ks.sampling.sample(PLAIN, (2, 4, 2), ks.sampling.ddim(4)),
        "score must be .* its method",
    ),
    "sampler first": (
        lambda: ks.sampling.sample(ks.sampling.ddim(4), (2, 4, 2), PLAIN.score),
        "score must be a function",
    ),
    "sampler by name": (
        lambda: ks.sampling.sample(PLAIN.score, (2, 4, 2), "ddim"),
        "table must be a sampler.*got 'ddim'",
    ),
    "shape and sampler": (
        lambda: ks.sampling.sample(PLAIN.score, ks.sampling.ddim(4), (2, 4, 2)),
        "table must be a samp",
    ),
    "law of a sampler": (lambda: ks.sampling.law(PLAIN.score, ks.sampling.ddim(4), 4, 2), "table must be a sampler"),
    "error of a sampler": (lambda: ks.sampling.law_error(PLAIN, ks.sampling.ddim(4)), "table must be a sampler"),
    "likelihood": (lambda: ks.sampling.flow_log_prob(PLAIN, torch.ones(1, 4, 2)), "score must be a function"),
    "compiling a score": (lambda: ks.compile_score(PLAIN.score), "process must be a Gaussian law.*got a method"),
}


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_scores_laws_and_samplers_in_each_others_place_are_named(name):
    call, message = WRONG_KINDS[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
