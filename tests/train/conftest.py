"""Small real data for this room's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from train.idx import idx_bytes

if TYPE_CHECKING:
    from train.data import DataSet


@pytest.fixture(scope="session")
def few_digits(mnist_data: DataSet) -> DataSet:
    """400 training and 100 test images of MNIST."""
    small = mnist_data.limited(400)
    return replace(small, x_test=small.x_test[:100], y_test=small.y_test[:100])


@pytest.fixture
def idx_folder(few_digits: DataSet, tmp_path: Path) -> Path:
    """`few_digits` as a folder of four IDX files, not gzipped."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, array in (
        ("train-images-idx3-ubyte", few_digits.x_train[..., 0]),
        ("train-labels-idx1-ubyte", few_digits.y_train.astype(np.uint8)),
        ("t10k-images-idx3-ubyte", few_digits.x_test[..., 0]),
        ("t10k-labels-idx1-ubyte", few_digits.y_test.astype(np.uint8)),
    ):
        (folder / name).write_bytes(idx_bytes(array))
    return folder


@pytest.fixture
def npz_arrays(few_digits: DataSet) -> dict[str, np.ndarray]:
    """`few_digits` as Keras packs its data sets."""
    return {
        "x_train": few_digits.x_train[..., 0],
        "y_train": few_digits.y_train,
        "x_test": few_digits.x_test[..., 0],
        "y_test": few_digits.y_test,
    }


@pytest.fixture
def seed(seed_model: Callable[[str], Path]) -> Path:
    """The released seed model as a file."""
    return seed_model("seed.keras")


@pytest.fixture
def pictures(few_digits: DataSet, tmp_path: Path) -> Callable[..., Path]:
    """``pictures("7", "1", each=3)`` is a folder of dark digits on light paper."""

    def write(*names: str, each: int = 3, folder: str = "mine") -> Path:
        for name in names:
            found = few_digits.x_train[few_digits.y_train == "0123456789abc".index(name) % 10]
            (tmp_path / folder / name).mkdir(parents=True)
            for number, image in enumerate(found[:each]):
                large = cv2.resize(255 - image[..., 0], (90, 80), interpolation=cv2.INTER_CUBIC)
                assert cv2.imwrite(str(tmp_path / folder / name / f"{number}.png"), large)
        return tmp_path / folder

    return write
