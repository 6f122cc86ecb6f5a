"""Measuring a model: latency, cold start, peak memory.

A model is measured in a process of its own, so that its start and its memory are its own too, and
nothing an earlier model left behind (warm caches, a library already loaded) flatters it. The
parent is `measure_model`; the child is this module run as a program.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .child import child_environment, python_command
from .classifier import Classifier
from .contract import ModelContract
from .errors import EdgeRuntimeError, InputError, InterpreterError
from .machine import machine_facts, machine_warnings, peak_memory_bytes

__all__ = [
    "LatencySummary",
    "ModelTimings",
    "machine_facts",
    "machine_warnings",
    "measure_latency",
    "measure_model",
    "peak_memory_bytes",
    "sample_picture",
    "summarize_latency",
    "time_calls",
    "wilson_interval",
]

# Two-sided 95 %: the customary confidence for a reported accuracy.
CONFIDENCE = 0.95
# Far longer than any model that suits a device needs for the runs asked for.
CHILD_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class LatencySummary:
    """The distribution of one call's duration.

    Attributes:
        runs: Calls measured.
        warmup: Calls before them that were not measured.
        mean_ms: Mean, in milliseconds.
        p50_ms: Median.
        p90_ms: 90th percentile.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        min_ms: The fastest call.
        max_ms: The slowest call.
        throughput_per_s: Calls a second, one after another: 1000 / mean.
    """

    runs: int
    warmup: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    min_ms: float
    max_ms: float
    throughput_per_s: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ModelTimings:
    """What one child process measured of one model.

    Attributes:
        backend: The interpreter's name.
        backend_version: The interpreter's version.
        num_threads: Threads it was given.
        cold_start_ms: From starting the process to its first answer: Python, imports, reading and
            checking the model, loading it, one picture.
        peak_memory_bytes: The most memory the process held; None where the system does not tell.
        warmup: Calls made before the measured ones.
        invoke_ms: One duration for each inference alone: input tensor in, output tensor out.
        classify_ms: One duration for each `Classifier.classify`: picture in, label out.
    """

    backend: str
    backend_version: str
    num_threads: int
    cold_start_ms: float
    peak_memory_bytes: int | None
    warmup: int
    invoke_ms: tuple[float, ...]
    classify_ms: tuple[float, ...]


def time_calls(call: Callable[[], object], *, runs: int, warmup: int) -> list[float]:
    """Durations of single calls.

    Args:
        call: What to measure.
        runs: Measured calls, at least 1.
        warmup: Calls before them, not measured: caches fill, clocks rise, memory is allocated.

    Returns:
        `runs` durations in milliseconds, in the order of the calls.

    Raises:
        InputError: `runs` or `warmup` is impossible.
    """
    if runs < 1 or warmup < 0:
        raise InputError(f"{runs} runs after {warmup} for warm-up", "at least 1 run, and 0 or more")
    for _ in range(warmup):
        call()
    durations = []
    for _ in range(runs):
        started = time.perf_counter_ns()
        call()
        durations.append((time.perf_counter_ns() - started) / 1e6)
    return durations


def summarize_latency(durations_ms: Sequence[float], *, warmup: int) -> LatencySummary:
    """Mean, extremes and percentiles (NumPy's linear interpolation) of measured durations.

    Args:
        durations_ms: Durations in milliseconds, at least one.
        warmup: How many calls before them were not measured; only reported.

    Returns:
        The summary.

    Raises:
        InputError: There are no durations.

    >>> summarize_latency([1.0, 2.0, 3.0, 4.0], warmup=0).p50_ms
    2.5
    """
    if not len(durations_ms):
        raise InputError("there are no durations to summarize", "at least one")
    values = np.asarray(durations_ms, np.float64)
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, (50, 90, 95, 99)))
    mean = float(values.mean())
    return LatencySummary(
        runs=len(values),
        warmup=warmup,
        mean_ms=mean,
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        min_ms=float(values.min()),
        max_ms=float(values.max()),
        throughput_per_s=1000 / mean if mean > 0 else math.inf,
    )


def measure_latency(call: Callable[[], object], *, runs: int, warmup: int) -> LatencySummary:
    """`time_calls`, summarized."""
    return summarize_latency(time_calls(call, runs=runs, warmup=warmup), warmup=warmup)


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of an accuracy, Wilson's score interval.

    It stays within 0 and 1 and holds for small samples and accuracies near 1, where the textbook's
    normal interval does neither. Source: E. B. Wilson, "Probable inference, the law of succession,
    and statistical inference", Journal of the American Statistical Association 22 (1927), 209-212.

    Args:
        correct: Right answers, 0 to `total`.
        total: All answers, at least 1.

    Returns:
        Lower and upper end, 0 to 1.

    Raises:
        InputError: Impossible numbers.

    >>> [round(end, 4) for end in wilson_interval(9929, 10000)]
    [0.9911, 0.9944]
    """
    if not 0 <= correct <= total or total < 1:
        raise InputError(f"{correct} of {total} answers are right", "a share of at least 1 answer")
    z = statistics.NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = correct / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # The ends that are exactly 0 and 1 must not miss them by a rounding error.
    low = (centre - spread) / scale if correct > 0 else 0.0
    high = (centre + spread) / scale if correct < total else 1.0
    return low, high


def sample_picture(contract: ModelContract) -> NDArray[np.uint8]:
    """A ring in the model's input size and polarity: something to classify where no picture is.

    Args:
        contract: The model's contract.

    Returns:
        uint8 array of the contract's input shape.
    """
    rows, columns, channels = contract.input_shape
    y = (np.arange(rows) - (rows - 1) / 2) / rows
    x = (np.arange(columns) - (columns - 1) / 2) / columns
    radius = np.hypot(y[:, np.newaxis], x)
    on_ring = (radius > 0.18) & (radius < 0.30)
    light, dark = (0, 255) if contract.polarity == "dark-on-light" else (255, 0)
    ring = np.where(on_ring, light, dark).astype(np.uint8)
    return np.repeat(ring[:, :, np.newaxis], channels, axis=2)


def measure_model(
    model: str | os.PathLike[str],
    *,
    contract: ModelContract | None = None,
    backend: str = "auto",
    num_threads: int = 1,
    runs: int = 200,
    warmup: int = 20,
) -> ModelTimings:
    """Measures a model in a process of its own.

    Args:
        model: Path of a ``.tflite`` file.
        contract: Contract for a model that carries none.
        backend: "auto", or the name of an interpreter.
        num_threads: Threads for one inference.
        runs: Measured calls of each kind.
        warmup: Calls before them.

    Returns:
        What was measured.

    Raises:
        EdgeRuntimeError: The child said why it cannot measure this model.
        InterpreterError: The child crashed or hung.
    """
    request = {
        "model": str(model),
        "contract": contract and contract.to_json(),
        "backend": backend,
        "num_threads": num_threads,
        "runs": runs,
        "warmup": warmup,
    }
    # One clock for both processes: on Linux, macOS and Windows `monotonic` counts from boot.
    started_ns = time.monotonic_ns()
    try:
        child = subprocess.run(
            python_command("edge_runtime.measure"),
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=CHILD_TIMEOUT_S,
            env=child_environment(PYTHONIOENCODING="utf-8"),
        )
    except subprocess.TimeoutExpired:
        raise InterpreterError(
            f"measuring {model} took longer than {CHILD_TIMEOUT_S:.0f} s",
            "fewer or faster runs",
            "lower --runs",
        ) from None
    answer = _last_json_line(child.stdout)
    if answer is None:
        reason = f"signal {-child.returncode}" if child.returncode < 0 else "no answer"
        last_words = child.stderr.strip().splitlines()[-1:] or [reason]
        raise InterpreterError(f"measuring {model} failed ({reason}): {last_words[0]}")
    if "error" in answer:
        raise EdgeRuntimeError(answer["error"])
    answer["cold_start_ms"] = (answer.pop("first_answer_ns") - started_ns) / 1e6
    for samples in ("invoke_ms", "classify_ms"):
        answer[samples] = tuple(answer[samples])
    return ModelTimings(**answer)


def _last_json_line(text: str) -> dict[str, Any] | None:
    """The object on the last line: interpreters may print lines of their own before it."""
    for line in reversed(text.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            return answer
    return None


def _measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """The child's work; answers the fields of `ModelTimings`, the first answer as a clock."""
    contract = request["contract"] and ModelContract.from_json(request["contract"])
    classifier = Classifier(
        request["model"],
        contract=contract,
        backend=request["backend"],
        num_threads=request["num_threads"],
    )
    picture = sample_picture(classifier.contract)
    classifier.classify(picture)
    first_answer_ns = time.monotonic_ns()
    interpreter = classifier.interpreter
    tensor = classifier.model_input(picture[np.newaxis])
    calls = {"runs": request["runs"], "warmup": request["warmup"]}
    return {
        "first_answer_ns": first_answer_ns,
        "invoke_ms": time_calls(lambda: interpreter.run(tensor), **calls),
        "classify_ms": time_calls(lambda: classifier.classify(picture), **calls),
        "backend": interpreter.name,
        "backend_version": interpreter.version,
        "num_threads": interpreter.num_threads,
        "warmup": request["warmup"],
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _main() -> int:
    """The child of `measure_model`: a request on standard input, an answer on standard output."""
    try:
        answer = _measure_here(json.load(sys.stdin))
    except EdgeRuntimeError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
