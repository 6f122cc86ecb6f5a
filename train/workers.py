"""One machine or several: TensorFlow's own multi-worker strategy when `TF_CONFIG` is set."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .cluster import Worker, read_cluster
from .errors import ConfigError, WorkerError
from .meeting import meet

__all__ = ["lost_workers", "open_strategy", "replica", "take_over", "wait_for_all"]

# What TensorFlow raises in the others when a worker dies. Its coordination service notices a
# connection that breaks at once and a machine that is silent after 10 s (measured: 2 to 23 s).
LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
    tf.errors.DeadlineExceededError, tf.errors.FailedPreconditionError,
)  # fmt: skip


def open_strategy(run: Mapping[str, Any]) -> tuple[tf.distribute.Strategy, Worker]:
    """The strategy to train under. To be called before anything else of TensorFlow.

    Args:
        run: What has to be alike in all workers, as JSON values: configuration, data, versions.

    Returns:
        TensorFlow's default strategy, or with `TF_CONFIG` the multi-worker one once all workers
        have met; and which worker this process is.

    Raises:
        ConfigError: `TF_CONFIG` is no description of a cluster of workers, or this worker has
            several devices.
        WorkerError: The workers do not all come, or do not agree.
    """
    cluster = read_cluster()
    if cluster.worker.count == 1:
        return tf.distribute.get_strategy(), cluster.worker
    devices = len(tf.config.list_physical_devices("GPU"))
    if devices > 1:
        raise ConfigError(
            f"this worker has {devices} devices",
            "one device for each",
            "start one worker a device, with CUDA_VISIBLE_DEVICES",
        )
    meet(cluster, {**run, "device": "GPU" if devices else "CPU"})
    ended_by = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Native code holds the interpreter while it connects, and Python could not act on Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for number, handler in ended_by.items():  # TensorFlow's own for SIGTERM does not end anything.
        signal.signal(number, handler)
    return strategy, cluster.worker


@contextmanager
def lost_workers() -> Iterator[None]:
    """Turns TensorFlow's error about another worker into one line.

    Raises:
        WorkerError: Another worker has gone.
    """
    try:
        yield
    except LOST as error:
        if read_cluster().worker.count == 1:
            raise
        raise WorkerError(
            "another worker has stopped or cannot be reached any more",
            "every worker until the end",
            "see what the others say, then start all again with --resume",
        ) from error


def replica(network: keras.Model, worker: Worker) -> keras.Model:
    """A network with the same layers and fresh weights, to be trained by this worker.

    Its batch normalization sees the whole batch of all workers, and its dropout is this worker's
    part of what a single process would drop. Neither leaves a trace in the weights, by which alone
    it and `network` are tied.

    Args:
        network: As it is to be saved.
        worker: Shares each batch with the others.
    """

    def shared(layer: keras.Layer) -> keras.Layer:
        settings = layer.get_config()
        if worker.count > 1 and isinstance(layer, keras.layers.BatchNormalization):
            settings["synchronized"] = True
        if worker.count > 1 and isinstance(layer, keras.layers.Dropout):
            return _SharedDropout(worker, **settings)
        return type(layer).from_config(settings)

    return keras.models.clone_model(network, clone_function=shared, recursive=True)


def take_over(
    strategy: tf.distribute.Strategy, worker: Worker, done: int, variables: Sequence[Any]
) -> int:
    """Gives all workers the state of the first: it alone has a backup to resume.

    Args:
        strategy: Of `open_strategy`.
        worker: Likewise.
        done: Epochs that this worker knows of.
        variables: Made in the strategy's scope; overwritten in all workers but the first.

    Returns:
        Epochs that the first has done.
    """
    if worker.count == 1:
        return done
    for variable in variables:
        variable.assign(_of_first(strategy, worker, np.asarray(variable)))
    return int(_of_first(strategy, worker, np.asarray(done)))


def wait_for_all(strategy: tf.distribute.Strategy, worker: Worker) -> None:
    """Goes on when all workers have come here."""
    if worker.count > 1:
        _of_first(strategy, worker, np.zeros(()))


def _of_first(
    strategy: tf.distribute.Strategy, worker: Worker, value: NDArray[Any]
) -> NDArray[Any]:
    """The first worker's value: the sum over all, the others adding nothing."""
    mine = tf.constant(value if worker.index == 0 else np.zeros_like(value))
    return strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None).numpy()


class _SharedDropout(keras.layers.Dropout):
    """Drops of each image what a single process would drop of it."""

    def __init__(self, worker: Worker, **settings: Any) -> None:
        super().__init__(**settings)
        self.worker = worker

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or self.rate == 0:
            return inputs
        index, count = self.worker.index, self.worker.count
        everybody = tf.repeat(tf.ones_like(inputs), count, axis=0)
        return inputs * super().call(everybody, training=True)[index::count]
