from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.robustness.paper import blank_paper, paper, ruled_paper, squared_paper

Generator = Callable[[int, int], list[np.ndarray]]


@pytest.mark.parametrize("make", [blank_paper, ruled_paper, squared_paper])
def test_same_seed_gives_the_same_pictures_and_another_one_others(make: Generator) -> None:
    first, again, other = make(3, 1), make(3, 1), make(3, 2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any(a.shape != b.shape for a, b in zip(first, other, strict=True))
    # A picture does not depend on how many are asked for.
    assert (make(1, 1)[0] == first[0]).all()


@pytest.mark.parametrize("make", [blank_paper, ruled_paper, squared_paper])
def test_pictures_are_light_and_of_photo_like_sizes(make: Generator) -> None:
    for picture in make(8, 3):
        assert picture.dtype == np.uint8
        assert all(160 <= side <= 320 for side in picture.shape)
        assert np.median(picture) > 130


def test_blank_paper_has_faint_texture_and_darker_corners() -> None:
    random = np.random.RandomState(4)
    sheets = [paper(random, 200, 240) for _ in range(20)]
    # What is left between neighbours is texture and noise.
    grain = [float(np.diff(sheet, axis=1).std()) for sheet in sheets]
    assert min(grain) > 1
    assert max(grain) < 6
    corners = np.mean([sheet[[0, 0, -1, -1], [0, -1, 0, -1]].mean() for sheet in sheets])
    assert corners < np.mean([sheet[90:110, 110:130].mean() for sheet in sheets]) - 5


def profile(picture: np.ndarray, axis: int) -> float:
    """How much the means of rows (axis 1) or columns (axis 0) jump from one to the next."""
    return float(np.abs(np.diff(picture.mean(axis=axis))).max())


def test_ruled_paper_has_level_lines_and_squared_paper_both() -> None:
    blank, ruled, squared = (make(12, 5) for make in (blank_paper, ruled_paper, squared_paper))
    level, upright = 1, 0
    assert np.mean([profile(p, level) for p in ruled]) > 5 * np.mean(
        [profile(p, level) for p in blank]
    )
    # Every second page has a margin line; the others have nothing upright.
    assert np.mean([profile(p, upright) for p in ruled[1::2]]) > 2 * np.mean(
        [profile(p, upright) for p in ruled[::2]]
    )
    for axis in (level, upright):
        assert np.mean([profile(p, axis) for p in squared]) > 4 * np.mean(
            [profile(p, axis) for p in blank]
        )
