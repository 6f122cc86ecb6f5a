import numpy as np
import pytest

from edge_runtime.lighting import darkness, paper_is_dark

HEIGHT, WIDTH = 90, 120


def strokes() -> np.ndarray:
    """A seven: where there is ink."""
    ink = np.zeros((HEIGHT, WIDTH), bool)
    ink[20:26, 40:80] = True
    for row in range(26, 75):
        ink[row, 74 - row // 2 : 80 - row // 2] = True
    return ink


def light(kind: str) -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / WIDTH
    return {
        "even": np.ones((HEIGHT, WIDTH)),
        "slope": 1 - 0.5 * x,
        "lamp": 1 - 0.7 * ((x - 0.3) ** 2 + (y - 0.5) ** 2),
        "shadow": 1 - 0.5 / (1 + np.exp((0.6 - x - 0.3 * y) / 0.01)),
    }[kind]


def scene(kind: str, contrast: float = 0.7, noise: float = 2.0) -> np.ndarray:
    picture = 220 * light(kind) * (1 - contrast * strokes())
    picture += np.random.default_rng(0).normal(0, noise, picture.shape)
    return picture.clip(0, 255).astype(np.float32)


@pytest.mark.parametrize("contrast", [0.3, 0.7])
@pytest.mark.parametrize("kind", ["even", "slope", "lamp", "shadow"])
def test_polarity_is_seen_in_any_light(kind, contrast):
    picture = scene(kind, contrast)
    assert not paper_is_dark(picture)
    assert paper_is_dark(255 - picture)


def test_polarity_of_a_digit_that_fills_the_picture():
    # A scan of 8x8 pixels: ink takes much of the border, and the background is exactly black.
    scan = np.zeros((8, 8), np.float32)
    scan[:, 2:6] = 220
    scan[3, 3:5] = 90
    assert paper_is_dark(scan)
    assert not paper_is_dark(255 - scan)


@pytest.mark.parametrize("kind", ["even", "slope", "lamp", "shadow"])
def test_paper_is_near_zero_and_ink_alike_in_any_light(kind):
    seen = darkness(scene(kind))
    ink = strokes()
    assert np.percentile(np.abs(seen.dark[~ink]), 97) < 0.2 * np.median(seen.dark[ink])
    assert np.median(seen.dark[ink]) == pytest.approx(220 * 0.7, rel=0.1)
    assert np.percentile(seen.dark[ink], 10) > 0.7 * np.median(seen.dark[ink])


def test_even_background_is_subtracted_exactly():
    picture = np.where(strokes(), 30, 217).astype(np.float32)
    seen = darkness(picture)
    assert np.array_equal(seen.dark, 217 - picture)
    assert seen.noise == 0


@pytest.mark.parametrize("noise", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("kind", ["even", "slope"])
def test_noise_is_estimated_beside_the_ink(kind, noise):
    picture = 150 * light(kind) * (1 - 0.5 * strokes())
    picture += np.random.default_rng(0).normal(0, noise, picture.shape)
    assert darkness(picture.astype(np.float32)).noise == pytest.approx(noise, rel=0.35)


@pytest.mark.parametrize("noise", [6.0, 12.0])
def test_noise_of_overexposed_paper_is_not_lost_in_what_is_white(noise):
    # Half of the paper or more is exactly white, so its lightest third says nothing of the noise.
    picture = np.random.default_rng(0).normal(252, noise, (HEIGHT, WIDTH)) - 150 * strokes()
    seen = darkness(picture.clip(0, 255).astype(np.float32))
    assert noise / 2 < seen.noise < 1.5 * noise


def test_noise_in_a_black_shadow_is_not_made_to_look_like_ink():
    x = np.arange(WIDTH) / WIDTH
    lit = 1 - 0.99 / (1 + np.exp((0.85 - x) / 0.01))
    picture = 220 * lit * (1 - 0.7 * strokes())
    picture += np.random.default_rng(0).normal(0, 2, picture.shape)
    seen = darkness(picture.clip(0, 255).astype(np.float32))
    shadow = np.abs(seen.dark[:, x > 0.92])
    assert np.percentile(shadow, 99) < 0.3 * np.median(seen.dark[strokes()])


@pytest.mark.parametrize("margin", [1, 3])
def test_little_paper_between_heavy_strokes_is_still_paper(margin):
    # A thick seven cut out to its ink: half of the picture is ink.
    y, x = np.mgrid[0:60, 0:40] - margin
    ink = (y < 15) | (np.abs(x - 34 + y / 2) < 10)
    ink &= (x >= 0) & (y >= 0) & (x < 40 - 2 * margin) & (y < 60 - 2 * margin)
    picture = np.where(ink, 60, 190) + np.random.default_rng(0).normal(0, 2, ink.shape)
    picture = picture.astype(np.float32)
    assert ink.mean() > 0.45
    assert not paper_is_dark(picture)
    assert paper_is_dark(255 - picture)
    seen = darkness(picture)
    assert np.abs(seen.dark[~ink]).max() < 15
    assert np.median(seen.dark[ink]) == pytest.approx(130, abs=5)
    assert seen.noise < 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_pictures_are_no_error(shape):
    picture = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    paper_is_dark(picture)
    assert darkness(picture).dark.shape == shape
