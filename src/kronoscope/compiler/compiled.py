"""``compile_score``: from a Gaussian process to the weights of a transformer, with a certificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from safetensors.torch import save
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from ..nn import MergedTransformer, ReLUTransformer, merged
from ..processes import GaussianLaw
from . import bounds
from .assembly import assemble
from .certificate import Certificate
from .lowering import Lowered
from .measuring import measure
from .options import Options
from .planning import Plan, plan
from .reading import read
from .storing import configuration_bytes

SAMPLES_AT_EACH_TIME = 16


def compile_score(
    process: GaussianLaw,
    iteration: str = "chebyshev",
    tolerance: float = 1e-2,
    min_time: float = 1e-2,
    gates: str = "modulated",
    heads: str = "affine",
    max_lag: int | None = None,
    max_depth: int = 4096,
    dtype: torch.dtype = torch.float64,
    max_time: float = 6.0,
    product_layers: int | None = None,
) -> CompiledScore:
    """Write the weights of a ReLU transformer that computes the score of ``process``, and prove how well.

    The network unrolls an iterative solver of C_t s = -(x - alpha_t mu) (docs/theory.md, sections 3 and 4): attention
    weights hold Gamma, value matrices Sigma, each block is one iteration, in the style of [F].

    Args:
        process: Any Gaussian law: stationary separable, irregular, a Kronecker sum, block-Toeplitz, dense.
        iteration: "gradient-descent", "heavy-ball" (the same gates in every block), "chebyshev", "chebyshev-steps",
            "preconditioned-chebyshev" (in a fixed cosine basis) or "spectral" (in the exact eigenvectors, two attention
            layers).
        tolerance: Of the proven bound: relative root-mean-square score error under p_t, for every t in the range.
        min_time, max_time: The diffusion times that the network is for.
        gates: How time multiplies: "modulated" (scale by the condition) or "relu" (layers of ReLU, as in [F]).
        heads: How heads hold the kernel: "affine" (2J + 3 heads), "arc" (J + 1), "trapezoid" (4 (2J + 1)) or "table"
            (any matrix; N coordinates of the stream). The last two iterations always use tables.
        max_lag: J; None is the smallest that the tolerance allows.
        max_depth: The most blocks.
        dtype: Of the weights, torch.float32 or torch.float64.
        product_layers: m, for ``gates="relu"``; None is the fewest that the tolerance allows. With a number the bound
            is what it is.

    Raises:
        InputError: With every reason at once: an iteration whose coefficients depend on x, a tolerance out of reach at
            this dtype, a truncated kernel that is not positive definite under the noise, a spectrum not bounded below
            at min_time = 0, more blocks than ``max_depth`` (with the number, and the iteration that would do).

    Example:
        >>> from kronoscope.kernels import PowerExponential
        >>> from kronoscope.processes import GaussianSequence
        >>> process = GaussianSequence(PowerExponential(lengthscale=4.0), torch.eye(2), times=8)
        >>> compiled = compile_score(process, iteration="spectral")
        >>> compiled.certificate.depth, compiled.certificate.worst.value < 1e-12
        (2, True)
    """
    if not isinstance(process, GaussianLaw):
        raise TypeError(f"process must be a Gaussian law, got {type(process).__name__}")
    options = Options(
        iteration, tolerance, min_time, max_time, gates, heads, max_lag, max_depth, product_layers,
        str(dtype).removeprefix("torch."),
    )  # fmt: skip
    return compile_options(process, options)


def compile_options(process: GaussianLaw, options: Options) -> CompiledScore:
    """The same from options: validate, lower, assemble; the certificate is measured when it is asked for."""
    refusals = options.refusals()
    found = None
    lowerable = options.without_faults()
    if lowerable is not None:
        found = plan(read(process), lowerable, refusals)
    if refusals or found is None:
        raise InputError("compile_score cannot do this:\n" + "\n".join(f"- {reason}" for reason in refusals))
    network = assemble(found.lowered, options.heads, found.ranges, getattr(torch, options.dtype))
    return CompiledScore(process, options, found, network)


@dataclass(frozen=True, eq=False)
class CompiledScore:
    """A score that a network with known weights computes, with its proofs.

    Attributes:
        process: What was compiled.
        options: What was asked for.
        plan: The lowered form, and the bound by parts.
        network: The transformer; :meth:`score` is computed by it and by nothing else.
    """

    process: GaussianLaw
    options: Options
    plan: Plan
    network: ReLUTransformer

    @property
    def iteration(self) -> Lowered:
        """The lowered form, which runs by itself: ``iteration.score(x, t)``, in float64."""
        return self.plan.lowered

    @property
    def bound(self) -> float:
        """The proven bound; the certificate holds it too, with its parts."""
        return self.plan.bound

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """The network's output, in the dtype of ``x``.

        Heads are added up beforehand (``nn.merged``, equal by test); whoever changes the weights changes the score.

        Args:
            x: (batch, frames, features).
            t: A number or (batch,), between ``min_time`` and ``max_time``.

        Raises:
            InputError: Bad input, or a t that the certificate does not cover.
        """
        _checks.sequences("x", x, self.network.num_frames, self.network.num_features)
        time = _checks.diffusion_time(t, len(x), x)
        low, high = self.options.min_time, self.options.max_time
        if time.numel() and not low * (1 - 1e-9) <= float(time.min()) <= float(time.max()) <= high * (1 + 1e-9):
            raise InputError(
                f"t must lie between min_time = {low:g} and max_time = {high:g}, which the certificate covers, "
                f"got {float(time.min()):g} to {float(time.max()):g}"
            )
        _checks.finite("x", x.detach())
        return self._fast()(x.to(self.network.enter.dtype), time).to(x.dtype)

    def _fast(self) -> MergedTransformer:
        """The merged network of the weights of this moment: rebuilt when one of them has changed."""
        state = self.network.state_dict()
        kept, module = self.__dict__.get("_kept", ({}, None))
        if module is None or any(not torch.equal(tensor, kept[name]) for name, tensor in state.items()):
            kept, module = {name: tensor.clone() for name, tensor in state.items()}, merged(self.network)
            self.__dict__["_kept"] = (kept, module)
        return module

    @cached_property
    def certificate(self) -> Certificate:
        """Sizes, bound, measured error; the measurement runs on first access (seconds, minutes for large networks)."""
        options, lowered, sizes = self.options, self.plan.lowered, self.network.sizes()
        measured = measure(
            self.score, self.process, lowered.spectrum, options.min_time, options.max_time,
            options.gates == "modulated", self.network.enter.dtype, SAMPLES_AT_EACH_TIME,
        )  # fmt: skip
        return Certificate(
            iteration=options.iteration,
            gates=options.gates,
            heads=options.heads,
            dtype=options.dtype,
            tolerance=options.tolerance,
            min_time=options.min_time,
            max_time=options.max_time,
            depth=sizes.depth,
            num_heads=sizes.num_heads,
            width=sizes.width,
            num_hidden=sizes.num_hidden,
            parameters=sizes.parameters,
            weight_norm=sizes.weight_norm,
            num_iterations=lowered.num_iterations,
            product_layers=self.plan.ranges.layers if self.plan.ranges else None,
            num_lags=lowered.num_lags,
            condition_numbers=tuple((one.time, bounds.exact_condition(lowered, one.time)) for one in measured.errors),
            bound=self.plan.bound,
            bound_parts=dict(self.plan.parts),
            measured=measured.errors,
            measured_kind=measured.kind,
            score_kl=measured.score_kl,
            score_kl_standard_error=measured.score_kl_standard_error,
            weights_sha256=hashlib.sha256(self.weights()).hexdigest(),
            configuration_sha256=hashlib.sha256(configuration_bytes(self.process, self.options)).hexdigest(),
        )

    def weights(self) -> bytes:
        """All parameters and buffers as a safetensors file."""
        return save({name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()})
