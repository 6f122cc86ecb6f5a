from __future__ import annotations

import keras
import numpy as np
import pytest

from edge_runtime.quantization import softmax
from train.calibrate import best_temperature, calibrate


def sampled(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with exactly the probabilities that they say."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, 10)).astype(np.float32)
    scores = softmax(logits).cumsum(axis=1)
    return logits, (random.random((count, 1)) < scores).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_that_spoiled_the_scores_is_found(temperature: float) -> None:
    logits, labels = sampled(20_000)
    assert best_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_all_right_or_all_wrong_has_a_bounded_temperature() -> None:
    logits = np.eye(10, dtype=np.float32)
    assert best_temperature(logits, np.arange(10)) == pytest.approx(0.1, abs=0.01)
    assert best_temperature(logits, (np.arange(10) + 1) % 10) == pytest.approx(10, rel=0.01)


def test_network_gives_the_divided_logits_and_the_same_answers() -> None:
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    inputs = np.random.default_rng(2).normal(size=(500, 4)).astype(np.float32)
    before = network.predict(inputs, verbose=0)
    labels = before.argmax(axis=1)
    labels[::3] = 0
    temperature = calibrate(network, before, labels)
    np.testing.assert_allclose(network.predict(inputs, verbose=0) * temperature, before, atol=1e-5)
