"""Accuracy of the float model and of everything converted from it, on the same images."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity import mcnemar
from edge_runtime import Classifier
from edge_runtime.backend import BACKENDS
from edge_runtime.errors import InputError, InterpreterError, InterpreterUnavailableError
from edge_runtime.machine import machine_facts
from edge_runtime.measure import wilson_interval
from train.dataset import DataSet, stratified_order
from train.keras_file import load_keras

from .candidates import Candidate, Comparison

__all__ = [
    "Accuracy",
    "Change",
    "InterpreterAnswers",
    "VariantAccuracy",
    "accuracy_of",
    "change_between",
    "confusion_matrix",
    "images_to_test",
    "installed_backends",
    "measure_accuracy",
]

Progress = Callable[[str], None]
Indices = NDArray[np.int64]
Answers = dict[tuple[str, str], tuple[str, Indices]]
"""By label and backend: the backend's version, and the index of the best label for each image."""

# Batches keep the interpreter's memory small and its loops long enough.
BATCH = 64
# The same kernels as LiteRT, at six seconds and 600 MB for the import.
NOT_COMPARED = "tensorflow"


@dataclass(frozen=True)
class Accuracy:
    """How many images were recognised.

    Attributes:
        correct: Right answers.
        total: All answers.
        accuracy: Their share, 0 to 1.
        low: Lower end of the 95 % Wilson interval of the share.
        high: Upper end.
    """

    correct: int
    total: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """What conversion changed, image by image.

    Attributes:
        points: Accuracy minus the float model's, in percentage points.
        disagreements: Images to which the two give different labels.
        lost: Images that only the float model has right.
        won: Images that only the converted model has right.
        p_value: Exact McNemar test: how likely such a difference is by chance, 0 to 1.
    """

    points: float
    disagreements: int
    lost: int
    won: int
    p_value: float


@dataclass(frozen=True)
class InterpreterAnswers:
    """What one interpreter makes of a variant.

    Attributes:
        backend: The interpreter's name.
        version: Its version.
        accuracy: Its accuracy.
        differing: Images to which it gives another label than the first interpreter.
    """

    backend: str
    version: str
    accuracy: Accuracy
    differing: int


@dataclass(frozen=True)
class VariantAccuracy:
    """A converted model's answers.

    Attributes:
        accuracy: With the first interpreter, which is the one used by default.
        change: Against the float model.
        confusion: Rows are true labels, columns answers.
        interpreters: The same with each installed interpreter, the default one first.
    """

    accuracy: Accuracy
    change: Change
    confusion: Indices
    interpreters: tuple[InterpreterAnswers, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "confusion": self.confusion.tolist()}


def accuracy_of(answers: Indices, truth: Indices) -> Accuracy:
    """Accuracy with its 95 % Wilson interval.

    Args:
        answers: int64 (N,), N at least 1.
        truth: int64 (N,).

    Returns:
        The accuracy.

    >>> accuracy_of(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4])).accuracy
    0.75
    """
    correct = int(np.count_nonzero(answers == truth))
    total = len(truth)
    return Accuracy(correct, total, correct / total, *wilson_interval(correct, total))


def change_between(reference: Indices, answers: Indices, truth: Indices) -> Change:
    """What changed from the reference's answers to others.

    Args:
        reference: int64 (N,), the float model's answers.
        answers: int64 (N,), the converted model's.
        truth: int64 (N,).

    Returns:
        The change.

    >>> truth = np.array([0, 1, 2, 3])
    >>> change_between(np.array([0, 1, 2, 9]), np.array([0, 1, 7, 8]), truth)
    Change(points=-25.0, disagreements=2, lost=1, won=0, p_value=1.0)
    """
    was_right, is_right = reference == truth, answers == truth
    lost = int(np.count_nonzero(was_right & ~is_right))
    won = int(np.count_nonzero(is_right & ~was_right))
    return Change(
        points=100 * (won - lost) / len(truth),
        disagreements=int(np.count_nonzero(reference != answers)),
        lost=lost,
        won=won,
        p_value=mcnemar(lost, won),
    )


def confusion_matrix(answers: Indices, truth: Indices, classes: int) -> Indices:
    """Counts of each answer (column) for each true label (row).

    Args:
        answers: int64 (N,).
        truth: int64 (N,).
        classes: Number of labels.

    Returns:
        int64 (classes, classes).
    """
    from sklearn.metrics import confusion_matrix as count

    return np.asarray(count(truth, answers, labels=np.arange(classes)), np.int64)


def installed_backends() -> list[str]:
    """The interpreters to compare, the one used by default first."""
    names = []
    for name, candidate in BACKENDS.items():
        package = candidate.module.partition(".")[0]
        if name != NOT_COMPARED and importlib.util.find_spec(package) is not None:
            names.append(name)
    if not names:
        raise InterpreterUnavailableError(
            "no interpreter is installed",
            "tflite-runtime or ai-edge-litert",
            "pip install -e '.[bench]'",
        )
    return names


