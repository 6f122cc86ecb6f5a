"""Training, from top to bottom: data in, a model with its contract and its figures out."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
import zipfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edge_runtime.contract import CONTRACT_MEMBER, ModelContract
from edge_runtime.errors import InputError
from edge_runtime.files import atomic_path, write_atomic
from edge_runtime.quantization import softmax

from . import model, report
from .batches import evaluation_batches, steps_per_epoch, training_batches
from .callbacks import Journal, open_backup
from .config import TrainConfig
from .dataset import DataSet, split_validation

__all__ = ["TrainResult", "run", "save_keras", "versions"]

# A pixel p becomes p / 255, between 0 and 1, as in the notebook.
PIXEL_MEAN, PIXEL_SCALE = 0.0, 255.0
# The threshold in the contract rejects this share of the validation images.
REJECTED_SHARE = 0.01
# On disk at once: two backups and the model, each the weights and Adam's two moments of them.
STORED_COPIES, BYTES_PER_WEIGHT = 9, 4
# Plots, figures, and HDF5's own book-keeping.
OTHER_FILES_BYTES = 4 * 2**20
# Epochs in which the cosine schedule rises to its largest step: fresh weights bear no large one.
WARM_UP_SHARE = 0.05


@dataclass(frozen=True)
class TrainResult:
    """What a training run wrote.

    Attributes:
        keras_path: The model, its contract inside.
        contract_path: The contract again, for people.
        metrics_path: Every figure of the run, JSON.
        curves_path: Learning curves, PNG.
        confusion_path: Confusion matrix of the test set, PNG.
        metrics: What the file at `metrics_path` says.
    """

    keras_path: Path
    contract_path: Path
    metrics_path: Path
    curves_path: Path
    confusion_path: Path
    metrics: Mapping[str, Any]


def run(config: TrainConfig, dataset: DataSet, out: Path, *, resume: bool = False) -> TrainResult:
    """Trains a model and writes it, its contract, its figures and two plots.

    Progress goes to stderr.

    Args:
        config: Network, recipe and seed.
        dataset: Images; a share of its training images is held out to validate on.
        out: Folder for the files, which are called ``NAME.…``.
        resume: Go on where an interrupted run with the same settings stopped.

    Returns:
        The files written and the figures.

    Raises:
        ConfigError: The images do not suit the network, or the run to resume had other settings.
        DataError: A class has too few images to hold one out.
    """
    started = time.perf_counter()
    out = Path(out)
    keras.utils.set_random_seed(config.seed)
    # Keras then also leaves XLA aside: on the seed's network it took 2.6 times the processor time
    # (TensorFlow 2.21, two x86 cores).
    tf.config.experimental.enable_op_determinism()

    train, held_out = split_validation(
        dataset.y_train, config.validation_fraction, config.seed, dataset.labels
    )
    network = model.build(config, dataset.input_shape, len(dataset.labels))
    contract = _contract(config, dataset)
    table, classes = contract.pixel_values(), len(dataset.labels)

    parts = {
        "train": (dataset.x_train[train], dataset.y_train[train]),
        "validation": (dataset.x_train[held_out], dataset.y_train[held_out]),
        "test": (dataset.x_test, dataset.y_test),
    }
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    training = training_batches(*parts["train"], table, classes, config, epoch)
    batches = {part: evaluation_batches(x, y, table, classes) for part, (x, y) in parts.items()}

    network.compile(
        optimizer=keras.optimizers.Adam(
            _learning_rate(config, steps_per_epoch(len(train), config))
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=contract.output == "logits"),
        metrics=["accuracy"],
    )
    _check_space(out, network)
    backup = out / f"{config.name}.backup"
    done = open_backup(backup, {"config": config.to_dict(), "data": _data_facts(dataset)}, resume)
    journal = Journal(backup, epoch, config.seed)
    with redirect_stdout(sys.stderr):
        if resume:
            print(f"{done} of {config.epochs} epochs are done already")
        network.fit(
            training,
            validation_data=batches["validation"],
            shuffle=False,  # `training` has its own order
            epochs=config.epochs,
            callbacks=[
                journal,
                # The folder is removed below, when everything is written and nothing can be lost.
                keras.callbacks.BackupAndRestore(
                    backup, double_checkpoint=True, delete_checkpoint=False
                ),
            ],
            # One line an epoch where nobody watches: a bar would fill a log file.
            verbose=1 if sys.stderr.isatty() else 2,
        )

    outputs = {part: network.predict(batches[part], verbose=0) for part in parts}
    scores = {
        part: softmax(values) if contract.output == "logits" else values
        for part, values in outputs.items()
    }
    threshold = float(np.quantile(scores["validation"].max(axis=1), REJECTED_SHARE))
    contract = contract.replace(rejection_threshold=round(threshold, 6))

    metrics = {
        "name": config.name,
        "notice": dataset.notice,
        **{part: report.summary(scores[part], y) for part, (_, y) in parts.items()},
        "rejection_threshold": contract.rejection_threshold,
        "labels": list(dataset.labels),
        **report.per_class(scores["test"], dataset.y_test, dataset.labels),
        "history": journal.history,
        "parameters": network.count_params(),
        "config": config.to_dict(),
        "data": {**_data_facts(dataset), "source": dataset.source},
        "versions": versions(),
        "seconds": round(sum(journal.history.get("seconds", [])), 1),
        "seconds_in_all": round(time.perf_counter() - started, 1),
    }
    result = TrainResult(
        keras_path=save_keras(network, contract, out / f"{config.name}.keras"),
        contract_path=write_atomic(out / f"{config.name}.contract.json", contract.to_json()),
        metrics_path=write_atomic(
            out / f"{config.name}.metrics.json",
            json.dumps(metrics, indent=2, ensure_ascii=False) + "\n",
        ),
        curves_path=report.plot_curves(metrics, out / f"{config.name}.curves.png"),
        confusion_path=report.plot_confusion(metrics, out / f"{config.name}.confusion.png"),
        metrics=metrics,
    )
    shutil.rmtree(backup)
    return result


def save_keras(network: keras.Model, contract: ModelContract, path: Path) -> Path:
    """Saves a model with its contract inside, as one more member of the archive.

    Keras ignores members that it does not know.

    Args:
        network: The model.
        contract: Its contract.
        path: A ``.keras`` file.

    Returns:
        `path`, at every moment the old file or the new.
    """
    with atomic_path(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CONTRACT_MEMBER, contract.to_json())
    return path


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _contract(config: TrainConfig, dataset: DataSet) -> ModelContract:
    height, width, channels = dataset.input_shape
    return ModelContract(
        name=config.name,
        labels=dataset.labels,
        height=height,
        width=width,
        channels=channels,
        mean=(PIXEL_MEAN,),
        scale=(PIXEL_SCALE,),
        polarity=dataset.polarity,
        fit=dataset.fit,
        output=model.OUTPUTS[config.architecture],
        # No date and no path: the same run gives the same contract on every machine.
        training={"config": config.to_dict(), "data": _data_facts(dataset), "versions": versions()},
    )


def _check_space(out: Path, network: keras.Model) -> None:
    """Refuses a disk that would fill up on the way: HDF5 ends the process where it cannot write."""
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    needed = STORED_COPIES * BYTES_PER_WEIGHT * network.count_params() + OTHER_FILES_BYTES
    if free < needed:
        raise InputError(
            f"the disk of {out} has {free:,} bytes left",
            f"{needed:,} bytes",
            "free some space, or choose another folder with --out",
        )


def _data_facts(dataset: DataSet) -> dict[str, Any]:
    """What identifies the images, wherever they lay."""
    return {
        "name": dataset.name,
        "training_images": len(dataset.y_train),
        "test_images": len(dataset.y_test),
        "fit": dataset.fit,
        "image_size": list(dataset.input_shape),
        "notice": dataset.notice,
        "sha256": dict(dataset.sha256),
    }


def _learning_rate(
    config: TrainConfig, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if config.schedule == "constant":
        return config.learning_rate
    warm_up = round(WARM_UP_SHARE * config.epochs * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, config.epochs * steps - warm_up),
        warmup_target=config.learning_rate,
        warmup_steps=max(1, warm_up),
    )
