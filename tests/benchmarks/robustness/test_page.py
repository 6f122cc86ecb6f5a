from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.robustness.page import robustness_page, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.robustness.findings import Findings

    MakeFindings = Callable[..., Findings]

IMAGES = {
    name: Path(f"robustness.{name}.png")
    for name in ("int8.mistakes", "int8.not-digits", "reliability")
}


def record(*found: Findings, notice: str | None = None, limit: int | None = None) -> dict[str, Any]:
    return {
        "measured_at": "2026-01-01T00:00:00+00:00",
        "limit": limit,
        "data": {"name": "toys", "notice": notice, "test_images": 4, "limited": limit is not None},
        "models": {one.candidate.label: one.to_dict() for one in found},
    }


def test_page_has_every_set_with_its_figures_and_its_description(
    make_findings: MakeFindings,
) -> None:
    page = robustness_page(record(make_findings()), IMAGES)
    for line in (
        "## int8: `toy_int8.tflite`",
        "litert 1.0, fit `ink`, rejects scores below 80.0%.",
        "| toy digits | 4 | 50.00% (15.00% to 85.00%) | 1 | 50.00% | 50.00% |",
        "| noise | inputs | 3 | 0 | 33.33% | 0.5417 |",
        "| loud noise | inputs | 1 | 0 | 0.00% | 0.0000 |",
        "| paper | pictures | 2 | 2 | 100.00% | 0.8750 |",
        "- noise, loud noise: noise made by hand.",
        "- not measured: sheet as pictures: nobody names it.",
        "Of the test images, which are digits, 25.00% as inputs and 50.00% as pictures are "
        "rejected.",
        "| int8 | 4 | 0.4250 |",
    ):
        assert line in page
    for image in IMAGES.values():
        assert f"({image.name})" in page


def test_page_says_what_was_left_out(make_findings: MakeFindings) -> None:
    page = robustness_page(record(make_findings(), notice="only a few", limit=4), IMAGES)
    assert "> **ONLY A FEW**" in page
    assert "(a part of them). At most 4 images of each set were used." in page


def test_withheld_figures_are_dashes_and_there_is_no_calibration(
    make_findings: MakeFindings,
) -> None:
    found = make_findings(withheld="it may know them")
    page = robustness_page(record(found), {})
    assert "> it may know them: figures that rest on these are withheld." in page
    assert "| noise | inputs | 3 | 0 | 33.33% | - |" in page
    assert "Calibration" not in page
    assert "![" not in page
    assert "withheld: it may know them" in summary(record(found)).splitlines()


def test_tables_for_the_terminal_follow_model_by_model(make_findings: MakeFindings) -> None:
    found = make_findings(), make_findings("float32", threshold=None)
    lines = summary(record(*found)).splitlines()
    assert lines[0] == "int8: toy_int8.tflite, rejects scores below 80.0%"
    assert lines[1].split("  ")[0] == "digits"
    assert "float32: toy_float32.tflite, no rejection threshold" in lines
    assert lines.count("not measured: sheet as pictures: nobody names it") == 2
    assert lines[-1] == "Expected calibration error on the 4 test images: 0.4250 (15 intervals)."
