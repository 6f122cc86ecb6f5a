"""Seeing past the lighting: which side is the paper, and how much darker than it is each pixel?

Light on a photo varies smoothly, and shadows have edges; ink is narrow. So the paper under the ink
is what is left when everything dark and narrow is filled up from its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .morphology import close_dark
from .resize import resample

__all__ = ["Darkness", "darkness", "paper_is_dark"]

Grey = NDArray[np.float32]

# Lighting is coarse: it is looked at in a picture of at most about twice this many pixels a side.
COARSE_SIDE = 48
# The border that should show paper, as a share of the shorter side; MNIST's own is 4 of 28.
RING_SHARE = 0.08
# A border that varies less than this (of 255) is evenly lit, and so is the picture.
EVEN_RING = 4.0
# Nor is a picture unevenly lit if this share of it is exactly as bright as most of the border: no
# photo is, but a scan or a drawing whose digit reaches the border.
PLAIN_SHARE = 0.2
# What is narrower than this share of the longer side is a stroke rather than a shadow, and counts
# so much beside the surface. Chosen on 25 kinds of photos made from MNIST's training digits.
NARROW_SHARE, NARROW_WEIGHT = 0.1, 2.0
# Corners are this share of the shorter side; they and the border count so much. Of training digits
# that were cut out so tightly that their ink touches the picture's edges, the balance alone takes
# 81 % for what they are, border and corners 99 %; of photos with much paper, the balance takes all.
CORNER_SHARE, BORDER_WEIGHT = 1 / 8, 2.0
# Between the picture's darkest and lightest hundredth, what differs from its neighbours on both
# sides by less than this is even. Lighter than the second figure it is paper; from the third up to
# there it is neither paper nor ink, so a shadow.
EVEN_STEP, PAPER_LEVEL, SHADOW_LEVEL = 0.12, 0.6, 0.2
# A picture is clean if its even paper is at least the first and at most the second share of it
# (with more, other ways see finer) and varies by at most the third, and shadows have no more than
# the last of it. Photos with a shadow have 9 % of that and more in three of four.
LEAST_PAPER, MOST_PAPER, CLEAN_SPREAD, CLEAN_SHADOW = 0.08, 0.8, 0.25, 0.1
# What is narrower than this share of the longer side is filled up: wider than any stroke, narrower
# than most shadows.
CLOSING_SHARE = 0.3
# Reflected light is paper times light, so shaded ink gains by division; no further than to here.
DARKEST_PAPER = 32.0
# Iterations after which the robust surface below no longer moves noticeably.
SURFACE_STEPS = 6


def paper_is_dark(picture: Grey) -> bool:
    """Whether a picture shows light strokes on dark.

    Ink is the minority that stands out on one side, so the third powers of the differences from
    the paper's brightness have the sign of the ink. The paper's brightness is that of a plain
    background, else a surface fitted to the whole picture; because the edge of a shadow bends such
    a surface, it is then also asked which side has more that is narrow, as strokes are. A digit
    that was cut out tightly is no minority; but most of the border and the corners is paper.

    Args:
        picture: float32 array of shape (H, W), 0 to 255.

    Returns:
        True for light strokes on dark.
    """
    coarse = _block_mean(picture, COARSE_SIDE)
    border = _border_level(coarse)
    if _clean_paper(coarse) or _clean_paper(255 - coarse):
        return border < 0
    level = _plain_level(picture)
    if level is not None:
        return _balance(coarse - level, 3) > BORDER_WEIGHT * border
    size = max(3, round(max(coarse.shape) * NARROW_SHARE))
    dark_strokes = close_dark(coarse, size) - coarse
    light_strokes = close_dark(255 - coarse, size) - (255 - coarse)
    narrow = _balance(np.stack([light_strokes, -dark_strokes]), 2)
    lit = _balance(coarse - _surface(coarse), 3) + NARROW_WEIGHT * narrow
    return lit > BORDER_WEIGHT * border


def _border_level(picture: Grey) -> float:
    """How light border and corners are: from -1, as the darkest in the picture, to 1."""
    darkest, lightest = float(picture.min()), float(picture.max())
    side = max(1, round(min(picture.shape) * CORNER_SHARE))
    ends = (slice(None, side), slice(-side, None))
    corners = np.mean([picture[rows, columns].mean() for rows in ends for columns in ends])
    level = (float(corners) + float(picture[_ring(picture.shape)].mean())) / 2
    return (2 * level - darkest - lightest) / max(lightest - darkest, 1e-3)


def _balance(differences: Grey, power: int) -> float:
    """From -1 (all are negative) to 1 (all are positive), larger differences weighing more."""
    sizes = np.abs(differences.astype(np.float64)) ** power
    return float((sizes * np.sign(differences)).sum() / max(sizes.sum(), 1e-9))


@dataclass(frozen=True)
class Darkness:
    """How much darker than the paper around it each pixel of a picture is.

    Attributes:
        dark: float32 array of the picture's shape: about 0 on paper, as if all of it were lit like
            its brightest part.
        gain: What shaded pixels were multiplied with for that, so also their noise.
        noise: Standard deviation of the paper's noise and texture before that.
    """

    dark: Grey
    gain: Grey
    noise: float


def darkness(picture: Grey) -> Darkness:
    """Separates what is on the paper from how it is lit.

    Args:
        picture: float32 array of shape (H, W), 0 to 255, of dark strokes on light paper.

    Returns:
        The strokes, and what is known of the noise.
    """
    coarse = _block_mean(picture, COARSE_SIDE)
    if clean := _clean_paper(coarse):
        even, noise = clean
        one = np.ones((1, 1), np.float32)
        return Darkness(even - picture, one, max(noise, _fine_noise(picture)))
    level = _plain_level(picture)
    if level is None:
        size = max(3, round(max(coarse.shape) * CLOSING_SHARE))
        paper = resample(close_dark(coarse, size), *picture.shape)
        gain = paper.max() / np.maximum(paper, DARKEST_PAPER)
    else:
        paper, gain = np.full((1, 1), level, np.float32), np.ones((1, 1), np.float32)
    dark = paper - picture
    # Up to 70 % ink leaves the lightest 30 % to paper. 1.12 standard deviations of a normal
    # distribution lie between its quantiles 0.05 and 0.30.
    sample = dark.ravel()[:: max(1, dark.size // 8192)]
    lightest, light = np.percentile(sample, (5, 30))
    noise = max(float(light - lightest) / 1.12, _fine_noise(picture))
    return Darkness((dark - np.float32(light)) * gain, gain, noise)


def _fine_noise(picture: Grey) -> float:
    """Standard deviation of the noise from pixel to pixel.

    The mask of J. Immerkær, "Fast Noise Variance Estimation" (1996), which any plane of grey
    passes as 0, and noise with 6 times its standard deviation. Its quantile 0.30, which for a
    normal distribution is 0.385 standard deviations, lets 70 % of the picture be strokes.
    """
    if min(picture.shape) < 3:
        return 0.0
    bent = picture[:-2] - 2 * picture[1:-1] + picture[2:]
    bent = bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:]
    sample = np.abs(bent).ravel()[:: max(1, bent.size // 8192)]
    return float(np.percentile(sample, 30)) / (6 * 0.385)


def _clean_paper(coarse: Grey) -> tuple[np.float32, float] | None:
    """Brightness and noise of paper that is evenly lit, however little of it is seen between ink.

    Args:
        coarse: float32 array of shape (H, W) of dark strokes on light paper, as `_block_mean`
            gives it.

    Returns:
        Brightness and standard deviation, None if the light varies or nothing is even.
    """
    if min(coarse.shape) < 3:
        return None
    darkest, lightest = np.percentile(coarse, (1, 99))
    contrast = max(lightest - darkest, 1)
    relative = (coarse - darkest) / contrast
    # Ink that reaches an edge leaves some of it free; a shadow may not.
    edges = (relative[0], relative[-1], relative[:, 0], relative[:, -1])
    if min(edge.max() for edge in edges) < PAPER_LEVEL:
        return None
    inner = relative[1:-1, 1:-1]
    even = np.abs(relative[1:-1, 2:] - relative[1:-1, :-2]) < EVEN_STEP
    even &= np.abs(relative[2:, 1:-1] - relative[:-2, 1:-1]) < EVEN_STEP
    shadow = even & (inner > SHADOW_LEVEL) & (inner < PAPER_LEVEL)
    paper = inner[even & (inner > PAPER_LEVEL)]
    if not LEAST_PAPER <= paper.size / inner.size <= MOST_PAPER or shadow.mean() > CLEAN_SHADOW:
        return None
    low, middle, high = np.percentile(paper, (5, 50, 95))
    if high - low > CLEAN_SPREAD:
        return None
    # 90 % of a normal distribution lie within 1.645 standard deviations.
    noise = (high - low) * contrast / (2 * 1.645)
    return np.float32(darkest + middle * contrast), float(noise)


def _plain_level(picture: Grey) -> float | None:
    """The brightness of an evenly lit background, None if the light varies."""
    edge = picture[_ring(picture.shape)]
    level = float(np.median(edge))
    if np.ptp(edge) <= EVEN_RING:
        return level
    return level if np.mean(np.abs(picture - level) <= 0.5) >= PLAIN_SHARE else None


def _block_mean(picture: Grey, side: int) -> Grey:
    """The picture shrunk by a whole factor to between `side` and twice that (or less)."""
    factor = min(max(1, max(picture.shape) // side), *picture.shape)
    if factor == 1:
        return picture
    height, width = (length // factor for length in picture.shape)
    blocks = picture[: height * factor, : width * factor]
    means: Grey = blocks.reshape(height, factor, width, factor).mean((1, 3))
    return means


@lru_cache(maxsize=64)
def _ring(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of a picture's border."""
    depth = max(1, round(min(shape) * RING_SHARE))
    ring = np.ones(shape, bool)
    ring[depth:-depth, depth:-depth] = False
    return ring


@lru_cache(maxsize=16)
def _quadratics(shape: tuple[int, int]) -> Grey:
    """The monomials 1, x, y, x², xy, y² at each pixel of a square from -1 to 1: (pixels, 6)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    terms = np.stack([np.ones(shape), x, y, x * x, x * y, y * y], axis=-1)
    table: Grey = terms.reshape(-1, 6).astype(np.float32)
    return table


def _surface(picture: Grey) -> Grey:
    """The quadratic surface with the least sum of absolute differences from a picture.

    Found by iteratively reweighted least squares. Unlike the sum of squares, that of absolute
    differences lets the majority, the paper, decide.
    """
    terms, values = _quadratics(picture.shape), picture.ravel()
    differences = values - np.median(values)
    # A trace on the diagonal keeps the equations solvable for a picture of one row or column.
    ridge = 1e-3 * np.eye(terms.shape[1], dtype=np.float32)
    for _ in range(SURFACE_STEPS):
        weighted = terms / np.maximum(np.abs(differences), 1)[:, np.newaxis]
        surface: Grey = terms @ np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ values)
        differences = values - surface
    return surface.reshape(picture.shape)
