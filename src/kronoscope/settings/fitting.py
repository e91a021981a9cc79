"""A fit as one record, and the defaults that depend on the kind of input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Unpack

from .options import check_keywords, described
from .preparation import Scaling, ScalingOptions, SplitOptions, SplitRule
from .reading import ArrayOptions
from .training import TrainingSettings

InputKind = Literal["array", "table"]


@dataclass(frozen=True)
class InputDefaults:
    """What a fit takes where nothing is given."""

    network: str
    mean: str
    scaling: str | None


# Tensors and arrays are learnt as given; a table or a file has units, which no network should have to learn.
DEFAULTS: dict[InputKind, InputDefaults] = {
    "array": InputDefaults(network="unrolled", mean="zero", scaling=None),
    "table": InputDefaults(network="position", mean="free", scaling="standard"),
}


class PreparationOptions(ScalingOptions, SplitOptions, total=False):
    """Keywords of :meth:`FitSettings.for_input`."""


class ScaledFitOptions(ScalingOptions, TrainingSettings, total=False):
    """Keywords of scaling and training."""


class FitOptions(ArrayOptions, ScaledFitOptions, SplitOptions, total=False):
    """Keywords of :func:`kronoscope.fit` that are fields of a record: reading, scaling, split and training."""


@dataclass(frozen=True)
class FitSettings:
    """What a fit does, besides reading and training. :meth:`for_input` fills in the defaults.

    Attributes:
        scaling: What is subtracted and divided by.
        split: What is held out.
        network: A name in ``models.NETWORKS``; None for a module of the caller's.
        network_options: Keyword arguments of the network, such as width.
        initial: What network "unrolled" starts from: the name of an estimator; None for nothing, or for a law.
        seed: Of everything random; None where the caller gave a generator.
    """

    scaling: Scaling
    split: SplitRule
    network: str | None = field(
        metadata=described(
            "Network to train.", choices=("unrolled", "mixture", "position", "dit", "unet", "linear", "mlp")
        )
    )
    network_options: dict[str, Any] = field(
        default_factory=dict,
        metadata=described("NAME=VALUE of the network, e.g. width=96. Repeatable.", flags=("--option",)),
    )
    initial: str | None = field(
        default=None,
        metadata=described(
            "Estimator from which the unrolled network starts, fitted to the training part.",
            choices=(
                "sample-covariance", "separable", "stationary-separable", "block-toeplitz", "ledoit-wolf", "tapered",
            ),
            unset="nothing",
        ),
    )  # fmt: skip
    seed: int | None = 0

    @classmethod
    def for_input(
        cls,
        kind: InputKind,
        network: str | None = None,
        *,
        network_options: Mapping[str, Any] | None = None,
        initial: str | None = None,
        seed: int | None = 0,
        **options: Unpack[PreparationOptions],
    ) -> FitSettings:
        """The settings with the defaults of that kind of input.

        Args:
            kind: "array" for tensors and arrays in memory, "table" for tables and files.
            network, network_options, initial, seed: See :class:`FitSettings`; ``network`` None takes the default.
            **options: Fields of :class:`Scaling` and :class:`SplitRule`.

        Raises:
            TypeError: An unknown keyword.
        """
        scaling, split = ({f.name for f in fields(record)} for record in (Scaling, SplitRule))
        check_keywords("FitSettings.for_input", options, [*sorted(scaling), *sorted(split)])
        default = DEFAULTS[kind]
        given: dict[str, Any] = {"mean": default.mean, "scaling": default.scaling, **options}
        return cls(
            Scaling(**{name: value for name, value in given.items() if name in scaling}),
            SplitRule(**{name: value for name, value in given.items() if name in split}),
            default.network if network is None else network,
            dict(network_options or {}),
            initial,
            seed,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the run folder holds them."""
        return asdict(self)
