"""Data sets in every form that commands take, checked, ready to train on. No TensorFlow here.

DATA is ``mnist``; an ``.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test``; a folder of
IDX files, gzipped or not; or a folder of pictures with a subfolder for each class, optionally below
``train/`` and ``test/``. Without a test set of its own, a fifth of a data set is kept as one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import mnist
from .dataset import DataSet, Images, split_validation, stratified_order
from .declaration import Declaration, recognise
from .errors import DataError
from .fitting import Size, fit_all, target_size
from .idx import find_idx_files
from .pictures import is_picture_tree, read_picture_tree
from .sources import Loaded, check_classes, read_idx_folder, read_npz

__all__ = [
    "TEST_SEED",
    "TEST_SHARE",
    "DataError",
    "DataSet",
    "load",
    "load_fallback",
    "load_local_mnist",
    "split_validation",
    "stratified_order",
]

# What is kept for the test where a data set has no test set: always the same images.
TEST_SHARE = 0.2
TEST_SEED = 2026


def load(
    data: str | Path = "mnist", *, fit: str | None = None, image_size: Size | None = None
) -> DataSet:
    """Loads a data set.

    Args:
        data: ``mnist``, an ``.npz`` file, a folder of IDX files or a folder of pictures.
        fit: "stretch", "letterbox" or "ink"; None leaves it to the data set: MNIST and what
            declares itself like it have "ink", everything else "stretch".
        image_size: Height and width of the model's input; None keeps the images' own size where
            they have one of at most 128 pixels, else takes 64x64 (28x28 for "ink").

    Returns:
        The data set.

    Raises:
        DataError: Something is wrong with it; the message names the file.
    """
    if str(data) == "mnist":
        loaded = mnist.find_mnist()
        if loaded is None:
            return load_fallback(fit=fit, image_size=image_size)
    else:
        loaded = _read(Path(data), fit, image_size)
    return _prepared(loaded, fit, image_size, None)


def load_fallback(*, fit: str | None = None, image_size: Size | None = None) -> DataSet:
    """The 5,000 images that stand in for MNIST where it cannot be had; says so in its notice.

    Args:
        fit: As for `load`.
        image_size: As for `load`.

    Returns:
        4,000 training and 1,000 test images, all of them from MNIST's training set.
    """
    return _prepared(mnist.mnist_fallback(), fit, image_size, mnist.FALLBACK_NOTICE)


def load_local_mnist(*, fit: str | None = None, image_size: Size | None = None) -> DataSet | None:
    """As much of MNIST as this machine has: all of it, or the 5,000 images of a package.

    Args:
        fit: As for `load`.
        image_size: As for `load`.

    Returns:
        The data set, or None if not even the package is installed.

    Raises:
        DataError: $MNIST_DIR is set and does not hold MNIST.
    """
    loaded = mnist.local_mnist()
    if loaded is not None:
        return _prepared(loaded, fit, image_size, None)
    try:
        return load_fallback(fit=fit, image_size=image_size)
    except DataError:
        return None


def _read(path: Path, fit: str | None, image_size: Size | None) -> Loaded:
    forms = "mnist, an .npz file, a folder of IDX files or a folder of pictures"
    if not path.exists():
        raise DataError(f"{path} does not exist", forms, "check --data")
    if path.is_file():
        if path.suffix != ".npz":
            raise DataError(f"{path} is not a data set", forms)
        return read_npz(path)
    if not path.is_dir():
        raise DataError(f"{path} is neither a file nor a folder", forms)
    if find_idx_files(path):
        return read_idx_folder(path)
    if is_picture_tree(path):
        return read_picture_tree(path, fit, image_size)
    held = "is empty" if not any(path.iterdir()) else "holds no data set"
    raise DataError(
        f"{path} {held}", "IDX files under their usual names, or a subfolder of pictures a class"
    )


def _prepared(
    loaded: Loaded, fit: str | None, image_size: Size | None, notice: str | None
) -> DataSet:
    """Gives a data set what it may lack: a test set, names, a fit and its size."""
    x_train, y_train, x_test, y_test = loaded.x_train, loaded.y_train, loaded.x_test, loaded.y_test
    if x_test is None or y_test is None:
        kept, held = _test_split(loaded)
        x_test, y_test = x_train[held], y_train[held]
        x_train, y_train = x_train[kept], y_train[kept]
    sha256 = mnist.digests(x_train, y_train, x_test, y_test)
    known = recognise(sha256) or Declaration()
    declared = loaded.declared
    classes = int(max(y_train.max(), y_test.max())) + 1
    name = declared.name or known.name or Path(loaded.source).stem
    labels = declared.labels or known.labels or tuple(map(str, range(classes)))
    used_fit = fit or declared.fit or known.fit or "stretch"
    polarity = declared.polarity or known.polarity or "any"
    if not loaded.fitted:
        own_size = (x_train.shape[1], x_train.shape[2])
        size = target_size(own_size, used_fit, image_size)
        # Arrays of the right size are ready inputs, as MNIST's are. For "ink" only if they are grey
        # and say which polarity they have: turning them over is part of that fit.
        inked = polarity != "any" and x_train.shape[3] == 1
        ready = own_size == size and (used_fit != "ink" or inked)
        if used_fit == "ink" and polarity == "any":
            polarity = "light-on-dark"
        if not ready:
            x_train = _fitted(x_train, "training image", loaded, size, used_fit, polarity)
            x_test = _fitted(x_test, "test image", loaded, size, used_fit, polarity)
    return DataSet(
        name, x_train, y_train, x_test, y_test, labels, used_fit, polarity, notice,
        loaded.source, sha256,
    )  # fmt: skip


def _test_split(loaded: Loaded) -> tuple[np.ndarray, np.ndarray]:
    try:
        kept, held = split_validation(loaded.y_train, TEST_SHARE, TEST_SEED, loaded.declared.labels)
    except DataError as error:
        raise DataError(f"{loaded.source}: {error}") from None
    check_classes(loaded.y_train[kept], loaded.y_train[held], loaded.declared.labels, loaded.source)
    return kept, held


def _fitted(
    images: Images, kind: str, loaded: Loaded, size: Size, fit: str, polarity: str
) -> Images:
    names = (f"{kind} {index} of {loaded.source}" for index in range(len(images)))
    return fit_all(images, names, size, fit, polarity)
