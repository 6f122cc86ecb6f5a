"""Options that mean nothing where they are given, and what is said of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from .errors import FlashError

__all__ = ["refuse_options"]


def refuse_options(
    args: argparse.Namespace,
    names: Iterable[str],
    happened: str,
    expected: str = "",
    remedy: str = "leave it out",
) -> None:
    """Refuses options rather than ignore them.

    Args:
        args: The parsed arguments. None and False stand for "not given".
        names: The options that are refused, as attributes of `args`.
        happened: What is wrong with them; follows the option.
        expected: What was expected.
        remedy: What to do.

    Raises:
        FlashError: One of them was given.
    """
    for name in names:
        if getattr(args, name) not in (None, False):
            raise FlashError(f"--{name.replace('_', '-')} {happened}", expected, remedy)
