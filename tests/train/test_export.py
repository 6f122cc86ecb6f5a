from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.images import read_image
from train import data
from train.dataset import DataSet
from train.errors import DataError
from train.export import export


def test_names_carry_place_and_label(few_digits: DataSet, tmp_path: Path) -> None:
    paths = export(few_digits, tmp_path)
    assert len(paths) == len(few_digits.y_test)
    for index, path in enumerate(paths):
        assert path.name == f"{index:05}_{few_digits.y_test[index]}.png"
        np.testing.assert_array_equal(read_image(path), few_digits.x_test[index, ..., 0])


def test_limit_takes_every_class(few_digits: DataSet, tmp_path: Path) -> None:
    paths = export(few_digits, tmp_path, limit=10)
    assert sorted(path.stem[-1] for path in paths) == list("0123456789")


def test_training_images_are_written_on_request(few_digits: DataSet, tmp_path: Path) -> None:
    assert len(export(few_digits, tmp_path, split="train", limit=150)) == 150


def test_class_folders_are_a_data_set_that_declares_itself(
    few_digits: DataSet, tmp_path: Path
) -> None:
    export(few_digits, tmp_path, split="train", per_class_folders=True)
    loaded = data.load(tmp_path)
    assert (loaded.name, loaded.labels) == (few_digits.name, few_digits.labels)
    assert (loaded.fit, loaded.polarity) == (few_digits.fit, few_digits.polarity)
    assert loaded.input_shape == (28, 28, 1)
    assert len(loaded.y_train) + len(loaded.y_test) == 400


def test_colours_keep_their_order(few_digits: DataSet, tmp_path: Path) -> None:
    x = np.zeros((2, 20, 20, 3), np.uint8)
    x[0, ..., 0] = 255
    x[1, ..., 2] = 200
    colours = replace(
        few_digits, x_test=x, y_test=np.array([0, 1]), labels=("a/b", "c"), fit="stretch"
    )
    first, second = export(colours, tmp_path, per_class_folders=True)
    assert (first.parent.name, second.parent.name) == ("a-b", "c")
    np.testing.assert_array_equal(read_image(first), x[0])
    np.testing.assert_array_equal(read_image(second), x[1])


def test_labels_that_need_one_folder_are_refused(few_digits: DataSet, tmp_path: Path) -> None:
    same = replace(few_digits, labels=("A", "a", *"23456789"))
    with pytest.raises(DataError, match="do not give different folder names"):
        export(same, tmp_path, per_class_folders=True)
