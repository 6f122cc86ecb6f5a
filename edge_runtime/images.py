"""Pictures: from a file to pixels, and from pixels to a model's input.

Decoding is OpenCV's (the extra ``camera``); everything after it needs NumPy alone, so that training
and a bare device come to the same pixels.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contract import FITS, ModelContract
from .errors import ImageError, InputError, MissingDependencyError
from .files import read_limited
from .ink import MAX_SIDE, FittedImage, fit_ink
from .picture_header import BrokenPictureError, read_header
from .resize import MAX_FACTOR, resize, shrink

__all__ = [
    "FROM_CONTRACT",
    "IMAGE_SUFFIXES",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "FittedImage",
    "decode_image",
    "encode_image",
    "fit_image",
    "list_images",
    "read_image",
    "require_opencv",
    "to_channels",
    "to_uint8",
]

IMAGE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""What names a picture in a folder, in lower case."""

MAX_FILE_BYTES = 128 * 2**20
"""A 12-megapixel photo has some 5 MB as JPEG and 36 MB without compression."""

MAX_PIXELS = 100_000_000
"""The largest picture decoded, 300 MB as RGB: a whole Pi with 512 MB is not to be filled by one."""

FROM_CONTRACT = "contract"
"""The fit that the model's contract names."""

# ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B, in 256ths: the sum then fits in 16 bits.
LUMA = (77, 150, 29)


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Reads a picture file.

    Args:
        path: A regular file of at most `MAX_FILE_BYTES`, in any format of `IMAGE_SUFFIXES`.

    Returns:
        As `decode_image`.

    Raises:
        ImageError: The file is missing, unreadable, not a picture, truncated or too large.
        MissingDependencyError: OpenCV is not installed.
    """
    try:
        data = read_limited(path, MAX_FILE_BYTES)
    except InputError as error:
        raise ImageError(str(error)) from error
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decodes a picture file's content.

    Args:
        data: The whole file.
        name: What to call it in an error.
        max_pixels: The largest picture accepted.

    Returns:
        uint8 array of shape (H, W) if the picture is grey, else (H, W, 3), RGB; upright as its
        Exif orientation says, transparent parts on white, 16 bits rounded to 8.

    Raises:
        ImageError: Not a picture, truncated, damaged, or of more than `max_pixels`.
        MissingDependencyError: OpenCV is not installed.
    """
    if not data:
        raise ImageError(f"{name} is empty", "a picture", "save or copy it again")
    try:
        header = read_header(data)
    except BrokenPictureError as error:
        raise ImageError(
            f"{name} is {error}", "a whole PNG, JPEG, BMP, WebP, TIFF or PGM", "save it again"
        ) from None
    if not 0 < header.width * header.height <= max_pixels or header.width < 0:
        raise ImageError(
            f"{name} says it has {header.width} x {header.height} pixels",
            f"1 to {max_pixels:,} pixels",
            "make it smaller",
        )
    pixels = _decode(header.data)
    if pixels is None:
        raise ImageError(
            f"{name} cannot be decoded; the {header.kind} is damaged, or of a kind that this "
            "OpenCV does not read",
            remedy="save it again as PNG",
        )
    try:
        pixels = to_uint8(pixels)
    except InputError as error:
        raise ImageError(f"{name}: {error}") from error
    return _upright(pixels if pixels.shape[2] == 3 else pixels[:, :, 0], header.orientation)


def encode_image(pixels: NDArray[np.uint8]) -> bytes:
    """A picture as the content of a PNG file.

    Args:
        pixels: uint8 array of shape (H, W), (H, W, 1) or (H, W, 3), RGB.

    Returns:
        The bytes of the file.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    cv2 = require_opencv("encodes picture files")
    stored = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(".png", np.ascontiguousarray(stored))
    if not done:
        raise ImageError(f"OpenCV cannot encode a picture of the shape {list(pixels.shape)}")
    return bytes(data.tobytes())


def require_opencv(purpose: str) -> Any:
    """The module cv2, which only some functions need.

    Args:
        purpose: What it does there, for the error: "decodes picture files".

    Returns:
        The module.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingDependencyError(
            f"OpenCV, which {purpose}, is not installed",
            remedy="pip install 'edge-runtime[camera]'",
        ) from None
    return cv2


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The picture files in a folder, by their suffix; hidden files and subfolders are left out.

    Args:
        folder: The folder.

    Returns:
        Paths in the order of their names.

    Raises:
        ImageError: The folder is missing or cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            # What is no folder counts, whatever it is: reading it says what is wrong with it.
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise ImageError(f"{folder} cannot be listed: {error.strerror}", "a folder") from None
    return [
        Path(folder, name)
        for name in sorted(names)
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
    ]


