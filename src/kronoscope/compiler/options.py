"""The options of a compilation, and the combinations that are refused for every process."""

from __future__ import annotations

from dataclasses import dataclass, replace

BASED = ("preconditioned-chebyshev", "spectral")  # in another basis
ITERATIONS = ("gradient-descent", "heavy-ball", "chebyshev", "chebyshev-steps", *BASED)
GATES = ("modulated", "relu")
HEADS = ("affine", "arc", "trapezoid", "table")
DTYPES = ("float32", "float64")
MOST_LAYERS = 64
LATEST = 100.0


@dataclass(frozen=True)
class Options:
    """The arguments of ``compile_score``, as they are written beside the weights."""

    iteration: str
    tolerance: float
    min_time: float
    max_time: float
    gates: str
    heads: str
    max_lag: int | None
    max_depth: int
    product_layers: int | None
    dtype: str

    def refusals(self) -> list[str]:
        """Every reason against these options by themselves."""
        reasons = [self._about_iteration()]
        for name, allowed in (("gates", GATES), ("heads", HEADS), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                reasons.append(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not _is_number(self.tolerance) or not 0 < self.tolerance < 1:
            reasons.append(f"tolerance must be greater than 0 and less than 1, got {self.tolerance!r}")
        if not (_is_number(self.min_time) and _is_number(self.max_time) and 0 <= self.min_time < self.max_time):
            reasons.append(
                f"min_time must be 0 or greater and less than max_time, got {self.min_time!r} and {self.max_time!r}"
            )
        elif self.max_time > LATEST:
            reasons.append(f"max_time must be at most {LATEST:g}, beyond which all is noise, got {self.max_time!r}")
        for name, least in (("max_lag", 0), ("max_depth", 1), ("product_layers", 1)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
                reasons.append(f"{name} must be a whole number of at least {least}, got {value!r}")
            elif name == "product_layers" and value is not None and value > MOST_LAYERS:
                reasons.append(f"product_layers must be at most {MOST_LAYERS}, where products are exact, got {value!r}")
        if self.product_layers is not None and self.gates == "modulated":
            reasons.append("product_layers belongs to gates='relu': modulation multiplies exactly")
        return [reason for reason in reasons if reason]

    def lowerable(self) -> Options | None:
        """Options that can be lowered, so that the process is judged too; None where too little is left for that."""
        mended = self
        if self.iteration not in ITERATIONS and self._about_iteration().startswith("iteration must have"):
            mended = replace(mended, iteration="chebyshev")
        return mended if not mended.refusals() else None

    def _about_iteration(self) -> str:
        if self.iteration in ITERATIONS:
            return ""
        if isinstance(self.iteration, str) and self.iteration.replace("_", "-").startswith("conjugate-gradient"):
            return (
                "iteration must have coefficients that depend on t alone, and those of conjugate gradients depend on "
                "x; 'chebyshev' has the same rate, 'spectral' needs no iterations"
            )
        return f"iteration must be one of {', '.join(ITERATIONS)}, got {self.iteration!r}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300
