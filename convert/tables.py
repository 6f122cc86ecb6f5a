"""Text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["text_table"]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under a header; those whose every value starts with a digit or sign stand right.

    Args:
        header: The columns' names.
        rows: The values; each row as long as the header.

    Returns:
        The lines, without a last line end.

    >>> print(text_table(["variant", "bytes"], [["int8", "104"], ["float32", "376,844"]]))
    variant    bytes
    int8         104
    float32  376,844
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(value[:1] in "+-0123456789" for value in column[1:]) for column in columns]
    return "\n".join(
        "  ".join(
            value.rjust(width) if aligned else value.ljust(width)
            for value, width, aligned in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in (header, *rows)
    )
