"""The mean Jacobian of a score, and the covariance that it implies (docs/theory.md, section 8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from .. import _checks, diffusion, report
from .._calls import taking
from .._display import Displayed, Tabular, Uncertain
from .._errors import InputError, KronoscopeError
from .._intervals import student_reach
from .._typing import ScoreFunction
from ..processes import GaussianLaw, GaussianSequence, require_law, require_score_and_law
from .figures import jacobian_figure

Method = Literal["autograd", "finite-differences"]
GROUPS = 10
_STEP = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Measured(Displayed):
    """An array of numbers with their standard errors.

    Attributes:
        value, standard_error: Alike.
        freedom: Degrees of freedom of the standard errors, one less than the groups of a jackknife.
    """

    value: Tensor
    standard_error: Tensor
    freedom: int

    def _facts(self) -> dict[str, object]:
        if self.value.numel() == 1:
            return {"value": Uncertain(float(self.value), float(self.standard_error)), "freedom": self.freedom}
        median = float(self.standard_error.median())
        return {"value": self.value, "median standard error": median, "freedom": self.freedom}

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Lower and upper ends of the central intervals, by Student's t."""
        reach = student_reach(self.freedom, level) * self.standard_error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, repr=False)
class KernelFit(Displayed):
    """exp(-(h/lengthscale)^exponent), fitted to a lag profile; standard errors by the jackknife.

    Attributes:
        lengthscale, lengthscale_error: In frames.
        exponent, exponent_error: Without unit.
        freedom: Degrees of freedom of the standard errors, one less than the groups of the jackknife.
    """

    lengthscale: float
    lengthscale_error: float
    exponent: float
    exponent_error: float
    freedom: int

    def _facts(self) -> dict[str, object]:
        return {
            "lengthscale": Uncertain(self.lengthscale, self.lengthscale_error, "frames"),
            "exponent": Uncertain(self.exponent, self.exponent_error),
            "freedom": self.freedom,
        }

    def lengthscale_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Ends of the central interval of the lengthscale, by Student's t."""
        reach = student_reach(self.freedom, level) * self.lengthscale_error
        return self.lengthscale - reach, self.lengthscale + reach

    def exponent_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Ends of the central interval of the exponent, by Student's t."""
        reach = student_reach(self.freedom, level) * self.exponent_error
        return self.exponent - reach, self.exponent + reach


