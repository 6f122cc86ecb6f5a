from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import next_commands, recommended, summary_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

    MakeReport = Callable[..., Report]

FALLBACK = "only a part of the images"


def test_json_says_everything_by_variant(make_report: MakeReport) -> None:
    facts = json.loads(json.dumps(make_report().to_dict()))
    assert list(facts) == [
        "schema_version", "name", "measured_at", "data", "float", "variants", "recommended",
        "machine", "warnings",
    ]  # fmt: skip
    assert facts["float"]["accuracy"]["correct"] == 28
    slow = facts["variants"]["slow"]
    assert slow["accuracy"]["correct"] == 27
    assert slow["change"] == {
        "points": -100 / 30, "disagreements": 1, "lost": 1, "won": 0, "p_value": 1.0,
    }  # fmt: skip
    assert [one["backend"] for one in slow["latency"]] == ["litert", "tflite-runtime"]
    assert len(slow["confusion"]) == 3
    assert facts["data"]["test_images"] == 30


def test_table_ends_in_median_and_p95(make_report: MakeReport) -> None:
    header, keras, slow, fast = summary_table(make_report()).splitlines()
    for name in ("variant", "size", "accuracy", "change against float", "median", "p95"):
        assert name in header
    assert keras.split() == ["Keras", "float", "20.0", "KB", "93.33%"]
    assert slow.split()[:6] == ["slow", "5.0", "KB", "90.00%", "-3.33", "points"]
    assert fast.split()[3:6] == ["93.33%", "+0.00", "points"]
    assert fast.endswith(" ms")


def test_fastest_variant_that_is_not_worse_is_recommended(make_report: MakeReport) -> None:
    report = make_report()
    assert recommended(report) == "fast"
    worse = replace(report.accuracy["fast"].change, points=-5.0, p_value=0.001)
    spoilt = {**report.accuracy, "fast": replace(report.accuracy["fast"], change=worse)}
    assert recommended(replace(report, accuracy=spoilt)) == "slow"


def test_of_variants_that_are_all_worse_the_most_accurate_is_recommended(
    make_report: MakeReport,
) -> None:
    report = make_report()
    all_worse = {
        label: replace(found, change=replace(found.change, points=points, p_value=0.01))
        for (label, found), points in zip(report.accuracy.items(), (-1.0, -2.0), strict=True)
    }
    assert recommended(replace(report, accuracy=all_worse)) == "slow"


def test_among_equally_fast_variants_the_last_is_recommended(make_report: MakeReport) -> None:
    report = make_report()
    slow, fast = report.default_latency("slow"), report.default_latency("fast")
    nearly = replace(fast.latency, p50_ms=slow.latency.p50_ms * 1.05)
    latency = [replace(one, latency=nearly) if one.label == "fast" else one
               for one in report.latency]  # fmt: skip
    assert recommended(replace(report, latency=latency)) == "fast"


def test_next_commands_name_the_recommended_file(make_report: MakeReport) -> None:
    report = make_report()
    path = str(report.comparison.candidates[1].path)
    commands = next_commands(report)
    assert commands[0] == f"edge-run info {path}"
    assert all(path in command for command in commands)


def test_next_commands_can_be_typed_as_they_are(make_report: MakeReport) -> None:
    report = make_report()
    path = Path("my models") / "it's.tflite"
    chosen = replace(report.comparison.candidates[1], path=path)
    comparison = replace(report.comparison, candidates=(chosen,))
    commands = [
        shlex.split(command)
        for command in next_commands(
            replace(report, comparison=comparison, accuracy={"fast": report.accuracy["fast"]})
        )
    ]
    assert [command[-1] for command in commands] == [str(path)] * 3
    assert commands[1] == ["edge-run", "classify", "PATH...", "--model", str(path)]


def test_accuracies_on_images_the_model_may_have_seen_are_withheld(
    make_report: MakeReport,
) -> None:
    report = make_report(notice=FALLBACK, trained_on={"test-images": "other"})
    facts = report.to_dict()
    assert "may have been trained on these images" in facts["data"]["withheld"]
    assert facts["float"]["accuracy"] is None
    assert facts["variants"]["slow"]["accuracy"] is None
    assert facts["variants"]["slow"]["interpreters"][0]["accuracy"] is None
    assert facts["variants"]["slow"]["change"]["disagreements"] == 1
    assert "93.33%" not in summary_table(report)


def test_model_trained_on_the_same_fallback_has_its_accuracies(make_report: MakeReport) -> None:
    first = make_report()
    report = make_report(notice=FALLBACK, trained_on=dict(first.data.sha256))
    assert report.withheld is None
    assert report.to_dict()["float"]["accuracy"]["correct"] == 28
