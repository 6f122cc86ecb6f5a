from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from train.config import CONFIGS
from train.contact_sheet import COLUMNS, augmented, write_contact_sheet
from train.dataset import DataSet


def test_first_column_is_the_original_and_the_others_are_changed(few_digits: DataSet) -> None:
    chosen = np.array([3, 30])
    sheet = augmented(CONFIGS["digits"], few_digits, chosen)
    assert sheet.shape == (2, 1 + COLUMNS, 28, 28, 1)
    np.testing.assert_array_equal(sheet[:, 0], few_digits.x_train[chosen])
    different = {image.tobytes() for row in sheet for image in row}
    assert len(different) == 2 * (1 + COLUMNS)


def test_configuration_that_changes_nothing_shows_that(few_digits: DataSet) -> None:
    sheet = augmented(CONFIGS["seed"], few_digits, np.array([5]))
    assert (sheet == sheet[:, :1]).all()


def size(path: Path) -> tuple[int, int]:
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.std() > 10
    return picture.shape[:2]


def test_picture_has_a_row_for_each_class_and_each_kind_of_nothing(
    few_digits: DataSet, tmp_path: Path
) -> None:
    config = CONFIGS["digits"]
    tall, wide = size(write_contact_sheet(config, few_digits, tmp_path / "a.png"))
    without = replace(config, negatives=0.0)
    less, same = size(write_contact_sheet(without, few_digits, tmp_path / "b.png"))
    assert wide == same
    assert less < 0.8 * tall
