"""What is claimed about a compiled score, and how it was found."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from .. import report
from .._display import Tabular, Uncertain
from .._errors import InputError
from .figures import error_figure


@dataclass(frozen=True)
class ErrorAtTime:
    """The relative root-mean-square score error under p_t, as measured on the network.

    Attributes:
        time: t.
        value: [E|s - s*|^2 / E|s*|^2]^(1/2).
        standard_error: Of ``value``: of samples, or of round-off.
    """

    time: float
    value: float
    standard_error: float


@dataclass(frozen=True, repr=False)
class Certificate(Tabular):
    """Sizes, proven bound and measured error of a compiled score.

    Attributes:
        iteration, gates, heads, dtype, tolerance, min_time, max_time: What was asked for.
        depth, num_heads, width, num_hidden, parameters, weight_norm: L, M, D, hidden units of the widest block, number
            of weights and their largest absolute value B.
        num_iterations: K.
        product_layers: m; None where modulation multiplies.
        num_lags: J, the largest lag kept; knots on irregular times.
        condition_numbers: (t, kappa_t) of the exact marginal.
        bound: Maximum over t in [min_time, max_time] of the relative root-mean-square score error under p_t: proven,
            but for its part "round-off", which is a model (see ``compiler.bounds``).
        bound_parts: Its summands: "truncation", "interpolation", "iteration", "product", "tail", "round-off".
        measured: The same error of the network itself, by t.
        measured_kind: "exact" (the network is affine in x and float64: closed form of its map, up to 1e-9),
            "affine map in float32" (the same with the round-off of the network, known up to its standard error) or
            "monte carlo".
        score_kl: 1/2 int E|s - s*|^2 dt from min_time to max_time, nats a sequence.
        score_kl_standard_error: Of ``score_kl``: samples or round-off, and what the quadrature over t misses.
        coefficients: Shape (iterations, frames, gates) of the table c(t) by which time multiplies. It comes from a
            formula in float64 outside of the network: neither ``parameters`` nor ``weight_norm`` counts it. Its
            divisions, for "spectral" every 1/(alpha^2 lambda + sigma^2), are not done by ReLU layers, whatever
            ``gates`` is.
        stored_coefficients: Float64 numbers that the formula starts from (buffers of the network).
        coefficient_norm: Largest absolute entry of c(t) at the times of ``measured``.
        weights_sha256: Of the weights as a safetensors file.
        configuration_sha256: Of the options and the process as they are written beside the weights.
    """

    iteration: str
    gates: str
    heads: str
    dtype: str
    tolerance: float
    min_time: float
    max_time: float
    depth: int
    num_heads: int
    width: int
    num_hidden: int
    parameters: int
    weight_norm: float
    coefficients: tuple[int, int, int]
    stored_coefficients: int
    coefficient_norm: float
    num_iterations: int
    product_layers: int | None
    num_lags: int
    condition_numbers: tuple[tuple[float, float], ...]
    bound: float
    bound_parts: dict[str, float]
    measured: tuple[ErrorAtTime, ...]
    measured_kind: str
    score_kl: float
    score_kl_standard_error: float
    weights_sha256: str
    configuration_sha256: str

    def _facts(self) -> dict[str, object]:
        return {
            "bound": self.bound,
            "measured": Uncertain(self.worst.value, self.worst.standard_error),
            "score kl": Uncertain(self.score_kl, self.score_kl_standard_error, "nats"),
            "times": f"{self.min_time:g} to {self.max_time:g}",
            "iteration": self.iteration,
            "depth": self.depth,
            "heads": self.num_heads,
            "width": self.width,
            "parameters": self.parameters,
            "weight norm": self.weight_norm,
            "gates": self.gates,
            "kind of heads": self.heads,
            "measured kind": self.measured_kind,
        }

    def _columns(self) -> dict[str, Sequence[object]]:
        conditions = dict(self.condition_numbers)
        return {
            "time": [at.time for at in self.measured],
            "measured error": [at.value for at in self.measured],
            "standard error": [at.standard_error for at in self.measured],
            "bound": [self.bound for _ in self.measured],
            "condition number": [conditions.get(at.time) for at in self.measured],
        }

    def plot(self) -> report.Plot:
        """The measured error by diffusion time, the proven bound and the tolerance."""
        points = [(at.time, at.value, at.standard_error) for at in self.measured]
        return report.plot(error_figure(points, self.bound, self.tolerance))

    @property
    def worst(self) -> ErrorAtTime:
        """The largest measured error."""
        return max(self.measured, key=lambda at: at.value)

    def to_json(self) -> str:
        """Canonical JSON: the same certificate is always the same text."""
        return canonical(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """What :meth:`to_json` wrote.

        Raises:
            InputError: It is not a certificate.
        """
        try:
            record = json.loads(text)
            if not isinstance(record, dict) or set(record) != {field.name for field in fields(cls)}:
                raise ValueError("its fields are not those of a certificate")
            record["measured"] = tuple(ErrorAtTime(**entry) for entry in record["measured"])
            record["condition_numbers"] = tuple((t, kappa) for t, kappa in record["condition_numbers"])
            record["coefficients"] = tuple(record["coefficients"])
            certificate = cls(**record)
            certificate._check()
            return certificate
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"certificate is damaged: {error}") from None

    def _check(self) -> None:
        """Refuse fields of other types than those that a compilation writes."""
        for name in ("depth", "num_heads", "width", "num_hidden", "parameters", "num_iterations", "num_lags",
                     "stored_coefficients"):  # fmt: skip
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        for name in ("iteration", "gates", "heads", "dtype", "measured_kind", "weights_sha256", "configuration_sha256"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
        numbers = [self.tolerance, self.min_time, self.max_time, self.weight_norm, self.bound, self.score_kl]
        numbers += [self.score_kl_standard_error, self.coefficient_norm, *self.bound_parts.values()]
        numbers += [number for at in self.measured for number in (at.time, at.value, at.standard_error)]
        numbers += [number for pair in self.condition_numbers for number in pair]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("one of its numbers is missing or not finite")
        if not self.measured or "round-off" not in self.bound_parts:
            raise ValueError("it lacks the measured errors, or the round-off part of its bound")


def canonical(record: Any) -> str:
    """JSON in one spelling: sorted keys, fixed white space, no NaN."""
    return json.dumps(record, sort_keys=True, indent=1, allow_nan=False) + "\n"
