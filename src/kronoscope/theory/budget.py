"""Where the error of a generated law comes from: each source by itself, in nats, beside the exact total."""

from __future__ import annotations

import copy
import html
import math
from dataclasses import dataclass, replace

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from .. import _checks, sampling
from .._display import Displayed
from .._errors import InputError
from .._typing import ScoreFunction
from ..estimators import BlockToeplitz, SampleCovariance, StationarySeparable
from ..estimators.base import Estimator
from ..metrics import gaussian_kl, score_kl
from ..models import Model
from ..nn import LinearScore, PositionTransformer, UnrolledTransformer
from ..processes import DenseGaussian, GaussianLaw, require_law
from .records import number

FINE_CALLS = {True: 256, False: 1024}  # of the sampler that stands for continuous time: deterministic, stochastic
MOST_ENTRIES = 512  # N d: every law is dense


@dataclass(frozen=True, repr=False)
class Term(Displayed):
    """One source of error.

    Attributes:
        nats: Its size; None where it cannot be told apart.
        statement: What it is the divergence between.
        kind: "exact" (closed form), "quadrature" or "monte carlo".
    """

    nats: float | None
    statement: str
    kind: str


@dataclass(frozen=True, repr=False)
class ErrorBudget:
    """The terms of KL(P_t0 | generated), each computed by itself.

    Attributes:
        terms: "early stopping", "start", "approximation", "estimation", "optimisation", "discretisation"; for a score
            that is not affine "score" in place of the middle three.
        share: a, how much of the minimiser's sampling error training took on: 1 is all, less is early stopping.
        measured: KL(P_t0 | exact law of the sampler) in nats; None where the score is not affine.
        measured_at_zero: KL(P_0 | the same law), which early stopping adds to; None where it is infinite or unknown.
        is_exact: Whether the score is affine in x, so that every law is Gaussian. Otherwise ``total`` is an upper
            bound for the reverse SDE in continuous time (Girsanov), and says nothing about discretisation.
        min_time, max_time, sampler, steps: Of the sampler.
    """

    terms: dict[str, Term]
    share: float | None
    measured: float | None
    measured_at_zero: float | None
    is_exact: bool
    min_time: float
    max_time: float
    sampler: str
    steps: int

    @property
    def total(self) -> float:
        """The sum of the terms but for early stopping."""
        return math.fsum(term.nats or 0.0 for name, term in self.terms.items() if name != "early stopping")

    @property
    def interaction(self) -> float | None:
        """``measured`` less ``total``: what the sources do together, which no term holds."""
        return None if self.measured is None else self.measured - self.total

    def __repr__(self) -> str:
        measured = "unknown" if self.measured is None else number(self.measured)
        return (
            f"<error budget: {number(self.total)} nats in all, measured {measured}, {self.sampler}, {self.steps} calls>"
        )

    def __str__(self) -> str:
        rows = self._rows()
        width = max(len(row[0]) for row in rows)
        lines = [f"  {name.ljust(width)}  {value.rjust(10)}  {what}" for name, value, what in rows]
        return "\n".join([f"Error budget in nats, {self.sampler} with {self.steps} calls", *lines])

    def _repr_html_(self) -> str:
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
        )
        head = "".join(f"<th>{cell}</th>" for cell in ("term", "nats", "divergence"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [
            (name, "unknown" if term.nats is None else number(term.nats), f"{term.statement} ({term.kind})")
            for name, term in self.terms.items()
        ]
        if not self.is_exact:
            return [*rows, ("sum", number(self.total), "upper bound, but for early stopping and discretisation")]
        assert self.measured is not None
        assert self.interaction is not None
        rows += [
            ("sum", number(self.total), "but for early stopping"),
            ("measured", number(self.measured), "KL(P_t0 | exact law of the sampler)"),
            ("interaction", number(self.interaction), "measured less sum"),
        ]
        if self.measured_at_zero is not None:
            rows.append(("measured at 0", number(self.measured_at_zero), "KL(P_0 | exact law of the sampler)"))
        return rows


def error_budget(
    model: Model,
    process: GaussianLaw,
    *,
    sampler: str = "dpm-solver",
    steps: int = 64,
    data: Tensor | None = None,
    best: ScoreFunction | None = None,
    minimiser: ScoreFunction | None = None,
) -> ErrorBudget:
    """Split the error of what ``model`` generates into its sources.

    P_t is the noised law of the process, and L(s) the law that a score s generates in continuous time from P_T. Let
    *best* be the best score of the network's class and *minimiser* that of the empirical risk. On the path of laws with
    covariances (1 - a) C_best + a C_minimiser let L_a be the one that is nearest to L(model), KL(L_a | L(model)) least.

        early stopping    KL(P_0 | P_t0)
        start             KL(P_t0 | exact score, continuous time, from N(0, I))
        approximation     KL(P_t0 | L(best))
        estimation        KL(L(best) | L_a): the minimiser's sampling error, as far as training took it on
        optimisation      KL(L_a | L(model)): the rest of the trained network's error
        discretisation    KL(P_t0 | exact score, the sampler's steps, from P_T)

    No term is a difference of others. Estimation and optimisation add because L_a is the nearest law (the Pythagorean
    relation of KL); independent errors add to leading order. What the sources do together is ``interaction``.

    Without ``best`` and ``minimiser`` the class is:

    - unrolled, one head: stationary separable laws, through the same network with the weights that hold the process and
      the maximum likelihood of ``data``; so the network's finite depth counts to approximation;
    - unrolled with several heads of the lag, and position: block-Toeplitz laws, which the process must belong to. What
      the network cannot hold of them counts to optimisation;
    - linear: all laws.

    Args:
        model: A fitted model.
        process: The law of its data, in the data's units.
        sampler, steps: A name in ``sampling.SAMPLERS``, and its score calls. Continuous time is the same kind of
            sampler with 256 calls (1024 for a stochastic one).
        data: The sequences that the model was fitted to, (n, N, d); needed for the minimiser, which is that of the
            training part and of the noised likelihood at t0.
        best, minimiser: Scores in the coordinates of ``model.score``, in place of those.

    Raises:
        TypeError: Arguments of another kind.
        InputError: Sizes disagree, a reference is missing, or N d is above 512.

    Source: Csiszar, *Ann. Probab.* 3 (1975) 146, for the Pythagorean relation.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a fitted kronoscope model, got {_checks.kind(model)}")
    require_law("process", process)
    if sampler not in sampling.SAMPLERS:
        raise InputError(f"sampler must be one of {', '.join(sampling.SAMPLERS)}, got {sampler!r}")
    if process.mean.numel() > MOST_ENTRIES:
        raise InputError(f"process must have at most {MOST_ENTRIES} frames times features, got {process.mean.numel()}")
    if data is not None:
        _checks.sequences("data", data, process.num_frames, process.num_features)
    truth = model.scaled(process)
    times = model.training.min_time, model.training.max_time
    table = sampling.SAMPLERS[sampler](steps, *times)
    if not model.is_affine:
        return _inequality(model, truth, table, steps)
    double = replace(model, network=copy.deepcopy(model.network).double())
    best_score = best if best is not None else _best(model, truth)
    reference = minimiser if minimiser is not None else _minimiser(model, data)
    return _Laws(truth, table, *times).budget(double.score, best_score, reference, sampler, steps)


class _Laws:
    """The laws between which the terms lie, all Gaussian."""

    def __init__(self, truth: GaussianLaw, table: sampling.SamplerTable, low: float, high: float) -> None:
        self.truth, self.table, self.low, self.high = truth, table, low, high
        calls = FINE_CALLS[table.is_deterministic]
        self.fine = sampling.SAMPLERS["dpm-solver" if table.is_deterministic else "dpm-solver-sde"](calls, low, high)
        self.at_low, self.at_high = noised_law(truth, low), noised_law(truth, high)

    def budget(
        self, score: ScoreFunction, best: ScoreFunction, minimiser: ScoreFunction, sampler: str, steps: int
    ) -> ErrorBudget:
        ideal, empirical, trained = (self._flow(each) for each in (best, minimiser, score))
        share, nearest = _nearest(ideal, empirical, trained)
        generated = self._law(self.table, score, None)
        stepped = self._law(self.table, self.truth.score, self.at_high)
        terms = {
            "early stopping": Term(_kl(self.truth, self.at_low), "KL(P_0 | P_t0)", "exact"),
            "start": Term(gaussian_kl(self.at_low, self._from_noise()), "KL(P_t0 | started from N(0, I))", "exact"),
            "approximation": Term(gaussian_kl(self.at_low, ideal), "KL(P_t0 | L(best))", "exact"),
            "estimation": Term(gaussian_kl(ideal, nearest), f"KL(L(best) | L_a), a = {number(share)}", "exact"),
            "optimisation": Term(gaussian_kl(nearest, trained), "KL(L_a | L(model))", "exact"),
            "discretisation": Term(gaussian_kl(self.at_low, stepped), "KL(P_t0 | exact score in steps)", "exact"),
        }
        measured, at_zero = gaussian_kl(self.at_low, generated), _kl(self.truth, generated)
        return ErrorBudget(terms, share, measured, at_zero, True, self.low, self.high, sampler, steps)

    def _flow(self, score: ScoreFunction) -> DenseGaussian:
        return self._law(self.fine, score, self.at_high)

    def _law(self, table: sampling.SamplerTable, score: ScoreFunction, start: GaussianLaw | None) -> DenseGaussian:
        return sampling.law(table, score, self.truth.num_frames, self.truth.num_features, start=start)

    def _from_noise(self) -> DenseGaussian:
        """The exact score in continuous time from N(0, I), in closed form.

        The flow multiplies by sqrt(c_low / c_high) along each eigenvector. The reverse SDE has the transition of P:
        x_low = A x_high + noise, A = exp(-(T - t0)/2) c_low / c_high, so the start's error is multiplied by A.
        """
        values, vectors = torch.linalg.eigh(self.truth.covariance())
        low, high = (1 + (values - 1) * math.exp(-t) for t in (self.low, self.high))
        pull = math.exp(-(self.high - self.low) / 2) * low / high
        variances = low / high if self.table.is_deterministic else low + pull**2 * (1 - high)
        factor = (low / high).sqrt() if self.table.is_deterministic else pull
        moved = (vectors * factor) @ vectors.T @ self.at_high.mean.reshape(-1)
        mean = self.at_low.mean - moved.reshape(self.at_low.mean.shape)
        return DenseGaussian((vectors * variances) @ vectors.T, self.truth.num_features, mean)


def noised_law(law: GaussianLaw, t: float) -> DenseGaussian:
    """P_t: N(alpha_t mu, alpha_t^2 K + sigma_t^2 I)."""
    identity = torch.eye(law.mean.numel(), dtype=torch.float64)
    covariance = math.exp(-t) * law.covariance().cpu() - math.expm1(-t) * identity
    return DenseGaussian(covariance, law.num_features, math.exp(-t / 2) * law.mean.cpu())


def _kl(p: GaussianLaw, q: GaussianLaw) -> float | None:
    """None where the data are too near singular for a finite divergence."""
    try:
        return gaussian_kl(p, q)
    except InputError:
        return None


def _nearest(best: DenseGaussian, minimiser: DenseGaussian, trained: DenseGaussian) -> tuple[float, DenseGaussian]:
    """a and L_a, the law on the path from ``best`` to ``minimiser`` with the least KL(L_a | trained)."""

    def law(a: float) -> DenseGaussian:
        covariance = (1 - a) * best.covariance() + a * minimiser.covariance()
        return DenseGaussian(covariance, best.num_features, (1 - a) * best.mean + a * minimiser.mean)

    closest = minimize_scalar(
        lambda a: gaussian_kl(law(a), trained), bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-5}
    )
    share = min((0.0, 1.0, float(closest.x)), key=lambda a: gaussian_kl(law(a), trained))
    return share, law(share)


def _is_one_head(model: Model) -> bool:
    options = model.network_options
    plain = options.get("positions", "relative") == "relative" and options.get("values", "head") == "head"
    return isinstance(model.network, UnrolledTransformer) and plain and options.get("heads", 1) == 1


def _held(model: Model, law: GaussianLaw) -> ScoreFunction:
    """The score of the model's own unrolled network with the weights that hold ``law``."""
    network = UnrolledTransformer.from_law(law, **model.network_options)
    return replace(model, network=network.double()).score


def _class_of(model: Model) -> type[Estimator]:
    if _is_one_head(model):
        return StationarySeparable
    relative = model.network_options.get("positions", "relative") == "relative"
    if isinstance(model.network, PositionTransformer) or (isinstance(model.network, UnrolledTransformer) and relative):
        return BlockToeplitz
    if isinstance(model.network, LinearScore):
        return SampleCovariance
    raise InputError(
        f"best and minimiser are needed for network={model.network_name!r}: scores of the best and of the empirical "
        "minimiser of its class"
    )


def _best(model: Model, truth: GaussianLaw) -> ScoreFunction:
    if _is_one_head(model):
        return _held(model, truth)
    if _class_of(model) is BlockToeplitz and not _is_block_toeplitz(truth):
        raise InputError(
            "best is needed: process is no block-Toeplitz law, to which the class of this network is taken to belong"
        )
    return truth.score


def _is_block_toeplitz(law: GaussianLaw) -> bool:
    covariance, d = law.covariance(), law.num_features
    return bool(torch.allclose(covariance[d:, d:], covariance[:-d, :-d], rtol=0, atol=1e-9 * float(covariance.max())))


def _minimiser(model: Model, data: Tensor | None) -> ScoreFunction:
    if data is None:
        raise InputError("data is needed, the sequences that the model was fitted to, or minimiser in place of it")
    parts = model.record.get("split", {})
    if len(data) != sum(len(part) for part in parts.values()):
        raise InputError(f"data must be the sequences that the model was fitted to, got {len(data)} of them")
    shift, scale = (torch.from_numpy(part) for part in model.transform.shift_and_scale(None))
    scaled = (data[parts["train"]].cpu().double() - shift) / scale
    law = _class_of(model)(min_time=model.training.min_time).fit(scaled)
    return _held(model, law) if _is_one_head(model) else law.score


def _inequality(model: Model, truth: GaussianLaw, table: sampling.SamplerTable, steps: int) -> ErrorBudget:
    """Girsanov's bound for a score that is not affine."""
    low, high = table.end_time, table.times[0]
    at_low, at_high = noised_law(truth, low), noised_law(truth, high)
    white = DenseGaussian(torch.eye(truth.mean.numel(), dtype=torch.float64), truth.num_features)
    error = score_kl(model.score, truth, low, high)
    spread = f"monte carlo, +- {number(error.standard_error)}"
    terms = {
        "early stopping": Term(_kl(truth, at_low), "KL(P_0 | P_t0)", "exact"),
        "start": Term(gaussian_kl(at_high, white), "KL(P_T | N(0, I))", "exact"),
        "score": Term(error.value, "1/2 int E|s - s*|^2 dt: approximation, estimation and optimisation", spread),
        "discretisation": Term(None, "no closed form: the score is not affine", "unknown"),
    }
    return ErrorBudget(terms, None, None, None, False, low, high, table.name, steps)
