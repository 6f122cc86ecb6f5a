"""A model's answers, given in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime import Classifier
from edge_runtime.errors import InterpreterError
from edge_runtime.images import decode_image
from edge_runtime.machine import machine_facts
from train.dataset import Images

from ..accuracy import BATCH, installed_backends
from .samples import Samples

__all__ = ["Answers", "Interpreter", "ask"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Interpreter:
    """What ran the model."""

    backend: str
    version: str


@dataclass(frozen=True)
class Answers:
    """What a model says of each image of a set.

    Attributes:
        best: int64 (N,), index of the most probable label.
        score: float64 (N,), its probability.
        empty: bool (N,), whether nothing was found in the picture.
    """

    best: NDArray[np.int64]
    score: NDArray[np.float64]
    empty: NDArray[np.bool_]

    @property
    def rank(self) -> NDArray[np.float64]:
        """float64 (N,): the score, but 0 for an empty picture, which is rejected whatever it is."""
        return np.where(self.empty, 0.0, self.score)

    def rejected(self, threshold: float | None) -> NDArray[np.bool_]:
        """Bool (N,), as `Classifier` rejects: empty, or scored below the threshold if there is one.

        Args:
            threshold: A probability, or None.
        """
        return self.empty if threshold is None else self.empty | (self.score < threshold)


def ask(
    model: Path, samples: Sequence[Samples], progress: Progress
) -> tuple[Interpreter, list[Answers]]:
    """Lets a model answer sets of images with the interpreter that is used by default.

    tflite-runtime 2.14 fails in a process into which TensorFlow was loaded before it, so the work
    is done in fresh processes, one for each core.

    Args:
        model: A sealed ``.tflite`` file.
        samples: The sets, at least one.
        progress: Called with a line for the person who waits.

    Returns:
        What ran it, and the answers to each set.

    Raises:
        EdgeRuntimeError: The model cannot be used.
    """
    backend = installed_backends()[0]
    fresh = get_context("spawn")
    workers = min(machine_facts()["cores"], len(samples))
    try:
        with ProcessPoolExecutor(workers, mp_context=fresh) as pool:
            jobs = {pool.submit(_answers, model, backend, one.images): one for one in samples}
            for job in as_completed(jobs):
                job.result()
                progress(f"{jobs[job].name}: {len(jobs[job].images):,} {jobs[job].fed} answered")
            given = [job.result() for job in jobs]
    except BrokenProcessPool:
        raise InterpreterError(
            f"an interpreter crashed on {model}",
            "a model that answers",
            "convert it again, or try it with `edge-run bench --model`",
        ) from None
    return Interpreter(backend, given[0][0]), [answers for _, answers in given]


def _answers(model: Path, backend: str, images: Images | tuple[bytes, ...]) -> tuple[str, Answers]:
    """One process's work: the interpreter's version and the answers."""
    classifier = Classifier(model, backend=backend)
    best, score, empty = [], [], []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        if isinstance(batch, tuple):
            # What Classifier.classify does with the path of such a file, but for reading it.
            fitted = [classifier.prepare(decode_image(data, "a picture")) for data in batch]
            empty += [one.empty for one in fitted]
            batch = np.stack([one.pixels for one in fitted])
        else:
            empty += [False] * len(batch)
        scores = classifier.scores(batch)
        best.append(scores.argmax(axis=1))
        score.append(scores.max(axis=1).astype(np.float64))
    answers = Answers(np.concatenate(best), np.concatenate(score), np.array(empty, bool))
    return classifier.interpreter.version, answers
