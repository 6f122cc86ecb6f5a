"""The forms in which a data set comes as a file or folder; each reader gives the same record."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Images, Labels
from .declaration import Declaration
from .errors import DataError
from .idx import find_idx_files, read_idx

__all__ = ["ARRAYS", "Loaded", "check_classes", "read_idx_folder", "read_npz"]

# An .npz beyond this does not belong in memory. Deflate packs at most 1,032 : 1 (zlib's technical
# notes), so a member that claims more is lying about what it would take.
MAX_ARRAY_BYTES = 2**31
MAX_DEFLATE_RATIO = 1032

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
DECLARATION_ARRAYS = ("name", "labels", "fit", "polarity")


@dataclass(frozen=True)
class Loaded:
    """Images as they were found, their labels checked.

    Attributes:
        x_train: uint8 (N, H, W, C).
        y_train: int64 (N,).
        x_test: uint8 (M, H, W, C), or None if the source has no test set of its own.
        y_test: int64 (M,), or None.
        declared: What the data set says about itself.
        source: Where it came from.
        fitted: Whether the images already went through the fit to the model's input size.
    """

    x_train: Images
    y_train: Labels
    x_test: Images | None
    y_test: Labels | None
    declared: Declaration
    source: str
    fitted: bool = False


def read_idx_folder(folder: Path) -> Loaded:
    """Reads a folder of IDX files under their usual names, gzipped or not.

    Args:
        folder: Holds ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, and unless a
            test set is to be taken from those, the two ``t10k-…`` files.

    Returns:
        The images and labels.

    Raises:
        DataError: A file is missing or damaged, or two files disagree.
    """
    files = find_idx_files(folder)
    declared = Declaration.of_folder(folder)
    parts: dict[str, tuple[Images, Labels]] = {}
    for part, usual in (("train", "train"), ("test", "t10k")):
        if part == "test" and not any(key[0] == "test" for key in files):
            continue
        for content, rank in (("images", 3), ("labels", 1)):
            if (part, content) not in files:
                raise DataError(f"{folder} lacks {usual}-{content}-idx{rank}-ubyte[.gz]")
        x_file, y_file = files[part, "images"], files[part, "labels"]
        # idx4 is how colour images would be written: one dimension more.
        images = read_idx(x_file, 4 if "idx4" in x_file.name else 3)
        parts[part] = _checked(
            images, read_idx(y_file, 1), str(x_file), str(y_file), declared.labels
        )
    return _loaded(parts, declared, str(folder))


def read_npz(path: Path) -> Loaded:
    """Reads an ``.npz`` with ``x_train``, ``y_train`` and, if it has them, ``x_test``, ``y_test``.

    Args:
        path: Images are uint8 (N, H, W) or (N, H, W, 1 or 3), labels are integers (N,). Further
            arrays ``labels``, ``fit``, ``polarity`` and ``name`` may hold text about the data set.

    Returns:
        The images and labels.

    Raises:
        DataError: The file is damaged, lacks an array, or holds one that cannot be used. Pickled
            objects are never loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {
                info.filename.removesuffix(".npy"): _array_header(archive, info, path)
                for info in archive.infolist()
                if info.filename.removesuffix(".npy") in (*ARRAYS, *DECLARATION_ARRAYS)
            }
        for name in ("x_train", "y_train", *(("x_test", "y_test") if "x_test" in headers else ())):
            if name not in headers:
                raise DataError(
                    f"{path} has no array {name}", "x_train and y_train, x_test and y_test"
                )
        with np.load(path, allow_pickle=False) as arrays:
            declared = Declaration.from_dict(
                {
                    name: _text(arrays[name], name, path)
                    for name in DECLARATION_ARRAYS
                    if name in headers
                },
                str(path),
            )
            parts = {
                part: _checked(
                    arrays[f"x_{part}"],
                    arrays[f"y_{part}"],
                    f"x_{part} of {path}",
                    f"y_{part} of {path}",
                    declared.labels,
                )
                for part in ("train", "test")
                if f"x_{part}" in headers
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} is no whole .npz file: {error}", remedy="make it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return _loaded(parts, declared, str(path))


