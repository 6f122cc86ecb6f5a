"""What a data set is once it is loaded, and the seeded choices one makes among its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

__all__ = ["DataSet", "Images", "Labels", "split_validation", "stratified_order"]

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class DataSet:
    """Images ready for a model, with what a model's contract has to know about them.

    Images stay 8-bit: float32 would take four times the memory, and only a batch needs it.

    Attributes:
        name: Name of the data set, for example "mnist".
        x_train: uint8 (N, H, W, C), the images to train and validate on.
        y_train: int64 (N,), index of each image's label.
        x_test: uint8 (M, H, W, C), never used for a choice.
        y_test: int64 (M,).
        labels: Name of each class.
        fit: How other pictures have to come to this size: "stretch", "letterbox" or "ink".
        polarity: "light-on-dark", "dark-on-light" or "any".
        notice: What a reader of any figure from these images must be told, or None.
        source: Where the images came from.
        sha256: SHA-256 of each of the four arrays, written as an IDX file.
    """

    name: str
    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels
    labels: tuple[str, ...]
    fit: str
    polarity: str
    notice: str | None
    source: str
    sha256: Mapping[str, str]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.x_train.shape
        return (height, width, channels)

    def limited(self, images: int, seed: int = 0) -> DataSet:
        """The same data set with fewer training images; the test set is left whole.

        Args:
            images: How many training images to keep at most, in the same proportions.
            seed: Chooses which.

        Returns:
            The smaller data set, its images in the order of `stratified_order`.

        Raises:
            DataError: So few that a class would be left without one for training and validation.
        """
        if images >= len(self.y_train):
            return self
        if images < 2 * len(self.labels):
            raise DataError(
                f"{images} training images are too few for {len(self.labels)} classes",
                f"at least {2 * len(self.labels)}",
                "raise --limit",
            )
        kept = stratified_order(self.y_train, seed)[:images]
        return replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])


def stratified_order(labels: Labels, seed: int) -> NDArray[np.int64]:
    """An order of examples in which every beginning has the classes in their proportions.

    The k-th of a class's n examples (shuffled) stands at k/n of the way. Any prefix with at least
    as many examples as there are classes therefore holds every class.

    Args:
        labels: int64 (N,).
        seed: Chooses the order.

    Returns:
        int64 (N,), a permutation of ``range(N)``.

    >>> labels = np.array([0] * 8 + [1] * 4)
    >>> np.bincount(labels[stratified_order(labels, seed=1)[:6]]).tolist()
    [4, 2]
    """
    # RandomState's stream is frozen (NEP 19), so the same images are chosen under every NumPy.
    random = np.random.RandomState(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[random.permutation(members)] = np.arange(len(members)) / len(members)
    return np.lexsort((random.random_sample(len(labels)), place))


def split_validation(
    labels: Labels, fraction: float, seed: int, names: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splits examples in two, each class in the same proportion.

    Args:
        labels: int64 (N,).
        fraction: Share of the second part, between 0 and 1.
        seed: Chooses which examples.
        names: What the classes are called in an error; by default their numbers.

    Returns:
        Indices of the larger part and of the part held out, in the order of `stratified_order`: any
        beginning of either has the classes in their proportions. Every class is in both.

    Raises:
        DataError: A class has too few examples to be in both parts.
    """
    counts = np.bincount(labels)
    held_out = max(round(len(labels) * fraction), np.count_nonzero(counts))
    order = stratified_order(labels, seed)
    kept, held = order[held_out:], order[:held_out]
    missing = np.flatnonzero((counts > 0) & (np.bincount(labels[kept], minlength=len(counts)) == 0))
    if missing.size:
        first = missing[0]
        raise DataError(
            f"class {names[first] if names else first} has only {counts[first]} image"
            f"{'s' if counts[first] > 1 else ''} and cannot be split",
            f"enough to hold {fraction:.0%} out",
            "add images of that class",
        )
    return kept, held
