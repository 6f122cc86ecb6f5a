from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.robustness.elsewhere import (
    data_digits,
    read_sheet,
    scanned_digits,
    sheet_digits,
)
from benchmarks.robustness.samples import PICTURES, Absent, Samples, png_bytes
from edge_runtime.errors import ImageError, InputError
from edge_runtime.images import decode_image
from train.dataset import DataSet


def test_sheet_is_cut_row_by_row(tmp_path: Path) -> None:
    row, column = np.mgrid[:50, :100]
    numbers = (row * 100 + column) % 251
    path = tmp_path / "sheet.png"
    path.write_bytes(png_bytes(np.kron(numbers, np.ones((20, 20))).astype(np.uint8)))
    cells, truth = read_sheet(path)
    assert cells.shape == (5000, 20, 20)
    assert (cells == (np.arange(5000) % 251)[:, None, None]).all()
    assert truth[[0, 499, 500, 2499, 2500, 4999]].tolist() == [0, 0, 1, 4, 5, 9]


def test_real_sheet_has_five_hundred_light_digits_of_each(opencv_sheet: Path) -> None:
    found = sheet_digits(opencv_sheet)
    assert isinstance(found, Samples)
    assert found.fed == PICTURES
    assert np.bincount(found.truth).tolist() == [500] * 10
    cells, _ = read_sheet(opencv_sheet)
    # Light on dark, and a 1 has less ink than a 0.
    assert cells[:, 0, 0].mean() < 5
    assert cells[500:1000].mean() < 0.7 * cells[:500].mean()
    assert (decode_image(found.images[7], "it") == cells[7]).all()


def test_sheet_that_nobody_names_is_not_measured(nowhere: None) -> None:
    found = sheet_digits(None)
    assert isinstance(found, Absent)
    assert found.reason == "neither --sheet nor $OPENCV_DIGITS names the sheet"


def test_sheet_that_is_not_where_the_variable_says_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENCV_DIGITS", str(tmp_path / "none.png"))
    found = sheet_digits(None)
    assert isinstance(found, Absent)
    assert found.reason == f"$OPENCV_DIGITS names {tmp_path / 'none.png'}, which is no file"


def test_named_sheet_that_is_missing_damaged_or_another_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    with pytest.raises(ImageError, match=r"sheet\.png does not exist"):
        sheet_digits(path)
    path.write_bytes(png_bytes(np.zeros((30, 40), np.uint8)))
    with pytest.raises(InputError, match="is a grey picture of 40×30; OpenCV's sheet .* 2000×1000"):
        sheet_digits(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ImageError, match=r"sheet\.png"):
        sheet_digits(path)


def test_scanned_digits_are_enlarged_and_use_the_whole_range() -> None:
    found = scanned_digits()
    assert len(found.images) == len(found.truth) == 1797
    pictures = [decode_image(data, "it") for data in found.images[:50]]
    assert {picture.shape for picture in pictures} == {(64, 64)}
    assert max(int(picture.max()) for picture in pictures) == 255
    assert min(int(picture.min()) for picture in pictures) == 0
    # The first is a 0: light around its middle, dark in it.
    assert found.truth[0] == 0
    assert pictures[0][32, 32] < 64 < pictures[0][32, 12:26].max()


def test_data_digits_are_the_test_images_to_the_last_pixel(small_data: DataSet) -> None:
    found = data_digits(small_data)
    assert found.name == f"{small_data.name} test images"
    assert (found.truth == small_data.y_test).all()
    for index in (0, 17):
        decoded = decode_image(found.images[index], "it")
        assert (decoded == small_data.x_test[index, :, :, 0]).all()