@dataclass(frozen=True, eq=False, repr=False)
class JacobianProbe(Tabular):
    """-E[ds/dx] of a score at one noise level, and what follows from it.

    Attributes:
        value: A = -E_{x ~ p_t}[ds/dx], (N d, N d) frame-major, float64. C_t^{-1} for the exact score.
        standard_error: Of its entries, over the sequences x; of the order of round-off for a score affine in x.
        t: Diffusion time.
        num_frames, num_features: N and d.
        groups: Means over each tenth of the sequences, (groups, N d, N d), for the jackknife.
        law: The process whose sequences x are; None where they were given as data.
    """

    value: Tensor
    standard_error: Tensor
    t: float
    num_frames: int
    num_features: int
    groups: Tensor
    law: GaussianLaw | None = None

    def _facts(self) -> dict[str, object]:
        facts = {"t": self.t, "frames": self.num_frames, "features": self.num_features, "asymmetry": self.asymmetry}
        if self.law is not None:
            facts["relative error"] = self.relative_error
        return {**facts, "largest standard error": float(self.standard_error.max()), "groups": len(self.groups)}

    def _columns(self) -> dict[str, Sequence[object]]:
        profile = self.lag_profile()
        columns: dict[str, Sequence[object]] = {
            "lag": list(range(self.num_frames)),
            "correlation": profile.value.tolist(),
            "standard error": profile.standard_error.tolist(),
        }
        return columns if self.law is None else {**columns, "truth": self.true_profile().tolist()}

    def plot(self) -> report.Plot:
        """The precision implied by the score beside the truth, and the correlation by lag with 95 % intervals."""
        matrices, profile = {"score": self.value}, self.lag_profile()
        profiles = {"score": profile.value}
        if self.law is not None:
            matrices["truth"], profiles["truth"] = self.truth, self.true_profile()
        ends = profile.interval() if len(self.groups) > 1 else None
        return report.plot(jacobian_figure(matrices, profiles, ends, self.t))

    def true_profile(self) -> Tensor:
        """What :meth:`lag_profile` is of the process, (N,).

        Raises:
            InputError: The probe was taken on data, whose law is not known.
        """
        if self.law is None:
            raise InputError(
                "the truth is known for a process only, and this Jacobian was measured on data: "
                "give process= to jacobian"
            )
        shape = (self.num_frames, self.num_features) * 2
        return _profile(self.law.covariance().cpu().double().reshape(shape), self.num_frames - 1)

    @property
    def truth(self) -> Tensor:
        """C_t^{-1} of the process.

        Raises:
            InputError: The probe was taken on data, whose law is not known.
        """
        if self.law is None:
            raise InputError(
                "the truth is known for a process only, and this Jacobian was measured on data: "
                "give process= to jacobian"
            )
        alpha, variance = float(diffusion.alpha(self.t)), float(diffusion.sigma_squared(self.t))
        covariance = self.law.covariance().cpu().double()
        return torch.linalg.inv(alpha**2 * covariance + variance * torch.eye(len(covariance), dtype=torch.float64))

    @property
    def relative_error(self) -> float:
        """||A - C_t^{-1}||_F / ||C_t^{-1}||_F."""
        return float((self.value - self.truth).norm() / self.truth.norm())

    @property
    def asymmetry(self) -> float:
        """||A - A'||_F / ||A + A'||_F: 0 for every gradient; above 0 the score is not a gradient."""
        return float((self.value - self.value.T).norm() / (self.value + self.value.T).norm())

    def covariance(self) -> Tensor:
        """K = (A^{-1} - sigma_t^2 I) / alpha_t^2 with A made symmetric: the covariance of data with this Jacobian.

        Raises:
            InputError: A is singular.
        """
        return self._covariance(self.value)

    def lag_profile(self, max_lag: int | None = None) -> Measured:
        """gamma(h)/gamma(0) for h = 0..max_lag: means over frames of tr K_{i,i+h}, over that at h = 0."""
        last = self.num_frames - 1 if max_lag is None else _checks.count("max_lag", max_lag, least=0)
        if last >= self.num_frames:
            raise InputError(f"max_lag must be less than {self.num_frames}, the number of frames, got {last}")
        return self._jackknife(lambda value: _profile(self._frames(value), last))

    def spatial_covariance(self) -> Measured:
        """Sigma gamma(0): mean over frames of K_ii, (d, d)."""
        return self._jackknife(lambda value: torch.einsum("iaib->ab", self._frames(value)) / self.num_frames)

    def fit_kernel(self, max_lag: int | None = None) -> KernelFit:
        """Lengthscale and exponent of the powered exponential nearest to the lag profile, by least squares."""
        last = self.num_frames - 1 if max_lag is None else _checks.count("max_lag", max_lag)
        measured = self._jackknife(lambda value: _fit(_profile(self._frames(value), last)))
        (scale, exponent), (scale_error, exponent_error) = measured.value.tolist(), measured.standard_error.tolist()
        return KernelFit(scale, scale_error, exponent, exponent_error, measured.freedom)

    def by_mode(self, process: GaussianSequence) -> tuple[Measured, Tensor]:
        """Precision by temporal mode x spatial mode, (N, d), and the truth 1/(alpha_t^2 lam_i sig_j + sigma_t^2).

        The modes are the eigenvectors u_i of Gamma and v_j of Sigma, by falling eigenvalue; the entry is
        (u_i kron v_j)' A (u_i kron v_j).

        Raises:
            InputError: A process of other frames or features than the Jacobian.
        """
        require_law("process", process)
        want, got = (self.num_frames, self.num_features), (process.num_frames, process.num_features)
        if got != want:
            raise InputError(f"process must have {want[0]} frames and {want[1]} features, got {got[0]} and {got[1]}")
        temporal, u = (part.flip(-1) for part in torch.linalg.eigh(process.temporal_covariance.double()))
        spatial, v = (part.flip(-1) for part in torch.linalg.eigh(process.spatial_covariance.double()))
        shape = (self.num_frames, self.num_features) * 2

        def modes(value: Tensor) -> Tensor:
            return torch.einsum("iajb,ik,al,jk,bl->kl", value.reshape(shape), u, v, u, v)

        alpha, variance = float(diffusion.alpha(self.t)), float(diffusion.sigma_squared(self.t))
        return self._jackknife(modes), 1 / (alpha**2 * temporal[:, None] * spatial[None, :] + variance)

    def _covariance(self, value: Tensor) -> Tensor:
        alpha, variance = float(diffusion.alpha(self.t)), float(diffusion.sigma_squared(self.t))
        inverse, info = torch.linalg.inv_ex((value + value.T) / 2)
        if int(info):
            raise InputError(
                "the Jacobian is singular, so it implies no covariance; train for longer or take another t"
            )
        return (inverse - variance * torch.eye(len(value), dtype=value.dtype)) / alpha**2

    def _frames(self, value: Tensor) -> Tensor:
        return self._covariance(value).reshape((self.num_frames, self.num_features) * 2)

    def _jackknife(self, of: Callable[[Tensor], Tensor]) -> Measured:
        """A function of A with the standard error that leaving out one group at a time gives."""
        value, count = of(self.value), len(self.groups)
        if count < 2:
            return Measured(value, torch.full_like(value, math.nan), 1)
        without = torch.stack([of((self.groups.sum(dim=0) - group) / (count - 1)) for group in self.groups])
        return Measured(value, ((count - 1) * without.var(dim=0, correction=0)).sqrt(), count - 1)


