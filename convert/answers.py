"""What an interpreter answers, asked in a process of its own.

Two reasons. A model that makes an interpreter crash must not take the conversion with it. And
tflite-runtime 2.14 fails ("vector::reserve", "std::bad_alloc") in a process into which TensorFlow
was loaded first, which in this room it always is; on a device it never is.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime import Classifier, EdgeRuntimeError
from edge_runtime.child import child_environment, python_command
from edge_runtime.errors import InterpreterError

__all__ = ["Answers", "answers"]

# The slowest case seen, int16x8 in tflite-runtime's reference kernels, takes 2 s for 500 pictures.
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Answers:
    """A model's answers to pictures, in one interpreter.

    Attributes:
        backend: The interpreter.
        version: Its version.
        input_shape: Shape of the model's input; -1 where the size is free.
        scores: float32 (N, classes), as `Classifier.scores` gives them.
        raw_in: The model's input for the pictures, in its own type.
        raw_out: Its output, in its own type, (N, classes).
    """

    backend: str
    version: str
    input_shape: tuple[int, ...]
    scores: NDArray[np.float32]
    raw_in: NDArray[Any]
    raw_out: NDArray[Any]


def answers(sealed: bytes, pixels: NDArray[np.uint8], backend: str) -> Answers:
    """Asks a sealed model about pictures.

    Args:
        sealed: The bytes of the file.
        pixels: Pictures, uint8 (N, height, width, channels).
        backend: The interpreter, by its name in `edge_runtime.backend.BACKENDS`.

    Returns:
        The answers.

    Raises:
        InterpreterError: The interpreter refuses the model, fails on it, crashes or hangs.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, question, reply = (Path(folder, n) for n in ("m.tflite", "q.npy", "a.npz"))
        model.write_bytes(sealed)
        np.save(question, pixels, allow_pickle=False)
        try:
            child = subprocess.run(
                python_command(__name__, backend, *map(str, (model, question, reply))),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                env=child_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InterpreterError(f"{backend} was still busy after {TIMEOUT_S:.0f} s") from None
        if child.returncode < 0:
            name = signal.strsignal(-child.returncode) or f"signal {-child.returncode}"
            raise InterpreterError(f"{backend} crashed on the model ({name})")
        if child.returncode:
            lines = child.stderr.decode(errors="replace").strip().splitlines()
            raise InterpreterError(lines[-1] if lines else f"{backend} failed on the model")
        with np.load(reply, allow_pickle=False) as arrays:
            return Answers(
                backend,
                str(arrays["version"]),
                tuple(map(int, arrays["input_shape"])),
                arrays["scores"],
                arrays["raw_in"],
                arrays["raw_out"],
            )


def _reply(backend: str, model: str, question: str, reply: str) -> None:
    """The child's part."""
    pixels = np.load(question, allow_pickle=False)
    classifier = Classifier(model, backend=backend)
    interpreter = classifier.interpreter
    raw_in = classifier.model_input(pixels)
    np.savez(
        reply,
        version=np.array(interpreter.version),
        input_shape=np.array(interpreter.input.shape),
        scores=classifier.scores(pixels),
        raw_in=raw_in,
        raw_out=interpreter.run(raw_in).reshape(len(pixels), -1),
    )


if __name__ == "__main__":
    try:
        _reply(*sys.argv[1:])
    except EdgeRuntimeError as error:
        sys.exit(str(error))
