from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.robustness.card import check_record, robustness_part
from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.robustness.findings import Findings

    MakeFindings = Callable[..., Findings]

PATH = Path("robustness.json")


@pytest.fixture
def record(make_findings: MakeFindings) -> dict[str, Any]:
    found = make_findings("float32"), make_findings("int8")
    return {"limit": None, "models": {one.candidate.label: one.to_dict() for one in found}}


@pytest.fixture
def report(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "recommended": "int8",
        "variants": {label: {"sha256": e["sha256"]} for label, e in record["models"].items()},
    }


def test_recommended_model_is_shown_else_the_first(
    record: dict[str, Any], report: dict[str, Any]
) -> None:
    check_record(record, report, PATH)
    text = "\n".join(robustness_part(record, report))
    assert text.startswith("## Robustness\n")
    assert "Measured on `toy_int8.tflite`" in text
    assert "| toy digits | 4 | 50.00% (15.00% to 85.00%) |" in text
    assert "Expected calibration error on the 4 test images: 0.4250" in text
    other = robustness_part(record, {**report, "recommended": "float16"})
    assert "Measured on `toy_float32.tflite`" in "\n".join(other)


def test_without_a_record_there_is_no_such_part(report: dict[str, Any]) -> None:
    assert robustness_part(None, report) == []


def test_record_about_other_files_or_none_is_refused(
    record: dict[str, Any], report: dict[str, Any]
) -> None:
    record["models"]["int8"]["sha256"] = "0" * 64
    for wrong in (record, {"models": {}}, {}):
        with pytest.raises(InputError, match=r"robustness\.json is about other files .* again"):
            check_record(wrong, report, PATH)


@pytest.mark.parametrize("part", ["limit", "withheld"])
def test_record_of_a_part_of_the_images_is_refused(
    part: str, record: dict[str, Any], report: dict[str, Any]
) -> None:
    if part == "limit":
        record["limit"] = 100
    else:
        record["models"]["int8"]["withheld"] = "it may know them"
    with pytest.raises(InputError, match="with a part of the images; all of them was expected"):
        check_record(record, report, PATH)