def jacobian(
    score: ScoreFunction,
    process: GaussianLaw | None = None,
    t: float = 0.2,
    *,
    x: Tensor | None = None,
    num_samples: int = 40,
    method: Method = "autograd",
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> JacobianProbe:
    """Mean Jacobian of any score under the noised law: A = -E_{x ~ p_t}[ds(x, t)/dx].

    For a Gaussian law ds/dx = -C_t^{-1} everywhere, so the exact score gives C_t^{-1}, and a network's A can be turned
    back into the covariance that it implies. By Stein's identity A = -E[s(x) (x - mean)'] C_t^{-1}: it is the
    linear part of the score, whatever else the score holds.

    Args:
        score: Any score; called with x in ``dtype`` and t a float.
        process: The truth, which gives the x; or None, with data as ``x``.
        t: Diffusion time, greater than 0.
        x: Data (n, N, d) without noise, in place of a process: ``num_samples`` of them at most, drawn without
            replacement, are noised. The probe then has no ``truth``; the estimates need none.
        num_samples: Sequences to average over, at least 2. A score affine in x needs no more than 2.
        method: "autograd", N d backward passes; or "finite-differences", 2 N d calls, for a score that autograd cannot
            differentiate.
        generator: Of the sequences and the noise; None means seed 0.
        dtype: What the score is called with.
        device: Where the score is called.

    Raises:
        InputError: A score that misbehaves, does not take sequences of that shape or cannot be differentiated (by
            autograd, it has no graph to x or is constant in it); both or neither of ``process`` and ``x``; t <= 0; or
            N d above 4096.

    Source: for the identity, Stein (1981), "Estimation of the mean of a multivariate normal distribution", lemma 2.
    """
    if process is None:
        _checks.score("score", score)
    else:
        require_score_and_law(score, process)
        require_law("process", process)
    _checks.floating("dtype", dtype)
    t = _checks.positive("t", t)
    count = _checks.count("num_samples", num_samples, least=2)
    if method not in get_args(Method):
        raise InputError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    generator = _checks.generator_or_seed_zero(generator)
    data = _data(process, x, count, generator)
    count, frames, features = data.shape
    size = diffusion.dense_size(frames, features)
    noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
    noised = diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise).to(dtype).to(device)
    with torch.no_grad(), taking("score", score, noised, "x" if process is None else "process"):
        diffusion.evaluate(score, noised, t)
    rows = _by_autograd if method == "autograd" else _by_differences
    each = -rows(score, noised, t).to("cpu", torch.float64).reshape(count, size, size)
    return JacobianProbe(
        value=each.mean(dim=0),
        standard_error=each.std(dim=0) / math.sqrt(count),
        t=t,
        num_frames=frames,
        num_features=features,
        groups=torch.stack([part.mean(dim=0) for part in each.tensor_split(min(GROUPS, count))]),
        law=process,
    )


