import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.resize import resize, shrink


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(20, 30), (60, 9), (12, 90), (1, 1)])
def test_shrinking_by_whole_factors_averages_blocks(noise, height, width):
    blocks = noise.reshape(height, 60 // height, width, 90 // width, 3)
    assert np.abs(resize(noise, height, width) - blocks.mean((1, 3))).max() <= 0.51


@pytest.mark.parametrize(("height", "width"), [(7, 11), (59, 89), (13, 200), (100, 17)])
def test_mean_brightness_stays(noise, height, width):
    assert resize(noise, height, width).mean() == pytest.approx(noise.mean(), abs=1.0)


def test_shrinking_counts_fractions_of_pixels_by_their_area():
    row = np.array([[90, 0, 240]], np.uint8)
    assert resize(row, 1, 2).tolist() == [[60, 160]]


def test_fine_pattern_does_not_alias():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    assert np.ptp(resize(board.astype(np.uint8), 24, 24)) <= 16


def test_enlarging_interpolates_linearly_between_pixel_centres():
    row = np.array([[0, 100]], np.uint8)
    assert resize(row, 1, 4).tolist() == [[0, 25, 75, 100]]


def test_constant_stays_constant():
    for value in (0, 1, 254, 255):
        image = np.full((37, 53), value, np.uint8)
        for height, width in ((5, 5), (36, 200), (200, 52)):
            assert (resize(image, height, width) == value).all()


def test_same_size_is_the_same_picture(noise):
    assert resize(noise, 60, 90) is noise


def test_row_by_row_and_whole_give_the_same(noise):
    # More than fourfold shrinking takes the rows one by one.
    tall = np.repeat(noise, 5, axis=0)
    assert np.array_equal(resize(tall, 60, 90), noise)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_other_arrays_are_refused(image):
    with pytest.raises(InputError, match=r"uint8\[H, W\] or uint8\[H, W, C\] was expected"):
        resize(image, 2, 2)


def test_size_of_nothing_is_refused(noise):
    with pytest.raises(InputError, match="new size is 0x5; sides of at least 1 pixel"):
        resize(noise, 0, 5)


@pytest.mark.parametrize("factor", [1, 2, 7, 16])
def test_shrink_is_the_mean_of_blocks(noise, factor):
    height, width = 60 // factor, 90 // factor
    whole = noise[: height * factor, : width * factor]
    means = whole.reshape(height, factor, width, factor, 3).mean((1, 3))
    assert np.abs(shrink(noise, factor) - means).max() <= 0.51


def test_shrink_does_not_overflow():
    assert (shrink(np.full((32, 32), 255, np.uint8), 16) == 255).all()
