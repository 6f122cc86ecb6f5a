"""What was found, for people: a page, and tables for the terminal; made from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.tables import text_table

from ..markdown import markdown_table
from .findings import MISTAKES
from .scores import BINS
from .tables import (
    ABOUT_DIGITS,
    ABOUT_OTHERS,
    DIGITS_HEADER,
    OTHERS_HEADER,
    bullets,
    digit_rows,
    not_measured,
    other_rows,
    rejected_digits,
    sentences,
)

__all__ = ["robustness_page", "summary"]

Entry = Mapping[str, Any]


def robustness_page(record: Mapping[str, Any], images: Mapping[str, Path]) -> str:
    """The page's text.

    Args:
        record: As ``robustness.json`` holds it.
        images: Plots beside it, as `draw_all` gives them.

    Returns:
        Markdown; the same record gives the same text.
    """
    data = record["data"]
    part = " (a part of them)" if data["limited"] else ""
    limit = f" At most {record['limit']:,} images of each set were used." if record["limit"] else ""
    parts = ["# Digits from elsewhere, and what is not a digit"]
    if data["notice"]:
        parts.append(f"> **{data['notice'].upper()}**")
    parts += [
        f"Measured {record['measured_at']}. What the models know are the {data['test_images']:,} "
        f"test images of `{data['name']}`{part}.{limit}",
        ABOUT_DIGITS,
        ABOUT_OTHERS,
    ]
    for label, entry in record["models"].items():
        parts += _model(label, entry, images)
    parts += _calibrations(record["models"], images)
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(record: Mapping[str, Any]) -> str:
    """The tables for the terminal.

    Args:
        record: As ``robustness.json`` holds it.

    Returns:
        The lines, without a last line end.
    """
    parts = []
    for label, entry in record["models"].items():
        parts += [
            f"{label}: {entry['file']}, {_threshold(entry)}",
            *([f"withheld: {entry['withheld']}"] if entry["withheld"] else []),
            text_table(DIGITS_HEADER, digit_rows(entry, intervals=False)),
            "",
            text_table(OTHERS_HEADER, other_rows(entry)),
            "",
            *not_measured(entry),
            *sentences(entry),
            "",
        ]
    return "\n".join(parts).rstrip("\n")


def _model(label: str, entry: Entry, images: Mapping[str, Path]) -> list[str]:
    withheld = f"> {entry['withheld']}: figures that rest on these are withheld."
    return [
        f"## {label}: `{entry['file']}`",
        f"{entry['backend']} {entry['backend_version']}, fit `{entry['fit']}`, "
        f"{_threshold(entry)}.",
        *([withheld] if entry["withheld"] else []),
        "### Digits from elsewhere",
        markdown_table(DIGITS_HEADER, digit_rows(entry)),
        *bullets(_about(entry["digits"])),
        *_picture(
            images.get(f"{label}.mistakes"),
            f"The {MISTAKES} most confident mistakes of each, the picture above and what the model "
            "saw of it below:",
        ),
        "### What is not a digit",
        markdown_table(OTHERS_HEADER, other_rows(entry)),
        *([rejected_digits(entry)] if entry["known"] else []),
        *bullets(_about(entry["not_digits"])),
        *_picture(
            images.get(f"{label}.not-digits"),
            f"The {MISTAKES} of each with the highest scores, and what they were taken for:",
        ),
        *bullets(not_measured(entry)),
    ]


def _calibrations(models: Mapping[str, Entry], images: Mapping[str, Path]) -> list[str]:
    rows = [
        (label, f"{entry['calibration']['images']:,}", f"{entry['calibration']['ece']:.4f}")
        for label, entry in models.items()
        if entry["calibration"]
    ]
    if not rows:
        return []
    return [
        "## Calibration",
        "The expected calibration error is the mean gap between a model's confidence (the largest "
        f"probability) and the share of right answers, over {BINS} intervals of confidence of "
        "equal width (Guo and others, 2017), on the test images as inputs. 0 is what it should be.",
        markdown_table(("model", "images", "expected calibration error"), rows),
        f"![Reliability diagram]({images['reliability'].name})",
    ]


def _about(sets: Sequence[Entry]) -> list[str]:
    """What each set is; a part of a set shares its whole's description."""
    names: dict[str, list[str]] = {}
    for one in sets:
        named = names.setdefault(one["about"], [])
        if one["name"] not in named:
            named.append(one["name"])
    return [f"{', '.join(named)}: {about}" for about, named in names.items()]


def _picture(path: Path | None, words: str) -> list[str]:
    return [] if path is None else [words, f"![{words.rstrip(':')}]({path.name})"]


def _threshold(entry: Entry) -> str:
    if entry["threshold"] is None:
        return "no rejection threshold"
    return f"rejects scores below {entry['threshold']:.1%}"
