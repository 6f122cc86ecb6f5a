"""Scores that mean what they say: of the digits read with a score of 0.9, nine in ten are right."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from edge_runtime.quantization import softmax

from .dataset import Labels

__all__ = ["best_temperature", "calibrate"]

# Outside this range a network is not overconfident or timid but broken.
LOWEST, HIGHEST = 0.1, 10.0


def best_temperature(logits: NDArray[np.float32], labels: Labels) -> float:
    """The number to divide logits by so that their softmax fits the labels best.

    Temperature scaling: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks"
    (2017). It changes no answer, only how sure of it the scores are.

    Args:
        logits: float32 (N, classes), of images that were not learned from.
        labels: int64 (N,).

    Returns:
        The temperature of the lowest mean cross-entropy.
    """

    def loss(exponent: float) -> float:
        scores = softmax(logits.astype(np.float64) / np.exp(exponent))
        return float(log_loss(labels, scores, labels=range(logits.shape[1])))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def calibrate(network: keras.Model, logits: NDArray[np.float32], labels: Labels) -> float:
    """Divides a network's logits by their best temperature, in the weights of its last layer.

    No device has to know of the temperature, and quantization sees the logits as they will be.

    Args:
        network: Ends in a dense layer without activation; changed in place.
        logits: float32 (N, classes), what it gives for images that were not learned from.
        labels: int64 (N,).

    Returns:
        The temperature.
    """
    temperature = best_temperature(logits, labels)
    last = network.layers[-1]
    last.set_weights([weights / temperature for weights in last.get_weights()])
    return temperature