def to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture of any usual kind as 8-bit pixels.

    Args:
        image: Shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; uint8, uint16 (its full
            range), bool, or float from 0 to 1. Transparent parts are put on white.

    Returns:
        uint8 array of shape (H, W, 1) or (H, W, 3); shares memory with `image` where it can.

    Raises:
        InputError: Another shape or dtype, no pixels, or floats that are not within 0 to 1.

    >>> to_uint8(np.array([[0.0, 0.5, 1.0]])).tolist()
    [[[0], [128], [255]]]
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,), (4,)) or not image.size:
        raise InputError(
            f"the picture has the shape {list(image.shape)}",
            "one of [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], with at least one pixel,",
        )
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.dtype == bool:
        pixels = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype == np.uint8:
        pixels = image
    elif image.dtype == np.uint16:
        # 65535 is 255 times 257, so this rounds to the nearest.
        pixels = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif image.dtype.kind == "f":
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):  # NaN fails both comparisons.
            found = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
            raise InputError(
                f"the picture is {image.dtype} with {found}",
                "a range of 0 to 1",
                "divide by 255, or convert to uint8",
            )
        pixels = np.rint(image * np.float32(255)).astype(np.uint8)
    else:
        raise InputError(
            f"the picture is {image.dtype}",
            "uint8, uint16, bool, or float from 0 to 1",
            "for values from 0 to 255 use .astype(np.uint8)",
        )
    return _on_white(pixels) if pixels.shape[2] == 4 else pixels


def to_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """A picture as grey or as RGB.

    Args:
        image: uint8 array of shape (H, W), (H, W, 1) or (H, W, 3), RGB.
        channels: 1 for grey (the luma of ITU-R BT.601), 3 for RGB.

    Returns:
        uint8 array of shape (H, W, channels).

    >>> to_channels(np.array([[[255, 0, 0]]], np.uint8), 1).tolist()
    [[[77]]]
    """
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    luma = np.full(image.shape[:2], 128, np.uint16)
    for channel, weight in enumerate(LUMA):
        luma += np.multiply(image[:, :, channel], weight, dtype=np.uint16)
    return (luma >> 8).astype(np.uint8)[:, :, np.newaxis]


def fit_image(
    image: NDArray[Any], contract: ModelContract, fit: str | None = FROM_CONTRACT
) -> FittedImage:
    """Brings a picture to the size, colour and polarity that a model expects.

    Args:
        image: See `to_uint8`.
        contract: Of the model.
        fit: "stretch" changes each side on its own; "letterbox" keeps the proportions and fills
            the rest with the median colour of the picture's border, which continues a plain
            background; "ink" isolates handwriting (see `edge_runtime.ink`). None is for pixels
            that are ready, of exactly the model's input shape. By default what the contract says.

    Returns:
        uint8 pixels in the contract's input shape, and whether the picture is empty (which only
        "ink" can tell).

    Raises:
        InputError: The array is of the wrong kind, or the fit is unknown.
    """
    fit = contract.fit if fit == FROM_CONTRACT else fit
    if fit is not None and fit not in FITS:
        raise InputError(f"the fit is {fit!r}", " or ".join(FITS))
    pixels = to_uint8(image)
    if fit is None:
        if pixels.shape != contract.input_shape:
            raise InputError(
                f"the picture has the shape {list(pixels.shape)}",
                f"{list(contract.input_shape)}",
                "choose a fit, which brings it to that size",
            )
        return FittedImage(pixels, empty=False)
    height, width, channels = contract.input_shape
    if fit == "ink":
        # A strip keeps its short side.
        factor = min(max(pixels.shape[:2]) // MAX_SIDE, MAX_FACTOR, *pixels.shape[:2])
        small = shrink(pixels, max(1, factor))
        fitted = fit_ink(to_channels(small, 1)[:, :, 0], height, width, contract.polarity)
        return FittedImage(to_channels(fitted.pixels, channels), fitted.empty)
    sized = resize(pixels, height, width) if fit == "stretch" else _letterbox(pixels, height, width)
    return FittedImage(to_channels(sized, channels), empty=False)


def _letterbox(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    scale = min(height / image.shape[0], width / image.shape[1])
    inner_height = min(height, max(1, round(image.shape[0] * scale)))
    inner_width = min(width, max(1, round(image.shape[1] * scale)))
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    canvas = np.empty((height, width, image.shape[2]), np.uint8)
    canvas[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    canvas[top : top + inner_height, left : left + inner_width] = resize(
        image, inner_height, inner_width
    )
    return canvas


def _on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA composited on white, rounded to the nearest."""
    alpha = image[:, :, 3:].astype(np.uint32)
    mixed = image[:, :, :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undoes an Exif orientation (Exif 2.3, tag 0x0112)."""
    if orientation >= 5:  # 5 to 8: stored with rows and columns exchanged.
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _decode(data: bytes) -> NDArray[Any] | None:
    """OpenCV's decoder: grey, RGB or RGBA pixels as they are stored, None if it cannot."""
    cv2 = require_opencv("decodes picture files")
    # The one line that the caller makes of it is enough. OpenCV 5 has moved the function.
    log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    level = log.setLogLevel(0)
    try:
        # Unchanged: other modes drop alpha and depth, and turn some formats but not others.
        pixels: NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error:
        return None
    finally:
        log.setLogLevel(level)
    if pixels is None or pixels.ndim == 2:
        return pixels
    colour = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(pixels, colour))
