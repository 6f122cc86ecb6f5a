from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.robustness.findings import Asked, confident_mistakes, most_confident
from edge_runtime.measure import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.robustness.findings import Findings

    MakeFindings = Callable[..., Findings]


def test_digits_are_counted_with_interval_rejections_and_mistakes(
    make_findings: MakeFindings,
) -> None:
    missing, found = make_findings().to_dict()["digits"]
    assert missing == {
        "name": "sheet", "fed": "pictures", "about": "a sheet", "not_measured": "nobody names it",
    }  # fmt: skip
    # The empty picture counts as wrong, though its label would be right.
    assert (found["correct"], found["total"], found["empty"]) == (2, 4, 1)
    assert (found["low"], found["high"]) == wilson_interval(2, 4)
    assert found["rejected"] == 2
    assert (found["accepted"]["correct"], found["accepted"]["total"]) == (1, 2)
    assert found["mistakes"] == [
        {"index": 2, "true": "2", "read": "5", "score": 0.95, "rejected": False}
    ]


def test_what_is_not_a_digit_is_held_against_digits_fed_the_same_way(
    make_findings: MakeFindings,
) -> None:
    noise, loud, paper = make_findings().to_dict()["not_digits"]
    assert (noise["name"], noise["fed"], noise["images"], noise["rejected"]) == (
        "noise", "inputs", 3, 1,
    )  # fmt: skip
    # Of 12 pairs the digit wins 0 + 2.5 + 4.
    assert noise["auroc"] == pytest.approx(6.5 / 12)
    assert (loud["name"], loud["images"], loud["rejected"], loud["auroc"]) == (
        "loud noise", 1, 0, 0.0,
    )  # fmt: skip
    # Both pages are empty and rank with the one empty digit: 6 of 8 pairs are won, 2 are ties.
    assert (paper["empty"], paper["share"], paper["auroc"]) == (2, 1.0, 7 / 8)


def test_known_digits_that_are_rejected_are_counted_for_both_feeds(
    make_findings: MakeFindings,
) -> None:
    known = make_findings().to_dict()["known"]
    assert {fed: one["rejected"] for fed, one in known.items()} == {"inputs": 1, "pictures": 2}
    assert known["inputs"]["share"] == 0.25


def test_without_a_threshold_only_empty_pictures_are_rejected(make_findings: MakeFindings) -> None:
    entry = make_findings(threshold=None).to_dict()
    assert entry["threshold"] is None
    assert {fed: one["rejected"] for fed, one in entry["known"].items()} == {
        "inputs": 0, "pictures": 1,
    }  # fmt: skip


def test_calibration_is_that_of_the_inputs(make_findings: MakeFindings) -> None:
    found = make_findings().to_dict()["calibration"]
    assert found["images"] == 4
    # 0.95 is wrong; 0.9 and 0.85 share an interval; 0.5 is right.
    assert found["ece"] == pytest.approx((0.95 + 2 * 0.125 + 0.5) / 4)
    assert len(found["bins"]) == 15


def test_withheld_leaves_nothing_that_rests_on_the_test_images(make_findings: MakeFindings) -> None:
    entry = make_findings(withheld="it may know them").to_dict()
    assert entry["withheld"] == "it may know them"
    assert entry["known"] == {}
    assert entry["calibration"] is None
    assert [one["auroc"] for one in entry["not_digits"]] == [None] * 3
    assert entry["not_digits"][0]["rejected"] == 1


def test_entry_is_json(make_findings: MakeFindings) -> None:
    entry = make_findings().to_dict()
    assert json.loads(json.dumps(entry)) == entry


def test_mistakes_come_by_confidence_and_empty_pictures_are_none(
    make_findings: MakeFindings,
) -> None:
    found = make_findings()
    read, noise = found.digits[1], found.others[0]
    assert isinstance(read, Asked)
    assert isinstance(noise, Asked)
    assert confident_mistakes(read) == [2]
    assert most_confident(read) == [2, 1, 3]
    assert most_confident(noise, 2) == [0, 1]
