from __future__ import annotations

from typing import Any

from train.before_after import report_lines


def figures(accuracy: float, images: int, **more: Any) -> dict[str, Any]:
    return {"accuracy": accuracy, "images": images, "interval_95": [0.5, 0.75], **more}


def test_both_figures_stand_before_and_after() -> None:
    known = {"name": "mnist", "notice": None}
    metrics = {
        "before": {
            "held_out": figures(0.615, 400), "original": figures(0.993, 10_000, **known),
        },
        "after": {"held_out": figures(0.7, 400), "original": figures(0.9921, 10_000, **known)},
        "unmeasured": None,
    }  # fmt: skip
    assert report_lines(metrics) == [
        "before: 61.50% of 400 held-out pictures (50.0% to 75.0%), "
        "99.30% of 10,000 test images of mnist",
        "after: 70.00% of 400 held-out pictures (50.0% to 75.0%), "
        "99.21% of 10,000 test images of mnist",
    ]


def test_few_pictures_and_what_was_not_measured_are_told() -> None:
    metrics = {
        "before": {"held_out": None, "original": None},
        "after": {"held_out": figures(0.9, 20), "original": None},
        "unmeasured": "there is no before: digits knows 0, 1, not a, b",
    }
    after, few, why = report_lines(metrics)
    assert after == "after: 90.00% of 20 held-out pictures (50.0% to 75.0%)"
    assert few.startswith("20 held-out pictures are few: the true accuracy is anywhere in the")
    assert why == metrics["unmeasured"]


def test_notice_of_what_the_model_was_trained_on_is_repeated() -> None:
    original = figures(0.99, 1000, name="mnist", notice="NOT ALL OF MNIST")
    both = {"held_out": figures(0.9, 400), "original": original}
    lines = report_lines({"before": both, "after": both, "unmeasured": None})
    assert lines[-1] == "NOT ALL OF MNIST"
    assert len(lines) == 3
