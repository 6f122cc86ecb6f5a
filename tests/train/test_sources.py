from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from train.errors import DataError
from train.idx import idx_bytes
from train.sources import read_idx_folder, read_npz

Arrays = dict[str, np.ndarray]


def test_idx_folder_gives_images_and_labels(idx_folder: Path, few_digits) -> None:
    loaded = read_idx_folder(idx_folder)
    np.testing.assert_array_equal(loaded.x_train, few_digits.x_train)
    np.testing.assert_array_equal(loaded.y_test, few_digits.y_test)
    assert loaded.y_train.dtype == np.int64


def test_idx_folder_without_test_files_has_no_test_set(idx_folder: Path) -> None:
    for path in idx_folder.glob("t10k-*"):
        path.unlink()
    assert read_idx_folder(idx_folder).x_test is None


def test_colour_images_are_read_from_idx4(tmp_path: Path) -> None:
    images = np.zeros((4, 5, 6, 3), np.uint8)
    (tmp_path / "train-images-idx4-ubyte").write_bytes(idx_bytes(images))
    labels = np.array([0, 1, 0, 1], np.uint8)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    assert read_idx_folder(tmp_path).x_train.shape == (4, 5, 6, 3)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(7, np.uint8), "7 labels but .*400 images"),
        ("t10k-labels-idx1-ubyte", np.zeros(7, np.uint8), "7 labels but .*100 images"),
        ("train-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8), "holds no image"),
        ("t10k-images-idx3-ubyte", np.zeros((100, 20, 20), np.uint8), "28x28x1 and 20x20x1"),
        ("train-labels-idx1-ubyte", np.arange(400) % 9, "no training image of class 9"),
    ],
)
def test_files_that_disagree_are_named(
    idx_folder: Path, name: str, array: np.ndarray, message: str
) -> None:
    (idx_folder / name).write_bytes(idx_bytes(array.astype(np.uint8)))
    with pytest.raises(DataError, match=message) as caught:
        read_idx_folder(idx_folder)
    assert str(idx_folder) in str(caught.value)


def test_label_without_a_name_is_out_of_range(idx_folder: Path) -> None:
    (idx_folder / "labels.txt").write_text("\n".join("abcdefghi"))
    with pytest.raises(DataError, match=r"train-labels.* holds the label 9; labels from 0 to 8"):
        read_idx_folder(idx_folder)


def test_named_class_without_images_is_missing(idx_folder: Path) -> None:
    (idx_folder / "labels.txt").write_text("\n".join("abcdefghijkl"))
    with pytest.raises(DataError, match="no training image of class k, l; images of all 12"):
        read_idx_folder(idx_folder)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_missing_idx_file_is_named(idx_folder: Path, name: str) -> None:
    (idx_folder / name).unlink()
    with pytest.raises(DataError, match=f"lacks {name}"):
        read_idx_folder(idx_folder)


def test_npz_gives_images_and_labels(npz_arrays: Arrays, tmp_path: Path, few_digits) -> None:
    np.savez_compressed(tmp_path / "a.npz", **npz_arrays)
    loaded = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.x_train, few_digits.x_train)
    np.testing.assert_array_equal(loaded.y_test, few_digits.y_test)


def test_npz_declares_labels_fit_and_polarity(npz_arrays: Arrays, tmp_path: Path) -> None:
    said = {"labels": list("abcdefghij"), "fit": "ink", "polarity": "light-on-dark"}
    np.savez(tmp_path / "a.npz", **npz_arrays, **{k: np.array(v) for k, v in said.items()})
    declared = read_npz(tmp_path / "a.npz").declared
    assert declared.labels == tuple("abcdefghij")
    assert (declared.fit, declared.polarity) == ("ink", "light-on-dark")


