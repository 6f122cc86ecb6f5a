from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.ruled_paper import Curve, repeated

HEIGHT, WIDTH = 480, 640


def lines(places: list[float], slope: float = 0.0) -> list[Curve]:
    """Lines through the picture's middle column at these heights."""
    return [Curve(0.0, slope, place - slope * WIDTH / 2, 0.0, WIDTH, 2.0, 80.0) for place in places]


def places(curves: list[Curve]) -> list[float]:
    return [float(curve.at(np.array(WIDTH / 2))) for curve in curves]


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_line_that_was_not_seen_is_told_by_its_neighbours(slope: float) -> None:
    seen = [60.0, 90.0, 120.0, 180.0, 210.0, 270.0, 300.0]
    found = repeated(lines(seen, slope), HEIGHT, WIDTH)
    expected = [0.0, 30.0, *np.arange(60.0, 331.0, 30.0), 360.0]
    np.testing.assert_allclose(places(found), expected, atol=0.5)
    assert all((curve.left, curve.right) == (0, WIDTH) for curve in found)
    np.testing.assert_allclose([curve.slope for curve in found], slope, atol=1e-6)


def test_pitch_may_change_from_line_to_line() -> None:
    whole = [40 + 24 * k + 0.5 * k * k for k in range(14)]
    seen = [place for k, place in enumerate(whole) if k not in (4, 9)]
    found = places(repeated(lines(seen), HEIGHT, WIDTH))
    for place in whole:
        assert min(abs(place - other) for other in found) < 1


def test_line_found_in_two_pieces_counts_once() -> None:
    halves = [curve._replace(right=300.0) for curve in lines([60.0, 90.0, 150.0, 180.0, 210.0])]
    halves += [curve._replace(left=340.0) for curve in lines([60.4, 90.2, 150.0])]
    found = places(repeated(halves, HEIGHT, WIDTH))
    assert sum(45 < place < 165 for place in found) == 4


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [60.0, 90.0, 120.0, 150.0],  # too few
        [60.0, 75.0, 130.0, 140.0, 260.0, 287.0, 350.0],  # no pitch
    ],
)
def test_lines_that_do_not_repeat_are_no_ruling(seen: list[float]) -> None:
    assert repeated(lines(seen), HEIGHT, WIDTH) == []


def test_short_lines_are_no_ruling() -> None:
    short = [curve._replace(right=200.0) for curve in lines(list(np.arange(60.0, 400.0, 30.0)))]
    assert repeated(short, HEIGHT, WIDTH) == []
