"""Bringing a data set's images to one size, through the very function that the device uses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edge_runtime.contract import ModelContract
from edge_runtime.images import fit_image, to_channels

from .dataset import Images
from .errors import DataError

__all__ = ["DEFAULT_SIZE", "INK_SIZE", "MAX_OWN_SIDE", "fit_all", "target_size"]

Size = tuple[int, int]

# MNIST's size; the fit "ink" repeats how MNIST was made.
INK_SIZE = (28, 28)
# Images that are all of one size keep it up to this side; beyond, a model would be slow.
MAX_OWN_SIDE = 128
DEFAULT_SIZE = (64, 64)


def target_size(own_size: Size | None, fit: str, asked: Size | None) -> Size:
    """The height and width that images are brought to.

    Args:
        own_size: The size all images have, or None if they differ.
        fit: The fit in use.
        asked: What the user wants, or None.

    Returns:
        Height and width.
    """
    if asked is not None:
        return asked
    if fit == "ink":
        return INK_SIZE
    return own_size if own_size and max(own_size) <= MAX_OWN_SIDE else DEFAULT_SIZE


def fit_all(
    images: Iterable[np.ndarray], names: Iterable[str], size: Size, fit: str, polarity: str
) -> Images:
    """Fits pictures of any size and colour to one size.

    Args:
        images: uint8 arrays (H, W) or (H, W, C).
        names: What to call each in an error.
        size: Height and width to reach.
        fit: "stretch", "letterbox" or "ink".
        polarity: What "ink" turns the pictures to.

    Returns:
        uint8 (N, H, W, C); C is 1 if no picture has any colour, or the fit is "ink".

    Raises:
        DataError: A picture holds no ink although ink is asked for.
    """
    # Fitting needs a contract, of which only the input's geometry counts here.
    contract = ModelContract(
        "data", ("a", "b"), *size, 1 if fit == "ink" else 3, polarity=polarity, fit=fit
    )
    fitted = []
    for image, name in zip(images, names, strict=True):
        if fit != "ink":
            image = to_channels(image, 3)
        result = fit_image(image, contract)
        if fit == "ink" and result.empty:
            raise DataError(
                f"{name} holds no ink",
                "a picture of handwriting",
                "remove it, or use --fit stretch",
            )
        fitted.append(result.pixels)
    pixels = np.stack(fitted)
    # Resizing treats the channels alike, so what was grey before is still exactly grey.
    if pixels.shape[3] == 3 and not _has_colour(pixels):
        pixels = np.ascontiguousarray(pixels[..., :1])
    return pixels


def _has_colour(pixels: Images) -> bool:
    return bool((pixels[..., :1] != pixels).any())
