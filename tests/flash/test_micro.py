"""TensorFlow Lite Micro itself, in its child process."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.contract import load_sealed
from edge_runtime.errors import MissingDependencyError
from flash import micro
from flash.errors import FlashError
from flash.golden import find_golden
from flash.micro import measure


@pytest.fixture(scope="module")
def flatbuffer(models) -> bytes:
    return load_sealed(models / "seed_int8.tflite").flatbuffer


@pytest.fixture(scope="module")
def inputs(models) -> np.ndarray:
    path = models / "seed_int8.tflite"
    return find_golden(path, load_sealed(path)).raw_inputs


def test_model_runs_in_the_arena_that_was_measured_and_in_no_smaller(flatbuffer, inputs):
    found = measure(flatbuffer, inputs[:2])
    # The seed's int8 model: 31,376 to 31,984 bytes, depending on how it was converted.
    assert 25_000 < found.arena_bytes < 40_000
    again = measure(flatbuffer, inputs[:2], found.arena_bytes + 1024)
    np.testing.assert_array_equal(again.outputs, found.outputs)
    assert len(found.outputs) == 2
    with pytest.raises(FlashError, match="TensorFlow Lite Micro says: "):
        measure(flatbuffer, inputs[:2], found.arena_bytes - 2048)


def test_tensors_are_described(flatbuffer, inputs):
    found = measure(flatbuffer, inputs[:1])
    assert (found.input.dtype, found.input.shape) == ("int8", (1, 28, 28, 1))
    assert found.input.scale == pytest.approx(1 / 255)
    assert found.input.zero_point == -128
    assert (found.output.dtype, found.output.shape) == ("int8", (1, 10))
    assert found.outputs.shape == (1, 10)


def test_crash_is_survived(flatbuffer, inputs, tmp_path, monkeypatch):
    (tmp_path / "tflite_micro").mkdir()
    (tmp_path / "tflite_micro" / "__init__.py").write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(FlashError, match=r"crashed \(SIGSEGV\)"):
        measure(flatbuffer, inputs)


def test_hanging_is_given_up(flatbuffer, inputs, tmp_path, monkeypatch):
    (tmp_path / "tflite_micro").mkdir()
    (tmp_path / "tflite_micro" / "__init__.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(FlashError, match="did not finish within 2 s"):
        measure(flatbuffer, inputs, time_limit_s=2)


def test_missing_package_names_the_extra(flatbuffer, inputs, monkeypatch):
    monkeypatch.setattr(micro.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install -e '\.\[flash\]'"):
        measure(flatbuffer, inputs)
