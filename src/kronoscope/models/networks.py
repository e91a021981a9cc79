"""The named networks, with the default training settings of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .. import _checks, _memory
from .._errors import InputError
from ..nn import MLP, DiT, LinearScore, MixtureTransformer, PositionTransformer, UNet, UnrolledTransformer
from ..settings.options import check_keywords, suggestion
from ..training import COPIES_OF_WEIGHTS, TrainingConfig

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class NetworkPreset:
    """How to build a network for N frames of d features, and how to train it by default."""

    build: Callable[..., nn.Module]
    training: TrainingConfig
    summary: str


NETWORKS: dict[str, NetworkPreset] = {
    "unrolled": NetworkPreset(
        UnrolledTransformer,
        TrainingConfig(
            max_steps=5000, batch_size=512, learning_rate=2e-2, ema_decay=0.998, evaluate_every=500, keep="last"
        ),
        "unrolled linear solver with a learnt covariance: learns Gaussian dependence from the fewest sequences",
    ),
    "mixture": NetworkPreset(
        MixtureTransformer,
        TrainingConfig(
            max_steps=4000, batch_size=256, learning_rate=1e-2, ema_decay=0.998, evaluate_every=500, keep="last"
        ),
        "several unrolled solvers under a softmax: regimes and heavy tails, with a law that stays exact",
    ),
    "position": NetworkPreset(
        PositionTransformer,
        TrainingConfig(max_steps=3000, batch_size=128, learning_rate=3e-3, patience=15),
        "position-only attention, linear in x: learns Gaussian dependence from few sequences",
    ),
    "dit": NetworkPreset(
        DiT,
        TrainingConfig(max_steps=1500, batch_size=64, learning_rate=3e-3, patience=None),
        "diffusion transformer, softmax attention and perceptrons beside a linear path: learns non-Gaussian data too",
    ),
    "unet": NetworkPreset(
        UNet,
        TrainingConfig(max_steps=1500, batch_size=64, learning_rate=1e-2, patience=None),
        "one-dimensional U-Net of convolutions over the frames: the usual network, as a baseline",
    ),
    "linear": NetworkPreset(
        LinearScore,
        TrainingConfig(max_steps=3000, batch_size=512, learning_rate=1e-3, patience=None),
        "a free matrix at every noise level, linear in x: no structure, as a baseline",
    ),
    "mlp": NetworkPreset(
        MLP,
        TrainingConfig(max_steps=3000, batch_size=128, learning_rate=1e-2, patience=None),
        "perceptron on the flattened sequence: no structure, as a baseline",
    ),
}


def preset(name: str) -> NetworkPreset:
    """The preset of that name."""
    if not isinstance(name, str):
        known = ", ".join(NETWORKS)
        raise TypeError(f"network must be one of {known}, or a torch module; got {_checks.described(name)}")
    if name not in NETWORKS:
        hint = suggestion(name, NETWORKS)
        raise InputError(f"network must be one of {', '.join(NETWORKS)}, or a torch module; got {name!r}{hint}")
    return NETWORKS[name]


def check_network(network: object) -> None:
    """Refuse what is neither the name of a network nor a module that takes (x, t).

    Raises:
        InputError: There is no network of that name, or the module's forward does not take x and t.
        TypeError: It is a class, or something else.
    """
    _checks.module("network", network)
    if not isinstance(network, nn.Module):
        preset(network)  # type: ignore[arg-type]
        return
    try:
        inspect.signature(network.forward).bind("x", "t")
    except TypeError as error:
        raise InputError(
            f"network must take sequences and times, forward(x, t); that of {type(network).__name__} does not: {error}"
        ) from None
    except ValueError:  # a forward without a signature, as that of compiled code
        return


def build_network(
    name: str, num_frames: int, num_features: int, options: dict[str, Any], generator: torch.Generator
) -> nn.Module:
    """A network with weights drawn from ``generator``; the global random state is left as it was."""
    build = preset(name).build
    _check_options(build, name, options)
    advice = "give smaller network options (--option), shorter sequences or fewer features"
    what = f"training the network {name!r}"

    def refuse(weights: int, tables: int = 0) -> None:
        _memory.check_bytes(COPIES_OF_WEIGHTS * weights + 2 * tables, what, advice)

    try:
        with _Allocations(refuse):
            network = build_with(lambda: build(num_frames, num_features, **options), name, generator)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, InputError) or not _memory.is_exhaustion(error):
            raise
        raise InputError(f"network {name!r} is too large for any memory; {advice}") from None
    refuse(*(_bytes(part) for part in (network.parameters(), network.buffers())))
    return network


def _check_options(build: Callable[..., nn.Module], name: str, options: dict[str, Any]) -> None:
    known = [option for option in inspect.signature(build).parameters if option not in ("num_frames", "num_features")]
    unknown = next((option for option in options if option not in known), None)
    if unknown is not None:
        hint = suggestion(unknown, known)
        raise InputError(f"network options of {name!r}: there is no {unknown!r}{hint}; there are {', '.join(known)}")


class _Allocations(TorchFunctionMode):
    """Checks the sizes of a network's new tensors while it is built, before they are allocated.

    Args:
        refuse: Called with the bytes that were asked for, as soon as they alone exceed the memory; it raises. Until
            then nothing is refused, since tensors that are dropped again are counted, too.
    """

    def __init__(self, refuse: Callable[[int], None]) -> None:
        super().__init__()
        self.refuse, self.asked = refuse, 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _WITH_SIZE:
            size = kwargs.get("size", args[:1] if function is torch.full else args)
            size = size[0] if len(size) == 1 and isinstance(size[0], tuple | list) else size
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
            self.asked += _memory.product(*size) * dtype.itemsize
            if self.asked > _memory.SHARE * _memory.total_bytes():
                self.refuse(self.asked)
        return function(*args, **kwargs)


_WITH_SIZE = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def build_with(build: Callable[[], Module], name: str, generator: torch.Generator) -> Module:
    """What ``build`` returns when torch's global random state is drawn from ``generator``; the state is put back."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
        try:
            return build()
        except TypeError as error:
            raise InputError(f"network options of {name!r}: {error}") from None


def training_config(name: str | None, overrides: Mapping[str, Any]) -> TrainingConfig:
    """The preset's training settings with the overrides; None keeps the preset, but for ``patience``: never stop.

    Args:
        name: Of the network; None for a module of the caller's.
        overrides: Fields of :class:`TrainingConfig`.

    Raises:
        TypeError: An unknown setting; names the one that was meant.
        InputError: A value that a setting cannot have.
    """
    base = TrainingConfig(patience=10) if name is None else preset(name).training
    check_keywords("training_config", overrides, [field.name for field in fields(TrainingConfig)])
    if overrides.get("keep") == "last":
        overrides = {"patience": None, **overrides}
    return replace(base, **{k: v for k, v in overrides.items() if v is not None or k == "patience"})