def images_to_test(data: DataSet, comparison: Comparison, limit: int | None) -> DataSet:
    """The data set with the test images to use, once it is known to suit the models.

    Args:
        data: The data set.
        comparison: The models.
        limit: How many test images at most, every class in its proportion; None for all.

    Returns:
        The data set with fewer or the same test images.

    Raises:
        InputError: Labels or sizes differ from the models', or `limit` is impossible.
    """
    contract = comparison.contract
    if data.labels != contract.labels:
        raise InputError(
            f"the labels of {data.name} are {_listed(data.labels)}",
            f"a data set with the labels of {comparison.name} ({_listed(contract.labels)})",
            "name the data set it was trained for with --data",
        )
    if data.x_test.shape[1:] != contract.input_shape:
        raise InputError(
            f"the images of {data.name} are {_shape(data.x_test.shape[1:])}",
            f"{_shape(contract.input_shape)}, as {comparison.name} takes them,",
            "name the data set it was trained for with --data",
        )
    if limit is None or limit >= len(data.y_test):
        return data
    if limit < 1:
        raise InputError(f"the limit is {limit} images", "at least 1")
    kept = np.sort(stratified_order(data.y_test, seed=0)[:limit])
    return replace(data, x_test=data.x_test[kept], y_test=data.y_test[kept])


def measure_accuracy(
    comparison: Comparison, data: DataSet, progress: Progress
) -> tuple[Accuracy, Indices, dict[str, VariantAccuracy]]:
    """Lets the float model and every variant answer all test images.

    Args:
        comparison: The models.
        data: Its test images are used.
        progress: Called with a line for the person who waits.

    Returns:
        The float model's accuracy and confusion matrix, and what each variant did, by label.

    Raises:
        EdgeRuntimeError: A model cannot be used.
    """
    truth = np.asarray(data.y_test, np.int64)
    classes = len(data.labels)
    keras = load_keras(comparison.keras)
    if keras.contract.labels != data.labels:
        raise InputError(
            f"the labels of {comparison.keras} are {_listed(keras.contract.labels)}",
            f"a model with the labels of the converted ones ({_listed(data.labels)})",
            "name the model they were converted from with --keras",
        )
    reference = keras.scores(data.x_test).argmax(axis=1)
    original = accuracy_of(reference, truth)
    progress(f"accuracy: Keras float has answered {original.total:,} images")

    backends = installed_backends()
    answers = _all_answers(comparison.candidates, backends, data, progress)
    variants = {
        candidate.label: _variant(candidate, backends, answers, reference, truth, classes)
        for candidate in comparison.candidates
    }
    return original, confusion_matrix(reference, truth, classes), variants


def _all_answers(
    candidates: Sequence[Candidate], backends: Sequence[str], data: DataSet, progress: Progress
) -> Answers:
    """Asks every model in every interpreter, in processes of their own, one for each core.

    tflite-runtime 2.14 fails in a process into which TensorFlow was loaded before it, and here it
    may have been.
    """
    jobs = [(candidate, backend) for candidate in candidates for backend in backends]
    answers: Answers = {}
    fresh = get_context("spawn")
    try:
        with ProcessPoolExecutor(machine_facts()["cores"], mp_context=fresh) as pool:
            waiting = [pool.submit(_answers, c.path, b, data.x_test) for c, b in jobs]
            for (candidate, backend), job in zip(jobs, waiting, strict=True):
                version, given = job.result()
                answers[candidate.label, backend] = version, given
                progress(f"accuracy: {candidate.label} on {backend} has answered")
    except BrokenProcessPool:
        raise InterpreterError(
            f"an interpreter crashed on {candidate.path} or a model after it",
            "models that answer",
            "convert them again, or try each with `edge-run bench --model`",
        ) from None
    return answers


def _answers(path: Path, backend: str, pixels: NDArray[np.uint8]) -> tuple[str, Indices]:
    """One process's work: the interpreter's version, and the best label's index for each image."""
    classifier = Classifier(path, backend=backend)
    parts = [
        classifier.scores(pixels[start : start + BATCH]).argmax(axis=1)
        for start in range(0, len(pixels), BATCH)
    ]
    return classifier.interpreter.version, np.concatenate(parts)


def _variant(
    candidate: Candidate,
    backends: Sequence[str],
    answers: Answers,
    reference: Indices,
    truth: Indices,
    classes: int,
) -> VariantAccuracy:
    _, first = answers[candidate.label, backends[0]]
    interpreters = []
    for backend in backends:
        version, given = answers[candidate.label, backend]
        differing = int(np.count_nonzero(given != first))
        interpreters.append(
            InterpreterAnswers(backend, version, accuracy_of(given, truth), differing)
        )
    return VariantAccuracy(
        accuracy_of(first, truth),
        change_between(reference, first, truth),
        confusion_matrix(first, truth, classes),
        tuple(interpreters),
    )


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
