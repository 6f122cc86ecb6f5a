"""The training loop: one for a single machine and for several.

Keras's own `fit` cannot run under TensorFlow's multi-worker strategy (Keras 3.15: `PerReplica`
cannot be converted), so the loop is written out; on a single machine the strategy is TensorFlow's
default, which adds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from .config import TrainConfig

__all__ = ["Trainer", "optimizer_for"]

# Epochs in which the cosine schedule rises to its largest step: fresh weights bear no large one.
WARM_UP_SHARE = 0.05
# What shifts or scales a channel is left as large as it needs to be.
NOT_DECAYED = ("bias", "beta", "gamma")


def optimizer_for(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    """Adam, or AdamW where the configuration has a weight decay.

    Args:
        config: Gives learning rate, schedule and weight decay.
        steps: Steps of the whole run.
    """
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        warm_up = max(1, round(WARM_UP_SHARE * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, steps - warm_up),
            warmup_target=config.learning_rate,
            warmup_steps=warm_up,
        )
    if not config.weight_decay:
        return keras.optimizers.Adam(rate)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer


@dataclass
class Trainer:
    """A network, its optimizer and how one step is taken.

    Attributes:
        network: Made in the strategy's scope.
        optimizer: Likewise.
        config: Gives smoothing and distillation.
        logits: Whether the network ends in logits, not probabilities.
    """

    network: keras.Model
    optimizer: keras.optimizers.Optimizer
    config: TrainConfig
    logits: bool

    def __post_init__(self) -> None:
        self.strategy = tf.distribute.get_strategy()
        self._step = tf.function(self._distributed_step)

    def epoch(self, batches: Iterable[Any], after_step: Callable[[int], None]) -> dict[str, float]:
        """Goes through the batches once.

        Args:
            batches: As `train.batches.training_batches` makes them, distributed by the strategy.
            after_step: Called with the number of steps done.

        Returns:
            "loss" and "accuracy" over the images as they were seen while learning, and "seconds".
            Images of nothing have no class and no part in the accuracy.
        """
        started = time.perf_counter()
        totals = tf.zeros(3)
        steps = 0
        for steps, batch in enumerate(batches, start=1):
            totals += self._step(batch)
            after_step(steps)
        loss, hits, shown = totals.numpy().tolist()
        return {
            "loss": loss / steps,
            "accuracy": hits / shown,
            "seconds": time.perf_counter() - started,
        }

    def _distributed_step(self, batch: tuple[Any, ...]) -> tf.Tensor:
        figures = self.strategy.run(self._replica_step, batch)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, figures, axis=None)

    def _replica_step(
        self,
        inputs: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
        answers: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """A step on this replica's images: weights make its sums parts of the batch's means."""
        with tf.GradientTape() as tape:
            outputs = self.network(inputs, training=True)
            losses = keras.losses.categorical_crossentropy(
                targets, outputs, self.logits, self.config.label_smoothing
            )
            if answers is not None:
                share = self.config.teacher_weight
                losses = (1 - share) * losses + share * self._distance(answers, outputs)
            loss = tf.reduce_sum(losses * weights)
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        shown = tf.reduce_max(targets, 1) > 0.5
        hits = shown & (tf.argmax(outputs, 1) == tf.argmax(targets, 1))
        parts = [tf.reduce_sum(weights[chosen]) for chosen in (hits, shown)]
        return tf.stack([loss, *parts])

    def _distance(self, answers: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Cross-entropy between the teacher's softened answers and the network's, float32 (B,).

        Its gradients shrink with the square of the temperature, which the factor makes up for
        (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015).
        """
        temperature = self.config.temperature
        softened = tf.nn.softmax(answers / temperature)
        distance = keras.losses.categorical_crossentropy(
            softened, outputs / temperature, from_logits=True
        )
        return temperature**2 * distance
