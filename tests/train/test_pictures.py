from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from train import data
from train.dataset import DataSet
from train.errors import DataError

RANDOM = np.random.default_rng(5)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_tree(folder: Path, classes: str = "ab", count: int = 5, **kwargs: int) -> Path:
    size = {"height": 24, "width": 32, **kwargs}
    for name in classes:
        for index in range(count):
            write(folder / name / f"{index}.png", picture(**size))
    return folder


def test_classes_are_folders_and_rgb_stays_rgb(tmp_path: Path) -> None:
    write_tree(tmp_path)
    red = np.zeros((24, 32, 3), np.uint8)
    red[..., 2] = 255  # OpenCV's order is blue, green, red
    write(tmp_path / "b" / "0.png", red)
    loaded = data.load(tmp_path)
    assert loaded.labels == ("a", "b")
    assert loaded.input_shape == (24, 32, 3)
    assert (loaded.fit, loaded.polarity) == ("stretch", "any")
    together = np.concatenate([loaded.x_train, loaded.x_test])
    assert (together == np.array([255, 0, 0], np.uint8)).all(axis=(1, 2, 3)).sum() == 1


def test_a_fifth_of_each_class_becomes_the_test_set_always_the_same(tmp_path: Path) -> None:
    write_tree(tmp_path, count=10)
    loaded = data.load(tmp_path)
    assert np.bincount(loaded.y_train).tolist() == [8, 8]
    assert np.bincount(loaded.y_test).tolist() == [2, 2]
    np.testing.assert_array_equal(data.load(tmp_path).x_test, loaded.x_test)


def test_train_and_test_folders_are_kept_apart(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", count=4)
    write_tree(tmp_path / "test", count=3)
    loaded = data.load(tmp_path)
    assert (len(loaded.y_train), len(loaded.y_test)) == (8, 6)
    expected = cv2.imread(str(tmp_path / "test" / "a" / "0.png"))[..., ::-1]
    np.testing.assert_array_equal(loaded.x_test[0], expected)


def test_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "tram"):
        write_tree(tmp_path / name, classes=" ").joinpath(" ").rename(tmp_path / f"x-{name}")
        (tmp_path / name).rmdir()
        (tmp_path / f"x-{name}").rename(tmp_path / name)
    assert data.load(tmp_path).labels == ("train", "tram")


def test_numbered_folders_are_ordered_by_number(tmp_path: Path) -> None:
    for name in ("10", "9", "b", "-"):
        write(tmp_path / name / "0.png", picture(20, 20))
        write(tmp_path / name / "1.png", picture(20, 20))
    assert data.load(tmp_path).labels == ("9", "10", "-", "b")


