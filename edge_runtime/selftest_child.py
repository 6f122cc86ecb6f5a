"""What the child process of a self-test does: the model answers, and answers are compared.

`edge_runtime.selftest` starts this module; it alone of the device's side loads an interpreter.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .bundle import GOLDEN_FILE, MANIFEST_FILE, MAX_GOLDEN_BYTES, MODEL_FILE, Manifest
from .child import end_with_parent
from .classifier import Classifier
from .contract import ModelContract
from .errors import DeviceError, EdgeRuntimeError
from .files import read_limited
from .manifest import MAX_MANIFEST_BYTES
from .selftest import TIME_LIMIT_S, SelfTest

__all__ = ["check_answers", "main"]

# What golden.npz may unpack to: a deflated gigabyte of zeros is a megabyte.
MAX_UNPACKED_BYTES = 4 * MAX_GOLDEN_BYTES


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
    if not np.isfinite(golden).all():
        raise DeviceError("a golden score is no number", "finite scores", remedy)
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
    if not largest <= tolerance:
        raise DeviceError(
            f"a score of the model lies {largest:.4f} from the golden one",
            f"at most {tolerance:.4f}",
            remedy,
        )
    return largest


def main(argv: Sequence[str]) -> int:
    """What the child process does.

    Args:
        argv: The folder, the tolerance and the limit of writable memory in bytes.

    Returns:
        0 after printing the fields of `SelfTest` as JSON, 1 after one line of error.
    """
    folder, tolerance, memory_limit_bytes = Path(argv[0]), float(argv[1]), int(argv[2])
    # A crash is an answer here; a core file would only fill the device's card.
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, memory_limit_bytes)
    # One thread computes: more than the wall's time is a loop that nobody waits for any more.
    _limit(resource.RLIMIT_CPU, int(TIME_LIMIT_S))
    try:
        classifier = Classifier(folder / MODEL_FILE)
        _check_contract(folder / MANIFEST_FILE, classifier.contract)
        pixels, golden = _load_golden(folder / GOLDEN_FILE)
        largest = check_answers(
            classifier.scores(pixels), golden, classifier.contract.labels, tolerance
        )
    except EdgeRuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except MemoryError:
        print("MemoryError", file=sys.stderr)
        return 1
    interpreter = classifier.interpreter
    found = SelfTest(len(golden), largest, tolerance, interpreter.name, interpreter.version)
    print(json.dumps(asdict(found)))
    return 0


def _limit(what: int, most: int) -> None:
    """Takes a resource from this process, unless it has less already."""
    _, allowed = resource.getrlimit(what)
    if allowed == resource.RLIM_INFINITY or allowed > most:
        resource.setrlimit(what, (most, most))


def _check_contract(path: Path, contract: ModelContract) -> None:
    """Refuses a manifest that says another name or shape than the model it came with."""
    if not path.is_file():
        return
    manifest = Manifest.from_json(read_limited(path, MAX_MANIFEST_BYTES))
    if (manifest.name, manifest.variant) != (contract.name, contract.variant):
        raise DeviceError(
            f"the manifest names the model {manifest.name} {manifest.variant}",
            f"{contract.name} {contract.variant}, which the model itself says",
            "make the bundle again with python -m flash bundle",
        )
    if manifest.shape not in (None, (*contract.input_shape, contract.labels)):
        raise DeviceError(
            "the manifest names another input or other labels than the model has",
            "the model's own contract",
            "make the bundle again with python -m flash bundle",
        )


def _load_golden(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    data = io.BytesIO(read_limited(path, MAX_GOLDEN_BYTES))
    try:
        with zipfile.ZipFile(data) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise ValueError("it unpacks to too much")
        with np.load(data, allow_pickle=False) as arrays:
            pixels, scores = arrays["pixels"], arrays["scores"]
        if pixels.dtype != np.uint8 or scores.dtype != np.float32:
            raise ValueError(f"its arrays are {pixels.dtype} and {scores.dtype}")
        if pixels.ndim != 4 or scores.ndim != 2 or 0 in scores.shape:
            raise ValueError(f"its arrays are {list(pixels.shape)} and {list(scores.shape)}")
        if len(pixels) != len(scores):
            raise ValueError(f"it has {len(pixels)} inputs and {len(scores)} answers")
    except MemoryError:
        raise
    except Exception as error:  # The readers of ZIP and of arrays have a dozen kinds.
        raise DeviceError(
            f"the golden inputs cannot be read ({error})",
            "the arrays pixels and scores",
            "send the model again with python -m flash pi",
        ) from None
    return pixels, scores


if __name__ == "__main__":
    end_with_parent(int(sys.argv[4]))
    sys.exit(main(sys.argv[1:4]))
