"""Irregular times: what training reaches, beside maximum likelihood of the same structure by scipy."""

import itertools
import math

import numpy as np
import torch
from scipy.optimize import minimize

import kronoscope as ks
from kronoscope import metrics
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian

TIMES = (0.0, 1.0, 1.5, 4.0, 6.0, 6.5, 9.0, 10.0)
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
PROCESS = ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=TIMES)
LOWEST = 1e-2
SETTINGS = {"max_steps": 600, "evaluate_every": 600, "validation": 0.02, "warmup_steps": 20, "ema_decay": 0.99}


def maximum_likelihood(x):
    """Of the data noised to t = 0.01, over all K = Gamma kron Sigma with Gamma a free number for every distinct lag.

    It is told that the law is stationary and separable, and the times, as the network is. Started at the truth, so
    that it is no worse for a search that ends early.
    """
    scale, noise = math.exp(-LOWEST), -math.expm1(-LOWEST)
    frames, features, flat = len(TIMES), len(SIGMA), x.double().flatten(1)
    identity = torch.eye(frames * features, dtype=torch.float64)
    second = scale * flat.mT @ flat / len(x) + noise * identity
    lags = sorted({abs(a - b) for a, b in itertools.product(TIMES, TIMES)})
    place = torch.tensor([[lags.index(abs(a - b)) for b in TIMES] for a in TIMES])
    rows, columns = torch.tril_indices(features, features)

    def covariance(theta):
        factor = torch.zeros(features, features, dtype=torch.float64).index_put((rows, columns), theta[len(lags) - 1 :])
        gamma = torch.cat([theta.new_ones(1), theta[: len(lags) - 1]])[place]
        return torch.kron(gamma, factor @ factor.mT)

    def objective(values):
        theta = torch.from_numpy(values).requires_grad_()
        root, failed = torch.linalg.cholesky_ex(scale * covariance(theta) + noise * identity)
        if int(failed):
            return 1e10, np.zeros_like(values)
        loss = root.diagonal().log().sum() + 0.5 * torch.cholesky_solve(second, root).trace()
        loss.backward()
        return float(loss.detach()), theta.grad.numpy()

    truth = [math.exp(-lag / 3.0) for lag in lags[1:]] + torch.linalg.cholesky(SIGMA)[rows, columns].tolist()
    found = minimize(objective, np.array(truth), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-13})
    law = covariance(torch.from_numpy(found.x))
    assert float(np.abs(objective(found.x)[1]).max()) < 1e-3
    return DenseGaussian(law, features)


def compare(seed):
    """Score errors of the network, of maximum likelihood, and of the network that is told regular times."""
    x = PROCESS.sample(400, generator=torch.Generator().manual_seed(seed)).float()
    fitted = ks.fit(x, "unrolled", network_options={"times": TIMES}, **SETTINGS)
    regular = ks.fit(x, "unrolled", **SETTINGS)
    scores = fitted.score, maximum_likelihood(x).score, regular.score
    return tuple(metrics.score_kl(score, PROCESS, linear=True).value for score in scores)


def test_training_at_irregular_times_is_near_maximum_likelihood_of_its_class():
    """The seed is fixed. Seeds 5 to 12 gave ratios of 0.65 to 1.26, mean 0.96, standard deviation 0.18: were the seed
    not fixed, a ratio above 1.5 would be at 2.9 standard deviations, about one run in 600 if it is normal.
    """
    network, likelihood, regular = compare(seed=5)
    assert network < 1.5 * likelihood
    assert regular > 10 * network
