from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from convert import answers as module
from convert.answers import answers
from edge_runtime.contract import ModelContract, seal
from edge_runtime.errors import InterpreterError


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 12, 10, 3), dtype=np.uint8)


def test_answers_are_those_of_the_classifier_with_what_went_in_and_came_out(
    converted: Path, pixels: np.ndarray
) -> None:
    path = converted / "colours_int8.tflite"
    given = answers(path.read_bytes(), pixels, "litert")
    assert given.backend == "litert"
    assert given.input_shape == (-1, 12, 10, 3)
    assert given.raw_in.dtype == given.raw_out.dtype == np.int8
    assert given.raw_in.shape == pixels.shape
    assert given.scores.shape == given.raw_out.shape == (4, 3)
    np.testing.assert_allclose(given.scores.sum(axis=1), 1, rtol=1e-5)
    assert (given.scores.argmax(1) == given.raw_out.argmax(1)).all()
    # Calibration knows the range of pixels, so none is clipped: 256 steps for 256 values.
    assert (given.raw_in == pixels.astype(int) - 128).all()


def test_a_model_that_an_interpreter_refuses_is_an_error_in_its_words(
    colour_contract: ModelContract, pixels: np.ndarray
) -> None:
    sealed = seal(b"\x1c\0\0\0TFL3" + bytes(200), colour_contract)
    with pytest.raises(InterpreterError, match="litert .* cannot load the model"):
        answers(sealed, pixels, "litert")


def test_a_crash_of_the_interpreter_is_an_error_that_names_it(
    converted: Path, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(InterpreterError, match=r"litert crashed on the model \(Segmentation fault"):
        answers((converted / "colours_int8.tflite").read_bytes(), pixels, "litert")


def test_an_interpreter_that_hangs_is_an_error(
    converted: Path, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    with pytest.raises(InterpreterError, match="litert was still busy"):
        answers((converted / "colours_int8.tflite").read_bytes(), pixels, "litert")


def test_both_interpreters_answer_although_tensorflow_is_loaded(
    converted: Path, pixels: np.ndarray
) -> None:
    import tensorflow  # noqa: F401

    sealed = (converted / "colours_float32.tflite").read_bytes()
    first, second = (answers(sealed, pixels, name) for name in ("litert", "tflite-runtime"))
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)
