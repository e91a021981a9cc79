"""Covariance functions k(h, h') of sequence times, and their sums, products and multiples.

A sum, a product and a positive multiple are positive semi-definite because their parts are (Schur for the product).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass
from numbers import Real

import torch
from torch import Tensor

from .. import _checks
from .._display import Displayed
from .._errors import InputError


@dataclass(frozen=True)
class Decay:
    """How fast a kernel decays with the lag: the *decay pattern* of the theory.

    Attributes:
        kind: "none", "polynomial", "stretched-exponential" (exponent below 1), "exponential", "super-exponential"
            (exponent between 1 and 2), "gaussian", "compact" or "white".
        formula: The leading behaviour at large lag, for people.
        rate: The exponent nu of exp(-(h/scale)^nu), or the power in h^-rate, where there is one.
        scale: The lag in exp(-(h/scale)^rate), or beyond which a compact kernel is 0, where there is one.
    """

    kind: str
    formula: str
    rate: float | None = None
    scale: float | None = None


class Kernel(Displayed, ABC):
    """A covariance function k(h, h'), symmetric and positive semi-definite.

    Kernels add, multiply and scale: ``k1 + k2``, ``k1 * k2`` and ``2.0 * k`` are kernels.
    """

    @abstractmethod
    def __call__(self, h: Tensor, h_prime: Tensor) -> Tensor:
        """k(h, h'), elementwise with broadcasting, in float64."""

    @property
    @abstractmethod
    def is_stationary(self) -> bool:
        """Whether k(h, h') depends on the lag h - h' alone."""

    @property
    @abstractmethod
    def decay(self) -> Decay:
        """How k falls with the lag."""

    def _facts(self) -> dict[str, object]:
        return {"kernel": repr(self), "stationary": self.is_stationary, "decay": self.decay.formula}

    def __repr__(self) -> str:
        """What :func:`parse` reads back; a numpy number is written as a plain one."""
        if not is_dataclass(self):
            return super().__repr__()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return f"{type(self).__name__}({', '.join(f'{name}={written(value)}' for name, value in values.items())})"

    def at_lag(self, lag: Tensor) -> Tensor:
        """k as a function of the lag h - h', for stationary kernels. Float64, shape of ``lag``.

        Raises:
            InputError: The kernel is not stationary, or is not finite there in float64.
        """
        if not self.is_stationary:
            raise InputError(f"{self!r} is not stationary: its covariance is not a function of the lag alone")
        lag = _checks.tensor("lag", lag, torch.float64)
        return self._finite(self(lag, torch.zeros_like(lag)))

    def covariance(self, times: Tensor) -> Tensor:
        """Gamma_ij = k(h_i, h_j), shape (frames, frames), float64.

        Raises:
            InputError: The kernel is not finite there in float64.
        """
        times = _checks.tensor("times", times, torch.float64)
        return self._finite(self(times[:, None], times[None, :]))

    def _finite(self, values: Tensor) -> Tensor:
        if not bool(values.isfinite().all()):
            raise InputError(
                f"the kernel {self!r} is not finite in float64 at some of the lags; give it less extreme numbers"
            )
        return values

    def __add__(self, other: Kernel) -> Kernel:
        if not isinstance(other, Kernel):
            return NotImplemented
        return Sum(self, other)

    def __mul__(self, other: Kernel | float) -> Kernel:
        if isinstance(other, Kernel):
            return Product(self, other)
        if isinstance(other, (int, float)):
            return Scaled(self, other)
        return NotImplemented

    __rmul__ = __mul__


class StationaryKernel(Kernel):
    """A kernel of the distance |h - h'|: subclasses give :meth:`of_distance` and nothing else of the mathematics."""

    @property
    def is_stationary(self) -> bool:
        return True

    @abstractmethod
    def of_distance(self, distance: Tensor) -> Tensor:
        """k at distance |h - h'| >= 0, elementwise, float64."""

    def __call__(self, h: Tensor, h_prime: Tensor) -> Tensor:
        h = _checks.tensor("h", h, torch.float64)
        return self.of_distance((h - _checks.tensor("h_prime", h_prime, torch.float64, h.device)).abs())


def written(value: object) -> str:
    """``value`` as a Python literal, if it is a real number of any kind."""
    is_plain = type(value) is int
    return repr(float(value)) if isinstance(value, Real) and not is_plain else repr(value)


@dataclass(frozen=True, repr=False)
class Sum(Kernel):
    """k1(h, h') + k2(h, h'). Decays as the slower of the two."""

    first: Kernel
    second: Kernel

    @property
    def is_stationary(self) -> bool:
        return self.first.is_stationary and self.second.is_stationary

    @property
    def decay(self) -> Decay:
        return _slower(self.first.decay, self.second.decay)

    def __repr__(self) -> str:
        return f"{self.first!r} + {_operand(self.second, Sum)}"

    def __call__(self, h: Tensor, h_prime: Tensor) -> Tensor:
        return self.first(h, h_prime) + self.second(h, h_prime)


@dataclass(frozen=True, repr=False)
class Product(Kernel):
    """k1(h, h') k2(h, h'). Decays at least as fast as the faster of the two."""

    first: Kernel
    second: Kernel

    @property
    def is_stationary(self) -> bool:
        return self.first.is_stationary and self.second.is_stationary

    @property
    def decay(self) -> Decay:
        first, second = self.first.decay, self.second.decay
        return second if _slower(first, second) is first else first

    def __repr__(self) -> str:
        return f"{_operand(self.first, Sum)} * {_operand(self.second, Sum, Product, Scaled)}"

    def __call__(self, h: Tensor, h_prime: Tensor) -> Tensor:
        return self.first(h, h_prime) * self.second(h, h_prime)


@dataclass(frozen=True, repr=False)
class Scaled(Kernel):
    """factor k(h, h'), factor > 0."""

    kernel: Kernel
    factor: float

    def __post_init__(self) -> None:
        _checks.positive("factor", self.factor)

    @property
    def is_stationary(self) -> bool:
        return self.kernel.is_stationary

    @property
    def decay(self) -> Decay:
        return self.kernel.decay

    def __repr__(self) -> str:
        return f"{written(self.factor)} * {_operand(self.kernel, Sum, Product, Scaled)}"

    def __call__(self, h: Tensor, h_prime: Tensor) -> Tensor:
        return self.factor * self.kernel(h, h_prime)


def _operand(kernel: Kernel, *enclosed: type[Kernel]) -> str:
    """``kernel`` written out, in parentheses where it would otherwise be read back in another order."""
    return f"({kernel!r})" if isinstance(kernel, enclosed) else repr(kernel)


# The exponential family is one class: inside it the exponent decides, then the scale.
_SPEED = {
    "none": 0,
    "polynomial": 1,
    "stretched-exponential": 2,
    "exponential": 2,
    "super-exponential": 2,
    "gaussian": 2,
    "compact": 3,
    "white": 4,
}


def _speed(decay: Decay) -> tuple[int, float, float]:
    return _SPEED[decay.kind], decay.rate or 0.0, -(decay.scale or 0.0)


def _slower(a: Decay, b: Decay) -> Decay:
    return a if _speed(a) <= _speed(b) else b
