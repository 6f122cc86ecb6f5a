"""A model answers its golden inputs, in a process of its own.

Loading a model proves little: there are files that load without a word and answer wrongly, and
files at which an interpreter dies of a segmentation fault or never returns. `run_self_test`
therefore starts this module in a child process with a time limit, and the child compares answers.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .bundle import GOLDEN_FILE, MAX_GOLDEN_BYTES, MODEL_FILE
from .classifier import Classifier
from .errors import DeviceError, EdgeRuntimeError
from .files import read_limited

__all__ = ["SelfTest", "check_answers", "main", "run_self_test"]

# A cold import on the slowest Pi takes some ten seconds, ten inferences much less.
TIME_LIMIT_S = 120.0
# What golden.npz may unpack to: a deflated gigabyte of zeros is a megabyte.
MAX_UNPACKED_BYTES = 4 * MAX_GOLDEN_BYTES


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


def run_self_test(folder: Path, tolerance: float, time_limit_s: float = TIME_LIMIT_S) -> SelfTest:
    """Lets the model in a folder answer its golden inputs in a child process.

    Args:
        folder: Holds ``model.tflite`` and ``golden.npz``.
        tolerance: How far a score may lie from the golden one.
        time_limit_s: Seconds after which the child is killed.

    Returns:
        What the child found; it passed.

    Raises:
        DeviceError: The model answers wrongly, is refused, crashes or hangs.
    """
    # -P: the child must import the packages this process has, not what lies in the working folder.
    command = [sys.executable, "-P", "-m", __name__, str(folder), repr(tolerance)]
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    # One thread is enough, and NumPy's library need not reserve memory for each core.
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=time_limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"the model did not answer its golden inputs within {time_limit_s:.0f} s"
        ) from None
    if child.returncode < 0:
        raise DeviceError(
            "the model crashed the interpreter in its self-test "
            f"({signal.Signals(-child.returncode).name})",
            "a model that this device's interpreter can run",
            "try it here with edge-run classify, or convert it again",
        )
    lines = child.stderr.decode("utf-8", "replace").strip().splitlines()
    if child.returncode:
        raise DeviceError(lines[-1] if lines else f"the self-test ended with {child.returncode}")
    return SelfTest(**json.loads(child.stdout.splitlines()[-1]))


def check_answers(
    scores: NDArray[np.float32],
    golden: NDArray[np.float32],
    labels: Sequence[str],
    tolerance: float,
) -> float:
    """Compares a model's answers with the golden ones.

    The label must be the same; scores may differ a little, because interpreters round differently.

    Args:
        scores: float32 (N, classes), as this device answers.
        golden: float32 (N, classes), as they should be.
        labels: The classes' names.
        tolerance: How far a score may lie from the golden one.

    Returns:
        The largest distance.

    Raises:
        DeviceError: Another label, or a score further away than `tolerance`.

    >>> answers = np.array([[0.9, 0.1]], np.float32)
    >>> check_answers(answers, answers, ("cat", "dog"), 0.01)
    0.0
    """
    remedy = "the model is not the one that was measured, or this interpreter cannot run it rightly"
    if scores.shape != golden.shape or not np.isfinite(scores).all():
        raise DeviceError(
            f"the model answers with {list(scores.shape)} scores",
            f"{list(golden.shape)} finite ones",
            remedy,
        )
    given, wanted = scores.argmax(axis=1), golden.argmax(axis=1)
    if (wrong := np.flatnonzero(given != wanted)).size:
        first = wrong[0]
        raise DeviceError(
            f"the model answers {wrong.size} of {len(golden)} golden inputs with another label "
            f"(input {first}: {labels[given[first]]!r})",
            repr(labels[wanted[first]]),
            remedy,
        )
    largest = float(np.abs(scores - golden).max())
    if largest > tolerance:
        raise DeviceError(
            f"a score of the model lies {largest:.4f} from the golden one",
            f"at most {tolerance:.4f}",
            remedy,
        )
    return largest


def main(argv: Sequence[str]) -> int:
    """What the child process does.

    Args:
        argv: The folder and the tolerance.

    Returns:
        0 after printing the fields of `SelfTest` as JSON, 1 after one line of error.
    """
    # A crash is an answer here; a core file would only fill the device's card.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder, tolerance = Path(argv[0]), float(argv[1])
    try:
        classifier = Classifier(folder / MODEL_FILE)
        pixels, golden = _load_golden(folder / GOLDEN_FILE)
        largest = check_answers(
            classifier.scores(pixels), golden, classifier.contract.labels, tolerance
        )
    except EdgeRuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    interpreter = classifier.interpreter
    found = SelfTest(len(golden), largest, tolerance, interpreter.name, interpreter.version)
    print(json.dumps(asdict(found)))
    return 0


def _load_golden(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    data = io.BytesIO(read_limited(path, MAX_GOLDEN_BYTES))
    try:
        with zipfile.ZipFile(data) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise ValueError("it unpacks to too much")
        with np.load(data, allow_pickle=False) as arrays:
            pixels, scores = arrays["pixels"], arrays["scores"]
        if pixels.dtype != np.uint8 or scores.dtype != np.float32 or len(scores) == 0:
            raise ValueError(f"its arrays are {pixels.dtype} and {scores.dtype}")
        if len(pixels) != len(scores):
            raise ValueError(f"it has {len(pixels)} inputs and {len(scores)} answers")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DeviceError(
            f"the golden inputs cannot be read ({error})",
            "the arrays pixels and scores",
            "send the model again with python -m flash pi",
        ) from None
    return pixels, scores


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
