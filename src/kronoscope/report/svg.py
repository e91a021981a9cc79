"""From matplotlib's SVG to one that belongs to the page: its colours, its typeface, ids of its own, fewer digits."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from .palette import DIVERGING, ROLES, SEQUENTIAL, Inks

# Colours that matplotlib writes and that the page replaces: role number k is #0a0a0k.
STAND_INS = {role: f"#0a0a{number:02x}" for number, role in enumerate(ROLES)}
INK, MUTED, RULE, PAGE = "#0b0b00", "#0b0b01", "#0b0b02", "#0b0b03"
_VARIABLES = {colour: f"var(--{role})" for role, colour in STAND_INS.items()} | {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAGE: "var(--page)",
}
STAND_IN_INKS = Inks(STAND_INS, INK, MUTED, RULE, PAGE)
IMAGE = "matrix-image"
"""Group id of the rectangle whose place the image of a matrix takes."""

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class MatrixImage:
    """What the image of a matrix is made from."""

    values: Sequence[Sequence[float]]
    limits: tuple[float, float]
    diverging: bool

    def data_uri(self, scheme: str) -> str:
        """A PNG with one pixel for each entry and a palette of 256 colours."""
        low, high = self.limits
        levels = np.rint((np.asarray(self.values) - low) / (high - low) * 255).astype(np.uint8)
        picture = Image.frombytes("P", (levels.shape[1], levels.shape[0]), levels.tobytes())
        picture.putpalette(colour_map(self.diverging, scheme).ravel().tobytes())
        stream = io.BytesIO()
        picture.save(stream, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def colour_map(diverging: bool, scheme: str) -> np.ndarray:
    """256 colours from low to high, shape (256, 3), bytes."""
    anchors = (DIVERGING if diverging else SEQUENTIAL)[scheme]
    table = LinearSegmentedColormap.from_list("map", anchors)(np.linspace(0, 1, 256))
    return np.rint(table[:, :3] * 255).astype(np.uint8)


def adapt(source: str, prefix: str, image: MatrixImage | None = None) -> str:
    """The SVG of matplotlib, ready to stand in the page; its ids start with ``prefix``."""
    root = ElementTree.fromstring(source)
    if image is not None:
        _place_image(root, image)
    _prune(root)
    used = {ref for node in root.iter() for ref in _references(node)}
    for node in root.iter():
        node.tag = node.tag.removeprefix(_SVG)
        _adapt_attributes(node, prefix, used)
        node.tail = None
        if node.tag != "text":
            node.text = None
    root.attrib = {"viewBox": root.attrib["viewBox"], "focusable": "false", "aria-hidden": "true"}
    return ElementTree.tostring(root, encoding="unicode")


def _prune(parent: ElementTree.Element) -> None:
    """Take out what draws nothing: metadata, the global style, transparent backgrounds, empty groups."""
    for child in list(parent):
        _prune(child)
        invisible = child.tag == f"{_SVG}path" and child.get("style", "").strip() == "fill: none"
        empty = child.tag in (f"{_SVG}g", f"{_SVG}defs") and not len(child)
        if invisible or empty or child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
            parent.remove(child)


def _references(node: ElementTree.Element) -> list[str]:
    matches = [match for value in node.attrib.values() for match in _REFERENCE.findall(value)]
    link = node.attrib.get(f"{_XLINK}href", "")
    return [*matches, link[1:]] if link.startswith("#") else matches


def _adapt_attributes(node: ElementTree.Element, prefix: str, used: set[str]) -> None:
    old, node.attrib = node.attrib, {}
    for name, value in old.items():
        if name == "id":
            if value in used:
                node.attrib["id"] = f"{prefix}-{value}"
        elif name == f"{_XLINK}href":
            node.attrib["href"] = f"#{prefix}-{value[1:]}" if value.startswith("#") else value
        elif name == "d":
            node.attrib["d"] = " ".join(_LONG_NUMBER.sub(_rounded, value).split())
        elif name == "transform" and value.startswith("rotate(-0 "):
            continue
        elif name in ("x", "y", "transform", "width", "height"):
            node.attrib[name] = _LONG_NUMBER.sub(_rounded, value)
        else:
            value = _COLOUR.sub(lambda m: _VARIABLES.get(m[0], m[0]), value)
            value = _REFERENCE.sub(lambda m: f"url(#{prefix}-{m[1]})", value)
            node.attrib[name] = _without_typeface(value) if name == "style" else value


def _rounded(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _without_typeface(style: str) -> str:
    """A style without its font family; the size stays."""
    kept = []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = declaration.partition(":")
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            kept.append(f"font-size: {size[1] if size else 11}px")
        elif name != "font-family":
            kept.append(f"{name}: {value.strip()}")
    return "; ".join(kept)


def _place_image(root: ElementTree.Element, image: MatrixImage) -> None:
    """Put the image, once for each scheme, where the rectangle with the group id ``IMAGE`` was drawn."""
    group = next(node for node in root.iter() if node.get("id") == IMAGE)
    path = next(node for node in group.iter() if node.tag == f"{_SVG}path")
    numbers = [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", path.attrib["d"])]
    xs, ys = numbers[0::2], numbers[1::2]
    group.clear()
    for scheme in ("light", "dark"):
        place = {"x": min(xs), "y": min(ys), "width": max(xs) - min(xs), "height": max(ys) - min(ys)}
        ElementTree.SubElement(
            group,
            f"{_SVG}image",
            {name: f"{value:f}" for name, value in place.items()}
            | {"class": f"in-{scheme}", "preserveAspectRatio": "none", "style": "image-rendering: pixelated"}
            | {f"{_XLINK}href": image.data_uri(scheme)},
        )
