from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Classifier, EdgeRuntimeError, ModelContract
from edge_runtime.contract import load_sealed
from edge_runtime.errors import InputError, InterpreterError
from edge_runtime.measure import (
    measure_latency,
    measure_model,
    sample_picture,
    summarize_latency,
    time_calls,
    wilson_interval,
)


@pytest.fixture
def model(released_model: Callable[[str], Path]) -> Path:
    return released_model("int8")


def test_summary_has_numpys_percentiles_in_milliseconds() -> None:
    durations = np.random.RandomState(1).gamma(2, 3, size=500)
    summary = summarize_latency(durations, warmup=7)
    assert summary.runs == 500
    assert summary.warmup == 7
    assert summary.mean_ms == pytest.approx(durations.mean())
    assert [summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms] == pytest.approx(
        np.percentile(durations, [50, 90, 95, 99])
    )
    assert (summary.min_ms, summary.max_ms) == (durations.min(), durations.max())
    assert summary.throughput_per_s == pytest.approx(1000 / durations.mean())


def test_nothing_measured_cannot_be_summarized() -> None:
    with pytest.raises(InputError, match="no durations"):
        summarize_latency([], warmup=0)


def test_warm_up_calls_are_made_and_not_measured() -> None:
    calls = count()
    durations = time_calls(lambda: next(calls), runs=5, warmup=3)
    assert next(calls) == 8
    assert len(durations) == 5
    assert min(durations) > 0


@pytest.mark.parametrize(("runs", "warmup"), [(0, 0), (1, -1)])
def test_impossible_numbers_of_runs_are_refused(runs: int, warmup: int) -> None:
    with pytest.raises(InputError, match="at least 1 run"):
        measure_latency(lambda: None, runs=runs, warmup=warmup)


def test_wilson_interval_has_the_values_of_the_formula() -> None:
    # By hand: centre (p + z²/2n) / (1 + z²/n) and its half width, z = 1.959964, p = 0.8, n = 10.
    assert wilson_interval(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)


def test_wilson_interval_of_no_mistake_still_has_a_width_and_ends_at_one() -> None:
    low, high = wilson_interval(500, 500)
    assert low == pytest.approx(0.992376, abs=1e-6)
    assert high == 1.0
    assert wilson_interval(0, 10)[0] == 0.0


@pytest.mark.parametrize(
    ("correct", "total"), [(0, 1), (1, 1), (5, 10), (9929, 10000), (10000, 10000), (0, 50)]
)
def test_wilson_interval_is_scipys(correct: int, total: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson_interval(correct, total) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_interval_refuses_impossible_counts(correct: int, total: int) -> None:
    with pytest.raises(InputError, match=f"{correct} of {total} answers"):
        wilson_interval(correct, total)


@pytest.mark.parametrize("polarity", ["light-on-dark", "dark-on-light", "any"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sample_picture_has_the_contracts_shape_and_polarity(polarity: str, channels: int) -> None:
    contract = ModelContract("m", ("a", "b"), 24, 40, channels, polarity=polarity)
    picture = sample_picture(contract)
    assert picture.shape == (24, 40, channels)
    assert picture.dtype == np.uint8
    corner = 255 if polarity == "dark-on-light" else 0
    assert (picture[0, 0] == corner).all()
    assert set(np.unique(picture)) == {0, 255}


def test_sample_picture_is_not_empty_to_the_released_model(model: Path) -> None:
    classifier = Classifier(model)
    assert not classifier.prepare(sample_picture(classifier.contract)).empty


def test_model_is_measured_in_a_process_of_its_own(model: Path) -> None:
    timings = measure_model(model, runs=12, warmup=2)
    used = Classifier(model).interpreter
    assert (timings.backend, timings.backend_version) == (used.name, used.version)
    assert timings.num_threads == 1
    assert timings.warmup == 2
    assert len(timings.invoke_ms) == len(timings.classify_ms) == 12
    assert min(timings.invoke_ms) > 0
    # Starting Python and loading a library takes longer than any single answer.
    assert timings.cold_start_ms > max(timings.classify_ms)


def test_memory_of_the_measuring_process_does_not_count(model: Path) -> None:
    block = np.ones(600 * 2**20, np.uint8)
    timings = measure_model(model, runs=1, warmup=0)
    assert timings.peak_memory_bytes is not None
    assert 10e6 < timings.peak_memory_bytes < block.nbytes / 2


def test_backend_and_threads_reach_the_interpreter(model: Path) -> None:
    if importlib.util.find_spec("tflite_runtime") is None:
        pytest.skip("tflite-runtime is not installed")
    timings = measure_model(model, backend="tflite-runtime", num_threads=2, runs=1, warmup=0)
    assert (timings.backend, timings.num_threads) == ("tflite-runtime", 2)


def test_model_without_contract_is_measured_with_the_one_given(model: Path, tmp_path: Path) -> None:
    sealed = load_sealed(model)
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(sealed.flatbuffer)
    assert measure_model(bare, contract=sealed.contract, runs=1, warmup=0).invoke_ms
    with pytest.raises(EdgeRuntimeError, match="carries no contract"):
        measure_model(bare, runs=1, warmup=0)


def test_damaged_model_is_named_by_the_child(model: Path, tmp_path: Path) -> None:
    data = bytearray(model.read_bytes())
    data[5000] ^= 1
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(data)
    with pytest.raises(EdgeRuntimeError, match=r"damaged\.tflite was changed after it was sealed"):
        measure_model(damaged, runs=1, warmup=0)


def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_crash_of_the_child_is_an_error_of_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch, "kill -SEGV $$")
    with pytest.raises(InterpreterError, match=r"failed \(signal 11\)"):
        measure_model(model, runs=1, warmup=0)


def test_last_words_of_a_child_that_fails_are_passed_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch, "echo 'first\nlibfoo.so not found' >&2; exit 1")
    with pytest.raises(InterpreterError, match=r"libfoo\.so not found$"):
        measure_model(model, runs=1, warmup=0)


def test_what_an_interpreter_prints_does_not_spoil_the_answer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatty = f'echo "INFO: Created delegate."; {sys.executable} "$@"; echo "Bye."'
    fake_python(tmp_path, monkeypatch, chatty)
    assert len(measure_model(model, runs=3, warmup=0).invoke_ms) == 3
