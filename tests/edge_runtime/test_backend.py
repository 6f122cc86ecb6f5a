import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import backend
from edge_runtime.contract import load_sealed
from edge_runtime.errors import (
    EdgeRuntimeError,
    InputError,
    InterpreterError,
    InterpreterUnavailableError,
    ModelError,
)

# TensorFlow is left out: it takes seconds to import and has LiteRT's kernels.
INSTALLED = [
    name
    for name in ("litert", "tflite-runtime")
    if backend._try_import(backend.BACKENDS[name].module)[0] is not None
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def int8(released_model) -> bytes:
    return load_sealed(released_model("int8")).flatbuffer


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    return np.random.default_rng(1).integers(-128, 128, (5, 28, 28, 1)).astype(np.int8)


def test_one_interpreter_is_installed():
    assert INSTALLED


@pytest.mark.parametrize("name", INSTALLED)
def test_batches_of_any_size_give_what_single_pictures_give(name, int8, batch):
    interpreter = backend.open_interpreter(int8, name)
    together = interpreter.run(batch)
    singly = np.concatenate([interpreter.run(batch[i : i + 1]) for i in range(len(batch))])
    again = interpreter.run(batch[:3])
    assert together.shape == (5, 10)
    # XNNPACK takes other kernels for other batch sizes: a step or three in the last place.
    assert np.abs(together.astype(int) - singly).max() <= 3
    assert np.abs(again.astype(int) - together[:3]).max() <= 3


@pytest.mark.parametrize("name", INSTALLED)
def test_results_stay_valid_after_the_next_run(name, int8, batch):
    interpreter = backend.open_interpreter(int8, name)
    first = interpreter.run(batch[:1])
    kept = first.copy()
    interpreter.run(batch[1:2])
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", INSTALLED)
def test_tensors_are_described(name, int8):
    interpreter = backend.open_interpreter(int8, name, num_threads=2)
    assert interpreter.name == name
    assert interpreter.num_threads == 2
    assert interpreter.version
    assert interpreter.input.shape == (-1, 28, 28, 1)
    assert interpreter.input.dtype == "int8"
    assert interpreter.input.quantized
    assert interpreter.output.shape[-1] == 10


@pytest.mark.parametrize("name", INSTALLED)
def test_opening_a_model_says_nothing_and_errors_still_do(name, int8, capfd):
    backend.open_interpreter(int8, name)
    with backend._native_remarks_dropped():
        os.write(2, b"INFO: Created a delegate.\nERROR: no such operator\n")
    assert capfd.readouterr() == ("", "ERROR: no such operator\n")


class FixedBatch:
    """An interpreter object whose model takes two pictures at a time and doubles them."""

    def get_input_details(self):
        return [self.details("in")]

    def get_output_details(self):
        return [self.details("out")]

    def details(self, name):
        return {
            "name": name,
            "index": 0,
            "shape": np.array([2, 3]),
            "dtype": np.float32,
            "shape_signature": np.array([2, 3]),
            "quantization": (0.0, 0),
        }

    def allocate_tensors(self):
        pass

    def set_tensor(self, index, value):
        assert value.shape == (2, 3)
        self.value = value

    def invoke(self):
        self.value = self.value * 2

    def get_tensor(self, index):
        return self.value


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_model_of_fixed_batch_size_is_run_as_often_as_needed(size):
    batch = np.arange(size * 3, dtype=np.float32).reshape(size, 3)
    result = backend.Interpreter(FixedBatch(), "fake", "1", 1).run(batch)
    assert np.array_equal(result, batch * 2)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 28, 28, 1), np.float32),
        np.zeros((1, 27, 28, 1), np.int8),
        np.zeros((28, 28, 1), np.int8),
        np.zeros((0, 28, 28, 1), np.int8),
    ],
)
def test_batch_of_another_kind_is_refused(wrong, int8):
    with pytest.raises(InputError, match=r"int8\[N, 28, 28, 1\] with N of at least 1 was expected"):
        backend.open_interpreter(int8).run(wrong)


def test_impossible_options_are_refused(int8):
    with pytest.raises(InputError, match="number of threads is 0"):
        backend.open_interpreter(int8, num_threads=0)
    with pytest.raises(InputError, match="'torch' is not known; auto, litert, tflite-runtime"):
        backend.open_interpreter(int8, "torch")


def test_model_that_no_interpreter_takes_is_an_error_of_ours():
    with pytest.raises(EdgeRuntimeError, match=r"failed|crash"):
        backend.probe(b"\x1c\0\0\0TFL3" + b"\0" * 64)


def test_model_that_kills_the_interpreter_does_not_kill_us(int8, monkeypatch):
    program = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(backend, "_PROBE_PROGRAM", program)
    with pytest.raises(ModelError, match="made the interpreter crash"):
        backend.probe(int8)


def test_model_that_hangs_is_given_up(int8, monkeypatch):
    monkeypatch.setattr(backend, "_PROBE_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(backend, "PROBE_TIMEOUT_S", 0.2)
    with pytest.raises(ModelError, match="hung"):
        backend.probe(int8)


def test_whole_model_passes_the_probe(int8):
    backend.probe(int8)


def test_damaged_models_never_end_the_process_of_the_probe(int8):
    rng = np.random.default_rng(7)
    outcomes = set()
    for _ in range(6):
        data = bytearray(int8)
        for position in rng.integers(8, len(data), 200):
            data[position] = rng.integers(256)
        try:
            backend.probe(bytes(data), INSTALLED[-1])
            outcomes.add("ran")
        except (ModelError, InterpreterError) as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes


def test_without_any_interpreter_each_reason_and_the_remedy_are_named(int8):
    program = (
        "import sys\n"
        "for name in ('ai_edge_litert', 'tflite_runtime', 'tensorflow'): sys.modules[name] = None\n"
        "from edge_runtime.backend import open_interpreter\n"
        "from edge_runtime.errors import InterpreterUnavailableError\n"
        "try: open_interpreter(b'')\n"
        "except InterpreterUnavailableError as error: print(error)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "no interpreter can be imported (litert: " in child.stdout
    assert "tflite-runtime: " in child.stdout
    assert "tensorflow: " in child.stdout
    assert "pip install" in child.stdout


def test_backend_asked_for_and_not_installed_names_its_remedy(int8, monkeypatch):
    monkeypatch.setattr(backend, "_try_import", lambda module: (None, "no wheel for this machine"))
    with pytest.raises(
        InterpreterUnavailableError,
        match=r"litert: no wheel for this machine.*pip install ai-edge-litert",
    ):
        backend.open_interpreter(int8, "litert")


def test_tflite_runtime_is_not_loaded_after_tensorflow(int8, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    monkeypatch.delitem(sys.modules, "tflite_runtime.interpreter", raising=False)
    with pytest.raises(
        InterpreterUnavailableError, match=r"import tflite_runtime\.interpreter before it"
    ):
        backend.open_interpreter(int8, "tflite-runtime")
