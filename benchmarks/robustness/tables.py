"""Rows and sentences that page, terminal and model card share, made from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "ABOUT_DIGITS",
    "ABOUT_OTHERS",
    "DIGITS_HEADER",
    "OTHERS_HEADER",
    "bullets",
    "digit_rows",
    "not_measured",
    "other_rows",
    "rejected_digits",
    "sentences",
]

Entry = Mapping[str, Any]
Rows = list[tuple[str, ...]]

DIGITS_HEADER = ("digits", "pictures", "read right", "no ink", "rejected", "right of the others")
OTHERS_HEADER = ("not a digit", "fed as", "images", "no ink", "rejected", "AUROC")
ABOUT_DIGITS = (
    "Each digit is a PNG file that goes the way of any picture: decoded, fitted as the model's "
    "contract says, classified. *Read right* counts the best label, rejected or not, with its 95 % "
    "Wilson interval; a picture in which no ink was found counts as wrong. *Right of the others* "
    "leaves out what was rejected."
)
ABOUT_OTHERS = (
    "None of these images shows a digit, so all should be rejected. *Inputs* are given to the "
    "model as they are, *pictures* are PNG files that go the way of any picture. *AUROC* is the "
    "probability that a test image has a higher score (largest probability) than one of these, fed "
    "the same way: 1 means that some threshold tells all of them apart, 0.5 that the score says "
    "nothing. A picture in which no ink was found counts as rejected, with the score 0."
)


def digit_rows(entry: Entry, *, intervals: bool = True) -> Rows:
    """A row below `DIGITS_HEADER` for each set of digits that was measured.

    Args:
        entry: One model's entry of the record.
        intervals: Whether the accuracy has its interval.

    Returns:
        The cells' texts.
    """
    rows: Rows = []
    for one in _measured(entry["digits"]):
        interval = f" ({one['low']:.2%} to {one['high']:.2%})" if intervals else ""
        rows.append(
            (
                one["name"],
                f"{one['total']:,}",
                f"{one['accuracy']:.2%}{interval}",
                f"{one['empty']:,}",
                f"{one['rejected'] / one['total']:.2%}",
                f"{one['accepted']['accuracy']:.2%}" if one["accepted"] else "-",
            )
        )
    return rows


def other_rows(entry: Entry) -> Rows:
    """A row below `OTHERS_HEADER` for each set of what is not a digit that was measured.

    Args:
        entry: One model's entry of the record.

    Returns:
        The cells' texts.
    """
    return [
        (
            one["name"],
            one["fed"],
            f"{one['images']:,}",
            f"{one['empty']:,}",
            f"{one['share']:.2%}",
            "-" if one["auroc"] is None else f"{one['auroc']:.4f}",
        )
        for one in _measured(entry["not_digits"])
    ]


def not_measured(entry: Entry) -> list[str]:
    """A line for each set that could not be had, both of its forms in one where they agree.

    Args:
        entry: One model's entry of the record.

    Returns:
        Lines without a full stop.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for one in (*entry["digits"], *entry["not_digits"]):
        if one["not_measured"] is not None:
            lines.setdefault((one["name"], one["not_measured"]), []).append(one["fed"])
    return [
        f"not measured: {name} as {' and '.join(fed)}: {why}" for (name, why), fed in lines.items()
    ]


def sentences(entry: Entry) -> list[str]:
    """What else is to be said of a model: digits rejected, and calibration.

    Args:
        entry: One model's entry of the record.

    Returns:
        Sentences; none where the test images say nothing about the model.
    """
    found = entry["calibration"]
    if found is None:
        return []
    return [
        rejected_digits(entry),
        f"Expected calibration error on the {found['images']:,} test images: {found['ece']:.4f} "
        f"({len(found['bins'])} intervals).",
    ]


def rejected_digits(entry: Entry) -> str:
    """How many of the digits that the model knows it rejects, in a sentence."""
    shares = " and ".join(f"{one['share']:.2%} as {fed}" for fed, one in entry["known"].items())
    return f"Of the test images, which are digits, {shares} are rejected."


def bullets(lines: Sequence[str]) -> list[str]:
    r"""Lines as one Markdown list with full stops; nothing for none.

    >>> bullets(["one", "two"])
    ['- one.\n- two.']
    """
    return ["\n".join(f"- {line}." for line in lines)] if lines else []


def _measured(sets: Sequence[Entry]) -> list[Entry]:
    return [one for one in sets if one["not_measured"] is None]
