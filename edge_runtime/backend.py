"""The one place where an interpreter is imported.

Three packages carry the TensorFlow Lite interpreter; they are equals to the rest of the toolkit.
`open_interpreter` takes the fastest that is installed, and `Interpreter` is what all others see.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, InterpreterError, InterpreterUnavailableError, ModelError

__all__ = [
    "BACKENDS",
    "BackendStatus",
    "Interpreter",
    "TensorInfo",
    "answer_once",
    "backends",
    "open_interpreter",
    "probe",
]


@dataclass(frozen=True)
class _Candidate:
    distribution: str
    module: str
    interpreter: str
    remedy: str


# In the order in which they are tried. Measured on x86, one thread, a float model of 2.8 million
# multiply-accumulates: ai-edge-litert 94 µs, tflite-runtime 460 µs. TensorFlow has the same
# kernels as LiteRT, but takes six seconds and 600 MB to import.
BACKENDS = {
    "litert": _Candidate(
        "ai-edge-litert", "ai_edge_litert.interpreter", "Interpreter", "pip install ai-edge-litert"
    ),
    "tflite-runtime": _Candidate(
        "tflite-runtime",
        "tflite_runtime.interpreter",
        "Interpreter",
        "pip install tflite-runtime 'numpy<2'",
    ),
    "tensorflow": _Candidate(
        "tensorflow", "tensorflow", "lite.Interpreter", "pip install tensorflow"
    ),
}

# Long enough for a cold import on the smallest Pi, short enough to be waited for.
PROBE_TIMEOUT_S = 60.0
MAX_THREADS = 256


@dataclass(frozen=True)
class BackendStatus:
    """Whether an interpreter package can be used here.

    Attributes:
        name: Name for `open_interpreter`.
        version: Version of the installed package, or None.
        problem: Why it cannot be imported, in one line, or None if it can.
    """

    name: str
    version: str | None
    problem: str | None


@dataclass(frozen=True)
class TensorInfo:
    """What an interpreter says of the model's input or output.

    Attributes:
        name: Name of the tensor.
        shape: Its shape; -1 where the size is free.
        dtype: NumPy name of the type, for example "int8".
        scale: Real step of one integer; 0.0 for a float tensor.
        zero_point: The integer that stands for 0.0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def quantized(self) -> bool:
        """Whether the tensor holds integers that stand for real numbers."""
        return np.dtype(self.dtype).kind in "iu" and self.scale > 0


