"""A model answers its golden inputs, in a process of its own.

Loading a model proves little: there are files that load without a word and answer wrongly, and
files at which an interpreter dies of a segmentation fault, never returns, or takes all the memory
there is. `run_self_test` therefore starts `edge_runtime.selftest_child` with limits of time and
memory, which ends with this process; here nothing but the standard library is needed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .child import child_environment, python_command
from .errors import DeviceError

__all__ = ["MEMORY_LIMIT_BYTES", "SelfTest", "SelfTestTimeoutError", "run_self_test"]

# A cold import on the slowest Pi takes some ten seconds, ten inferences much less.
TIME_LIMIT_S = 120.0
MEMORY_LIMIT_BYTES = 400 * 2**20
"""Writable memory of the child (RLIMIT_DATA): what the service has (MemoryMax=400M in its unit).

With the released models a child has 23 MiB of it, under ai-edge-litert 2.3 and tflite-runtime 2.14
alike. Address space (RLIMIT_AS) would be the wrong measure: the libraries reserve 340 MiB of that
and touch 50.
"""


class SelfTestTimeoutError(DeviceError):
    """The model did not answer in time."""


@dataclass(frozen=True)
class SelfTest:
    """What a passed self-test found.

    Attributes:
        inputs: Number of golden inputs answered.
        largest_difference: Largest distance of a score from its golden score, 0 to 1.
        tolerance: The distance that was allowed.
        backend: The interpreter that answered.
        backend_version: Its version.
    """

    inputs: int
    largest_difference: float
    tolerance: float
    backend: str
    backend_version: str


def run_self_test(
    folder: Path,
    tolerance: float,
    time_limit_s: float = TIME_LIMIT_S,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> SelfTest:
    """Lets the model in a folder answer its golden inputs in a child process.

    Args:
        folder: Holds ``model.tflite``, ``golden.npz`` and, from a bundle, ``manifest.json``.
        tolerance: How far a score may lie from the golden one.
        time_limit_s: Seconds after which the child is killed.
        memory_limit_bytes: The most writable memory that the child may ask for.

    Returns:
        What the child found; it passed.

    Raises:
        SelfTestTimeoutError: It does not answer in time.
        DeviceError: The model answers wrongly, is refused, crashes or asks for too much memory.
    """
    limits = (repr(tolerance), str(memory_limit_bytes), str(os.getpid()))
    try:
        child = subprocess.run(
            python_command(f"{__package__}.selftest_child", str(folder), *limits),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            # One thread is enough, and NumPy's library need not reserve memory for each core.
            env=child_environment(OPENBLAS_NUM_THREADS="1"),
            timeout=time_limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SelfTestTimeoutError(
            f"the model did not answer its golden inputs within {time_limit_s:.0f} s"
        ) from None
    said = child.stderr.decode("utf-8", "replace").strip()
    # tflite-runtime lets C++ throw std::bad_alloc, and the process aborts.
    if child.returncode and ("bad_alloc" in said or "MemoryError" in said):
        raise DeviceError(
            "the model asked for too much memory in its self-test",
            f"at most {memory_limit_bytes // 2**20} MiB",
            "make the model or its input smaller",
        )
    if child.returncode < 0:
        raise DeviceError(
            "the model crashed the interpreter in its self-test "
            f"({signal.Signals(-child.returncode).name})",
            "a model that this device's interpreter can run",
            "try it here with edge-run classify, or convert it again",
        )
    if child.returncode:
        lines = said.splitlines()
        raise DeviceError(lines[-1] if lines else f"the self-test ended with {child.returncode}")
    return SelfTest(**json.loads(child.stdout.splitlines()[-1]))
