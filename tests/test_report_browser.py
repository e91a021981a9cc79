"""The rendered report in a real browser: quiet, offline, and no wider than a phone."""

import pytest
from browser import chromium_or_skip, look
from report_sample import HOSTILE, sample

from kronoscope.report import write

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


def brightness(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
