from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train import data
from train.dataset import DataSet
from train.declaration import FASHION_MNIST, MNIST
from train.errors import DataError

Arrays = dict[str, np.ndarray]


@pytest.fixture
def npz(npz_arrays: Arrays, tmp_path: Path):
    def write(**changes: np.ndarray | str | list[str] | None) -> Path:
        arrays = {k: v for k, v in {**npz_arrays, **changes}.items() if v is not None}
        np.savez_compressed(tmp_path / "letters.npz", **arrays)
        return tmp_path / "letters.npz"

    return write


def test_arrays_of_an_unknown_set_are_stretched_and_numbered(npz) -> None:
    loaded = data.load(npz())
    assert loaded.name == "letters"
    assert loaded.labels == tuple("0123456789")
    assert (loaded.fit, loaded.polarity, loaded.notice) == ("stretch", "any", None)
    assert loaded.input_shape == (28, 28, 1)
    assert loaded.x_train.dtype == np.uint8


def test_same_content_has_the_same_digests_in_every_form(npz, idx_folder: Path) -> None:
    assert data.load(npz()).sha256 == data.load(idx_folder).sha256


def test_what_declares_itself_like_mnist_gets_ink(npz) -> None:
    loaded = data.load(npz(fit="ink", polarity="light-on-dark", labels=list("abcdefghij")))
    assert (loaded.fit, loaded.polarity) == ("ink", "light-on-dark")
    assert loaded.labels == tuple("abcdefghij")


def test_ready_arrays_are_left_alone(npz, few_digits: DataSet) -> None:
    loaded = data.load(npz(fit="ink", polarity="light-on-dark"))
    np.testing.assert_array_equal(loaded.x_test, few_digits.x_test)


def test_fit_given_by_hand_overrides_what_is_declared(npz) -> None:
    assert data.load(npz(fit="ink", polarity="light-on-dark"), fit="stretch").fit == "stretch"


def test_ink_turns_arrays_of_unknown_polarity_to_light_on_dark(npz, npz_arrays: Arrays) -> None:
    dark = {name: 255 - npz_arrays[name] for name in ("x_train", "x_test")}
    loaded = data.load(npz(**dark), fit="ink")
    assert loaded.polarity == "light-on-dark"
    assert loaded.x_test.mean() < 100


def test_ink_makes_coloured_arrays_grey(npz, npz_arrays: Arrays) -> None:
    rgb = {n: np.repeat(npz_arrays[n][..., np.newaxis], 3, axis=3) for n in ("x_train", "x_test")}
    assert data.load(npz(**rgb, fit="ink", polarity="light-on-dark")).input_shape == (28, 28, 1)


def test_arrays_are_brought_to_the_asked_size(npz) -> None:
    loaded = data.load(npz(), image_size=(20, 24))
    assert loaded.x_train.shape[1:] == loaded.x_test.shape[1:] == (20, 24, 1)


def test_large_arrays_become_64x64(npz) -> None:
    x = np.zeros((20, 130, 40), np.uint8)
    y = np.arange(20) % 2
    assert data.load(npz(x_train=x, y_train=y, x_test=None, y_test=None)).input_shape == (64, 64, 1)


def test_set_without_test_images_keeps_a_fifth(npz) -> None:
    loaded = data.load(npz(x_test=None, y_test=None))
    assert (len(loaded.y_train), len(loaded.y_test)) == (320, 80)
    assert len(np.unique(loaded.y_test)) == 10


def test_fashion_mnist_is_recognised_by_its_content(fashion_mnist: Path) -> None:
    loaded = data.load(fashion_mnist)
    assert loaded.labels[0] == "T-shirt/top"
    assert loaded.labels[9] == "Ankle boot"
    assert (loaded.name, loaded.fit, loaded.polarity) == ("fashion-mnist", "stretch", "any")
    assert loaded.sha256 == FASHION_MNIST.sha256
    assert loaded.x_train.shape == (60000, 28, 28, 1)


def test_mnist_is_recognised_in_any_form(mnist_dir: Path | None, tmp_path: Path) -> None:
    if mnist_dir is None:
        pytest.skip("$MNIST_DIR is not set")
    whole = data.load(mnist_dir)
    assert whole.sha256 == MNIST.sha256
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "some.npz", **{name: getattr(whole, name) for name in names})
    loaded = data.load(tmp_path / "some.npz")
    assert (loaded.name, loaded.fit, loaded.polarity) == ("mnist", "ink", "light-on-dark")


def test_fallback_is_balanced_and_says_so_loudly() -> None:
    loaded = data.load_fallback()
    assert np.bincount(loaded.y_train).tolist() == [400] * 10
    assert np.bincount(loaded.y_test).tolist() == [100] * 10
    assert loaded.notice == loaded.notice.upper()
    assert "5,000" in loaded.notice
    assert (loaded.name, loaded.fit, loaded.polarity) == ("mnist", "ink", "light-on-dark")
    # Any beginning of the test set is fair, so that `x_test[:500]` is no trap.
    assert np.bincount(loaded.y_test[:500]).min() >= 49


def test_fallback_is_always_split_the_same() -> None:
    # Noted once: models trained on the one part are measured on the other.
    assert data.load_fallback().sha256["test-images"] == (
        "906b297109436a3e7e78acba4201667f8cdc2208b095506ee8886d79f6400401"
    )


def make_file(path: Path) -> Path:
    path.write_text("x")
    return path


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def make_flat_pictures(path: Path) -> Path:
    path.mkdir()
    cv2.imwrite(str(path / "a.png"), np.zeros((20, 20), np.uint8))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "thing does not exist; mnist, an .npz file"),
        (make_file, "thing is not a data set"),
        (make_folder, "thing is empty; IDX files under their usual names, or a subfolder"),
        (make_flat_pictures, "thing holds no data set"),
    ],
)
def test_what_is_no_data_set_is_named(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load(make(tmp_path / "thing"))
