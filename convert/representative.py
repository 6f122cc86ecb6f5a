"""Which training pictures calibrate a quantized model, and which it is then compared on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.contract import ModelContract
from edge_runtime.errors import InputError
from train.data import DataSet, load, stratified_order
from train.matching import matched

__all__ = [
    "COMPARED",
    "SAMPLES",
    "Sample",
    "check_data",
    "draw",
    "load_representative",
    "one_per_class",
    "with_full_range",
]

MNIST = "mnist"

# The TensorFlow Lite guide on post-training quantization asks for "around 100 to 500" pictures.
SAMPLES = 300
# One picture is then 0.2 points: fine enough to see a broken conversion, seconds to run.
COMPARED = 500


@dataclass(frozen=True)
class Sample:
    """Indices into the training split, disjoint.

    Attributes:
        representative: Pictures that calibrate the ranges of activations.
        comparison: Pictures on which a converted model is compared with its original.
    """

    representative: NDArray[np.intp]
    comparison: NDArray[np.intp]


def load_representative(contract: ModelContract, data: str | None = None) -> DataSet:
    """Loads pictures in the form that a model was trained on.

    Args:
        contract: The model's contract.
        data: A data set as commands name it. None stands for MNIST if the model was trained on it,
            or does not say: MNIST is found by its name, other data only by its place.

    Returns:
        The data set, fitted as the contract says, its labels numbered as the model numbers them.

    Raises:
        InputError: No data was named, and the model was trained on other than MNIST.
        DataError: The data cannot be loaded.
    """
    if data is None:
        facts = contract.training.get("data")
        name = facts.get("name", MNIST) if isinstance(facts, Mapping) else MNIST
        if name != MNIST:
            raise InputError(
                f"the model was trained on {name}, and only its name is known",
                "labelled pictures of that kind",
                "say where they are with --representative DATA",
            )
    loaded = load(data or MNIST, fit=contract.fit, image_size=(contract.height, contract.width))
    return matched(loaded, contract)


def check_data(data: DataSet, contract: ModelContract) -> None:
    """Raises InputError for pictures of another size or with other labels than the model has."""
    remedy = "name other pictures with --representative DATA"
    if data.input_shape != contract.input_shape:
        raise InputError(
            f"the pictures of {data.name} are {list(data.input_shape)}",
            f"{list(contract.input_shape)}, as the model takes them",
            remedy,
        )
    if data.labels != contract.labels:
        raise InputError(
            f"the labels of {data.name} are {_shown(data.labels)}",
            f"{_shown(contract.labels)}, as the model has them",
            remedy,
        )


def draw(labels: NDArray[np.int64], samples: int | None, seed: int) -> Sample:
    """Draws representative and comparison pictures from a training split.

    Args:
        labels: One class index a training picture.
        samples: Number of representative pictures; None for `SAMPLES`, or half of a small split.
        seed: Seed of the drawing.

    Returns:
        The two samples; up to `COMPARED` pictures for the comparison.

    Raises:
        InputError: `samples` is less than 1, or leaves no picture to compare on.
    """
    available = len(labels)
    if available < 2:
        raise InputError(
            f"the representative data has {available} training pictures", "at least two"
        )
    if samples is None:
        samples = min(SAMPLES, available // 2)
    if not 1 <= samples < available:
        raise InputError(
            f"{samples} representative pictures were asked for",
            f"1 to {available - 1:,} (the training split has {available:,}, and at least one is "
            "kept for the comparison)",
        )
    order = stratified_order(labels, seed)
    return Sample(order[:samples], order[samples : samples + COMPARED])


def with_full_range(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Representative pictures in which black and white surely occur.

    The range of activations has to be estimated; that of the input is known. If only dim pictures
    were drawn, brighter ones would be clipped in the input. So the first picture gets a black and
    a white corner. For a model that divides by 255, the int8 input then is the pixel less 128.

    Args:
        pixels: uint8 (N, height, width, channels), N at least 1.

    Returns:
        A copy with the two corners.
    """
    pixels = pixels.copy()
    pixels[0, 0, 0] = 0
    pixels[0, -1, -1] = 255
    return pixels


def one_per_class(labels: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """The first picture of each class, then the second of each, until there are `count`.

    Args:
        labels: One class index a picture.
        count: How many; fewer pictures than that give all of them.

    Returns:
        Indices into `labels`.

    >>> one_per_class(np.array([2, 2, 2, 0, 1]), 4).tolist()
    [3, 4, 0, 1]
    """
    rank = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))[:count]


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(labels[:3]) + (f", … ({len(labels)})" if len(labels) > 3 else "")
