"""Animations: what a GIF shows is what the record holds."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from kronoscope._errors import InputError
from kronoscope.report import Animation, Movie, Report, Section, from_json, render, to_json
from kronoscope.report.gif import sources
from kronoscope.report.svg import colour_map

FRAMES = [[[float(i * 3 + j + k) for j in range(3)] for i in range(2)] for k in range(4)]


def animation(**more):
    told = {"limits": (0, 10), "caption": "How to read it.", "alt": "Numbers that grow."} | more
    return Animation([Movie("growing", FRAMES)], "number", **told)


def pictures(uri):
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/gif;base64,"))))
    found = []
    for k in range(image.n_frames):
        image.seek(k)
        found.append((np.asarray(image.convert("RGB")), image.info.get("duration")))
    return found


@pytest.mark.parametrize(("place", "scheme"), [(2, "dark"), (3, "light")])
def test_every_pixel_has_the_colour_of_its_number(place, scheme):
    _, uri = sources(Movie("", FRAMES), (0, 10), 120)[place]
    found = pictures(uri)
    assert len(found) == 4
    assert found[0][1] == 120
    table = colour_map(False, scheme)
    for (picture, _), frame in zip(found, FRAMES):
        levels = np.rint(np.clip(np.array(frame) / 10, 0, 1) * 255).astype(int)
        assert np.array_equal(picture, table[levels])


def test_who_wants_less_motion_gets_the_first_frame():
    told = sources(Movie("", FRAMES), (0, 10), 120)
    still = [uri for media, uri in told if "reduce" in media]
    assert len(still) == 2
    assert all(len(pictures(uri)) == 1 for uri in still)
    assert told[-1][0] == ""


def test_an_animation_is_on_the_page_and_survives_json():
    report = Report("r", sections=[Section("s", blocks=[animation()])])
    assert from_json(to_json(report)) == report
    page = render(report)
    assert page == render(report)
    assert len(re.findall("<source media=", page)) == 3
    assert "Figure 1." in page
    assert "Numbers that grow." in page


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Movie("", []), "frames must be matrices of one shape"),
        (lambda: Movie("", [[[1.0]], [[1.0, 2.0]]]), "frames must be matrices of one shape"),
        (lambda: Movie("", [[[1.0], [1.0, 2.0]]]), "frames must be matrices"),
        (lambda: Movie("", [[[float("nan")]]]), "must be finite"),
        (lambda: Animation([], "v", (0, 1), "c", "a"), "movies must"),
        (lambda: animation(milliseconds=1), "milliseconds must be at least 20"),
        (lambda: animation(columns=5), "columns must be at most 4"),
        (lambda: animation(caption=" "), "caption .* must not be empty"),
        (lambda: animation(limits=(1, 0)), "limits must be"),
        (
            lambda: Animation([Movie("", FRAMES), Movie("", FRAMES[:2])], "v", (0, 1), "c", "a"),
            "as many frames each",
        ),
    ],
)
def test_bad_animations_are_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()
