"""How fast models are beside each other: also such that have nothing but their task in common."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convert.tables import text_table
from edge_runtime.measure import ModelTimings

from .candidates import Candidate
from .latency import Key, take_turns

__all__ = ["Speed", "measure_speed", "ratio_words", "speed_record", "speed_table"]

SCHEMA_VERSION = 1
THREADS = 1
# Half a second in all for a model of 50 microseconds: in one turn the machine hardly changes.
RUNS = 500


@dataclass(frozen=True)
class Speed:
    """One model with one interpreter, on one thread.

    Attributes:
        backend: The interpreter.
        version: Its version.
        median_us: One inference in microseconds: median over the rounds of each round's median.
        ratio: How many times as fast as the baseline: median over the rounds of the baseline's
            median divided by this model's in the same round.
        ratio_low: The same in the round that was worst for this model.
        ratio_high: And in the best.
    """

    backend: str
    version: str
    median_us: float
    ratio: float
    ratio_low: float
    ratio_high: float


def measure_speed(
    candidates: Sequence[Candidate],
    baseline: str,
    *,
    backends: Sequence[str],
    rounds: int,
    progress: Callable[[str], None],
    runs: int = RUNS,
) -> dict[str, list[Speed]]:
    """Lets models take turns, and compares each with the baseline in the same round.

    Args:
        candidates: The models, each with a label of its own.
        baseline: The label of one of them.
        backends: Names of installed interpreters.
        rounds: How often each takes its turn, at least 1.
        progress: Called with a line for the person who waits.
        runs: Measured inferences in each turn.

    Returns:
        For each model, by label, its speed with each interpreter.

    Raises:
        EdgeRuntimeError: A model cannot be measured.
    """
    timings = take_turns(
        candidates,
        backends=backends,
        threads=[THREADS],
        rounds=rounds,
        runs=runs,
        progress=progress,
    )
    return {
        candidate.label: [_speed(candidate.label, baseline, b, timings) for b in backends]
        for candidate in candidates
    }


def _speed(
    label: str, baseline: str, backend: str, timings: Mapping[Key, Sequence[ModelTimings]]
) -> Speed:
    mine = [statistics.median(t.invoke_ms) for t in timings[label, backend, THREADS]]
    base = [statistics.median(t.invoke_ms) for t in timings[baseline, backend, THREADS]]
    ratios = [theirs / own for theirs, own in zip(base, mine, strict=True)]
    return Speed(
        backend=backend,
        version=timings[label, backend, THREADS][0].backend_version,
        median_us=1000 * statistics.median(mine),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
    )


def speed_record(
    candidates: Sequence[Candidate],
    baseline: str,
    speeds: Mapping[str, Sequence[Speed]],
    **circumstances: Any,
) -> dict[str, Any]:
    """What was found, as plain JSON values.

    Args:
        candidates: The models.
        baseline: The label of one of them.
        speeds: As `measure_speed` gives them.
        circumstances: What else belongs into the record: date, machine, rounds.

    Returns:
        The record that ``speed.json`` holds.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "baseline": baseline,
        "num_threads": THREADS,
        "runs": RUNS,
        **circumstances,
        "models": {
            candidate.label: {
                "name": candidate.contract.name,
                "variant": candidate.contract.variant,
                "file": candidate.path.name,
                "size_bytes": candidate.size_bytes,
                "sha256": candidate.sha256,
                "interpreters": [asdict(speed) for speed in speeds[candidate.label]],
            }
            for candidate in candidates
        },
    }


def speed_table(record: Mapping[str, Any]) -> str:
    """The table for the terminal.

    Args:
        record: As `speed_record` gives it.

    Returns:
        The lines, without a last line end.
    """
    header = ("model", "interpreter", "median", f"times as fast as {record['baseline']}")
    rows = [
        (
            label,
            f"{speed['backend']} {speed['version']}",
            f"{speed['median_us']:,.1f} µs",
            "" if label == record["baseline"] else ratio_words(speed),
        )
        for label, model in record["models"].items()
        for speed in model["interpreters"]
    ]
    return text_table(header, rows)


def ratio_words(speed: Mapping[str, Any]) -> str:
    """A ratio with its spread.

    >>> ratio_words({"ratio": 1.704, "ratio_low": 1.66, "ratio_high": 1.75})
    '1.70 (1.66 to 1.75)'
    """
    middle, low, high = (_digits(speed[name]) for name in ("ratio", "ratio_low", "ratio_high"))
    return f"{middle} ({low} to {high})"


def _digits(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
