"""Runs a model in TensorFlow Lite Micro itself, in a child process.

The package ``tflite-micro`` is TFLM compiled for this machine, with its arena accounting. A model
that it cannot run may end its process, so `measure` starts this module as a child.
"""

from __future__ import annotations

import importlib.util
import json
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.backend import TensorInfo
from edge_runtime.child import child_environment, python_command
from edge_runtime.errors import MissingDependencyError

from .errors import FlashError

__all__ = ["GENEROUS_ARENA_BYTES", "MicroRun", "main", "measure"]

GENEROUS_ARENA_BYTES = 64 * 2**20
"""More than any microcontroller has: the first run is to find out what is needed."""
TIME_LIMIT_S = 120.0


@dataclass(frozen=True)
class MicroRun:
    """What TFLM did with a model.

    Attributes:
        arena_bytes: What it allocated in its arena, in all.
        input: The input tensor.
        output: The output tensor.
        outputs: (N, classes) in the output tensor's dtype, one row an input.
        version: Version of the package tflite-micro.
    """

    arena_bytes: int
    input: TensorInfo
    output: TensorInfo
    outputs: NDArray
    version: str


def measure(
    flatbuffer: bytes,
    inputs: NDArray,
    arena_bytes: int = GENEROUS_ARENA_BYTES,
    time_limit_s: float = TIME_LIMIT_S,
) -> MicroRun:
    """Runs a model on inputs and reports what it needed.

    Args:
        flatbuffer: The model, without its seal.
        inputs: (N, height, width, channels) in the dtype of the model's input.
        arena_bytes: Size of the arena.
        time_limit_s: Seconds after which the child is killed.

    Returns:
        Outputs and arena.

    Raises:
        FlashError: TFLM refuses the model, crashes or hangs; the text has its own words.
        MissingDependencyError: The package is not installed.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingDependencyError(
            "the package tflite-micro is not installed",
            "the extra flash (Linux on x86-64)",
            "pip install -e '.[flash]'",
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(flatbuffer)
        np.save(folder / "inputs.npy", inputs, allow_pickle=False)
        try:
            child = subprocess.run(
                python_command(__name__, name, str(arena_bytes)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=child_environment(),
                timeout=time_limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FlashError(
                f"TensorFlow Lite Micro did not finish within {time_limit_s:.0f} s"
            ) from None
        if child.returncode:
            raise FlashError(_reason(child.returncode, child.stderr))
        facts = json.loads(child.stdout.splitlines()[-1])
        outputs = np.load(folder / "outputs.npy", allow_pickle=False)
    arena = re.search(r"Arena allocation total (\d+) bytes", child.stderr)
    if arena is None:
        raise FlashError("tflite-micro printed no arena size", "", "report this with its version")
    return MicroRun(
        int(arena[1]), _tensor(facts["input"]), _tensor(facts["output"]), outputs, facts["version"]
    )


def _reason(exit_status: int, stderr: str) -> str:
    """TFLM's own words, among which the operator's name stands, on one line."""
    if exit_status < 0:
        return f"TensorFlow Lite Micro crashed ({signal.Signals(-exit_status).name})"
    words = stderr.partition("Traceback (most recent call last)")
    said = [line.strip() for line in words[0].splitlines() if line.strip()]
    last = words[2].strip().splitlines()[-1:]
    # "tensorflow/lite/micro/kernels/conv_common.cc:42 reason": the place is for TFLM's developers.
    said = [re.sub(r"^tensorflow/\S+\s+", "", line) for line in said]
    return "TensorFlow Lite Micro says: " + " / ".join(said or last)


def _tensor(fields: dict[str, object]) -> TensorInfo:
    return TensorInfo(**{**fields, "shape": tuple(fields["shape"])})  # type: ignore[arg-type]


def main(argv: Sequence[str]) -> int:
    """What the child process does: outputs into the folder, facts to stdout, arena to stderr.

    Args:
        argv: The folder with ``model.tflite`` and ``inputs.npy``; the arena's size.

    Returns:
        0; an exception of tflite-micro ends the process with a traceback.
    """
    from importlib.metadata import version

    from tflite_micro import runtime

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(argv[0])
    interpreter = runtime.Interpreter.from_bytes(
        (folder / "model.tflite").read_bytes(), arena_size=int(argv[1])
    )
    outputs = []
    for one in np.load(folder / "inputs.npy", allow_pickle=False):
        interpreter.set_input(one[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1))
    np.save(folder / "outputs.npy", np.stack(outputs), allow_pickle=False)
    facts = {
        "input": _described(interpreter.get_input_details(0)),
        "output": _described(interpreter.get_output_details(0)),
        "version": version("tflite-micro"),
    }
    print(json.dumps(facts))
    interpreter.print_allocations()
    return 0


def _described(details: dict) -> dict[str, object]:
    quantization = details["quantization_parameters"]
    scales, zero_points = quantization["scales"], quantization["zero_points"]
    return {
        "name": "",
        "shape": [int(side) for side in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scales[0]) if len(scales) else 0.0,
        "zero_point": int(zero_points[0]) if len(zero_points) else 0,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
