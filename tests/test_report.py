"""Records and their page: same records, same bytes; nothing foreign comes alive; drawings show the numbers given."""

import base64
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from report_sample import HOSTILE, sample

import kronoscope.report
from kronoscope._errors import InputError
from kronoscope.report import (
    Bar,
    BarPanel,
    Column,
    Estimate,
    Facts,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Number,
    Report,
    Section,
    Table,
    Text,
    Verdict,
    from_json,
    load_records,
    palette,
    render,
    save_records,
    to_json,
    write,
)
from kronoscope.report.axes import lines_of
from kronoscope.report.numerals import brief, cell, decimal, fact, significant

VOID = {"meta", "link", "img", "br", "hr", "source"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains about tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def html():
    return render(sample())


def one(panel, **more):
    return render(Report("r", sections=[Section("s", blocks=[Figure([panel], "caption", "alt", **more)])]))


# --- bytes


def test_same_records_same_bytes_in_another_process_and_under_other_settings(html):
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": None, "lines.linewidth": 9}):
        assert render(sample()) == html
    code = (
        "import sys; from report_sample import sample; from kronoscope.report import render;"
        "sys.stdout.buffer.write(render(sample()).encode())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stdout == html.encode()


def test_the_users_matplotlib_settings_survive():
    before = dict(matplotlib.rcParams)
    render(sample())
    assert dict(matplotlib.rcParams) == before


# --- structure


def test_every_id_is_unique_and_every_reference_resolves(html):
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20
    local = {a["href"][1:] for tag, a in page.tags if tag in ("a", "use") and "href" in a}
    assert local | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    labels = {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    assert labels <= set(ids)


def test_it_is_one_file_without_script_or_address(html):
    page = Page(html)
    assert not {"script", "iframe", "object"} & {tag for tag, _ in page.tags}
    pictures = [attrs.get("src") or attrs.get("srcset") for tag, attrs in page.tags if tag in ("img", "source")]
    assert pictures
    assert all(one.startswith("data:image/gif;base64,") for one in pictures)
    assert "://" not in html
    assert "@import" not in html
    links = [a.get("href") or a.get("src") or "" for _, a in page.tags]
    assert all(link == "" or link.startswith(("#", "data:")) for link in links)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_head_numbers_and_contents(html):
    page = Page(html)
    assert "Figure 5." in page.texts
    assert "Table 1." in page.texts
    assert "Figure 6." not in page.texts
    assert sum(tag == "nav" for tag, _ in page.tags) == 1
    short = render(Report("r", sections=[Section(str(i)) for i in range(3)]))
    assert "<nav" not in short


# --- what strangers name their features


@pytest.mark.parametrize("name", [" ".join(HOSTILE[:4]), " ".join(HOSTILE[4:])])
def test_markup_in_names_stays_text(name, html):
    report = sample(name)
    page, plain = Page(render(report)), Page(html)
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    allowed = {tag for tag, _ in plain.tags} | {"text", "image"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert any(name in text for text in page.texts)
    assert any(a.get("aria-label") == f"Curves of {name}." for _, a in page.tags)
    assert from_json(to_json(report)) == report


def test_unprintable_characters_are_shown_as_such():
    html = render(sample("a\x00b\ud800c\u202ed\x1be"))
    assert "a�b�c�d�e" in html
    html.encode("utf-8")


@pytest.mark.parametrize("name", ["<b>&amp;", "$\\alpha$", "</text><i>", "]]><!--", "url(#a) #0a0a02"])
def test_names_in_a_drawing_are_there_as_they_are(name):
    texts = Page(one(MatrixPanel("", [[0, 1], [1, 0]], "x", "y", "v", [name, "b"], ["c", name]))).texts
    assert texts.count(name) == 2
    assert name in Page(one(BarPanel("", "x", [Bar(name, "learnt", 1.0)]), columns=3)).texts


def test_long_names_that_differ_in_the_middle_stay_apart():
    names = ["temperature_at_A_station", "temperature_at_B_station"]
    texts = Page(one(MatrixPanel("", [[0, 1], [1, 0]], "x", "y", "v", names, names))).texts
    labels = [text for text in texts if "…" in text]
    assert len(set(labels)) == 2


# --- drawings show the numbers


def drawn_path(html, role):
    """Points of the first solid path in a role's colour."""
    element = next(m[0] for m in re.finditer(r"<path [^>]*>", html) if f"stroke: var(--{role})" in m[0])
    numbers = re.findall(r"-?\d+(?:\.\d+)?", re.search(r' d="([^"]*)"', element)[1])
    return np.array(numbers, dtype=float).reshape(-1, 2)


@pytest.mark.parametrize("log", [False, True])
def test_a_line_is_drawn_where_its_numbers_are(log):
    x, y = np.array([1.0, 2.0, 7.0, 30.0]), np.array([0.5, 40.0, 3.0, 900.0])
    html = one(LinePanel("", "x", "y", [Line("a", "second", x, y)], log_x=log, log_y=log))
    html = html[html.index('class="panels') :]
    points = drawn_path(html, "second")
    scale = np.log10 if log else np.asarray
    for values, places, sign in ((x, points[:, 0], 1), (y, points[:, 1], -1)):
        slope, start = np.polyfit(scale(values), places, 1)
        assert np.sign(slope) == sign
        assert np.abs(slope * scale(values) + start - places).max() < 0.02


def test_bars_have_the_lengths_of_their_values():
    html = one(BarPanel("", "x", [Bar("a", "learnt", 2.0), Bar("b", "second", 5.0), Bar("c", "null", -1.0)]))
    lengths = []
    for role in ("learnt", "second", "null"):
        element = next(m[0] for m in re.finditer(r"<path [^>]*>", html) if f"fill: var(--{role})" in m[0])
        places = np.array(re.findall(r"-?\d+(?:\.\d+)?", re.search(r' d="([^"]*)"', element)[1]), float)[0::2]
        lengths.append(np.ptp(places))
    np.testing.assert_allclose(np.array(lengths) / lengths[0], [1, 2.5, 0.5], atol=1e-3)


def test_a_matrix_is_an_image_with_one_pixel_an_entry():
    values = [[-1.0, 0.0, 1.0], [0.5, -0.5, 0.25]]
    html = one(MatrixPanel("", values, "x", "y", "v", limits=(-1, 1), diverging=True))
    for scheme, uri in zip(("light", "dark"), re.findall(r"data:image/png;base64,([^\"]+)", html)):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGB"))
        ends = matplotlib.colors.LinearSegmentedColormap.from_list("m", palette.DIVERGING[scheme])
        assert pixels.shape == (2, 3, 3)
        want = np.rint(255 * ends((np.array(values) + 1) / 2)[..., :3])
        assert np.abs(pixels - want).max() <= 3


def test_matrices_of_a_figure_share_their_scale():
    panels = [MatrixPanel("", [[0.0, top]], "x", "y", "v") for top in (1.0, 4.0)]
    assert Figure(panels, "c", "a").colour_limits == (0.0, 4.0)
    signed = MatrixPanel("", [[-3.0, 1.0]], "x", "y", "v", diverging=True)
    assert Figure([signed], "c", "a").colour_limits == (-3.0, 3.0)
    assert Figure([MatrixPanel("", [[2.0]], "x", "y", "v")], "c", "a").colour_limits == (1.5, 2.5)


def test_a_big_matrix_stays_small():
    values = np.random.default_rng(0).standard_normal((288, 288)).tolist()
    assert len(one(MatrixPanel("", values, "x", "y", "v", diverging=True))) < 300_000


@pytest.mark.parametrize(
    ("panel", "labels"),
    [
        (LinePanel("", "x", "y", [Line("a", "null", [0, 1], [0, 4e-15])]), ["0", "2×10⁻¹⁵"]),
        (LinePanel("", "x", "y", [Line("a", "null", [0, 1], [1e6, 1e6 + 40])]), ["1.00001×10⁶", "1.00002×10⁶"]),
        (LinePanel("", "x", "y", [Line("a", "null", [0, 1], [1e-8, 1])], log_y=True), ["10⁰", "10⁻⁴"]),
        (
            LinePanel("", "x", "y", [Line("a", "null", [4, 256], [0, 1])], log_x=True, x_ticks=[4, 16, 256]),
            ["16", "256"],
        ),
        (LinePanel("", "x", "y", [Line("a", "null", [0, 1], [-0.2, 0.2])]), ["−0.2", "0", "0.1"]),
    ],
)
def test_ticks_are_told_apart_at_every_size(panel, labels):
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", one(panel, columns=3))
    assert set(labels) <= set(texts)
    assert len(texts) > 4


# --- colours


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_role_stands_out_from_the_page(scheme):
    """WCAG 2.1: 3:1 for graphics (1.4.11), 4.5:1 for text (1.4.3)."""
    page = palette.PAGE[scheme]
    assert all(contrast(getattr(look, scheme), page) >= 3 for look in palette.ROLES.values())
    assert contrast(palette.MUTED[scheme], page) >= 4.5
    assert contrast(palette.INK[scheme], page) >= 7


# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; they act on linear RGB.
DICHROMACY = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(colour, matrix):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = to_xyz @ seen / [0.9505, 1.0, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("vision", DICHROMACY)
def test_roles_differ_for_the_colour_blind(scheme, vision):
    """By colour (CIE76 difference above 10), and where not by that, by dash and by marker."""
    looks = list(palette.ROLES.values())
    assert len({(look.dash, look.marker) for look in looks}) >= len(looks) - 1
    for i, a in enumerate(looks):
        for b in looks[:i]:
            apart = np.linalg.norm(
                lab(getattr(a, scheme), DICHROMACY[vision]) - lab(getattr(b, scheme), DICHROMACY[vision])
            )
            assert apart > 10 or (a.dash != b.dash and a.marker != b.marker)
    truth, learnt = palette.ROLES["truth"], palette.ROLES["learnt"]
    gap = lab(getattr(truth, scheme), DICHROMACY[vision]) - lab(getattr(learnt, scheme), DICHROMACY[vision])
    assert np.linalg.norm(gap) > 25


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("cross-correlation", ["cross-", "correlation"]),
        ("softmax path counts 1", ["softmax path", "counts 1"]),
        ("non-stationary data", ["non-stationary", "data"]),
        ("a" * 20, ["a" * 16, "a" * 4]),
    ],
)
def test_labels_of_bars_break_between_words_then_at_hyphens(label, lines):
    assert lines_of(label, 16) == lines


# --- numbers as text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (0.372, "0.372"), (0.0086, "0.00860"), (9.999, "10.0"), (1234.5, "1234"),
        (-40.7, "−40.7"), (65536.0, "65\u202f536"), (999999.9, "1.00\u202f×\u202f10⁶"),
        (1.84e-7, "1.84\u202f×\u202f10⁻⁷"),
        (-1.6e-13, "−1.60\u202f×\u202f10⁻¹³"), (1e300, "1.00\u202f×\u202f10³⁰⁰"), (5e-324, "4.94\u202f×\u202f10⁻³²⁴"),
    ],
)  # fmt: skip
def test_significant_digits(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.3721, 0.0114, "0.372 ± 0.011"), (12.3456, 0.5, "12.35 ± 0.50"), (-1234.0, 56.0, "−1234 ± 56"),
        (0.5, 0.0, "0.500 ± 0"), (1.0, 0.0996, "1.00 ± 0.10"),
        (0.05, 1.1e-11, "0.0500 ± 1.1\u202f×\u202f10⁻¹¹"),
        (3.4e-9, 2e-10, "(3.40 ± 0.20)\u202f×\u202f10⁻⁹"), (0.0, 2e-10, "(0.0 ± 2.0)\u202f×\u202f10⁻¹⁰"),
    ],
)  # fmt: skip
def test_estimates_show_two_digits_of_their_error(value, error, text):
    assert cell(Estimate(value, error)) == text


