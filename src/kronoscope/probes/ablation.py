"""Interventions: the score error without one attention head, and with the kernel of another network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .. import _checks, diffusion, report
from .._calls import taking
from .._display import Displayed, Tabular, Uncertain, columns_of
from .._errors import InputError
from ..nn import DiT, PositionTransformer, ReLUTransformer, UnrolledTransformer
from ..processes import GaussianLaw, require_law
from .figures import ablation_figure

Patch = Literal["zero", "mean"]
Heads = Sequence[tuple[nn.Linear | str, slice]]
NODES = 24


@dataclass(frozen=True, repr=False)
class Damage(Displayed):
    """One head taken away.

    Attributes:
        path: "softmax" or "linear" in a :class:`DiT`; of ``heads`` that were named, the projection's name in the
            network ("" where the network is a score); "" elsewhere.
        block, head: Which, from 0; of named heads, which of the named projections and which of its heads.
        nats: Rise of the score error (docs/theory.md, section 2); below 0 the network is better without the head.
        standard_error: Paired, of the same sequences and the same noise with and without the head; with it what the
            quadrature over time misses (root of the sum of squares).
    """

    path: str
    block: int
    head: int
    nats: float
    standard_error: float

    def _facts(self) -> dict[str, object]:
        path = {"path": self.path} if self.path else {}
        damage = Uncertain(self.nats, self.standard_error, "nats")
        return {**path, "block": self.block, "head": self.head, "damage": damage}


@dataclass(frozen=True, repr=False)
class Ablation(Tabular):
    """Damage by every head.

    Attributes:
        score_kl: Score error of the whole network, nats, by the same Monte Carlo.
        standard_error: Of ``score_kl``: of the sequences, and of the quadrature.
        damages: One for each head.
    """

    score_kl: float
    standard_error: float
    damages: tuple[Damage, ...]

    def _facts(self) -> dict[str, object]:
        score_kl = Uncertain(self.score_kl, self.standard_error, "nats")
        return {"score kl": score_kl, "heads": len(self.damages), "worst": self.worst}

    def plot(self) -> report.Plot:
        """The rise of the score error without each head, in nats, ± two standard errors."""
        rows = [(f"{d.path} block {d.block} head {d.head}".strip(), d.nats, d.standard_error) for d in self.damages]
        return report.plot(ablation_figure(rows))

    def _columns(self) -> dict[str, Sequence[object]]:
        return columns_of(self.damages, "path", "block", "head", "nats", "standard_error")

    @property
    def worst(self) -> Damage:
        """The head that costs most."""
        return max(self.damages, key=lambda damage: damage.nats)

    def median(self, path: str | None = None) -> float:
        """Median of |nats| over the heads (of one path): the size that a null is judged by."""
        return float(np.median([abs(damage.nats) for damage in self.damages if path in (None, damage.path)]))


def ablate(
    network: nn.Module | Any,
    process: GaussianLaw,
    *,
    heads: Heads | None = None,
    patch: Patch = "zero",
    num_samples: int = 256,
    min_time: float = 1e-2,
    max_time: float = 6.0,
    generator: torch.Generator | None = None,
) -> Ablation:
    """Take away one attention head after the other; the damage is the rise of ``score_kl``, in nats.

        damage_m = 1/2 int E[ |s_without m - s*|^2 - |s - s*|^2 ] dt

    Args:
        network: A :class:`DiT` (heads of both its paths), :class:`PositionTransformer`, :class:`ReLUTransformer` that
            gives epsilon, or :class:`UnrolledTransformer`; or a model fitted without mean and scaling. With ``heads``,
            any module (x, t) -> epsilon, or any score(x, t), such as ``score_from`` makes of an outside network.
        process: The truth that the network was trained on: the damage is to the score of its law.
        heads: Where the heads of an outside network write: (projection, features) each, with the linear layer that
            attention ends with, or its name in the network, and the slice of the features going into it that belongs to
            the head. The batch must be the outermost part of the layer's first axis.
            Head k of size s: in a :class:`VideoDiT`, ``(network.blocks[0].time.output, slice(s * k, s * k + s))``; in a
            block of diffusers, ``(block.attn1.to_out[0], slice(s * k, s * k + s))``.
        patch: "zero" puts nothing where the head wrote; "mean" puts the mean over the sequences of the same noise
            level, which leaves what the head says whatever it sees. An unrolled or ReLU network has "zero" only: its
            heads are linear in x, so their mean is that of the data.
        num_samples: Sequences, the same ones for every head, each at 24 quadrature nodes of the clock.
        min_time, max_time: Range of diffusion time.
        generator: None means seed 0.

    Raises:
        InputError: A network without heads that can be told apart or that does not take sequences of the process's
            shape; ``heads`` that are not in the network; or an unknown patch.

    Example:
        >>> import kronoscope as ks
        >>> process = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), torch.eye(2), times=6)
        >>> network = ks.nn.VideoDiT(6, 2, height=1, patch=1, width=8, num_blocks=1, num_heads=2)
        >>> heads = [(network.blocks[0].time.output, slice(k, k + 4)) for k in (0, 4)]
        >>> [one.head for one in ablate(network, process, heads=heads, num_samples=4).damages]
        [0, 1]
    """
    if patch not in get_args(Patch):
        raise InputError(f"patch must be one of {', '.join(get_args(Patch))}, got {patch!r}")
    inner = getattr(network, "network", network)
    if heads is None:
        _check_kind(inner, patch)
        without = _without_each(inner, patch)
    else:
        without = _without_named(inner, _named(inner, heads), patch)
    measured = _Measure.of(process, num_samples, min_time, max_time, generator)
    whole = measured(inner)
    damages = [
        Damage(path, block, head, *measured.in_nats(loss(measured) - whole)) for path, block, head, loss in without
    ]
    return Ablation(*measured.in_nats(whole), tuple(damages))


@dataclass(frozen=True, eq=False)
class _Measure:
    """|epsilon - epsilon*|^2 / 2 of a network at each node of a rule on the clock and for each of the sequences.

    Attributes:
        rule: Of the integral over time.
        nodes: (t, x, epsilon*) at each node, of the same sequences.
    """

    rule: diffusion.ClockRule
    nodes: list[tuple[float, Tensor, Tensor]]

    @classmethod
    def of(
        cls, process: GaussianLaw, count: int, min_time: float, max_time: float, generator: torch.Generator | None
    ) -> _Measure:
        require_law("process", process)
        _checks.count("num_samples", count, 2)
        generator = _checks.generator_or_seed_zero(generator)
        rule = diffusion.clock_rule(min_time, max_time, NODES)
        data = process.sample(count, generator=generator).double()
        nodes = []
        for t in rule.times:
            noise = torch.randn(data.shape, dtype=torch.float64, generator=generator)
            x = diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise)
            exact = -math.sqrt(-math.expm1(-t)) * process.score(x, t)
            nodes.append((t, x, exact))
        return cls(rule, nodes)

    @torch.no_grad()
    def __call__(self, network: Any) -> Tensor:
        losses = []
        for t, x, exact in self.nodes:
            with taking("network", network, x, "process"):
                epsilon = _epsilon(network, x, t)
            if epsilon.shape != x.shape:
                raise InputError(f"network must return the shape of x, {tuple(x.shape)}, got {tuple(epsilon.shape)}")
            losses.append(0.5 * (_checks.finite("what network returns", epsilon) - exact).square().sum(dim=(1, 2)))
        return torch.stack(losses)

    def in_nats(self, losses: Tensor) -> tuple[float, float]:
        """The integral over the clock of losses (nodes, sequences), and its standard error.

        All nodes see the same sequences, so the sampling error is that of each sequence's own integral.
        """
        each = torch.from_numpy(self.rule.weights) @ losses
        root = math.sqrt(len(each))
        by_node = self.rule.integral(losses.mean(dim=1).numpy(), losses.std(dim=1).numpy() / root)
        return float(each.mean()), math.hypot(float(each.std()) / root, by_node.quadrature_error)


def _epsilon(network: Any, x: Tensor, t: float) -> Tensor:
    """Noise prediction of a module, or that of a score, in float64."""
    if not isinstance(network, nn.Module):
        return -math.sqrt(-math.expm1(-t)) * network(x, t).cpu().double()
    inside = x.to(next(network.parameters(), x))
    return network(inside, torch.full((len(x),), t).to(inside)).cpu().double()


def _check_kind(network: Any, patch: Patch) -> None:
    name = type(network).__name__
    if not isinstance(network, (DiT, PositionTransformer, UnrolledTransformer, ReLUTransformer)):
        raise InputError(
            "heads can be removed from DiT, PositionTransformer, UnrolledTransformer and ReLUTransformer, "
            f"got {name}; name the heads of another network as heads=[(projection, slice), ...]"
        )
    if patch != "zero" and isinstance(network, (UnrolledTransformer, ReLUTransformer)):
        raise InputError(f'{name} has the patch "zero" only, since its heads are linear in x')


Loss = Callable[[_Measure], Tensor]
Projections = list[tuple[str, int, int, nn.Linear, slice]]  # path, block, head, where it writes


def _without_each(network: nn.Module, patch: Patch) -> Iterator[tuple[str, int, int, Loss]]:
    """(path, block, head, losses of the network without it)."""
    if isinstance(network, (DiT, PositionTransformer)):
        yield from _without_named(network, _projections(network), patch)
        return
    if isinstance(network, UnrolledTransformer):
        real = getattr(network.heads, "real", None)
        if real is None or real.ndim != 3:
            raise InputError("the heads of this network cannot be separated")
        for head in range(len(real)):
            yield "", 0, head, lambda measured, head=head: measured(_silenced(network, head))  # type: ignore[misc]
        return
    assert isinstance(network, ReLUTransformer)
    for number, block in enumerate(network.unique_blocks()):
        for head in range(0 if block.output is None else len(block.output)):
            silent = copy.deepcopy(network)
            with torch.no_grad():
                cast(Tensor, silent.unique_blocks()[number].output)[head].zero_()
            yield "", number, head, lambda measured, silent=silent: measured(silent)  # type: ignore[misc]


def _projections(network: DiT | PositionTransformer) -> Projections:
    paths: list[tuple[str, nn.Module]] = [("", network)]
    if isinstance(network, DiT):
        paths = [("softmax", network)]
        if network.linear is not None:
            paths.insert(0, ("linear", network.linear))
    projections: Projections = []
    for path, owner in paths:
        for number, block in enumerate(cast(Any, owner).blocks):
            size = block.output.in_features // block.num_heads
            for head in range(block.num_heads):
                projections.append((path, number, head, block.output, slice(head * size, (head + 1) * size)))
    return projections


def _named(network: Any, heads: Heads) -> Projections:
    """Heads by the projections that their user named, checked."""
    names = dict(network.named_modules()) if isinstance(network, nn.Module) else {}
    seen: dict[nn.Linear, int] = {}
    projections: Projections = []
    for k, (named, part) in enumerate(heads):
        layer = names.get(named) if isinstance(named, str) else named
        if not isinstance(layer, nn.Linear):
            got = repr(named) if isinstance(named, str) else type(named).__name__
            raise InputError(f"heads[{k}] must name a torch.nn.Linear or the name of one in the network, got {got}")
        size = layer.in_features
        if not isinstance(part, slice):
            raise InputError(f"heads[{k}] must have a slice of the features going in, got {part!r}")
        start, stop = part.start or 0, size if part.stop is None else part.stop
        if part.step not in (None, 1) or not 0 <= start < stop <= size:
            raise InputError(f"heads[{k}] must have a slice within the {size} features going in, got {part!r}")
        block = seen.setdefault(layer, len(seen))
        path = next((name for name, module in names.items() if module is layer), "")
        projections.append((path, block, sum(other[3] is layer for other in projections), layer, slice(start, stop)))
    if not projections:
        raise InputError("heads must name at least one head, got none")
    return projections


def _without_named(network: Any, heads: Projections, patch: Patch) -> Iterator[tuple[str, int, int, Loss]]:
    for path, block, head, layer, part in heads:

        def loss(measured: _Measure, layer: nn.Linear = layer, part: slice = part) -> Tensor:
            with _patched(layer, part, patch, len(measured.nodes[0][2])):
                return measured(network)

        yield path, block, head, loss


@contextmanager
def _patched(layer: nn.Linear, part: slice, patch: Patch, batch: int) -> Iterator[None]:
    """Inside, ``layer`` sees zero, or the mean over the sequences, where one head writes."""
    calls = 0

    def put(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        mixed = args[0].clone()
        if patch == "zero":
            mixed[..., part] = 0
            return (mixed, *args[1:])
        if len(mixed) % batch:
            raise InputError(
                f"the mean over sequences needs a batch that is the outermost part of the first axis of {layer}, "
                f"whose input has {len(mixed)} rows for {batch} sequences"
            )
        rows = mixed[..., part].unflatten(0, (batch, -1))
        mixed[..., part] = rows.mean(dim=0, keepdim=True).expand_as(rows).flatten(0, 1)
        return (mixed, *args[1:])

    handle = layer.register_forward_pre_hook(put)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise InputError(f"heads must lie in the network, but it never ran {layer}")


def _silenced(network: UnrolledTransformer, head: int) -> UnrolledTransformer:
    without = copy.deepcopy(network)
    with torch.no_grad():
        for name in ("real", "imaginary"):
            factor = getattr(without.heads, name, None)
            if factor is not None:
                factor[head] = 0
    return without


def swap_kernel(network: UnrolledTransformer, donor: UnrolledTransformer) -> UnrolledTransformer:
    """A copy of ``network`` with the lag table of ``donor``: Gamma of the one, Sigma of the other.

    The theory's reading of attention and values, put to the test: the covariance that follows from the copy must be
    Gamma_donor kron Sigma_network, with the correlations that follow.

    Args:
        network, donor: Unrolled networks of one head (separable), the same sizes and positions.

    Raises:
        InputError: Networks that are not of this kind or differ in shape.
    """
    for name, unrolled in (("network", network), ("donor", donor)):
        if not isinstance(unrolled, UnrolledTransformer) or not unrolled.is_separable:
            raise InputError(f"{name} must be an UnrolledTransformer of one head, got {type(unrolled).__name__}")
    values = {"real"}
    swapped = copy.deepcopy(network)
    ours, theirs = dict(swapped.heads.named_parameters()), dict(donor.heads.named_parameters())
    tables = {key: value for key, value in theirs.items() if key not in values}
    if {k: v.shape for k, v in ours.items()} != {k: v.shape for k, v in theirs.items()}:
        raise InputError("network and donor must have the same frames, features and positions")
    with torch.no_grad():
        for key, value in tables.items():
            ours[key].copy_(value)
    return swapped
