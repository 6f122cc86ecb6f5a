"""Options that training and export share, and how their values are checked."""

from __future__ import annotations

import argparse
import re

from edge_runtime.contract import FITS

from .fitting import Size

__all__ = ["add_data_options", "image_size"]

# Above this an input is no longer one for a small device, and below it is no picture.
LARGEST_SIDE = 1024


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --fit and --image-size."""
    parser.add_argument(
        "--data", default="mnist", metavar="DATA",
        help="mnist (default); an .npz with x_train, y_train, x_test, y_test; a folder of IDX "
        "files; a folder of pictures with a subfolder for each class, perhaps below train/ and "
        "test/",
    )  # fmt: skip
    parser.add_argument(
        "--fit", choices=FITS,
        help="how pictures come to the input's size (default: what the data say, else stretch)",
    )  # fmt: skip
    parser.add_argument(
        "--image-size", type=image_size, metavar="HxW",
        help="the input's height and width (default: the images' own up to 128, else 64x64; 28x28 "
        "for the fit ink)",
    )  # fmt: skip


def image_size(text: str) -> Size:
    """Reads ``28x28``.

    Raises:
        ArgumentTypeError: It is no size, or no sensible one.
    """
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= side <= LARGEST_SIDE for side in size):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; height and width up to {LARGEST_SIDE} were expected, as in 64x48"
        )
    return size