class Interpreter:
    """A loaded model with one input and one output, run on batches. Not for several threads.

    Attributes:
        name: The backend's name.
        version: The backend's version.
        num_threads: Threads it was given.
        input: The input tensor.
        output: The output tensor.
    """

    def __init__(self, native: Any, name: str, version: str, num_threads: int) -> None:
        """Wraps an interpreter object of any of the packages; see `open_interpreter`."""
        self.name = name
        self.version = version
        self.num_threads = num_threads
        self._native = native
        inputs, outputs = native.get_input_details(), native.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs",
                "one picture in and one list of scores out",
            )
        self._input_index = inputs[0]["index"]
        self._output_index = outputs[0]["index"]
        self.input = _tensor_info(inputs[0])
        self.output = _tensor_info(outputs[0])
        self._batch_is_free = bool(self.input.shape) and self.input.shape[0] == -1
        self._allocated: int | None = None

    def run(self, batch: NDArray[np.generic]) -> NDArray[Any]:
        """Runs the model on a batch.

        Args:
            batch: Array of shape (N, ...) in the input tensor's dtype; N at least 1. A model
                whose batch size is fixed is run as often as needed.

        Returns:
            Array of shape (N, ...) in the output tensor's dtype; a copy that stays valid.

        Raises:
            InputError: Another shape or dtype.
            InterpreterError: The interpreter failed.
        """
        expected = self.input.shape[1:]
        if batch.dtype != self.input.dtype or batch.shape[1:] != expected or len(batch) == 0:
            raise InputError(
                f"the batch is {batch.dtype}{list(batch.shape)}",
                f"{self.input.dtype}[N, {', '.join(map(str, expected))}] with N of at least 1",
            )
        try:
            if self._batch_is_free:
                return self._run(batch)
            size = self.input.shape[0]
            whole = -(-len(batch) // size) * size
            padded = np.concatenate([batch, np.repeat(batch[-1:], whole - len(batch), axis=0)])
            parts = [self._run(padded[i : i + size]) for i in range(0, whole, size)]
            return np.asarray(np.concatenate(parts)[: len(batch)])
        except (RuntimeError, ValueError) as error:
            raise InterpreterError(f"{self.name} {self.version} failed: {error}") from error

    def _run(self, batch: NDArray[np.generic]) -> NDArray[Any]:
        if self._allocated != len(batch):
            if self._batch_is_free:
                self._native.resize_tensor_input(self._input_index, list(batch.shape))
            self._native.allocate_tensors()
            self._allocated = len(batch)
        self._native.set_tensor(self._input_index, batch)
        self._native.invoke()
        return np.asarray(self._native.get_tensor(self._output_index))


def open_interpreter(flatbuffer: bytes, backend: str = "auto", num_threads: int = 1) -> Interpreter:
    """Loads a model.

    A model from a stranger belongs through `probe` first: tflite-runtime 2.14 dies of a
    segmentation fault on about half of all randomly damaged models.

    Args:
        flatbuffer: The model, without its seal.
        backend: "auto" for the fastest that is installed, or a key of `BACKENDS`.
        num_threads: Threads for one inference, from 1.

    Returns:
        The loaded model.

    Raises:
        InputError: No such backend, or an impossible number of threads.
        InterpreterUnavailableError: None can be imported; the text names each one's reason.
        InterpreterError: The interpreter refuses the model.
        ModelError: The model has more than one input or output.
    """
    if not 1 <= num_threads <= MAX_THREADS:
        raise InputError(f"the number of threads is {num_threads}", f"1 to {MAX_THREADS}")
    name, module = _import_backend(backend)
    candidate = BACKENDS[name]
    try:
        with _native_remarks_dropped():
            native = attrgetter(candidate.interpreter)(module)(
                model_content=flatbuffer, num_threads=num_threads
            )
            native.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise InterpreterError(
            f"{name} {_version(candidate)} cannot load the model: {error}",
            "a TensorFlow Lite model whose operators it knows",
            "convert the model with this toolkit, or install a newer interpreter",
        ) from error
    return Interpreter(native, name, _version(candidate) or "", num_threads)


def backends() -> tuple[BackendStatus, ...]:
    """All interpreter packages the toolkit can use, in the order in which they are tried.

    Each is imported to be sure of it; where TensorFlow is installed that takes seconds.
    """
    return tuple(
        BackendStatus(name, _version(candidate), _try_import(candidate.module)[1])
        for name, candidate in BACKENDS.items()
    )


def probe(flatbuffer: bytes, backend: str = "auto") -> None:
    """Loads and runs a model on zeros in a child process, where a crash does no harm.

    Args:
        flatbuffer: The model, without its seal.
        backend: As for `open_interpreter`.

    Raises:
        ModelError: The child crashed or hung.
        InterpreterError: The interpreter refuses the model or fails on it.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (package, environment.get("PYTHONPATH")) if part
    )
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE_PROGRAM, backend],
            input=flatbuffer,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"the model hung for {PROBE_TIMEOUT_S:.0f} s when it was tried") from None
    if child.returncode < 0:
        raise ModelError(
            f"the model made the interpreter crash (signal {-child.returncode})",
            "a whole TensorFlow Lite model",
            "copy the file again, or convert the model again",
        )
    if child.returncode:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise InterpreterError(f"the model was tried and failed: {lines[-1] if lines else ''}")


# What the child runs: load the model from standard input and answer once.
_PROBE_PROGRAM = """
import sys
from edge_runtime.backend import answer_once
from edge_runtime.errors import EdgeRuntimeError
try:
    answer_once(sys.stdin.buffer.read(), sys.argv[1])
except EdgeRuntimeError as error:
    sys.exit(str(error))
"""


def answer_once(flatbuffer: bytes, backend: str = "auto") -> None:
    """Loads a model and runs it on one input of zeros: what `probe` does in its child process.

    Args:
        flatbuffer: The model, without its seal.
        backend: As for `open_interpreter`.

    Raises:
        EdgeRuntimeError: As for `open_interpreter` and `Interpreter.run`.
    """
    interpreter = open_interpreter(flatbuffer, backend)
    shape = [1, *(max(side, 1) for side in interpreter.input.shape[1:])]
    interpreter.run(np.zeros(shape, interpreter.input.dtype))


def _import_backend(backend: str) -> tuple[str, ModuleType]:
    if backend != "auto" and backend not in BACKENDS:
        raise InputError(f"the backend {backend!r} is not known", f"auto, {', '.join(BACKENDS)}")
    problems = []
    for name in BACKENDS if backend == "auto" else (backend,):
        module, problem = _late(name) or _try_import(BACKENDS[name].module)
        if module is not None:
            return name, module
        problems.append(f"{name}: {problem}")
    wanted = "tflite-runtime" if backend == "auto" and sys.version_info < (3, 12) else backend
    remedy = BACKENDS.get(wanted, BACKENDS["litert"]).remedy
    raise InterpreterUnavailableError(
        f"no interpreter can be imported ({', '.join(problems)})",
        "one of them",
        remedy,
    )


def _late(name: str) -> tuple[None, str] | None:
    """Why an interpreter would fail in this process, whatever its import says, or None.

    Loaded after TensorFlow, tflite-runtime 2.14 finds that library's symbols in place of its own:
    models then fail with "vector::reserve" or a segmentation fault. The other order works.
    """
    module = BACKENDS[name].module
    if name == "tflite-runtime" and "tensorflow" in sys.modules and module not in sys.modules:
        return None, f"TensorFlow is loaded already; import {module} before it"
    return None


@cache
def _try_import(module: str) -> tuple[ModuleType | None, str | None]:
    try:
        return importlib.import_module(module), None
    except Exception as error:  # A broken binary wheel raises whatever its loader likes.
        text = str(error).strip().splitlines() or [type(error).__name__]
        return None, text[0]


@contextmanager
def _native_remarks_dropped() -> Iterator[None]:
    """Keeps the interpreter's "INFO: Created … delegate" off stderr; all else still gets there.

    The native code writes to file descriptor 2 itself and has no setting for it.
    """
    try:
        log = os.memfd_create("interpreter-log")
        stderr = os.dup(2)
    except (AttributeError, OSError):  # Not Linux, or no stderr: then the remark may stay.
        yield
        return
    os.dup2(log, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        with open(log, "rb") as remarks:
            remarks.seek(0)
            for line in remarks:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)


def _version(candidate: _Candidate) -> str | None:
    for distribution in (candidate.distribution, f"{candidate.distribution}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _tensor_info(details: dict[str, Any]) -> TensorInfo:
    scale, zero_point = details["quantization"]
    signature = details.get("shape_signature")
    shape = details["shape"] if signature is None or len(signature) == 0 else signature
    return TensorInfo(
        name=str(details["name"]),
        shape=tuple(int(side) for side in shape),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )
