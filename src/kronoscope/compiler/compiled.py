"""``compile_score``: from a Gaussian process to the weights of a transformer, with a certificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from safetensors.torch import save
from torch import Tensor

from .. import _checks, diffusion, report
from .._display import Displayed
from .._errors import InputError
from .._typing import DiffusionTime
from ..nn import MergedOnChange, ReLUTransformer
from ..processes import GaussianLaw, require_law
from . import bounds, cost
from .assembly import assemble
from .certificate import Certificate
from .gates import Gates
from .lowering import Lowered
from .measuring import EARLIEST, LARGEST_EXACT, measure
from .operators import KroneckerTerms
from .options import Options
from .planning import Plan, plan
from .storing import configuration_bytes
from .structure import is_separable, structure_of

SAMPLES_AT_EACH_TIME = 16
GATES_AT_ONCE = 2**26


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
    weights hold Gamma, value matrices Sigma, each block is one iteration, as in Theorem 1 of [F]
    (docs/paper.md).

    Args:
        process: Any Gaussian law: stationary separable, irregular, a Kronecker sum, block-Toeplitz, dense.
        iteration: "gradient-descent", "heavy-ball" (the same gates in every block), "chebyshev", "chebyshev-steps",
            "preconditioned-chebyshev" (in a fixed cosine basis) or "spectral" (in the exact eigenvectors, two attention
            layers).
        tolerance: Of the proven bound: relative root-mean-square score error under p_t, for every t in the range.
        min_time, max_time: The diffusion times that the network is for.
        gates: How time multiplies: "modulated" (scale by the condition) or "relu" (layers of ReLU, as in [F]). Either
            way the coefficients themselves, functions of t alone, come from a table c(t) that is computed in float64
            outside of the ReLU layers; ReLU layers then multiply them with the stream, and that product is all that
            "relu" replaces. For "spectral" the table holds every 1/(alpha_t^2 lambda + sigma_t^2), N d numbers at each
            t. The certificate says how large it is.
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
    require_law("process", process)
    options = Options(
        iteration, tolerance, min_time, max_time, gates, heads, max_lag, max_depth, product_layers,
        str(dtype).removeprefix("torch."),
    )  # fmt: skip
    return compile_options(process, options)


def compile_options(process: GaussianLaw, options: Options, basis: KroneckerTerms | None = None) -> CompiledScore:
    """The same from options, in four stages: validate, lower, assemble, certify.

    Args:
        process: What to compile.
        options: The arguments of :func:`compile_score`.
        basis: Eigenvectors to use instead of those found here (see ``lowering.lower``).
    """
    planned: Plan | None = None
    with cost.failures_named("process"):
        cost.check_matrices(process.num_frames, process.num_features, joint=not is_separable(process))
        refusals, lowerable = options.refusals(), options.lowerable()
        if lowerable is not None:
            planned, reasons = plan(structure_of(process), lowerable, basis)
            refusals += reasons
        if planned is None or refusals:
            raise InputError("compile_score does not support this:\n" + "\n".join(f"- {reason}" for reason in refusals))
        dtype = getattr(torch, options.dtype)
        cost.check_network(planned.lowered, options.heads, planned.ranges, dtype)
        network = assemble(planned.lowered, options.heads, planned.ranges, dtype)
    return CompiledScore(process, options, planned, network)  # its certificate is measured when it is asked for


@dataclass(frozen=True, eq=False, repr=False)
class CompiledScore(Displayed):
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

    def _facts(self) -> dict[str, object]:
        sizes, options = self.network.sizes(), self.options
        return {
            "bound": self.bound,
            "times": f"{options.min_time:g} to {options.max_time:g}",
            "iteration": options.iteration,
            "frames": self.process.num_frames,
            "features": self.process.num_features,
            "depth": sizes.depth,
            "heads": sizes.num_heads,
            "width": sizes.width,
            "parameters": sizes.parameters,
            "gates": options.gates,
            "dtype": options.dtype,
        }

    def plot(self) -> report.Plot:
        """The measured error by diffusion time against the bound; measures the certificate on first access."""
        return self.certificate.plot()

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

        Heads are added up beforehand (``nn.merged``, equal by test); a change of the parameters changes the score.

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
        network, rounded = self._merged.current(), x.to(self.network.enter.dtype)
        if time.ndim == 0 or len(x) < 2:
            return network(rounded, time).to(x.dtype)
        parts = zip(rounded.split(self._batch), time.split(self._batch))
        return torch.cat([network(part, moments) for part, moments in parts]).to(x.dtype)

    @property
    def _batch(self) -> int:
        """Sequences at once whose gates, which every time has of its own, fit into memory."""
        lowered = self.plan.lowered
        gates = len(lowered.terms) * (1 if lowered.diagonal is None else lowered.diagonal.numel())
        return max(1, GATES_AT_ONCE // (gates * self.network.depth))

    def seconds_to_measure(self) -> float:
        """About how long :attr:`certificate` takes on first access.

        Raises:
            InputError: Hours.
        """
        lowered, options = self.plan.lowered, self.options
        num_times = 2 + len(diffusion.clock_rule(max(options.min_time, EARLIEST), options.max_time).times)
        entries = self.process.mean.numel()
        at_each = 2 * entries if options.gates == "modulated" and entries <= LARGEST_EXACT else SAMPLES_AT_EACH_TIME
        sequences = num_times * at_each
        return cost.check_measuring(lowered, options.heads, self.plan.ranges, sequences)

    @cached_property
    def _merged(self) -> MergedOnChange:
        return MergedOnChange(self.network)

    @cached_property
    def certificate(self) -> Certificate:
        """Sizes, bound, measured error; the measurement runs on first access (seconds, minutes for large networks)."""
        options, lowered, sizes = self.options, self.plan.lowered, self.network.sizes()
        measured = measure(
            self.score, self.process, lowered.spectrum, options.min_time, options.max_time,
            options.gates == "modulated", self.network.enter.dtype, SAMPLES_AT_EACH_TIME,
        )  # fmt: skip
        shape, largest = self._coefficients([at.time for at in measured.errors])
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
            coefficients=shape,
            stored_coefficients=sum(buffer.numel() for buffer in self.network.buffers()),
            coefficient_norm=largest,
            num_iterations=lowered.num_iterations,
            product_layers=self.plan.ranges.layers if self.plan.ranges else None,
            num_lags=lowered.num_lags,
            condition_numbers=tuple((at.time, bounds.exact_condition(lowered, at.time)) for at in measured.errors),
            bound=self.plan.bound,
            bound_parts=dict(self.plan.parts),
            measured=measured.errors,
            measured_kind=measured.kind,
            score_kl=measured.score_kl,
            score_kl_standard_error=measured.score_kl_standard_error,
            weights_sha256=hashlib.sha256(self.weights()).hexdigest(),
            configuration_sha256=hashlib.sha256(configuration_bytes(self.process, self.options)).hexdigest(),
        )

    def _coefficients(self, times: list[float]) -> tuple[tuple[int, int, int], float]:
        """Shape (iterations, frames, gates) of c(t), and its largest absolute entry over times."""
        formula, shape, largest = self.network.condition, (0, 0, 0), 0.0
        assert isinstance(formula, Gates)
        for t in times:
            table = formula.table_at(torch.tensor([t], dtype=torch.float64))
            shape, largest = (table.shape[1], table.shape[2], table.shape[3]), max(largest, float(table.abs().max()))
        return shape, largest

    def weights(self) -> bytes:
        """All parameters and buffers as a safetensors file."""
        return save({name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()})
