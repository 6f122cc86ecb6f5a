from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from train.errors import DataError
from train.idx import content_sha256, find_idx_files, idx_bytes, read_idx

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.fixture
def write(tmp_path: Path):
    def write_file(content: bytes, name: str = "train-images-idx3-ubyte") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


def test_written_file_is_read_back(write) -> None:
    np.testing.assert_array_equal(read_idx(write(idx_bytes(IMAGES)), 3), IMAGES)


def test_gzip_is_recognised_by_content_whatever_the_name_says(write) -> None:
    np.testing.assert_array_equal(read_idx(write(gzip.compress(idx_bytes(IMAGES))), 3), IMAGES)
    plain = write(idx_bytes(IMAGES), "train-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(read_idx(plain, 3), IMAGES)


def test_digest_is_that_of_the_file_for_images_and_labels() -> None:
    images = IMAGES[..., np.newaxis]
    assert content_sha256(images) == hashlib.sha256(idx_bytes(IMAGES)).hexdigest()
    labels = np.array([3, 1], np.int64)
    as_file = hashlib.sha256(idx_bytes(labels.astype(np.uint8))).hexdigest()
    assert content_sha256(labels) == as_file


def test_digest_tells_shapes_apart() -> None:
    assert content_sha256(IMAGES.reshape(2, 4, 3)) != content_sha256(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n\x1a\n", "89 50 4e 47"),
        (struct.pack(">HBB3I", 0, 0x0D, 3, 2, 3, 4) + bytes(96), "holds float32"),
        (struct.pack(">HBB3I", 0, 0x77, 3, 2, 3, 4) + bytes(24), "unknown type 0x77"),
        (idx_bytes(IMAGES.reshape(-1)), "has 1 dimension;"),
        (idx_bytes(IMAGES)[:10], "ends inside its header"),
        (idx_bytes(IMAGES)[:-1], "has only 23 of the 24 bytes (2 x 3 x 4)"),
        (idx_bytes(IMAGES) + b"\0", "goes on after the 24 bytes"),
        (gzip.compress(idx_bytes(IMAGES))[:-12], "damaged gzip file"),
        (gzip.compress(idx_bytes(IMAGES))[:-8] + bytes(8), "damaged gzip file"),
        (b"\x1f\x8b" + bytes(30), "damaged gzip file"),
    ],
)
def test_wrong_file_is_named_in_one_line(write, content: bytes, message: str) -> None:
    path = write(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("counts", [(2**32 - 1,) * 3, (2**20, 28, 28)])
def test_enormous_counts_take_no_memory(write, pack, counts: tuple[int, ...]) -> None:
    path = write(pack(struct.pack(">HBB3I", 0, 8, 3, *counts) + bytes(100)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"promises"):
            read_idx(path, 3)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * 2**20


def test_more_than_belongs_in_memory_is_refused_before_it_is_read(write) -> None:
    path = write(struct.pack(">HBB3I", 0, 8, 3, 2**20, 2**10, 2**10))
    with pytest.raises(DataError, match=r"promises 1,048,576 x 1,024 x 1,024 .* at most 2,147,483"):
        read_idx(path, 3)


def test_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, 3)


def test_files_are_found_by_the_names_in_use(tmp_path: Path) -> None:
    names = {
        ("train", "images"): "emnist-letters-train-images-idx3-ubyte.gz",
        ("train", "labels"): "emnist-letters-train-labels-idx1-ubyte",
        ("test", "images"): "t10k-images.idx3-ubyte",
        ("test", "labels"): "test-labels-idx1-ubyte",
    }
    for name in [*names.values(), "readme.txt", "train-images.png"]:
        (tmp_path / name).touch()
    assert find_idx_files(tmp_path) == {key: tmp_path / name for key, name in names.items()}


def test_unpacked_file_is_preferred_to_its_gzipped_twin(tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"):
        (tmp_path / name).touch()
    found = find_idx_files(tmp_path)
    assert found["train", "images"].name == "train-images-idx3-ubyte"


def test_two_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte", "emnist-train-images-idx3-ubyte"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"holds both .*emnist.*one data set in a folder"):
        find_idx_files(tmp_path)
