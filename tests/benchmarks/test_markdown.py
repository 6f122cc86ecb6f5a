from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.markdown import markdown_table, report_page, write_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

    MakeReport = Callable[..., Report]

IMAGES = {name: Path(f"report.{name}.png") for name in ("accuracy", "latency", "confusion")}


def test_page_has_a_table_row_for_each_variant_and_interpreter(make_report: MakeReport) -> None:
    page = report_page(make_report(threads=(1, 2)), IMAGES)
    assert "| slow | 5.0 KB | 90.00% (74.38% to 96.54%) | -3.33 | 1 (-1 +0) | 1 |" in page
    assert "| slow | tflite-runtime 2.0 | 90.00% (74.38% to 96.54%) | 1 |" in page
    for title in ("litert 1.0, 1 thread**", "tflite-runtime 1.0, 2 threads**"):
        assert title in page
    for image in IMAGES.values():
        assert f"({image.name})" in page
    assert "Toy CPU, 2 cores, 1 GiB" in page
    assert "> Note: the toy is warm." in page
    assert "ant taken for bee (1), bee taken for cat (1)" in page


def test_notice_stands_at_the_top_in_capitals(make_report: MakeReport) -> None:
    report = make_report()
    noticed = replace(report, data=replace(report.data, notice="only a few images"))
    title, line = report_page(noticed, IMAGES).split("\n\n")[:2]
    assert title.startswith("# toy")
    assert line == "> **ONLY A FEW IMAGES**"


def test_withheld_accuracies_leave_no_figure(make_report: MakeReport) -> None:
    report = make_report(notice="few", trained_on={"x": "y"})
    page = report_page(report, {name: IMAGES[name] for name in ("accuracy", "latency")})
    assert "No accuracies are given" in page
    assert "93.33%" not in page
    assert "Confusions" not in page
    assert "Accuracy on" not in page
    assert "Answers compared on 30 test images of `toys`." in page
    assert "Accuracy on 30 test images of `toys`." in report_page(make_report(), IMAGES)


def test_limited_run_says_so(make_report: MakeReport) -> None:
    page = report_page(replace(make_report(), limited=True), IMAGES)
    assert "30 test images, drawn in their proportions from those of `toys`" in page


def test_model_without_mistakes_is_said_to_make_none(make_report: MakeReport) -> None:
    report = make_report()
    perfect = report.float_confusion * 0
    assert "makes no mistake" in report_page(replace(report, float_confusion=perfect), IMAGES)


def test_both_files_are_written(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report()
    as_json, as_text = write_report(report, tmp_path / "new", IMAGES)
    assert json.loads(as_json.read_text()) == json.loads(json.dumps(report.to_dict()))
    assert as_text.read_text() == report_page(report, IMAGES)


def test_table_has_its_first_column_left_and_the_others_right() -> None:
    assert markdown_table(("a", "b"), [("x", "1")]).splitlines() == [
        "| a | b |", "| --- | ---: |", "| x | 1 |",
    ]  # fmt: skip
