"""Drawing what was read into its picture: boxes, labels and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .images import require_opencv, to_channels

if TYPE_CHECKING:
    from .reading import Reading

__all__ = ["draw_reading", "tile_inputs"]

# Colours that can be told apart by people who see no difference between red and green (Okabe and
# Ito, "Color Universal Design", 2008): blue, vermilion.
ACCEPTED, REJECTED = (0, 114, 178), (213, 94, 0)
# How much of a rejected box shows.
DIMMED = 0.45
# OpenCV's plain font is about 22 pixels tall at scale 1.
FONT_PIXELS = 22
# What the model saw is shown enlarged by this, so many beside each other.
ENLARGED, COLUMNS = 4, 16


def draw_reading(
    pixels: NDArray[np.uint8], reading: Reading, text: str | None = None
) -> NDArray[np.uint8]:
    """A picture with what was read on it.

    Args:
        pixels: uint8 array of shape (H, W), (H, W, 1) or (H, W, 3), RGB: the picture that was read.
        reading: What was read.
        text: A line to show at the top; None for no line.

    Returns:
        A new uint8 array of shape (H, W, 3), RGB: each character in its box, with label and score
        in percent; what was rejected dimmed.

    Raises:
        InputError: Pixels of another shape or dtype.
        MissingDependencyError: OpenCV is not installed.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in _CHANNELS:
        raise InputError(
            f"the picture is {pixels.dtype}{list(pixels.shape)}", "uint8[H, W] or uint8[H, W, 3]"
        )
    cv2 = require_opencv("draws into pictures")
    canvas = np.array(to_channels(pixels, 3), order="C")
    weight = max(1, round(max(canvas.shape) / 640))
    for rejected in (True, False):
        layer = canvas.copy() if rejected else canvas
        for digit in reading.digits:
            if digit.rejected == rejected:
                _draw(cv2, layer, digit, weight)
        if rejected:
            canvas = cv2.addWeighted(layer, DIMMED, canvas, 1 - DIMMED, 0)
    if text is not None:
        scale = 0.9 * weight
        place = (6 * weight, round((FONT_PIXELS + 4) * scale))
        # OpenCV's fonts have no other letters.
        plain = text.encode("ascii", "replace").decode()
        for colour, thickness in (((255, 255, 255), 5), ((0, 0, 0), 2)):
            cv2.putText(
                canvas, plain, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour,
                thickness * weight, cv2.LINE_AA,
            )  # fmt: skip
    return np.asarray(canvas, np.uint8)


def tile_inputs(reading: Reading) -> NDArray[np.uint8]:
    """What the model saw of each character, in reading order, enlarged and side by side.

    Args:
        reading: What was read.

    Returns:
        uint8 array of shape (H, W, 3), RGB; a plain tile if nothing was found.
    """
    count, height, width, _ = reading.inputs.shape
    columns = min(COLUMNS, max(1, count))
    rows = max(1, -(-count // columns))
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 128, np.uint8)
    for index, image in enumerate(reading.inputs):
        top, left = (height + 1) * (index // columns) + 1, (width + 1) * (index % columns) + 1
        sheet[top : top + height, left : left + width] = image
        if reading.digits[index].rejected:
            frame = sheet[top - 1 : top + height + 1, left - 1 : left + width + 1]
            frame[[0, -1]] = frame[:, [0, -1]] = REJECTED
    return sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


_CHANNELS = ((), (1,), (3,))


def _draw(cv2: Any, canvas: NDArray[np.uint8], digit: Any, weight: int) -> None:
    x, y, width, height = digit.box
    colour = REJECTED if digit.rejected else ACCEPTED
    edge = 2 * weight
    cv2.rectangle(
        canvas, (x - edge, y - edge), (x + width + edge, y + height + edge), colour, weight
    )
    # As large as the character allows, and never too small to be read.
    scale = max(0.4 * weight, min(0.6 * height / FONT_PIXELS, 0.8 * weight))
    small = 0.3 * weight
    head, foot = y - edge - 2 * weight, y + height + edge + round(FONT_PIXELS * small) + 2 * weight
    if head < FONT_PIXELS * scale:  # No room above it.
        head = foot + round(FONT_PIXELS * scale) + 2 * weight
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, digit.label, (x - edge, head), font, scale, colour, weight, cv2.LINE_AA)
    # The score is below, so that a number's labels can be read as they stand.
    score = f"{digit.score * 100:.0f}"
    cv2.putText(canvas, score, (x - edge, foot), font, small, colour, weight, cv2.LINE_AA)
