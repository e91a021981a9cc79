"""Roles and their looks, settled once: colour in light and dark, dash and marker, and the two colour maps.

Hues follow Okabe and Ito (2008), moved in lightness until each stands out by 3:1 from the page in its scheme (WCAG 2.1,
1.4.11). Dash and marker repeat the distinction for readers who do not see hue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a role is drawn.

    Attributes:
        light: Colour on the light page.
        dark: Colour on the dark page.
        dash: On and off lengths in units of px at a line width of 1; empty is solid.
        marker: Marker in matplotlib's alphabet.
    """

    light: str
    dark: str
    dash: tuple[float, ...] = ()
    marker: str = "o"


ROLES: dict[str, Look] = {
    "truth": Look("#1b1e23", "#f3f1ec"),
    "held-out": Look("#a87400", "#f0bd48", (1.5, 2.0), "s"),
    "learnt": Look("#0068a8", "#5bb8f5"),
    "second": Look("#c84e00", "#ff9257", (7.0, 2.5), "^"),
    "baseline": Look("#00805c", "#35c99b", (4.0, 2.0), "D"),
    "baseline-2": Look("#a8478a", "#ea9fce", (7.0, 2.0, 1.5, 2.0), "v"),
    "baseline-3": Look("#7a5230", "#d3a67c", (4.0, 2.0, 1.5, 2.0, 1.5, 2.0), "P"),
    "baseline-4": Look("#3c2a8c", "#8f86ff", (2.5, 1.2), "<"),
    "floor": Look("#6a6f78", "#a4a9b2", (10.0, 3.0), "*"),
    "null": Look("#84899a", "#8d92a3", (1.0, 2.5), "x"),
}
"""truth: exact or real. held-out: real, not trained on. learnt, second: learners. floor: bound for every learner.
null: chance or independence."""

PAGE = {"light": "#fdfcf9", "dark": "#16181c"}
INK = {"light": "#22262c", "dark": "#e8e6e1"}
MUTED = {"light": "#5d636d", "dark": "#a3a8b1"}
RULE = {"light": "#d9d6ce", "dark": "#363a42"}

# From low to high. The middle of the diverging map and the low end of the sequential one are close to the page, so
# that what is nought is quiet in either scheme.
DIVERGING = {
    "light": ("#053c66", "#2f7fb8", "#9cc8e3", "#f7f5f0", "#f3b68c", "#cf6420", "#7a2e00"),
    "dark": ("#a9dcff", "#4ba3de", "#1f567f", "#1d1f24", "#7d3f17", "#d97935", "#ffd3ae"),
}
SEQUENTIAL = {
    "light": ("#f7f5f0", "#c5dcec", "#7fb2d6", "#3783b8", "#0b558c", "#042c4f"),
    "dark": ("#1d1f24", "#1c3f5c", "#22699b", "#3f97d0", "#85c5f0", "#e0f2ff"),
}


@dataclass(frozen=True)
class Inks:
    """The colours of one drawing.

    Attributes:
        roles: By the key of ``ROLES``.
        ink, muted, rule, page: Of text, of labels, of lines and grids, of the ground.
    """

    roles: Mapping[str, str]
    ink: str
    muted: str
    rule: str
    page: str


def inks(scheme: str) -> Inks:
    """The colours of the "light" or the "dark" scheme."""
    roles = {role: look.light if scheme == "light" else look.dark for role, look in ROLES.items()}
    return Inks(roles, INK[scheme], MUTED[scheme], RULE[scheme], PAGE[scheme])
