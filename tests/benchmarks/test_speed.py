from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import latency
from benchmarks.__main__ import main
from benchmarks.accuracy import installed_backends
from benchmarks.candidates import read_candidates
from benchmarks.speed import measure_speed, speed_record, speed_table
from edge_runtime.measure import ModelTimings


def test_ratio_is_taken_within_each_round_and_its_spread_is_told(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    # The machine is ten times slower in the second round; int8 takes a half, a quarter, a third.
    slowness = [1.0, 10.0, 1.0]
    share = [1 / 2, 1 / 4, 1 / 3]

    def measured(path: Path, **options: Any) -> ModelTimings:
        turn = len(turns) // 2
        turns.append(path.stem)
        assert options["num_threads"] == 1
        time = 0.06 * slowness[turn] * (share[turn] if path.stem == "nano_int8" else 1.0)
        samples = (time,) * options["runs"]
        return ModelTimings(options["backend"], "1.2", 1, 100.0, None, 0, samples, samples)

    monkeypatch.setattr(latency, "measure_model", measured)
    candidates = read_candidates(
        [small_run / "nano_int8.tflite", small_run / "nano_float32.tflite"], by_variant=False
    )
    found = measure_speed(
        candidates, "nano_float32", backends=["litert"], rounds=3, progress=lambda _: None
    )
    (fast,), (base,) = found["nano_int8"], found["nano_float32"]
    assert (fast.backend, fast.version) == ("litert", "1.2")
    assert fast.median_us == pytest.approx(30)
    assert (fast.ratio_low, fast.ratio, fast.ratio_high) == pytest.approx((2, 3, 4))
    assert (base.median_us, base.ratio) == (pytest.approx(60), 1)
    for start in (0, 2, 4):
        assert sorted(turns[start : start + 2]) == ["nano_float32", "nano_int8"]
    table = speed_table(speed_record(candidates, "nano_float32", found)).splitlines()
    assert table[0].split("  ")[-1] == "times as fast as nano_float32"
    assert table[1].endswith(" 60.0 µs")
    assert re.search(r" 30\.0 µs +3\.00 \(2\.00 to 4\.00\)$", table[2])


def test_command_measures_different_networks_in_each_interpreter(
    small_run: Path, seed_model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [str(small_run / "nano_int8.tflite"), str(small_run / "nano_float32.tflite")]
    words = ["speed", "--models", *models, "--rounds", "2", "--json", "--out", str(tmp_path)]
    assert main(words) == 0
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    record = json.loads(line)
    assert record == json.loads((tmp_path / "speed.json").read_text())
    assert list(record["models"]) == ["seed_int8", "nano_float32", "nano_int8"]
    assert (record["baseline"], record["rounds"], record["num_threads"]) == ("seed_int8", 2, 1)
    assert record["models"]["nano_int8"]["name"] == "nano"
    for model in record["models"].values():
        assert [one["backend"] for one in model["interpreters"]] == installed_backends()
        for one in model["interpreters"]:
            assert one["median_us"] > 0
            assert 0 < one["ratio_low"] <= one["ratio"] <= one["ratio_high"]
    assert "round 1 of 2, " in told.err


def test_interpreter_and_baseline_can_be_chosen(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copy(small_run / "nano_int8.tflite", tmp_path / "base.tflite")
    words = ["--models", str(small_run / "nano_int8.tflite"), "--baseline", str(base)]
    options = ["--backend", "litert", "--rounds", "1", "--out", str(tmp_path)]
    assert main(["speed", *words, *options]) == 0
    header, first, second, *rest = capsys.readouterr().out.splitlines()
    assert header.split("  ")[-1] == "times as fast as base"
    assert first.startswith("base       litert ")
    assert second.startswith("nano_int8  litert ")
    assert rest[-1] == f"record: {tmp_path / 'speed.json'}"


def test_missing_baseline_is_one_line_of_error_with_the_option(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--models", str(small_run / "nano_int8.tflite"), "--baseline", "nothing.tflite"]
    assert main(["speed", *words]) == 1
    assert capsys.readouterr().err == (
        "python -m benchmarks speed: error: the baseline nothing.tflite is not a file; a .tflite "
        "file was expected; name it with --baseline\n"
    )


@pytest.mark.parametrize("option", [["--rounds", "0"], ["--backend", "abacus"]])
def test_wrong_usage_is_status_2(option: list[str]) -> None:
    assert main(["speed", *option]) == 2
