from __future__ import annotations

import numpy as np
import pytest

from edge_runtime import Box, Digit, Reading
from edge_runtime.annotate import draw_reading, tile_inputs
from edge_runtime.errors import InputError
from edge_runtime.reading import Timings

pytest.importorskip("cv2")


def reading(*rejected: bool) -> Reading:
    digits = tuple(
        Digit("7", 7, 0.9, Box(40 + 60 * i, 60, 30, 40), no, 0, np.zeros(10, np.float32))
        for i, no in enumerate(rejected)
    )
    inputs = np.full((len(digits), 28, 28, 1), 200, np.uint8)
    return Reading("7", digits, inputs, Timings(0, 0, 0, 0))


def test_drawing_leaves_the_picture_alone_and_marks_the_box() -> None:
    for shape in ((160, 200), (160, 200, 1), (160, 200, 3)):
        picture = np.full(shape, 240, np.uint8)
        drawn = draw_reading(picture, reading(False))
        assert drawn.shape == (160, 200, 3)
        assert drawn.dtype == np.uint8
        assert (picture == 240).all()
        changed = (drawn != 240).any(2)
        assert changed[58, 40:70].all(), "the upper edge of the box"
        assert not changed[65:95, 45:65].any(), "its inside"


def test_rejected_box_is_dimmed_and_of_another_colour() -> None:
    drawn = draw_reading(np.full((160, 200), 240, np.uint8), reading(False, True)).astype(int)
    accepted, rejected = drawn[58, 55], drawn[58, 115]
    assert accepted[2] > accepted[0]
    assert rejected[0] > rejected[2]
    assert np.abs(rejected - 240).sum() < np.abs(accepted - 240).sum()


def test_text_is_drawn_and_box_beyond_the_edge_is_no_error() -> None:
    digit = Digit("7", 7, 0.9, Box(-5, -5, 900, 900), False, 0, np.zeros(10, np.float32))
    large = Reading("7", (digit,), np.zeros((1, 28, 28, 1), np.uint8), Timings(0, 0, 0, 0))
    plain = draw_reading(np.full((60, 200), 240, np.uint8), large)
    texted = draw_reading(np.full((60, 200), 240, np.uint8), large, text="12 µ")
    assert (plain != texted).any()


def test_other_pixels_are_refused() -> None:
    with pytest.raises(InputError, match=r"uint8\[H, W\]"):
        draw_reading(np.zeros((4, 4), np.float32), reading())  # type: ignore[arg-type]


def test_inputs_are_tiled_also_where_there_are_none() -> None:
    assert tile_inputs(reading(False, True)).shape == (120, 236, 3)
    assert tile_inputs(reading()).shape == (120, 120, 3)
