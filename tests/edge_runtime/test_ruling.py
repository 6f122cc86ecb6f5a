from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.ruling import without_lines
from edge_runtime.strokes import find_strokes

cv2 = pytest.importorskip("cv2")


def paper() -> np.ndarray:
    return np.full((480, 640), 230, np.uint8)


def left(page: np.ndarray) -> np.ndarray:
    return without_lines(find_strokes(page))


def test_lines_go_and_what_crosses_them_stays() -> None:
    page = paper()
    for y in range(40, 480, 60):
        cv2.line(page, (0, y), (639, y + 6), 150, 2, cv2.LINE_AA)
    cv2.ellipse(page, (300, 220), (18, 30), 0, 0, 360, 40, 5)
    mask = left(page)
    inside = np.zeros(page.shape, bool)
    inside[180:260, 275:325] = True
    assert mask[inside].sum() > 600
    assert mask[~inside].sum() == 0


@pytest.mark.parametrize("upright", [False, True])
def test_line_in_pieces_is_known_by_its_neighbours(upright: bool) -> None:
    page = paper()
    size = 480 if upright else 640
    for at in range(40, min(page.shape), 40):
        for start in range(0, size, 40):
            # In pieces too short to be lines where the fifth line runs.
            end = start + (24 if at == 200 else 40)
            ends = ((at, start), (at, end)) if upright else ((start, at), (end, at))
            cv2.line(page, *ends, 150, 2)
    assert left(page).sum() == 0


def test_picture_without_lines_keeps_all() -> None:
    page = paper()
    cv2.putText(page, "4711", (100, 240), cv2.FONT_HERSHEY_SIMPLEX, 3, 40, 6)
    strokes = find_strokes(page)
    assert np.array_equal(without_lines(strokes), strokes.mask)