@given(st.floats(-1e30, 1e30, allow_subnormal=False))
def test_significant_reads_back(value):
    text = significant(value, 6).replace("−", "-").replace("\u202f", "")
    base, _, power = text.partition("×10")
    exponent = int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    assert float(f"{base}e{exponent}") == pytest.approx(value, rel=5.1e-6, abs=0)


def test_other_numerals():
    assert brief(1.0) == "1"
    assert brief(-0.50) == "−0.5"
    assert brief(100.0) == "100"
    assert brief(2e-9) == "2\u202f×\u202f10⁻⁹"
    assert decimal(-0.001, 2) == "0.00"
    assert cell(None) == "–"
    assert cell(1048576) == "1\u202f048\u202f576"
    assert cell(3.25, Column("time", decimals=1)) == "3.2"
    assert [fact(value) for value in (0.01, 14.0, 248.6, 3, "text", None)] == ["0.01", "14", "248.6", "3", "text", "–"]


# --- JSON


def test_json_gives_back_the_same_records_and_the_same_page(html):
    again = from_json(to_json(sample()))
    assert again == sample()
    assert render(again) == html


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers()), max_size=4),
    points=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=5),
    title=st.text(min_size=1).filter(str.strip),
)
def test_json_round_trip_of_arbitrary_content(rows, points, title):
    section = Section(
        title,
        blocks=[
            Table(["a", "b", "c"], rows, title),
            Figure([LinePanel(title, title, title, [Line(title, "truth", points, points)])], title, title),
        ],
    )
    report = Report(title, sections=[section])
    assert from_json(to_json(report)) == report


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "7", '"text"', "{}", '{"type": "Exploit"}', '{"type": ["Text"]}', '{"type": "Text"}',
        '{"type": "Text", "text": 7}', '{"type": "Text", "text": "a", "colour": "red"}',
        '{"type": "Estimate", "value": NaN, "standard_error": 1}',
        '{"type": "Estimate", "value": 1e999, "standard_error": 1}',
        '{"type": "Section", "title": "a", "blocks": [{"type": "Bar", "label": "a", "role": "truth", "value": 1}]}',
        '{"type": "Section", "title": "a", "blocks": [{"text": "a"}]}',
        '{"type": "Table", "columns": ["a"], "rows": [["b"]], "caption": "c", "highlight_cells": [[0]]}',
        '{"type": "Facts", "items": [["a"]]}', '{"type": "Table", "columns": 3, "rows": [], "caption": "c"}',
        '{"type": "Facts", "items": {"type": "Text", "text": "a"}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_json_that_is_no_record_is_refused(text):
    with pytest.raises(InputError):
        from_json(text)


