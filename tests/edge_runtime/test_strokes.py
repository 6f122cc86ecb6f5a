from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.ruling import without_lines
from edge_runtime.strokes import find_strokes, strokes_are_light


def paper(noise: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(0)
    return (220 + random.normal(0, noise, (480, 640))).clip(0, 255).astype(np.uint8)


def test_polarity_is_that_of_what_is_narrow() -> None:
    picture = paper()
    picture[100:160, 100:106] = 60
    assert strokes_are_light(picture) < -0.5
    assert strokes_are_light(255 - picture) > 0.5


def test_edge_of_a_sheet_says_nothing_of_polarity() -> None:
    picture = paper()
    picture[:, :200] = 40
    assert abs(strokes_are_light(picture)) < 0.3


@pytest.mark.parametrize("shade", [1.0, 0.4])
def test_stroke_in_hard_shadow_is_found_and_the_shadow_is_not(shade: float) -> None:
    picture = paper()
    picture[200:260, 100:106] = 110
    picture[200:260, 500:506] = 110
    picture[:, 320:] = (picture[:, 320:] * shade).astype(np.uint8)
    strokes = find_strokes(picture)
    assert strokes.mask[205:255, 101:105].all()
    assert strokes.mask[205:255, 501:505].all()
    assert np.count_nonzero(strokes.mask) < 60 * 8 * 2
    lit, shaded = strokes.dark[230, 103], strokes.dark[230, 503]
    assert abs(int(lit) - int(shaded)) < 25, "as if all were lit alike"


def test_noise_is_no_stroke() -> None:
    assert np.count_nonzero(find_strokes(paper(noise=12.0)).mask) < 60


def test_faint_line_beside_dark_ink_is_left_out() -> None:
    picture = paper(0.5)
    picture[300, 100:400] = 190
    picture[290:310, 200:206] = 30
    strokes = find_strokes(picture)
    assert strokes.faint[300, 150]
    assert strokes.mask[300, 150]
    assert not strokes.mask[300, 209]
    assert strokes.mask[295:305, 201:205].all()


@pytest.mark.parametrize("slope", [0.0, 0.08, -0.16])
def test_ruled_line_goes_and_the_stroke_that_crosses_it_stays_whole(slope: float) -> None:
    picture = paper()
    columns = np.arange(640)
    rows = np.rint(240 + slope * (columns - 320)).astype(int)
    for thick in (0, 1):
        picture[rows + thick, columns] = 120
    picture[200:280, 318:325] = 50
    strokes = find_strokes(picture)
    kept = without_lines(strokes)
    assert strokes.mask[rows[100:300], columns[100:300]].mean() > 0.9
    assert kept[rows[100:300], columns[100:300]].mean() < 0.05
    assert kept[203:277, 319:324].all()


def test_upright_line_goes_as_well() -> None:
    picture = paper()
    picture[:, 300:302] = 120
    assert np.count_nonzero(without_lines(find_strokes(picture))[50:430]) < 10


def test_short_stroke_is_no_line() -> None:
    picture = paper()
    picture[240:243, 300:340] = 60
    assert np.count_nonzero(without_lines(find_strokes(picture))) >= 100
