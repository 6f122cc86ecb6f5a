"""Bringing a data set to what a trained model expects of it: channels, polarity, label numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_runtime.contract import ModelContract
from edge_runtime.files import folder_name
from edge_runtime.images import to_channels

from .dataset import DataSet, Images

__all__ = ["matched"]


def matched(dataset: DataSet, contract: ModelContract) -> DataSet:
    """A data set as a model takes it, as far as that is possible.

    Images become grey or RGB as the runtime would make them, and with the fit "ink" light on dark
    or dark on light. If the model knows all of the labels, they get its names and numbers, and
    classes of which there are no images are added; if not, labels stay as they are.

    Args:
        dataset: Loaded with the contract's fit and size.
        contract: Of the model.

    Returns:
        The data set. Its `sha256` is still that of the images as they were loaded.
    """
    inverted = contract.fit == dataset.fit == "ink" and contract.polarity != dataset.polarity
    numbers = {folder_name(label): number for number, label in enumerate(contract.labels)}
    numbers |= {label: number for number, label in enumerate(contract.labels)}
    labels, order = dataset.labels, np.arange(len(dataset.labels))
    if set(labels) <= set(numbers):
        order = np.array([numbers[label] for label in labels])
        labels = contract.labels
    return replace(
        dataset,
        x_train=_pixels(dataset.x_train, contract.channels, inverted),
        y_train=order[dataset.y_train],
        x_test=_pixels(dataset.x_test, contract.channels, inverted),
        y_test=order[dataset.y_test],
        labels=labels,
        polarity=contract.polarity if inverted else dataset.polarity,
    )


def _pixels(images: Images, channels: int, inverted: bool) -> Images:
    if images.shape[3] != channels:
        # One picture under the other: colours do not look at their neighbours.
        count, height, width, own = images.shape
        tall = to_channels(images.reshape(count * height, width, own), channels)
        images = tall.reshape(count, height, width, channels)
    return np.invert(images) if inverted else images
