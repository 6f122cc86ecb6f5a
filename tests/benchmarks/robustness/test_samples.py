from __future__ import annotations

import numpy as np
import pytest

from benchmarks.robustness.samples import INPUTS, PICTURES, Samples, png_bytes
from edge_runtime.images import decode_image


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3)])
def test_png_keeps_every_pixel_and_colour(shape: tuple[int, ...]) -> None:
    image = np.random.RandomState(1).randint(0, 256, shape).astype(np.uint8)
    assert (decode_image(png_bytes(image), "it") == image.reshape(shape).squeeze()).all()


def test_set_says_how_it_is_fed() -> None:
    assert Samples("a", "", np.zeros((2, 4, 4, 1), np.uint8)).fed == INPUTS
    assert Samples("a", "", (b"1", b"2")).fed == PICTURES


def test_limit_keeps_every_digit_with_its_truth() -> None:
    truth = np.arange(100) // 10
    files = tuple(str(digit).encode() for digit in truth)
    few = Samples("a", "", files, truth).limited(20)
    assert np.bincount(few.truth).tolist() == [2] * 10
    assert [int(data) for data in few.images] == few.truth.tolist()


def test_limit_keeps_the_first_where_there_is_no_truth_and_cuts_parts() -> None:
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    part = np.array([True, False, True, True, True])
    few = Samples("a", "", pixels, parts={"odd": part}).limited(3)
    assert few.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert few.parts["odd"].tolist() == [True, False, True]


@pytest.mark.parametrize("limit", [None, 5, 9])
def test_limit_that_is_none_changes_nothing(limit: int | None) -> None:
    whole = Samples("a", "", (b"",) * 5)
    assert whole.limited(limit) is whole