def _data(process: GaussianLaw | None, x: Tensor | None, count: int, generator: torch.Generator) -> Tensor:
    """Sequences without noise, (at most ``count``, N, d), float64."""
    if (process is None) == (x is None):
        raise InputError(f"give either process or data as x, got {'neither' if x is None else 'both'}")
    if process is not None:
        diffusion.dense_size(process.num_frames, process.num_features)
        return process.sample(count, generator=generator).cpu().double()
    assert x is not None
    _checks.finite("x", _checks.sequences("x", x))
    if len(x) < 2:
        raise InputError(f"x must hold at least 2 sequences, got {len(x)}")
    return x.detach().cpu().double()[torch.randperm(len(x), generator=generator)[:count]]


def _by_autograd(score: ScoreFunction, x: Tensor, t: float) -> Tensor:
    """(batch, N d, N d): the gradient of each output in turn. The score is known to take x when no graph is kept."""
    x = x.detach().requires_grad_(True)
    rows: list[Tensor] = []
    try:
        with torch.enable_grad():
            values = diffusion.evaluate(score, x, t)
            flat = values.flatten(1)
            for k in range(flat.shape[1] if values.requires_grad else 0):
                (row,) = torch.autograd.grad(flat[:, k].sum(), x, retain_graph=k + 1 < flat.shape[1], allow_unused=True)
                if row is None:
                    raise _not_differentiable("its graph does not lead back to x")
                rows.append(row.flatten(1))
    except (KronoscopeError, torch.OutOfMemoryError):
        raise
    except RuntimeError as error:
        raise _not_differentiable(str(error).strip().split("\n")[0]) from error
    if not rows:
        raise _not_differentiable("it returns a tensor without a graph")
    jacobians = torch.stack(rows, dim=1).detach()
    if not bool(jacobians.any()):
        raise _not_differentiable("its derivative is 0 everywhere, as for a rounded score")
    return jacobians


def _not_differentiable(why: str) -> InputError:
    return InputError(f'score cannot be differentiated by autograd: {why}; use method="finite-differences"')


def _by_differences(score: ScoreFunction, x: Tensor, t: float) -> Tensor:
    """(batch, N d, N d) by central differences; their step balances truncation against the round-off of ``x``."""
    step = _STEP if x.dtype == torch.float64 else 30 * _STEP
    columns = []
    with torch.no_grad():
        for k in range(x[0].numel()):
            shift = torch.zeros_like(x[0]).flatten()
            shift[k] = step
            shift = shift.view_as(x[0])
            pair = diffusion.evaluate(score, torch.cat([x + shift, x - shift]), t)
            above, below = pair.flatten(1).chunk(2)
            columns.append((above - below) / (2 * step))
    return torch.stack(columns, dim=2)


def _profile(covariance: Tensor, last: int) -> Tensor:
    """Means along the lags of the trace over features, (last + 1,), over that at lag 0."""
    traces = torch.einsum("iaja->ij", covariance)
    means = torch.stack([traces.diagonal(lag).mean() for lag in range(last + 1)])
    return means / means[0]


def _fit(profile: Tensor) -> Tensor:
    lags = np.arange(len(profile), dtype=np.float64)

    def residual(log_parameters: np.ndarray) -> np.ndarray:
        scale, exponent = np.exp(np.clip(log_parameters, -12, 12))
        with np.errstate(over="ignore"):
            return np.exp(-((lags / scale) ** exponent)) - profile.numpy()

    bounds = (np.log([1e-3, 0.05]), np.log([1e3 * len(lags), 2.0]))
    minimum = scipy.optimize.least_squares(residual, np.log([max(1.0, len(lags) / 4), 1.0]), bounds=bounds)
    return torch.from_numpy(np.exp(minimum.x))
