"""Training, from top to bottom: data in, a model with its contract and its figures out."""

from __future__ import annotations

import dataclasses
import itertools
import json
import platform
import shutil
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edge_runtime.cli.shell import say
from edge_runtime.contract import CONTRACT_MEMBER, ModelContract
from edge_runtime.errors import InputError
from edge_runtime.files import atomic_path, write_atomic
from edge_runtime.quantization import softmax

from . import model, report
from .backup import Backup
from .batches import evaluation_batches, steps_per_epoch, training_batches
from .before_after import compare
from .calibrate import calibrate
from .config import TrainConfig
from .dataset import DataSet, split_validation
from .finetune import FEW, Start
from .loop import Trainer, optimizer_for
from .progress import Progress
from .quiet import hush_native_code
from .teacher import Teacher, find_teacher
from .transfer import freeze_normalization
from .workers import lost_workers, open_strategy, replica, take_over, wait_for_all

__all__ = ["TrainResult", "run", "save_keras", "versions"]

# A pixel p becomes p / 255, between 0 and 1, as in the notebook.
PIXEL_MEAN, PIXEL_SCALE = 0.0, 255.0
# The threshold in the contract rejects this share of the validation images.
REJECTED_SHARE = 0.01
# On disk at once: two backups and the model, each the weights and Adam's two moments of them.
STORED_COPIES, BYTES_PER_WEIGHT = 9, 4
# Plots, figures, and HDF5's own book-keeping.
OTHER_FILES_BYTES = 4 * 2**20


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


