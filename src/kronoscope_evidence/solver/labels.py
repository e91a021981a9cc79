"""How the pages name and colour the solvers."""

from __future__ import annotations

ROLES = {
    "gradient-descent": "null",
    "heavy-ball": "baseline-3",
    "chebyshev": "learnt",
    "spectrum-optimal": "second",
    "preconditioned-chebyshev": "baseline",
    "spectral": "baseline-2",
    "floor": "floor",
}
LABELS = {
    "gradient-descent": "gradient descent",
    "heavy-ball": "heavy ball",
    "chebyshev": "Chebyshev",
    "spectrum-optimal": "spectrum-optimal, in float64",
    "preconditioned-chebyshev": "Chebyshev, preconditioned by cosines",
    "spectral": "spectral block",
    "floor": "Krylov floor",
}