def test_only_records_become_json():
    with pytest.raises(TypeError, match="object is not a record"):
        to_json(object())


# --- refusals

LINE = Line("a", "truth", [1, 2], [1, 2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Figure([BarPanel("", "x", [Bar("a", "truth", 1)])], " ", "alt"), "caption .* must not be empty"),
        (lambda: Figure([BarPanel("", "x", [Bar("a", "truth", 1)])], "c", ""), "alt .* must not be empty"),
        (lambda: Figure([], "c", "a"), "panels must hold at least 1"),
        (lambda: Figure([BarPanel("", "x", [Bar("a", "truth", 1)])], "c", "a", columns=5), "at most 4, got 5"),
        (lambda: LinePanel("t", "", "y", [LINE]), "x_label must not be empty"),
        (lambda: LinePanel("t", "x", "", [LINE]), "y_label must not be empty"),
        (lambda: LinePanel("t", "x", "y", []), "series must hold at least 1"),
        (lambda: LinePanel("t", "x", "y", [Line("a", "truth", [0, 1], [1, 1])], log_x=True), "logarithmic axis, got 0"),
        (lambda: LinePanel("t", "x", "y", [LINE], y_limits=(2, 1)), "low < high"),
        (lambda: MatrixPanel("t", [[1.0]], "x", "y", ""), "value_label must not be empty"),
        (lambda: MatrixPanel("t", [[1.0], [1.0, 2.0]], "x", "y", "v"), "rows of one length"),
        (lambda: MatrixPanel("t", [[1.0]], "x", "y", "v", ["a", "b"]), "x_ticks must hold 1 names, got 2"),
        (lambda: MatrixPanel("t", [[2.0]], "x", "y", "v", limits=(0, 1)), "within limits"),
        (lambda: MatrixPanel("t", [[0.5]], "x", "y", "v", limits=(0, 1), diverging=True), "symmetric"),
        (lambda: Line("a", "hero", [1], [1]), "role must be one of truth"),
        (lambda: Line("a", "truth", [1], [1, 2]), "y must hold 1 numbers, got 2"),
        (lambda: Line("a", "truth", [1], [float("nan")]), r"y\[0\] must be finite"),
        (lambda: Line("a", "truth", [1], [1], lower=[0]), "given together"),
        (lambda: Line("a", "truth", [1], [1], lower=[2], upper=[1]), "must not exceed"),
        (lambda: Bar("a", "truth", 5, 0, 1), "between lower and upper"),
        (lambda: BarPanel("", "x", [Bar("a", "truth", 0)], log_x=True), "logarithmic"),
        (lambda: Table(["a"], [], ""), "caption .* must not be empty"),
        (lambda: Table(["a"], [[1, 2]], "c"), r"rows\[0\] must hold 1 cells, got 2"),
        (lambda: Table(["a"], [[float("inf")]], "c"), "finite"),
        (lambda: Table(["a"], [[1]], "c", highlight_rows=[1]), "less than 1, got 1"),
        (lambda: Table(["a"], [[1]], "c", row_roles=["hero"]), "row_roles must be one of"),
        (lambda: Verdict([Number("1", "a")] * 6), "at most 5, got 6"),
        (lambda: Number("1", "a", standing="great"), "standing must be one of"),
        (lambda: Text("a", "loud"), "style must be one of"),
        (lambda: Estimate(1.0, -1.0), "0 or greater"),
        (lambda: Report(""), "title must not be empty"),
    ],
)
def test_records_refuse_what_cannot_be_shown(build, message):
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: Report(7),
        lambda: Section("a", blocks=["text"]),
        lambda: Section("a", blocks="text"),
        lambda: Facts({"a": [1]}),
        lambda: Line("a", "truth", "12", [1, 2]),
        lambda: Line("a", "truth", [1], [True]),
        lambda: LinePanel("t", "x", "y", [LINE], log_x="yes"),
        lambda: Report("a", verdict=Text("a")),
        lambda: render("report"),
    ],
)
def test_wrong_types_are_refused(build):
    with pytest.raises(TypeError):
        build()


