from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import latency
from benchmarks.candidates import Comparison, find_comparison
from benchmarks.latency import measure_latencies
from edge_runtime.measure import ModelTimings


@pytest.fixture
def comparison(small_run: Path) -> Comparison:
    return find_comparison([small_run / "nano_int8.tflite", small_run / "nano_float32.tflite"])


def test_each_combination_gets_a_record(comparison: Comparison) -> None:
    records = measure_latencies(
        comparison.candidates, backends=["litert"], threads=[1, 2], runs=4, rounds=2,
        progress=lambda _: None,
    )  # fmt: skip
    assert [(record.num_threads, record.label) for record in records] == [
        (1, "float32"), (1, "int8"), (2, "float32"), (2, "int8"),
    ]  # fmt: skip
    for record in records:
        assert record.rounds == 2
        assert record.latency.runs == len(record.samples_ms) == 4
        assert record.latency.p50_ms > 0
        assert record.cold_start_ms > record.latency.max_ms
        assert "samples_ms" not in record.to_dict()
    assert [record.relative for record in records if record.label == "float32"] == [1.0, 1.0]


def test_models_take_turns_and_ratios_are_taken_within_a_round(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    # The machine is ten times slower in the second round; int8 takes half of float32's time.
    slowness = {0: 1.0, 1: 10.0, 2: 1.0}

    def measured(path: Path, **options: Any) -> ModelTimings:
        variant = path.stem.rpartition("_")[2]
        factor = slowness[len(turns) // 2] * (0.5 if variant == "int8" else 1.0)
        turns.append(variant)
        samples = (1.0 * factor,) * options["runs"]
        return ModelTimings(options["backend"], "1", 1, 100.0, None, 0, samples, samples)

    monkeypatch.setattr(latency, "measure_model", measured)
    records = measure_latencies(
        comparison.candidates, backends=["litert"], threads=[1], runs=6, rounds=3,
        progress=lambda _: None,
    )  # fmt: skip
    assert sorted(turns[:2]) == sorted(turns[2:4]) == ["float32", "int8"]
    assert turns[0] != turns[4] or turns[0] != turns[2]
    by_label = {record.label: record for record in records}
    assert by_label["int8"].relative == 0.5
    assert by_label["int8"].peak_memory_bytes is None
    assert by_label["float32"].latency.max_ms == 10


def test_rounds_are_never_more_than_runs(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measured(path: Path, **options: Any) -> ModelTimings:
        asked.append(options["runs"])
        return ModelTimings("litert", "1", 1, 1.0, 1, 0, (1.0,), (1.0,))

    monkeypatch.setattr(latency, "measure_model", measured)
    measure_latencies(
        comparison.candidates[:1], backends=["litert"], threads=[1], runs=2, progress=lambda _: None
    )
    assert asked == [1, 1]
