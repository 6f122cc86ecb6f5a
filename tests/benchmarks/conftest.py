"""Fixtures for the tests of this room: a report made by hand, and one really measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.accuracy import (
    InterpreterAnswers,
    VariantAccuracy,
    accuracy_of,
    change_between,
    confusion_matrix,
)
from benchmarks.candidates import Candidate, Comparison
from benchmarks.latency import VariantLatency
from benchmarks.report import Report
from edge_runtime import ModelContract
from edge_runtime.measure import summarize_latency
from train.dataset import DataSet

if TYPE_CHECKING:
    MakeReport = Callable[..., Report]

SHA256 = {"train-images": "a" * 64, "test-images": "b" * 64}


@pytest.fixture(scope="session")
def digits_npz(small_data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set as a file: `--data` with nothing to search for or to download."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(
        path,
        x_train=small_data.x_train[:200, ..., 0],
        y_train=small_data.y_train[:200],
        x_test=small_data.x_test[:150, ..., 0],
        y_test=small_data.y_test[:150],
    )
    return path


@pytest.fixture(scope="session")
def measured(
    small_run: Path, digits_npz: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """What ``python -m benchmarks`` leaves and prints: its folder, its stdout and its stderr."""
    import contextlib
    import io

    from benchmarks.__main__ import main

    out = tmp_path_factory.mktemp("report")
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        status = main(
            ["--models", str(small_run), "--data", str(digits_npz), "--runs", "4", "--limit", "120",
             "--out", str(out)]
        )  # fmt: skip
    assert status == 0, stderr.getvalue()
    return out, stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def make_report(tmp_path: Path) -> MakeReport:
    """Makes a report with three labels and two variants, in which "slow" lost an image."""
    keras = tmp_path / "toy.keras"
    keras.write_bytes(b"k" * 20_000)

    def make(*, notice: str | None = None, trained_on: dict[str, str] | None = None,
             threads: tuple[int, ...] = (1,)) -> Report:  # fmt: skip
        contract = ModelContract(
            "toy", ("ant", "bee", "cat"), 4, 4, 1, training={"data": {"sha256": trained_on}}
        )
        truth = np.arange(30) % 3
        original = truth.copy()
        original[:2] = 1, 2
        slow = original.copy()
        slow[3] = 2
        answers = {"slow": slow, "fast": original.copy()}
        data = DataSet(
            "toys", np.zeros((3, 4, 4, 1), np.uint8), np.arange(3),
            np.zeros((30, 4, 4, 1), np.uint8), truth,
            contract.labels, "stretch", "any", notice, "toys/", SHA256,
        )  # fmt: skip
        random = np.random.RandomState(1)
        latency = []
        for count in threads:
            for backend in ("litert", "tflite-runtime"):
                for label, mean in (("slow", 2.0), ("fast", 0.5)):
                    samples = tuple(random.gamma(100, mean / 100, size=50))
                    summary = summarize_latency(samples, warmup=10)
                    latency.append(
                        VariantLatency(label, backend, "1.0", count, 5, summary, summary, 150.0,
                                       40_000_000, mean / 2, samples)
                    )  # fmt: skip
        return Report(
            comparison=Comparison(
                "toy", keras,
                tuple(
                    Candidate(label, tmp_path / f"toy_{label}.tflite", 5_000, label * 16, contract)
                    for label in answers
                ),
            ),
            data=data,
            limited=False,
            float_accuracy=accuracy_of(original, truth),
            float_confusion=confusion_matrix(original, truth, 3),
            accuracy={
                label: VariantAccuracy(
                    accuracy_of(given, truth), change_between(original, given, truth),
                    confusion_matrix(given, truth, 3),
                    (InterpreterAnswers("litert", "1.0", accuracy_of(given, truth), 0),
                     InterpreterAnswers("tflite-runtime", "2.0", accuracy_of(given, truth), 1)),
                )
                for label, given in answers.items()
            },
            latency=latency,
            machine={"board": None, "cpu": "Toy CPU", "machine": "x", "cores": 2,
                     "memory_bytes": 2**30, "governor": None, "system": "Linux",
                     "python": "3.11", "numpy": "1.26"},
            warnings=["the toy is warm"],
            measured_at="2026-01-01T00:00:00+00:00",
        )  # fmt: skip

    return make
