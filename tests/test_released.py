"""The released files are worth what their reports say: measured again, on the whole test set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Classifier

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ("float32", "float16", "dynamic", "int8")
Answers = dict[tuple[str, str], np.ndarray]


@pytest.fixture(scope="module")
def labels(mnist_dir: Path | None, mnist_test: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    if mnist_dir is None:
        # The 5,000 images that stand in for MNIST are among those the released model learned from.
        pytest.skip("$MNIST_DIR names no MNIST")
    return mnist_test[1]


@pytest.fixture(scope="module")
def answers(
    labels: np.ndarray,
    mnist_test: tuple[np.ndarray, np.ndarray],
    released_model: Callable[[str], Path],
) -> Answers:
    """The best class of each test image, by variant and interpreter."""
    return {
        (variant, backend): Classifier(released_model(variant), backend=backend)
        .scores(mnist_test[0])
        .argmax(axis=1)
        for variant in VARIANTS
        for backend in ("litert", "tflite-runtime")
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_interpreters_agree(answers: Answers, variant: str) -> None:
    same = answers[variant, "litert"] == answers[variant, "tflite-runtime"]
    assert same.mean() >= 0.999


def test_float_model_is_as_good_as_the_notebook_asks(answers: Answers, labels: np.ndarray) -> None:
    assert (answers["float32", "litert"] == labels).mean() >= 0.991


@pytest.mark.parametrize("variant", ["float16", "dynamic", "int8"])
@pytest.mark.parametrize("backend", ["litert", "tflite-runtime"])
def test_conversion_costs_at_most_a_tenth_of_a_point(
    answers: Answers, labels: np.ndarray, variant: str, backend: str
) -> None:
    correct = {v: (answers[v, backend] == labels).mean() for v in (variant, "float32")}
    assert abs(correct[variant] - correct["float32"]) <= 0.001


def test_report_says_what_is_measured_here(answers: Answers, labels: np.ndarray) -> None:
    report = json.loads((ROOT / "models" / "report.json").read_text())
    for variant in VARIANTS:
        measured = (answers[variant, "litert"] == labels).mean()
        # Other processors round other sums: a few images of 10,000 may fall on the other side.
        reported = report["variants"][variant]["accuracy"]["accuracy"]
        assert reported == pytest.approx(measured, abs=0.0005)


@pytest.mark.parametrize("variant", ["dynamic", "int8"])
def test_quantized_files_are_small(released_model: Callable[[str], Path], variant: str) -> None:
    assert released_model(variant).stat().st_size <= 110_000
