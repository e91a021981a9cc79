"""The metrics that papers on generated sequences report, each beside what real against real sequences give.

They are here so that papers can be compared, not because they decide anything: none has an error rate. ``kronoscope
reproduce metric-trial`` shows what each of them sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._display import Displayed, Uncertain
from .._errors import InputError
from . import learners, summaries

Score = Callable[[Tensor, Tensor, torch.Generator], float]
LEAST = 20  # real sequences: two halves, each with a test part


def _seedless(score: Callable[[Tensor, Tensor], float]) -> Score:
    return lambda real, other, generator: score(real, other)


PUBLISHED: dict[str, Score] = {
    "marginal distribution difference": _seedless(summaries.marginal_difference),
    "auto-correlation difference": _seedless(summaries.autocorrelation_difference),
    "correlational score": _seedless(summaries.correlational_score),
    "predictive score": learners.predictive_score,
    "discriminative score": learners.discriminative_score,
    "Context-FID": learners.context_fid,
}
TRAINED = ("predictive score", "discriminative score", "Context-FID")


@dataclass(frozen=True, repr=False)
class PublishedMetric(Displayed):
    """One published metric; lower is better.

    Attributes:
        name: Key of ``PUBLISHED``.
        value: Mean over splits of metric(half of the real, as many generated).
        reference: Mean over the same splits of metric(that half, the other half of the real).
        standard_error: Of value less reference over the splits. They share their sequences, so it is not a test.
        kind: "two-sample estimate".
    """

    name: str
    value: float
    reference: float
    standard_error: float
    kind: str = "two-sample estimate"

    def _facts(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": self.value,
            "real against real": self.reference,
            "difference": Uncertain(self.value - self.reference, self.standard_error),
            "kind": self.kind,
        }

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.4g}, real against real {self.reference:.4g} (+- {self.standard_error:.2g})"


def published_metrics(
    real: Tensor,
    generated: Tensor,
    *,
    names: Sequence[str] | None = None,
    num_splits: int = 5,
    generator: torch.Generator | None = None,
) -> tuple[PublishedMetric, ...]:
    """The metrics of the field, each with its reference at the same number of sequences.

    A split takes two random halves A and B of the real and as many generated sequences G; it contributes metric(A, G)
    to the value and metric(A, B) to the reference. Both therefore hold the same chance: a value as large as its
    reference cannot be told from none. Features are first standardised by the real ones (papers scale to [0, 1]).
    Our networks are smaller and trained for less time than those of the papers; see each metric.

    Args:
        real: (n, N, d), n >= 20.
        generated: (m, N, d), m >= n / 2.
        names: Of ``PUBLISHED``; None for all.
        num_splits: At least 2.
        generator: None means seed 0.

    Raises:
        InputError: Bad input, too few sequences, a feature that does not vary, an unknown name.
    """
    _checks.finite("real", _checks.sequences("real", real))
    _checks.finite("generated", _checks.sequences("generated", generated, real.shape[1], real.shape[2]))
    asked = list(PUBLISHED) if names is None else list(names)
    for name in asked:
        if name not in PUBLISHED:
            raise InputError(f"names must be among {', '.join(PUBLISHED)}, got {name!r}")
    splits = _checks.count("num_splits", num_splits, least=2)
    half = len(real) // 2
    if len(real) < LEAST:
        raise InputError(f"real must hold at least {LEAST} sequences, got {len(real)}")
    if len(generated) < half:
        raise InputError(f"generated must hold at least half as many sequences as real, {half}, got {len(generated)}")
    generator = _checks.generator_or_seed_zero(generator)
    scaled = standardised(real.detach().double().cpu(), generated.detach().double().cpu())
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for _ in range(splits):
        order = torch.randperm(len(real), generator=generator)
        first, two = scaled[0][order[:half]], scaled[0][order[half : 2 * half]]
        made = scaled[1][torch.randperm(len(generated), generator=generator)[:half]]
        seed = int(torch.randint(2**31, (1,), generator=generator))
        for name in asked:
            score = PUBLISHED[name]
            value, reference = (score(first, other, torch.Generator().manual_seed(seed)) for other in (made, two))
            pairs[name].append((value, reference))
    return tuple(_summary(name, torch.tensor(values, dtype=torch.float64)) for name, values in pairs.items())


def _summary(name: str, values: Tensor) -> PublishedMetric:
    error = float((values[:, 0] - values[:, 1]).std()) / math.sqrt(len(values))
    return PublishedMetric(name, float(values[:, 0].mean()), float(values[:, 1].mean()), error)


def standardised(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets less the mean of the real, in standard deviations of the real, feature by feature.

    Raises:
        InputError: A feature of the real does not vary.
    """
    centre, scale = real.mean(dim=(0, 1)), real.std(dim=(0, 1))
    still = scale <= 1e-12 * real.abs().amax(dim=(0, 1))
    if bool(still.any()):
        raise InputError(f"real must vary in every feature, but feature {int(still.nonzero()[0])} does not")
    return (real - centre) / scale, (generated - centre) / scale
