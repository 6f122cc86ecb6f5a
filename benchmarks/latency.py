"""Latency of converted models, measured side by side.

Times drift: other programs, heat, the clock. So every model is measured in several short rounds,
and in each round all of them take their turn. What drifts then drifts for all, and ratios hold
where times alone would not. Each turn is a process of its own, as `edge-run bench` measures.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.measure import LatencySummary, ModelTimings, measure_model, summarize_latency

from .candidates import Candidate

__all__ = ["Key", "VariantLatency", "measure_latencies", "take_turns"]

Progress = Callable[[str], None]
Key = tuple[str, str, int]
"""Label, backend, threads."""

ROUNDS = 5
WARMUP = 20
REFERENCE = "float32"


@dataclass(frozen=True)
class VariantLatency:
    """One variant with one interpreter and one number of threads.

    Attributes:
        label: The variant.
        backend: The interpreter.
        backend_version: Its version.
        num_threads: Threads it was given.
        rounds: Processes measured.
        latency: One inference: input tensor in, output tensor out; over all rounds.
        whole_latency: From a picture in memory to its label; over all rounds.
        cold_start_ms: Median over the rounds: starting a process until its first answer.
        peak_memory_bytes: Median over the rounds; None where the system does not tell.
        relative: Median over the rounds of this variant's median latency divided by that of
            the reference in the same round; the reference is float32 where it is among them.
        samples_ms: All durations behind `latency`, for plots.
    """

    label: str
    backend: str
    backend_version: str
    num_threads: int
    rounds: int
    latency: LatencySummary
    whole_latency: LatencySummary
    cold_start_ms: float
    peak_memory_bytes: int | None
    relative: float
    samples_ms: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, without the single durations."""
        values = asdict(self)
        del values["samples_ms"]
        return values


def measure_latencies(
    candidates: Sequence[Candidate],
    *,
    backends: Sequence[str],
    threads: Sequence[int],
    runs: int,
    progress: Progress,
    rounds: int = ROUNDS,
) -> list[VariantLatency]:
    """Measures all models with all interpreters and numbers of threads, round by round.

    Args:
        candidates: The models.
        backends: Names of installed interpreters.
        threads: Numbers of threads.
        runs: Measured inferences of each, shared out over the rounds.
        progress: Called with a line for the person who waits.
        rounds: How often each takes its turn; not more than `runs`.

    Returns:
        One record for each combination: by threads, then interpreter, then model.

    Raises:
        EdgeRuntimeError: A model cannot be measured.
    """
    rounds = min(rounds, runs)
    timings = take_turns(
        candidates,
        backends=backends,
        threads=threads,
        rounds=rounds,
        runs=-(-runs // rounds),
        progress=progress,
    )
    labels = [candidate.label for candidate in candidates]
    reference = REFERENCE if REFERENCE in labels else labels[0]
    return [_summary(key, timings, reference) for key in timings]


def take_turns(
    candidates: Sequence[Candidate],
    *,
    backends: Sequence[str],
    threads: Sequence[int],
    rounds: int,
    runs: int,
    progress: Progress,
) -> dict[Key, list[ModelTimings]]:
    """Lets models take turns, each with every interpreter and number of threads.

    Args:
        candidates: The models, at least one, each with a label of its own.
        backends: Names of installed interpreters.
        threads: Numbers of threads.
        rounds: How often each takes its turn, at least 1.
        runs: Measured inferences in each turn.
        progress: Called with a line for the person who waits.

    Returns:
        What was measured in each round, by label, interpreter and number of threads.

    Raises:
        EdgeRuntimeError: A model cannot be measured.
    """
    by_label = {candidate.label: candidate for candidate in candidates}
    keys: list[Key] = [
        (label, backend, count) for count in threads for backend in backends for label in by_label
    ]
    timings: dict[Key, list[ModelTimings]] = {key: [] for key in keys}
    for turn in range(rounds):
        progress(f"latency: round {turn + 1} of {rounds}, {len(keys)} measurements")
        # Another one comes first each time, so that none always follows the same neighbour.
        start = turn * len(keys) // rounds
        for label, backend, count in keys[start:] + keys[:start]:
            timings[label, backend, count].append(
                measure_model(
                    by_label[label].path,
                    backend=backend,
                    num_threads=count,
                    runs=runs,
                    warmup=WARMUP,
                )
            )
    return timings


def _summary(key: Key, timings: dict[Key, list[ModelTimings]], reference: str) -> VariantLatency:
    label, backend, count = key
    mine, base = timings[key], timings[reference, backend, count]
    samples = tuple(sample for timing in mine for sample in timing.invoke_ms)
    whole = [sample for timing in mine for sample in timing.classify_ms]
    memory = [t.peak_memory_bytes for t in mine if t.peak_memory_bytes is not None]
    return VariantLatency(
        label=label,
        backend=backend,
        backend_version=mine[0].backend_version,
        num_threads=count,
        rounds=len(mine),
        latency=summarize_latency(samples, warmup=WARMUP * len(mine)),
        whole_latency=summarize_latency(whole, warmup=WARMUP * len(mine)),
        cold_start_ms=statistics.median(timing.cold_start_ms for timing in mine),
        peak_memory_bytes=int(statistics.median(memory)) if memory else None,
        relative=statistics.median(
            statistics.median(own.invoke_ms) / statistics.median(other.invoke_ms)
            for own, other in zip(mine, base, strict=True)
        ),
        samples_ms=samples,
    )
