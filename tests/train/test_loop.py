from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.config import TrainConfig
from train.loop import Trainer, optimizer_for

PLAIN = TrainConfig("t", "nano", epochs=1, batch_size=8, learning_rate=0.1)
RANDOM = np.random.default_rng(1)
INPUTS = RANDOM.normal(size=(8, 4)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[RANDOM.integers(0, 3, 8)]
MEAN = np.full(8, 1 / 8, np.float32)


def network(seed: int = 1) -> keras.Model:
    start = keras.initializers.GlorotUniform(seed=seed)
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=start, name="logits")]
    )


def trainer(config: TrainConfig = PLAIN) -> Trainer:
    return Trainer(network(), keras.optimizers.SGD(0.5), config, logits=True)


def cross_entropy(logits: np.ndarray, targets: np.ndarray, temperature: float = 1) -> np.ndarray:
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return -(targets * (scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))).sum(axis=1)


def test_step_goes_down_the_gradient_of_the_mean_loss() -> None:
    ours = trainer()
    weights, bias = ours.network.get_weights()
    scores = tf.nn.softmax(INPUTS @ weights + bias).numpy()
    expected = weights - 0.5 * INPUTS.T @ (scores - TARGETS) / 8
    loss = cross_entropy(INPUTS @ weights + bias, TARGETS).mean()
    figures = ours.epoch([(INPUTS, TARGETS, MEAN)], lambda step: None)
    assert figures["loss"] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(ours.network.get_weights()[0], expected, atol=1e-6)


def test_weights_share_a_batch_out() -> None:
    """Two halves with the whole batch's weights move the network as far as the batch does."""
    whole, halves = trainer(), trainer()
    whole.epoch([(INPUTS, TARGETS, MEAN)], lambda step: None)
    before = halves.network.get_weights()
    moves = []
    for part in (slice(0, 4), slice(4, 8)):
        halves.network.set_weights(before)
        halves.epoch([(INPUTS[part], TARGETS[part], MEAN[part])], lambda step: None)
        moves.append(halves.network.get_weights()[0] - before[0])
    np.testing.assert_allclose(whole.network.get_weights()[0], before[0] + sum(moves), atol=1e-6)


def test_accuracy_is_of_images_that_show_something() -> None:
    targets = TARGETS.copy()
    targets[:4] = 1 / 3
    ours = trainer()
    right = (ours.network(INPUTS).numpy().argmax(axis=1) == targets.argmax(axis=1))[4:]
    figures = ours.epoch([(INPUTS, targets, MEAN)], lambda step: None)
    assert figures["accuracy"] == pytest.approx(right.mean())


def test_each_step_is_told() -> None:
    told: list[int] = []
    figures = trainer().epoch([(INPUTS, TARGETS, MEAN)] * 3, told.append)
    assert told == [1, 2, 3]
    assert figures["seconds"] > 0


def test_label_smoothing_spreads_the_target() -> None:
    ours = trainer(replace(PLAIN, label_smoothing=0.3))
    logits = ours.network(INPUTS).numpy()
    expected = cross_entropy(logits, 0.7 * TARGETS + 0.1).mean()
    figures = ours.epoch([(INPUTS, TARGETS, MEAN)], lambda step: None)
    assert figures["loss"] == pytest.approx(expected, rel=1e-5)


def test_teachers_answers_count_by_their_weight() -> None:
    config = replace(PLAIN, teacher="teacher", teacher_weight=0.75, temperature=2.0)
    ours = trainer(config)
    logits = ours.network(INPUTS).numpy()
    said = network(seed=9)(INPUTS).numpy()
    softened = tf.nn.softmax(said / 2).numpy()
    expected = 0.25 * cross_entropy(logits, TARGETS) + 0.75 * 4 * cross_entropy(logits, softened, 2)
    figures = ours.epoch([(INPUTS, TARGETS, MEAN, said)], lambda step: None)
    assert figures["loss"] == pytest.approx(expected.mean(), rel=1e-5)


def test_cosine_rises_for_a_twentieth_and_falls_to_nothing() -> None:
    rate = optimizer_for(replace(PLAIN, schedule="cosine"), steps=1000)._learning_rate
    rates = np.array([float(rate(step)) for step in range(1001)])
    assert rates.argmax() == 50
    assert rates.max() == pytest.approx(0.1)
    assert rates[0] == rates[-1] == pytest.approx(0, abs=1e-6)


def test_weight_decay_leaves_biases_and_batch_normalization_alone() -> None:
    optimizer = optimizer_for(replace(PLAIN, weight_decay=0.5), steps=10)
    learner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    )
    optimizer.build(learner.trainable_variables)
    before = [np.array(value) for value in learner.trainable_variables]
    for variable in learner.trainable_variables:
        variable.assign(variable + 1)
    still = [tf.zeros_like(value) for value in before]
    optimizer.apply_gradients(zip(still, learner.trainable_variables, strict=True))
    shrunk = [
        not np.allclose(value + 1, after)
        for value, after in zip(before, learner.trainable_variables, strict=True)
    ]
    assert shrunk == [True, False, False, False], "kernel, bias, gamma, beta"


def test_without_decay_it_is_plain_adam() -> None:
    assert type(optimizer_for(PLAIN, steps=10)) is keras.optimizers.Adam
