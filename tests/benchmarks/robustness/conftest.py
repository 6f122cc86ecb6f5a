"""Fixtures for the tests of robustness: the sheet, and findings made by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.candidates import Candidate
from benchmarks.robustness.answers import Answers, Interpreter
from benchmarks.robustness.findings import Asked, Findings
from benchmarks.robustness.samples import INPUTS, PICTURES, Absent, Samples, png_bytes
from edge_runtime import ModelContract

if TYPE_CHECKING:
    MakeFindings = Callable[..., Findings]

DIGITS = tuple("0123456789")


@pytest.fixture(scope="session")
def opencv_sheet() -> Path:
    """OpenCV's sheet of digits, where $OPENCV_DIGITS names it."""
    sheet = os.environ.get("OPENCV_DIGITS")
    if not sheet:
        pytest.skip("$OPENCV_DIGITS names no sheet of digits")
    return Path(sheet)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which neither the sheet nor Fashion-MNIST is found."""
    monkeypatch.delenv("OPENCV_DIGITS", raising=False)
    monkeypatch.setenv("FASHION_MNIST_DIR", "/nowhere/fashion")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn sets of forty, which take a moment."""
    for name in ("INPUT_COUNT", "PICTURE_COUNT", "LETTER_COUNT"):
        monkeypatch.setattr(f"benchmarks.robustness.outliers.{name}", 40)


def asked(samples: Samples, best: list[int], score: list[float], empty: list[int]) -> Asked:
    """Answers given by hand."""
    answers = Answers(np.array(best), np.array(score), np.array(empty, bool))
    return Asked(samples, answers)


@pytest.fixture
def make_findings(tmp_path: Path) -> MakeFindings:
    """Makes findings about a model that was asked four digits in both ways, and what is none.

    As inputs the answers are right, right, wrong at 0.95 and right at 0.5; the pictures' first is
    empty. Of three noise images one is surer than all digits, one is as sure as the second digit.
    """

    def make(label: str = "int8", *, threshold: float | None = 0.8,
             withheld: str | None = None) -> Findings:  # fmt: skip
        contract = ModelContract(
            "toy", DIGITS, 28, 28, 1, fit="ink", polarity="light-on-dark",
            rejection_threshold=threshold, variant=label,
        )  # fmt: skip
        candidate = Candidate(label, tmp_path / f"toy_{label}.tflite", 5_000, label * 16, contract)
        random = np.random.RandomState(0)
        pixels = random.randint(0, 256, (4, 28, 28, 1)).astype(np.uint8)
        files = tuple(map(png_bytes, pixels))
        truth = np.array([0, 1, 2, 3])
        ready = Samples("toy digits", "digits made by hand", pixels, truth)
        pictures = Samples("toy digits", "digits made by hand, as files", files, truth)
        inputs = asked(ready, [0, 1, 5, 3], [0.9, 0.85, 0.95, 0.5], [0, 0, 0, 0])
        read = asked(pictures, [0, 1, 5, 3], [0.9, 0.85, 0.95, 0.5], [1, 0, 0, 0])
        noise = Samples(
            "noise",
            "noise made by hand",
            pixels[:3],
            parts={"loud noise": np.array([1, 0, 0], bool)},
        )
        paper = Samples("paper", "paper made by hand", files[:2])
        missing = Absent("sheet", "a sheet", PICTURES, "nobody names it")
        known = {} if withheld else {INPUTS: inputs, PICTURES: read}
        return Findings(
            candidate,
            Interpreter("litert", "1.0"),
            withheld,
            known,
            (missing, *(() if withheld else (read,))),
            (
                asked(noise, [8, 8, 8], [0.99, 0.85, 0.2], [0, 0, 0]),
                asked(paper, [1, 1], [0.99, 0.99], [1, 1]),
            ),
        )

    return make
