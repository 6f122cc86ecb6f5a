"""Numbers on a command line. Standard library only: `receive` needs them where no NumPy is."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["decimal_number", "probability", "whole_number"]


def whole_number(
    minimum: int, maximum: int | None = None, name: str = "whole number"
) -> Callable[[str], int]:
    """An argument type: a whole number in plain digits, without sign, spaces or underscores.

    Args:
        minimum: The smallest one allowed, 0 or more.
        maximum: The largest one allowed; None for any.
        name: What an error calls it.

    Returns:
        What turns a text into the number, and raises `argparse.ArgumentTypeError` for any other.
    """

    def parse(text: str) -> int:
        # Python turns no text of more than 4,300 digits into a number.
        digits = text.isascii() and text.isdigit() and len(text) <= 1000
        value = int(text) if digits else -1
        if value < minimum or (maximum is not None and value > maximum):
            up_to = "" if maximum is None else f" to {maximum}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a {name} from {minimum}{up_to}")
        return value

    return parse


def decimal_number(minimum: float, maximum: float, name: str = "number") -> Callable[[str], float]:
    """An argument type: a number from `minimum` to `maximum`; `name` is what an error calls it."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a {name} from {minimum:g} to {maximum:g}"
            )
        return value

    return parse


probability = decimal_number(0, 1, "probability")
"""An argument type: a probability from 0 to 1."""