def _loaded(parts: dict[str, tuple[Images, Labels]], declared: Declaration, source: str) -> Loaded:
    x_train, y_train = parts["train"]
    x_test, y_test = parts.get("test", (None, None))
    if x_test is not None and y_test is not None:
        if x_test.shape[1:] != x_train.shape[1:]:
            raise DataError(
                f"the images of {source} differ: {_size(x_train)} and {_size(x_test)}",
                "one size",
            )
        check_classes(y_train, y_test, declared.labels, source)
    else:
        check_classes(y_train, y_train, declared.labels, source)
    return Loaded(x_train, y_train, x_test, y_test, declared, source)


def check_classes(
    y_train: Labels, y_test: Labels, labels: tuple[str, ...] | None, source: str
) -> None:
    """Raises DataError unless every class that exists can be learned.

    Args:
        y_train: Labels to train on.
        y_test: Labels to test on.
        labels: Names of the classes, if they are known.
        source: What to name in the error.
    """
    classes = len(labels) if labels else int(max(y_train.max(), y_test.max())) + 1
    if classes < 2:
        raise DataError(f"{source} has images of one class only", "at least two")
    missing = np.flatnonzero(np.bincount(y_train, minlength=classes) == 0)
    if missing.size:
        shown = ", ".join(labels[i] if labels else str(i) for i in missing[:5])
        more = f" and {missing.size - 5} more" if missing.size > 5 else ""
        raise DataError(
            f"{source} has no training image of class {shown}{more}",
            f"images of all {classes} classes",
        )


def _checked(
    x: NDArray[Any], y: NDArray[Any], x_name: str, y_name: str, labels: tuple[str, ...] | None
) -> tuple[Images, Labels]:
    """Images as uint8 (N, H, W, C) and labels as int64 (N,), or a DataError naming the culprit."""
    if x.dtype != np.uint8:
        raise DataError(f"{x_name} has dtype {x.dtype}", "uint8, pixels from 0 to 255")
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape[1:]:
        raise DataError(f"{x_name} has shape {x.shape}", "(N, H, W) or (N, H, W, 1 or 3)")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # as Keras gives CIFAR's
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(
            f"{y_name} has dtype {y.dtype} and shape {y.shape}", "one integer for each image"
        )
    if len(x) == 0:
        raise DataError(f"{x_name} holds no image")
    if len(x) != len(y):
        raise DataError(
            f"{y_name} has {len(y):,} labels but {x_name} has {len(x):,} images", "as many of each"
        )
    # Without names the number of classes is not known; 10,000 is far beyond a small device.
    highest = len(labels) - 1 if labels else 9_999
    low, high = int(y.min()), int(y.max())
    if low < 0 or high > highest:
        raise DataError(
            f"{y_name} holds the label {low if low < 0 else high}",
            f"labels from 0 to {highest}" + (f" ({len(labels)} names)" if labels else ""),
        )
    return np.ascontiguousarray(x), y.astype(np.int64)


def _array_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> tuple[int, ...]:
    """Checks an array's header against its member's size, so that loading takes no more memory."""
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
        except ValueError as error:
            raise DataError(f"{name} of {path} is no array: {error}") from None
        header_bytes = file.tell()
    if dtype.hasobject:
        raise DataError(
            f"{name} of {path} holds pickled objects, which could run code",
            "an array of numbers",
            "save it again with a numeric dtype",
        )
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes > MAX_ARRAY_BYTES:
        raise DataError(
            f"{name} of {path} takes {size_bytes:,} bytes", f"at most {MAX_ARRAY_BYTES:,}"
        )
    room = min(info.file_size, info.compress_size * MAX_DEFLATE_RATIO)
    if header_bytes + size_bytes > room:
        raise DataError(
            f"the header of {name} in {path} promises {size_bytes:,} bytes, more than are there",
            "a whole array",
            "make it again",
        )
    return tuple(shape)


def _text(array: NDArray[Any], name: str, path: Path) -> Any:
    """An array of text as a string or a list."""
    if array.dtype.kind != "U":
        raise DataError(f"{name} of {path} has dtype {array.dtype}", "text")
    return array.tolist()


def _size(images: Images) -> str:
    _, height, width, channels = images.shape
    return f"{height}x{width}x{channels}"
