"""What is claimed about a compiled score, and how it was found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from .._errors import InputError


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


@dataclass(frozen=True)
class Certificate:
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

    @property
    def worst(self) -> ErrorAtTime:
        """The largest measured error."""
        return max(self.measured, key=lambda one: one.value)

    def to_json(self) -> str:
        """Canonical JSON: the same certificate is always the same text."""
        return canonical(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """What :meth:`to_json` wrote.

        Raises:
            InputError: It is no certificate.
        """
        try:
            record = json.loads(text)
            if not isinstance(record, dict) or set(record) != {field.name for field in fields(cls)}:
                raise ValueError("its fields are not those of a certificate")
            record["measured"] = tuple(ErrorAtTime(**one) for one in record["measured"])
            record["condition_numbers"] = tuple((float(t), float(kappa)) for t, kappa in record["condition_numbers"])
            return cls(**record)
        except (ValueError, TypeError) as error:
            raise InputError(f"certificate is damaged: {error}") from None


def canonical(record: Any) -> str:
    """JSON in one spelling: sorted keys, fixed white space, no NaN."""
    return json.dumps(record, sort_keys=True, indent=1, allow_nan=False) + "\n"