def test_hidden_folders_and_other_files_are_no_data(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("x")
    assert data.load(tmp_path).labels == ("a", "b")


def test_pictures_without_colour_become_one_channel(tmp_path: Path) -> None:
    write_tree(tmp_path, channels=1)
    grey_saved_as_colour = np.repeat(picture(24, 32, 1), 3, axis=2)
    write(tmp_path / "a" / "0.png", grey_saved_as_colour)
    loaded = data.load(tmp_path)
    assert loaded.input_shape == (24, 32, 1)


def test_one_coloured_picture_makes_the_set_rgb(tmp_path: Path) -> None:
    write_tree(tmp_path, channels=1)
    write(tmp_path / "a" / "0.png", picture(24, 32, 3))
    assert data.load(tmp_path).input_shape == (24, 32, 3)


def test_pictures_of_different_sizes_become_64x64(tmp_path: Path) -> None:
    write_tree(tmp_path)
    write(tmp_path / "b" / "3.png", picture(50, 40))
    assert data.load(tmp_path).input_shape == (64, 64, 3)


def test_large_pictures_become_64x64(tmp_path: Path) -> None:
    write_tree(tmp_path, count=2, height=129, width=100)
    assert data.load(tmp_path).input_shape == (64, 64, 3)


def test_asked_size_is_given(tmp_path: Path) -> None:
    write_tree(tmp_path)
    assert data.load(tmp_path, image_size=(20, 18)).input_shape == (20, 18, 3)


def test_pictures_go_through_the_fit_of_the_runtime(tmp_path: Path) -> None:
    from edge_runtime import ModelContract
    from edge_runtime.images import fit_image, read_image

    write_tree(tmp_path / "train", count=2)
    write_tree(tmp_path / "test", count=2)
    loaded = data.load(tmp_path, fit="letterbox", image_size=(40, 40))
    contract = ModelContract("any", ("a", "b"), 40, 40, 3, fit="letterbox")
    expected = fit_image(read_image(tmp_path / "test" / "b" / "1.png"), contract).pixels
    np.testing.assert_array_equal(loaded.x_test[3], expected)


def test_declared_ink_brings_handwriting_to_28x28_light_on_dark(
    few_digits: DataSet, tmp_path: Path
) -> None:
    for index in range(20):
        page = np.full((80, 100), 230, np.uint8)
        page[20:48, 30:58] -= few_digits.x_train[index, :, :, 0] // 2
        write(tmp_path / "ab"[index % 2] / f"{index}.png", page)
    (tmp_path / "dataset.json").write_text('{"fit": "ink"}')
    loaded = data.load(tmp_path)
    assert loaded.input_shape == (28, 28, 1)
    assert (loaded.fit, loaded.polarity) == ("ink", "light-on-dark")
    assert loaded.x_train[:, 0, 0].max() < 60
    assert loaded.x_train.max(axis=(1, 2, 3)).min() > 150


def test_picture_without_ink_is_named(tmp_path: Path, few_digits: DataSet) -> None:
    for index in range(4):
        write(tmp_path / "ab"[index % 2] / f"{index}.png", few_digits.x_train[index])
    write(tmp_path / "a" / "blank.png", np.full((60, 60), 255, np.uint8))
    with pytest.raises(DataError, match=r"blank\.png holds no ink.*--fit stretch"):
        data.load(tmp_path, fit="ink")


def test_declared_labels_name_and_order_the_folders(tmp_path: Path) -> None:
    write_tree(tmp_path, classes=["x-y", "a"])
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "n", "labels": ["x/y", "a"]}))
    loaded = data.load(tmp_path)
    assert (loaded.name, loaded.labels) == ("n", ("x/y", "a"))


def damaged(folder: Path) -> None:
    (folder / "a" / "0.png").write_bytes((folder / "a" / "0.png").read_bytes()[:60])


def emptied(folder: Path) -> None:
    for path in (folder / "b").iterdir():
        path.unlink()


def text_for_picture(folder: Path) -> None:
    (folder / "a" / "1.jpg").write_text("not a picture")


def only_one_class(folder: Path) -> None:
    emptied(folder)
    (folder / "b").rmdir()


def undeclared(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"labels": ["a", "c"]}')


def unknown(folder: Path) -> None:
    (folder / "c").mkdir()
    (folder / "dataset.json").write_text('{"labels": ["a", "b"]}')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damaged, r"a/0\.png"),
        (text_for_picture, r"a/1\.jpg"),
        (emptied, "/b holds no picture"),
        (only_one_class, r"has one class only \(a\)"),
        (undeclared, "has no folder 'c'"),
        (unknown, "/c is no declared label; a or b"),
    ],
)
def test_bad_tree_is_named_in_one_line(tmp_path: Path, spoil, message: str) -> None:
    write_tree(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        data.load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_train_and_test_must_have_the_same_classes(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", classes="ab")
    write_tree(tmp_path / "test", classes="a")
    with pytest.raises(DataError, match=r"test has no folder 'b'; the same classes"):
        data.load(tmp_path)
    write_tree(tmp_path / "test", classes="bc")
    with pytest.raises(DataError, match=r"test/c is a class without training pictures"):
        data.load(tmp_path)


def test_class_of_one_picture_cannot_be_split(tmp_path: Path) -> None:
    write_tree(tmp_path)
    write(tmp_path / "c" / "0.png", picture(24, 32))
    with pytest.raises(DataError, match=r"class c has only 1 image") as caught:
        data.load(tmp_path)
    assert str(tmp_path) in str(caught.value)