@lost_workers()
def run(
    config: TrainConfig,
    dataset: DataSet,
    out: Path,
    *,
    teacher: Path | None = None,
    start: Start | None = None,
    resume: bool = False,
) -> TrainResult | None:
    """Trains a model and writes it, its contract, its figures and two plots.

    Progress goes to stderr. With `TF_CONFIG` set, this process is one of several that train one
    model together; the first writes it.

    Args:
        config: Network, recipe and seed.
        dataset: Images; a share of its training images is held out to validate on.
        out: Folder for the files, which are called ``NAME.…``.
        teacher: Its file, if the configuration names one that lies elsewhere than is looked.
        start: A trained model to go on from, with the configuration of its `recipe`.
        resume: Go on where an interrupted run with the same settings stopped.

    Returns:
        The files written and the figures; None in all processes but the first.

    Raises:
        ConfigError: The images do not suit the network, the run to resume had other settings, or
            there is no teacher.
        DataError: A class has too few images to hold one out.
    """
    started = time.perf_counter()
    guide = find_teacher(config, dataset, out, teacher)
    settings = {
        "config": config.to_dict(), "data": _data_facts(dataset),
        "teacher": guide.facts if guide else None, "from": start.facts if start else None,
    }  # fmt: skip
    strategy, worker = open_strategy({**settings, "versions": versions()})
    keras.utils.set_random_seed(config.seed)
    # Keras then also leaves XLA aside: on the seed's network it took 2.6 times the processor time
    # (TensorFlow 2.21, two x86 cores).
    tf.config.experimental.enable_op_determinism()

    # 1. The images, split in those to learn from and those to choose by.
    kept, held_out = split_validation(
        dataset.y_train, config.validation_fraction, config.split_seed, dataset.labels
    )
    parts = {
        "train": (dataset.x_train[kept], dataset.y_train[kept]),
        "validation": (dataset.x_train[held_out], dataset.y_train[held_out]),
        "test": (dataset.x_test, dataset.y_test),
    }
    learned = start.lesson(*parts["train"], config) if start else parts["train"]
    contract = _contract(config, dataset, guide, start)
    table, classes = contract.pixel_values(), len(dataset.labels)
    batches = {part: evaluation_batches(x, y, table, classes) for part, (x, y) in parts.items()}
    steps = steps_per_epoch(len(learned[1]), config, worker.count)

    # 2. The network twice: as it is trained, by one worker or several, and as it is saved.
    network = start.network() if start else model.build(config, dataset.input_shape, classes)
    begun_with = network.get_weights()
    _check_space(out, network)
    with strategy.scope():
        trained = replica(network, worker)
        if start:
            freeze_normalization(trained)
        optimizer = optimizer_for(config, steps * config.epochs)
        optimizer.build(trained.trainable_variables)
        trainer = Trainer(trained, optimizer, config, contract.output == "logits")
    trained.set_weights(begun_with)

    def answers(part: str) -> np.ndarray:
        network.set_weights(trained.get_weights())
        return network.predict(batches[part], verbose=0)

    # 3. Epoch after epoch; each can be the last of this sitting.
    backup = Backup(_backup_folder(config, out, worker.index), trained, optimizer)
    if not resume:
        backup.begin(settings)
    elif not backup.resume(settings) and worker.index == 0:
        say("there is nothing to resume; this begins anew")
    state = [*trained.variables, *optimizer.variables]
    done = take_over(strategy, worker, len(backup.epochs), state)
    if done:
        say(f"epochs done already: {done} of {config.epochs}")
    progress = Progress(config.epochs, done, steps)
    known = None
    if guide:
        teachers = "a teacher" if len(guide.paths) == 1 else f"{len(guide.paths)} teachers"
        say(f"asking {teachers} about the images of {config.different_epochs} epochs")
        once = dataclasses.replace(config, epochs=config.different_epochs)
        asked = training_batches(*learned, table, dataset.labels, once)
        known = guide.answers(asked, backup.folder / "answers.npy")
    training = training_batches(*learned, table, dataset.labels, config, done, worker, known)
    if worker.count > 1:
        training = strategy.distribute_datasets_from_function(lambda _: training)
    stream = iter(training)
    for number in range(done, config.epochs):
        _seed_dropout(trained, config.seed, number)
        figures = trainer.epoch(itertools.islice(stream, steps), progress.step)
        validation = report.summary(
            _scores(answers("validation"), contract), parts["validation"][1]
        )
        figures |= {"val_loss": validation["loss"], "val_accuracy": validation["accuracy"]}
        if worker.index == 0:
            backup.save(figures)
        progress.epoch(figures)

    if worker.index > 0:
        hush_native_code()  # The first may be gone before this worker is.
        wait_for_all(strategy, worker)  # until the first has written the model
        backup.remove()
        return None

    if start:
        start.settle(trained, begun_with)

    # 4. Scores that mean what they say, and below which score to say nothing.
    temperature = 1.0
    measured = start is None or len(held_out) >= FEW
    if measured and contract.output == "logits":
        logits = answers("validation")
        temperature = calibrate(trained, logits, parts["validation"][1])
    scores = {part: _scores(answers(part), contract) for part in parts}
    threshold = start.threshold if start else None
    if measured:
        quantile = np.quantile(scores["validation"].max(axis=1), REJECTED_SHARE)
        threshold = round(float(quantile), 6)
    contract = contract.replace(rejection_threshold=threshold)

    # 5. The files.
    metrics = {
        "name": config.name,
        "notice": dataset.notice,
        **{part: report.summary(scores[part], y) for part, (_, y) in parts.items()},
        "rejection_threshold": contract.rejection_threshold,
        "temperature": temperature,
        "labels": list(dataset.labels),
        **report.per_class(scores["test"], dataset.y_test, dataset.labels),
        "history": backup.history,
        "parameters": network.count_params(),
        "config": config.to_dict(),
        "data": {**_data_facts(dataset), "source": dataset.source},
        "teacher": guide.facts if guide else None,
        "from": start.facts if start else None,
        **(compare(start, network, contract, dataset) if start else {}),
        "workers": worker.count,
        "versions": versions(),
        "seconds": round(sum(backup.history.get("seconds", [])), 1),
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
    wait_for_all(strategy, worker)
    backup.remove()
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


def _contract(
    config: TrainConfig, dataset: DataSet, teacher: Teacher | None, start: Start | None
) -> ModelContract:
    height, width, channels = dataset.input_shape
    training: dict[str, Any] = {
        "config": config.to_dict(), "data": _data_facts(dataset), "versions": versions(),
    }  # fmt: skip
    if teacher:
        training["teacher"] = teacher.facts
    if start:
        training["from"] = start.facts
        return start.contract.replace(
            name=config.name, labels=dataset.labels, training=training,
            variant=None, sha256=None, conversion={},
        )  # fmt: skip
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
        training=training,
    )


def _scores(outputs: np.ndarray, contract: ModelContract) -> np.ndarray:
    return softmax(outputs) if contract.output == "logits" else outputs


def _seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Sets what is random in the network to where an uninterrupted run would have it."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
            # A seed generator's state is a pair of 32-bit numbers.
            layer.seed_generator.state.assign([seed, epoch])


def _backup_folder(config: TrainConfig, out: Path, worker: int) -> Path:
    """The first worker's has the state; the others' what the teacher answered them."""
    return out / (f"{config.name}.backup" + (f".worker-{worker}" if worker else ""))


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
