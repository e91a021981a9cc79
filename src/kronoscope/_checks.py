"""Argument checks. Each raises an ``InputError`` that names the argument, what it must be and what came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._errors import InputError
from ._typing import DiffusionTime


def positive(name: str, value: float) -> float:
    """``value`` as a float, if it is finite and greater than zero."""
    number = real(name, value)
    if number <= 0:
        raise InputError(f"{name} must be greater than 0, got {number:g}")
    return number


def non_negative(name: str, value: float) -> float:
    """``value`` as a float, if it is finite and not negative."""
    number = real(name, value)
    if number < 0:
        raise InputError(f"{name} must be 0 or greater, got {number:g}")
    return number


def real(name: str, value: float) -> float:
    """``value`` as a float, if it is a finite number."""
    try:
        if isinstance(value, str | bytes) or is_complex(value):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, got {described(value)}") from None
    except OverflowError:
        raise InputError(f"{name} must be a number that float64 holds, got a larger one") from None
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, got {number}")
    return number


def count(name: str, value: int, least: int = 1, most: int | None = None) -> int:
    """``value`` as an int, if it is a whole number of at least ``least`` and at most ``most``."""
    try:
        whole = not (isinstance(value, bool | str) or is_complex(value)) and bool(int(value) == value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        whole = False
    if not whole:
        raise TypeError(f"{name} must be a whole number, got {described(value)}")
    if value < least:
        raise InputError(f"{name} must be at least {least}, got {described(value)}")
    if most is not None and value > most:
        raise InputError(f"{name} must be at most {most}, got {described(value)}")
    return int(value)


def is_complex(value: Any) -> bool:
    """Whether ``value`` holds complex numbers, which numpy and torch make real with a warning at most."""
    return value.is_complex() if isinstance(value, Tensor) else bool(np.iscomplexobj(value))


def described(value: object) -> str:
    """``value`` for an error message, in one short line: arrays and modules by their kind and shape."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and math.prod(shape) != 1:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of the user's own
        return type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def kind(value: object) -> str:
    """What ``value`` is, for an error message: plain values and arrays as :func:`described`, others by their type."""
    if value is None or isinstance(value, str | int | float | complex | np.ndarray | Tensor):
        return described(value)
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def array(name: str, values: Any, kinds: str = "biuf") -> np.ndarray:
    """``values`` as an array of numbers or truth values (numpy's ``kinds``); NaN where an entry is masked.

    Raises:
        TypeError: They are not numbers.
    """
    if isinstance(values, np.ma.MaskedArray):
        numbers = values.dtype if values.dtype.kind == "f" else np.float64
        return np.where(np.ma.getmaskarray(values), np.nan, values.data).astype(numbers)
    try:
        converted = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except (TypeError, ValueError, RuntimeError):
        converted = np.empty(0, dtype=object)
    if converted.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got {converted.dtype}")
    if converted.dtype.kind not in kinds:
        raise TypeError(f"{name} must be an array of numbers, got {described(values)}")
    return converted


def tensor(
    name: str, values: Any, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """``values`` as a tensor of real numbers: a tensor, a number, or an array of them.

    Raises:
        InputError: Entries are masked, which a tensor has no place for, or complex.
        TypeError: They are not numbers.
    """
    masked = getattr(values, "mask", None) if isinstance(values, np.ma.MaskedArray) else None
    if masked is not None and np.any(masked):
        raise InputError(
            f"{name} must have no masked entries, got {int(np.sum(masked))} of {values.size}: fill them "
            f"({name}.filled(...)) or leave them out"
        )
    try:
        # A list of Python's numbers is one of float64, which torch would round to float32.
        plain = values if isinstance(values, Tensor | np.ndarray) or dtype is not None else np.asarray(values)
        converted = torch.as_tensor(plain, dtype=None if is_complex(values) else dtype, device=device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{name} must be numbers, got {described(values)}") from None
    if converted.is_complex():
        raise InputError(f"{name} must be real, got {converted.dtype}")
    return converted


def module(name: str, value: object) -> None:
    """Refuse the class of a network where one of its instances is needed.

    Raises:
        TypeError: ``value`` is a class.
    """
    if isinstance(value, type):
        raise TypeError(
            f"{name} must be a network, got the class {value.__name__}: build one first, {name}={value.__name__}(...)"
        )


def score(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is a function (x, t); the message names one that is.

    Raises:
        TypeError: ``value`` is a class, or cannot be called.
    """
    module(name, value)
    if callable(value):
        return
    if callable(getattr(value, "score", None)):
        raise TypeError(f"{name} must be a function of (x, t), got {kind(value)}: give its method, {name}=....score")
    raise TypeError(f"{name} must be a function of (x, t), such as process.score, got {kind(value)}")


def floating(name: str, dtype: object) -> None:
    """Raise TypeError unless ``dtype`` is a floating dtype of torch.

    Raises:
        TypeError: As said.
    """
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"{name} must be a floating dtype such as torch.float32, got {described(dtype)}")


def finite(name: str, values: Tensor) -> Tensor:
    """``values``, if none is NaN or infinite."""
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        where = tuple(bad.nonzero()[0].tolist())
        raise InputError(
            f"{name} must be finite, but {int(bad.sum())} of its {values.numel()} values are NaN or infinite "
            f"(the first at index {where})"
        )
    return values


def sequences(name: str, x: Tensor, frames: int | None = None, features: int | None = None) -> Tensor:
    """``x``, if it is a floating (batch, frames, features) tensor of the sizes asked for."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must have a floating dtype, got {x.dtype}")
    want = f"(batch, {frames or 'frames'}, {features or 'features'})"
    if x.ndim != 3 or (frames and x.shape[1] != frames) or (features and x.shape[2] != features):
        raise InputError(f"{name} must have shape {want}, got {tuple(x.shape)}")
    return x


def diffusion_time(t: DiffusionTime, batch: int, like: Tensor, allow_zero: bool = True) -> Tensor:
    """Diffusion time as a float64 tensor of shape () or (batch,) on ``like``'s device.

    Float64 whatever ``like`` is, because expm1(t) at small t decides how exact a score can be.
    """
    time = tensor("t", t, torch.float64, like.device)
    if time.ndim > 1 or (time.ndim == 1 and time.shape[0] not in (1, batch)):
        raise InputError(f"t must be a number or have shape ({batch},), got {tuple(time.shape)}")
    lowest = float(time.min()) if time.numel() else 0.0
    if not bool(torch.isfinite(time).all()):
        raise InputError("t must be finite")
    if lowest < 0 or (lowest == 0 and not allow_zero):
        raise InputError(f"t must be {'0 or greater' if allow_zero else 'greater than 0'}, got {lowest:g}")
    return time.reshape(()) if time.numel() == 1 else time


def generator_or_seed_zero(generator: torch.Generator | None, device: torch.device | str = "cpu") -> torch.Generator:
    """``generator``, or a new one with seed 0: everything is reproducible unless asked otherwise."""
    if generator is None:
        return torch.Generator(device=device).manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    return generator
