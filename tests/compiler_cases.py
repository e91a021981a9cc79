"""Processes of every kind that the compiler takes, small; and what tests of it share."""

import torch

import kronoscope as ks

FRAMES = 16
TIMES = torch.cumsum(0.3 + torch.rand(FRAMES, generator=torch.Generator().manual_seed(3), dtype=torch.float64), 0)
ITERATIONS = ks.compiler.ITERATIONS


def sigma(features, seed=1):
    """A spatial covariance of trace d, with eigenvalues bounded below."""
    a = torch.randn(features, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrix = a @ a.T / 4 + 0.3 * torch.eye(features, dtype=torch.float64)
    return matrix * features / matrix.trace()


def mean(features):
    return 2 + torch.randn(FRAMES, features, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def turning(features=2):
    """A vector autoregression: block-Toeplitz, and not the same forwards and backwards."""
    step = torch.tensor([[0.6, 0.3], [-0.2, 0.5]], dtype=torch.float64)
    identity = torch.eye(4, dtype=torch.float64)
    first = torch.linalg.solve(identity - torch.kron(step, step), torch.eye(2, dtype=torch.float64).reshape(-1))
    blocks = [first.reshape(2, 2)]
    for _ in range(FRAMES - 1):
        blocks.append(step @ blocks[-1])
    return ks.processes.BlockToeplitzSequence(torch.stack(blocks), mean=mean(2))


KERNELS = {
    "exponential": ks.kernels.PowerExponential(4.0),
    "stretched exponential": ks.kernels.PowerExponential(2.0, 0.6),
    "squared exponential": ks.kernels.PowerExponential(2.0, 2.0),
    "Matern 3/2": ks.kernels.Matern(4.0, 1.5),
    "rational quadratic": ks.kernels.RationalQuadratic(2.0, 0.5),
    "Cauchy": ks.kernels.Cauchy(1.0),
    "fractional Gaussian noise": ks.kernels.FractionalGaussianNoise(0.8),
    "periodic": ks.kernels.Periodic(8.0, 1.0) * ks.kernels.PowerExponential(8.0),
    "cosine with nugget": ks.kernels.Cosine(5.3) + 0.1 * ks.kernels.White(),
    "Wendland": ks.kernels.Wendland(6.0, 1),
}


def separable(kernel="exponential", features=2, **options):
    return ks.GaussianSequence(KERNELS[kernel], sigma(features), times=FRAMES, **options)


PROCESSES = {
    "with a mean": lambda: separable(mean=mean(2)),
    "irregular": lambda: ks.GaussianSequence(KERNELS["exponential"], sigma(2), TIMES, mean=mean(2)),
    "Kronecker sum": lambda: ks.processes.KroneckerSum(
        [(KERNELS["exponential"], sigma(2)), (ks.kernels.Cosine(5.3), sigma(2, 2))], FRAMES
    ),
    "irregular Kronecker sum": lambda: ks.processes.KroneckerSum(
        [(KERNELS["exponential"], sigma(2)), (ks.kernels.Cosine(5.3), sigma(2, 2))], TIMES
    ),
    "block-Toeplitz": turning,
    "separable matrices": lambda: ks.processes.SeparableGaussian(
        torch.corrcoef(torch.randn(FRAMES, 40, generator=torch.Generator().manual_seed(5), dtype=torch.float64)),
        sigma(2),
    ),
    "dense": lambda: ks.processes.DenseGaussian(
        torch.cov(torch.randn(2 * FRAMES, 200, generator=torch.Generator().manual_seed(6), dtype=torch.float64)), 2
    ),
}


def relative(got, reference):
    return float((got.double() - reference.double()).norm() / reference.double().norm())


def spectral_error(compiled, t):
    """Relative root-mean-square error under p_t of the network's affine map, written down from the definition."""
    process, score = compiled.process, compiled.score
    frames, features = process.num_frames, process.num_features
    size = frames * features
    units = torch.cat([torch.eye(size, dtype=torch.float64), torch.zeros(1, size, dtype=torch.float64)])
    with torch.no_grad():
        rows = score(units.reshape(-1, frames, features), t).reshape(size + 1, size)
    matrix, offset = (rows[:-1] - rows[-1]).T, rows[-1]
    time = torch.tensor(t, dtype=torch.float64)
    noised = torch.exp(-time) * process.covariance() - torch.expm1(-time) * torch.eye(size, dtype=torch.float64)
    inverse = torch.linalg.inv(noised)
    shrunk = torch.exp(-time / 2) * process.mean.reshape(-1)
    difference = matrix + inverse
    square = torch.trace(difference @ noised @ difference.T) + (matrix @ shrunk + offset).square().sum()
    return float((square / torch.trace(inverse)).sqrt())