def test_matrices_that_cannot_share_a_scale_are_refused():
    with pytest.raises(InputError, match="agree"):
        Figure([MatrixPanel("", [[1.0]], "x", "y", v) for v in ("a", "b")], "c", "a")


def test_numpy_numbers_become_plain_ones():
    line = Line("a", "truth", np.arange(3), np.float32([0, 1, 2]))
    assert line.x == (0.0, 1.0, 2.0)
    assert {type(v) for v in line.x + line.y} == {float}
    table = Table(["a", "b"], [[np.float64(1.5), np.int64(3)]], "c")
    assert [type(v) for v in table.rows[0]] == [float, int]


# --- files


def test_a_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "report.html"
    report = Report("one")
    write(report, path)
    with pytest.raises(InputError, match="exists"):
        write(Report("two"), path)
    assert path.read_text() == render(report)
    write(Report("two"), path, force=True)
    assert path.read_text() == render(Report("two"))
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("force", [False, True])
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, force):
    path = tmp_path / "report.html"
    if force:
        path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=f"^{path} cannot be written: No space"):
        write(Report("one"), path, force=force)
    assert [p.read_text() for p in tmp_path.iterdir()] == (["old"] if force else [])


def test_bad_places_are_refused(tmp_path):
    with pytest.raises(InputError, match="folder"):
        write(Report("one"), tmp_path / "nowhere" / "report.html")
    with pytest.raises(InputError, match="is a folder"):
        write(Report("one"), tmp_path, force=True)
    with pytest.raises(InputError, match="does not exist"):
        load_records(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text file"):
        load_records(tmp_path / "binary.json")
    (tmp_path / "text.json").write_text(to_json(Text("a")))
    with pytest.raises(InputError, match="must hold a Report"):
        load_records(tmp_path / "text.json")


def test_a_page_is_made_again_from_its_records(tmp_path, html):
    path = save_records(sample(), tmp_path / "report.json")
    with pytest.raises(InputError, match="exists"):
        save_records(sample(), path)
    assert render(load_records(path)) == html


def test_it_needs_no_torch():
    sources = list(Path(kronoscope.report.__file__).parent.glob("*.py"))
    assert len(sources) > 5
    assert not [path.name for path in sources if re.search(r"torch|_checks|_typing", path.read_text())]
