"""Letters drawn from fonts: written characters that are no digits."""

from __future__ import annotations

import string
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .paper import paper

__all__ = ["FONTS", "LETTERS", "LIKE_DIGITS", "on_paper", "printed_letters"]

LETTERS = string.ascii_uppercase + string.ascii_lowercase
LIKE_DIGITS = "OoIliZzSsGbBgq"
"""Letters that many fonts and hands draw as digits are drawn: O o as 0, I l i as 1, Z z as 2, S s
as 5, G b as 6, B as 8, g q as 9. Nothing but context tells these apart."""

FONTS = (
    "DejaVuSans",
    "DejaVuSansMono",
    "DejaVuSerif",
    "STIXGeneral",
    "cmr10",
    "cmss10",
    "cmtt10",
)
"""The upright regular fonts for text among those that Matplotlib carries: two families of today and
Knuth's Computer Modern, each with and without serifs or of one width."""

# Four times MNIST's 28 pixels, and of its box of 20.
SIDE, BOX = 112, 80
# Glyphs are drawn about as large as they are used, so that resampling neither blurs nor aliases.
POINT_SIZE = 100
# Light jitter: as much as a careful writer or a hand-held camera adds.
SCALES, DEGREES, SHIFT = (0.85, 1.0), 8.0, 4.0
# Printing ink swallows this share of the light.
INK = (0.75, 1.0)


def printed_letters(count: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Letters in all fonts, scaled to MNIST's box, lightly turned and shifted.

    Args:
        count: How many; every letter in every font comes before one comes again.
        seed: Chooses their order and jitter. The first letters are the same for every `count`.

    Returns:
        uint8 (count, 112, 112), 0 for paper to 255 for full ink, and the letter in each.
    """
    random = np.random.RandomState(seed)
    glyphs = [(letter, _glyph(font, letter)) for font in FONTS for letter in LETTERS]
    images, drawn = np.zeros((count, SIDE, SIDE), np.uint8), []
    order: list[int] = []
    for image in images:
        order = order or random.permutation(len(glyphs)).tolist()
        letter, glyph = glyphs[order.pop()]
        image[:] = _jittered(glyph, random)
        drawn.append(letter)
    return images, drawn


def on_paper(letters: NDArray[np.uint8], seed: int) -> list[NDArray[np.uint8]]:
    """Letters as printed on white paper.

    Args:
        letters: uint8 (N, H, W), as `printed_letters` gives them.
        seed: Chooses paper and ink.

    Returns:
        uint8 arrays (H, W), dark on light.
    """
    random = np.random.RandomState(seed)
    pictures = []
    for coverage in letters:
        sheet = paper(random, *coverage.shape)
        sheet *= 1 - coverage.astype(np.float32) / 255 * random.uniform(*INK)
        pictures.append(np.rint(sheet).clip(0, 255).astype(np.uint8))
    return pictures


def _glyph(font: str, letter: str) -> NDArray[np.uint8]:
    """A letter's coverage, 0 to 255, cut to its box."""
    import matplotlib as mpl

    path = Path(mpl.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    canvas = Image.new("L", (3 * POINT_SIZE, 3 * POINT_SIZE))
    ImageDraw.Draw(canvas).text(
        (POINT_SIZE, POINT_SIZE), letter, fill=255, font=ImageFont.truetype(path, POINT_SIZE)
    )
    return np.asarray(canvas.crop(canvas.getbbox()))


def _jittered(glyph: NDArray[np.uint8], random: np.random.RandomState) -> NDArray[np.uint8]:
    """The glyph in the middle of a picture, its longer side about as long as MNIST's box."""
    height, width = glyph.shape
    scale = BOX / max(height, width) * random.uniform(*SCALES)
    turn = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), random.uniform(-DEGREES, DEGREES), scale
    )
    turn[:, 2] += (SIDE - width) / 2, (SIDE - height) / 2
    turn[:, 2] += random.uniform(-SHIFT, SHIFT, 2)
    return np.asarray(cv2.warpAffine(glyph, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)