def test_labels_in_a_column_are_taken_as_keras_gives_them(
    npz_arrays: Arrays, tmp_path: Path
) -> None:
    npz_arrays["y_train"] = npz_arrays["y_train"][:, np.newaxis]
    np.savez(tmp_path / "a.npz", **npz_arrays)
    assert read_npz(tmp_path / "a.npz").y_train.shape == (400,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": None}, "has no array x_train"),
        ({"y_train": None}, "has no array y_train"),
        ({"y_test": None}, "has no array y_test"),
        (
            {"x_train": np.zeros((400, 28, 28), np.float32)},
            "x_train of .* has dtype float32; uint8",
        ),
        ({"x_train": np.zeros((400, 784), np.uint8)}, r"has shape \(400, 784\)"),
        ({"x_train": np.zeros((400, 28, 28, 2), np.uint8)}, r"has shape \(400, 28, 28, 2\)"),
        ({"x_train": np.zeros((400, 0, 28), np.uint8)}, r"has shape \(400, 0, 28, 1\)"),
        ({"x_train": np.full((400, 28, 28), None)}, "x_train of .* holds pickled objects"),
        ({"y_train": np.full(400, "a")}, "y_train of .* has dtype <U1"),
        ({"y_train": np.full(400, 0.5)}, "y_train of .* has dtype float64"),
        ({"y_train": np.zeros((400, 10), np.uint8)}, r"shape \(400, 10\); one integer"),
        ({"y_train": np.full(400, -1)}, "holds the label -1; labels from 0"),
        ({"y_train": np.full(400, 10**9)}, "holds the label 1000000000"),
        ({"y_train": np.full(400, 2**63, np.uint64)}, "holds the label 9223372036854775808"),
        ({"labels": np.array(["a", "a"])}, "labels in .* cannot be used"),
        ({"labels": np.array([1, 2])}, "labels of .* has dtype int64; text"),
        ({"fit": np.array("crop")}, "the fit in .* is 'crop'"),
        ({"fit": np.array(["ink", "ink"])}, "the fit in"),
    ],
)
def test_impossible_array_is_named(
    npz_arrays: Arrays, tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {k: v for k, v in {**npz_arrays, **changes}.items() if v is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        read_npz(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def npz_with_header(path: Path, shape: tuple[int, ...], compression: int) -> None:
    """An ``.npz`` whose x_train has a header for `shape` and 100 bytes of data."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x_train.npy", header.getvalue() + bytes(100))
        content = io.BytesIO()
        np.save(content, np.zeros(2, np.uint8))
        archive.writestr("y_train.npy", content.getvalue())


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("shape", "message"),
    [((2**40, 28, 28), "takes .* bytes"), ((2**20, 28, 28), "more than are there")],
)
def test_enormous_npz_header_is_refused_before_memory_is_taken(
    tmp_path: Path, compression: int, shape: tuple[int, ...], message: str
) -> None:
    npz_with_header(tmp_path / "a.npz", shape, compression)
    with pytest.raises(DataError, match=message):
        read_npz(tmp_path / "a.npz")


def test_size_that_deflate_cannot_reach_is_a_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    shape = (2**20, 28, 28)
    npz_with_header(path, shape, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    # The uncompressed size in the central directory, 24 bytes into its first entry.
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**20 * 28 * 28 + 128)
    path.write_bytes(data)
    with pytest.raises(DataError, match="more than are there"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(40)])
def test_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz is no whole \.npz file"):
        read_npz(tmp_path / "a.npz")


def test_truncated_npz_is_named(npz_arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **npz_arrays)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"a\.npz is no whole \.npz file"):
        read_npz(path)


def test_damaged_npz_member_is_named(npz_arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **npz_arrays)
    data = bytearray(path.read_bytes())
    data[5000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npz(path)


def test_archive_of_something_else_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x_train.npy", "hello")
        archive.writestr("y_train.npy", "hello")
    with pytest.raises(DataError, match="x_train of .* is no array"):
        read_npz(tmp_path / "a.npz")
