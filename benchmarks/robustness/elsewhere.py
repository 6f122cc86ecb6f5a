"""Handwritten digits that other people collected, as picture files."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.images import read_image
from train.dataset import DataSet, Images, Labels

from .samples import PICTURES, Absent, Samples, png_bytes

__all__ = ["SHEET_VARIABLE", "data_digits", "read_sheet", "scanned_digits", "sheet_digits"]

SHEET_VARIABLE = "OPENCV_DIGITS"
SHEET = "opencv sheet"
SHEET_ABOUT = (
    "the sheet `digits.png` of OpenCV's samples: 5,000 digits in cells of 20×20, light on dark, "
    "500 of each"
)
# samples/data/digits.png of OpenCV: 50 rows of 100 cells, five rows a digit, 0 first.
ROWS, COLUMNS, CELL, PER_DIGIT = 50, 100, 20, 500

SCANNED = "scikit-learn digits"
SCANNED_ABOUT = (
    "`sklearn.datasets.load_digits`: 1,797 digits by 13 writers in 8×8 with 17 grey levels "
    "(Alpaydin and Kaynak, 1998), enlarged to 64×64, bicubic"
)
SCANNED_LEVELS, SCANNED_SIDE = 16, 64


def sheet_digits(named: Path | None) -> Samples | Absent:
    """The digits of OpenCV's sheet, a picture file for each cell.

    Args:
        named: The sheet; None to look where $OPENCV_DIGITS says.

    Returns:
        5,000 pictures; or why there are none, if nobody said where the sheet is or it is not there.

    Raises:
        EdgeRuntimeError: The file named cannot be read, or what was found is not the sheet.
    """
    path = named
    if path is None:
        variable = os.environ.get(SHEET_VARIABLE)
        if not variable:
            reason = f"neither --sheet nor ${SHEET_VARIABLE} names the sheet"
            return Absent(SHEET, SHEET_ABOUT, PICTURES, reason)
        path = Path(variable)
        if not path.is_file():
            reason = f"${SHEET_VARIABLE} names {path}, which is no file"
            return Absent(SHEET, SHEET_ABOUT, PICTURES, reason)
    cells, truth = read_sheet(path)
    return Samples(SHEET, SHEET_ABOUT, tuple(map(png_bytes, cells)), truth)


def read_sheet(path: Path) -> tuple[NDArray[np.uint8], Labels]:
    """Cuts OpenCV's sheet into its digits.

    Args:
        path: ``digits.png``, 2000×1000.

    Returns:
        uint8 (5000, 20, 20), and int64 (5000,), the digits.

    Raises:
        ImageError: The file cannot be read.
        InputError: It is another picture.
    """
    sheet = read_image(path)
    if sheet.shape != (ROWS * CELL, COLUMNS * CELL):
        colour = "grey" if sheet.ndim == 2 else "coloured"
        raise InputError(
            f"{path} is a {colour} picture of {sheet.shape[1]}×{sheet.shape[0]}",
            f"OpenCV's sheet of digits, grey and of {COLUMNS * CELL}×{ROWS * CELL},",
            "name samples/data/digits.png of OpenCV with --sheet",
        )
    cells = sheet.reshape(ROWS, CELL, COLUMNS, CELL).swapaxes(1, 2).reshape(-1, CELL, CELL)
    return cells, np.arange(len(cells), dtype=np.int64) // PER_DIGIT


def scanned_digits() -> Samples:
    """The digits that scikit-learn carries, enlarged so that they are pictures.

    Returns:
        1,797 pictures of 64×64, light on dark.
    """
    from sklearn.datasets import load_digits

    scans = load_digits()
    levels = scans.images.astype(np.float32) * (255 / SCANNED_LEVELS)
    pictures = tuple(png_bytes(_enlarged(image)) for image in levels)
    return Samples(SCANNED, SCANNED_ABOUT, pictures, scans.target.astype(np.int64))


def _enlarged(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    side = (SCANNED_SIDE, SCANNED_SIDE)
    large = cv2.resize(levels, side, interpolation=cv2.INTER_CUBIC)
    # A bicubic curve goes beyond the values between which it runs.
    return np.rint(large).clip(0, 255).astype(np.uint8)


def data_digits(data: DataSet) -> Samples:
    """A data set's test images as picture files.

    Args:
        data: The data set.

    Returns:
        A picture for each test image, as `python -m train export` writes them.
    """
    images: Images = data.x_test
    return Samples(
        f"{data.name} test images",
        f"the test images of `{data.name}` as PNG files",
        tuple(map(png_bytes, images)),
        np.asarray(data.y_test, np.int64),
    )
