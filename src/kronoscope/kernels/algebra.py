"""Sums, products and multiples of kernels: each is positive semi-definite because its parts are (Schur for *)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .. import _checks
from .base import Decay, Kernel, written

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
