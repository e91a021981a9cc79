"""The rendered report in a real browser: quiet, offline, and no wider than a phone."""

import pytest
from browser import chromium_or_skip, look
from report_sample import HOSTILE, sample

from kronoscope.report import (
    Bar,
    BarPanel,
    Column,
    Estimate,
    Figure,
    Number,
    Report,
    Section,
    Table,
    Text,
    Verdict,
    write,
)

pytestmark = pytest.mark.browser

LONG = "wind_speed_at_a_station_whose_name_never_ends_" * 3


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    chromium_or_skip()
    return write(sample(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (800, "light"), (1280, "dark")])
def test_it_is_quiet_and_fits(page, width, scheme):
    shown = (
        "[...document.querySelectorAll('image')].filter(e => e.getClientRects().length).map(e => e.className.baseVal)"
    )
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    seen = look(page, width=width, scheme=scheme, ask=(shown, colours))
    assert seen.complaints == []
    assert seen.requests == []
    assert seen.overflow == []
    images, (background, ink) = seen.answers
    assert set(images) == {f"in-{scheme}"}
    assert (brightness(background) > brightness(ink)) == (scheme == "light")


@pytest.mark.parametrize("name", [LONG, " ".join(HOSTILE)], ids=["long", "hostile"])
def test_names_of_strangers_do_no_harm(tmp_path, name):
    foreign = "script, main img:not([src^='data:image/gif;base64,']), iframe, object, embed"
    asked = (f'document.querySelectorAll("{foreign}").length', "document.title")
    seen = look(write(sample(name), tmp_path / "report.html"), width=390, ask=asked)
    assert (seen.complaints, seen.requests, seen.overflow) == ([], [], [])
    assert seen.answers == [0, f"Report on {name}"]


def test_text_in_drawings_is_legible_on_a_phone(page):
    smallest = """Math.min(...[...document.querySelectorAll('.panel svg text')].filter(e => e.getClientRects().length)
        .map(e => parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getScreenCTM().a))"""
    clipped = """[...document.querySelectorAll('.panel svg text')].filter(e => e.getClientRects().length).filter(e => {
        const t = e.getBoundingClientRect(), s = e.ownerSVGElement.getBoundingClientRect();
        return t.left < s.left - 2 || t.right > s.right + 2 || t.top < s.top - 2 || t.bottom > s.bottom + 2;
        }).map(e => e.textContent)"""
    for width in (390, 1280):
        size, outside = look(page, width=width, ask=(smallest, clipped)).answers
        assert size > 9
        assert outside == []


def test_what_sighted_and_blind_readers_get(page):
    asked = (
        "[...document.querySelectorAll('[role=img]')].every(e => e.getAttribute('aria-label').length > 3)",
        "document.documentElement.lang",
        "document.querySelectorAll('nav a').length",
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))",
    )
    assert look(page, ask=asked).answers == [True, "en", 5, True]


def test_the_probe_sees_what_it_must_refuse(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><meta name=viewport content='width=device-width'><p style='width: 700px'>wide</p>"
        "<img src='http://127.0.0.1:9/pixel.png'><script>console.error('loud'); null.x</script>"
    )
    chromium_or_skip()
    seen = look(path, width=390)
    assert "http://127.0.0.1:9/pixel.png" in seen.requests
    assert any("loud" in line for line in seen.complaints)
    assert any("TypeError" in line for line in seen.complaints)
    assert seen.overflow


