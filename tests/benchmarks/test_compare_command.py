from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import main
from benchmarks.accuracy import installed_backends
from convert.recipes import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

    MakeReport = Callable[..., Report]

ROOT = Path(__file__).resolve().parents[2]


def test_whole_comparison_leaves_report_and_plots(measured: tuple[Path, str, str]) -> None:
    out, _, _ = measured
    assert sorted(path.name for path in out.iterdir()) == [
        "report.accuracy.png", "report.confusion.png", "report.json", "report.latency.png",
        "report.md",
    ]  # fmt: skip
    facts = json.loads((out / "report.json").read_text())
    assert tuple(facts["variants"]) == VARIANTS
    assert facts["data"]["test_images"] == 120
    assert facts["data"]["limited"] is True
    for found in facts["variants"].values():
        assert found["accuracy"]["total"] == 120
        assert sum(map(sum, found["confusion"])) == 120
        assert [one["backend"] for one in found["latency"]] == installed_backends()
        assert found["latency"][0]["peak_memory_bytes"] > 10e6
        assert found["latency"][0]["cold_start_ms"] > 0
    # The same weights in the same arithmetic; other variants may differ.
    assert facts["variants"]["float32"]["change"]["disagreements"] <= 1


def test_stdout_ends_in_the_table_and_the_next_command(measured: tuple[Path, str, str]) -> None:
    out, stdout, stderr = measured
    lines = stdout.splitlines()
    assert lines[0].startswith("variant")
    assert [line.split()[0] for line in lines[1:7]] == ["Keras", *VARIANTS]
    assert f"report: {out / 'report.md'}" in lines
    assert lines[-3].startswith("  edge-run info ")
    assert "latency: round 1 of 4" in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nothing.tflite"], "nothing.tflite does not exist"),
        (["--models", str(ROOT / "setup.cfg")], "setup.cfg is not a TensorFlow Lite model"),
        (["--models", str(ROOT / "tests")], "tests holds no models"),
    ],
)
def test_bad_models_are_one_line_of_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m benchmarks: error: ")
    assert message in line


def test_bad_data_is_one_line_of_error_before_anything_is_measured(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models", str(small_run), "--data", str(tmp_path / "none.npz")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "none.npz does not exist" in error


def test_folder_that_cannot_be_written_is_found_before_anything_is_measured(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    words = ["--models", str(small_run), "--data", "nowhere", "--out", str(tmp_path / "file")]
    assert main(words) == 1
    assert capsys.readouterr().err == (
        f"python -m benchmarks: error: {tmp_path / 'file'} is not a folder; a folder that this "
        "user may write was expected; choose another folder with --out\n"
    )


def test_what_makes_figures_doubtful_is_said_on_the_terminal_and_in_the_report(
    make_report: MakeReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = make_report(notice="few images", trained_on={"x": "y"})
    comparison = replace(report.comparison, warnings=("it is another model",))
    found = (report.float_accuracy, report.float_confusion, report.accuracy)
    for name, answer in {
        "find_comparison": comparison,
        "measure_latencies": report.latency,
        "measure_accuracy": found,
        "train_data.load": report.data,
    }.items():
        # The loop's variable is bound as a default, for each its own.
        monkeypatch.setattr(
            f"benchmarks.compare_command.{name}", lambda *_, answer=answer, **__: answer
        )
    assert main(["--out", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "] warning: it is another model\n" in told.err
    notice, why, header = told.out.splitlines()[:3]
    assert notice == "FEW IMAGES"
    assert why == report.withheld
    assert header.startswith("variant")
    assert "> Note: it is another model." in (tmp_path / "report.md").read_text()
    assert (
        json.loads((tmp_path / "report.json").read_text())["warnings"][0] == "it is another model"
    )


@pytest.mark.parametrize("option", [["--threads", "1,x"], ["--runs", "0"], ["--limit", "-1"]])
def test_wrong_usage_is_status_2(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(option) == 2
    assert "whole number" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "python -m benchmarks --models build/" in capsys.readouterr().out


def test_pytest_benchmark_suite_passes(released_model: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", "-q", "--benchmark-disable",
         "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