WORDS = "Networks with the structure of the solver learn smooth dependence from few sequences. " * 6
ESTIMATES = [Estimate(0.8844081, 3.9e-6), Estimate(5e-2, 1.1e-13), Estimate(16.1, 2.2), Estimate(0.54725, 1.1e-4)]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Five long headline numbers, a table of nine columns with errors, one of sentences, a figure, and long prose."""
    chromium_or_skip()
    numbers = [Number("0.322 ± 0.083", f"largest error of gamma, lags 0 to {lag}", "target 0.03") for lag in range(5)]
    rows = [["DiT, trained on white noise", *ESTIMATES, *ESTIMATES] for _ in range(3)]
    columns = ["score", *(Column(name, "frames") for name in ("gamma", "lengthscale", "exponent", "Sigma") * 2)]
    sentences = Table(
        ["question", "answer", Column("p"), Column("unit"), ""], [["mean", WORDS, 0.5, "", "no difference"]], "Answers."
    )
    figure = Figure([BarPanel("", "x", [Bar("cross-correlation", "learnt", 1.0)])], WORDS, "Bars.", columns=1)
    sections = [
        Section("Numbers", WORDS, [Table(columns, rows, WORDS, note=WORDS), sentences, figure]),
        Section("Words", "", [Text(WORDS + "\n\n" + WORDS)]),
    ]
    page = Report("Crowded", WORDS, sections=sections, verdict=Verdict(numbers))
    return write(page, tmp_path_factory.mktemp("crowded") / "report.html")


_INK = """(e => { const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect(); })"""


@pytest.mark.parametrize("width", [390, 700, 1000, 1400])
def test_headline_numbers_stay_in_their_tiles(crowded, width):
    beyond = f"""[...document.querySelectorAll('.number .value')].filter(e =>
        {_INK}(e).right > e.parentElement.getBoundingClientRect().right + 1).length"""
    seen = look(crowded, width=width, ask=(beyond,))
    assert seen.answers == [0]
    assert seen.overflow == []


def test_a_table_of_nine_columns_is_whole_on_a_wide_screen(crowded):
    cut = "[...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    assert look(crowded, width=1400, ask=(cut,)).answers == [[0, 0]]


def test_numbers_break_only_where_a_table_would_be_cut(crowded, tmp_path):
    """Eight columns, of which four hold errors, have room: as many lines as in a table of two columns."""
    columns = ["score", *(Column(name) for name in ("gamma", "lengthscale", "exponent", "Sigma")), "a", "b", "c"]
    wide = Table(columns, [["DiT", *ESTIMATES, "no difference shown", "0.4 to 1.2", "x"]], "Wide.")
    narrow = Table(["score", Column("gamma")], [["DiT", ESTIMATES[0]]], "Narrow.")
    page = Report("Tables", sections=[Section("Tables", "", [narrow, wide])])
    path = write(page, tmp_path / "report.html")
    tall = """[...document.querySelectorAll('td.numeric')].map(e => {
        const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length; })"""
    assert look(path, width=1400, ask=(tall,)).answers == [[1, 1, 1, 1, 1]]
    assert 2 in look(crowded, width=1400, ask=(tall,)).answers[0]


def test_long_prose_fills_a_wide_screen(crowded):
    reach = f"""['.body', '.table figcaption', '.below', '.beside figcaption'].map(s => {_INK}(
        document.querySelector(s)).right / document.querySelector('main').getBoundingClientRect().right)"""
    assert min(look(crowded, width=1400, ask=(reach,)).answers[0]) > 0.9


def test_a_folded_section_shows_its_lead_until_it_is_opened(tmp_path):
    table = Table(["a"], [["x"]] * 60, "Rows.")
    heights = []
    for folded in (False, True):
        page = Report("Page", sections=[Section("First", "What it shows.", [table], folded=folded)])
        path = write(page, tmp_path / f"{folded}.html")
        lead = "document.querySelector('.lead').getBoundingClientRect().height > 0"
        opened = "document.querySelectorAll('details').forEach(e => { e.open = true; }) || document.body.scrollHeight"
        seen = look(path, width=390, ask=(lead, "document.body.scrollHeight", opened))
        assert (seen.complaints, seen.overflow, seen.answers[0]) == ([], [], True)
        heights.append(seen.answers[1:])
    assert heights[1][0] < 0.3 * heights[0][0]
    assert heights[1][1] > 0.8 * heights[0][0]


def test_stacked_cells_have_a_head_or_none(crowded):
    heads = "[...document.querySelectorAll('.wordy td')].map(e => getComputedStyle(e, '::before').content)"
    shown = "[...document.querySelectorAll('.wordy td')].map(e => getComputedStyle(e).display)"
    content, display = look(crowded, width=390, ask=(heads, shown)).answers
    assert content == ['"answer: "', '"p: "', '"unit: "', "none"]
    assert display == ["block", "block", "none", "block"]


def brightness(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
