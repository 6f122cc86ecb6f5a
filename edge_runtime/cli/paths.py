"""What verbs that read pictures share: PATH arguments, standard input, reports of failures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import EdgeRuntimeError, ImageError, InputError
from ..images import MAX_FILE_BYTES, decode_image, list_images
from .shell import printable, say

__all__ = [
    "STANDARD_INPUT",
    "Source",
    "expand_paths",
    "failure_line",
    "read_standard_input",
    "reason",
    "refuse_overwriting",
]

STANDARD_INPUT = "-"

Source = tuple[str, Exception | None]
"""What to read, and why that is already known to fail."""


def expand_paths(paths: Sequence[str]) -> list[Source]:
    """The pictures that PATH arguments name, a folder standing for all in it and below.

    Args:
        paths: Pictures, folders, or "-".

    Returns:
        Paths in the order given, folders in the order of names.
    """
    found: list[Source] = []
    for path in paths:
        try:
            found += _pictures(path)
        except (EdgeRuntimeError, OSError) as error:
            found.append((path, error))
    return found


def read_standard_input() -> NDArray[np.uint8]:
    """The picture on standard input.

    Returns:
        Its pixels, as `decode_image` gives them.

    Raises:
        InputError: It is closed, or has more than `MAX_FILE_BYTES`.
        ImageError: It is no picture.
    """
    if sys.stdin is None:
        raise InputError("standard input is closed", "a picture")
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError("standard input goes on", f"a picture of at most {MAX_FILE_BYTES:,} bytes")
    return decode_image(data, "standard input")


def refuse_overwriting(inputs: Iterable[str], outputs: Iterable[tuple[str, Path]]) -> None:
    """Refuses outputs that would take the place of an input, or of each other.

    A link to an input is refused as well: whoever names one may not know what it leads to.

    Args:
        inputs: Paths that are read, or "-" for standard input, which may come from a file.
        outputs: Each option with a file that is written for it.

    Raises:
        InputError: A file would be lost.
    """
    read = {}
    for path in inputs:
        if path == STANDARD_INPUT:
            read[_identity(_standard_input_number())] = "standard input"
        else:
            read[_identity(path)] = path
    read.pop(None, None)  # What is not there is not lost.
    written: dict[str, str] = {}
    for option, out in outputs:
        if source := read.get(_identity(out)):
            raise InputError(
                f"{option} would write over {source}, which is read", "another file to write"
            )
        # The name counts here and not where a link leads: what is written replaces the link.
        place = os.path.join(os.path.realpath(out.parent), out.name)
        if place in written:
            raise InputError(
                f"{written[place]} and {option} would both write {out}", "a file for each"
            )
        written[place] = option


def failure_line(path: str, error: Exception, as_json: bool) -> None:
    """Reports a path that failed: with ``--json`` on stdout as one object, else on stderr."""
    if as_json:
        print(json.dumps({"path": path, "error": reason(error)}), flush=True)
        return
    # Most reasons begin with the path, as the line does already.
    text = reason(error).removeprefix(path).lstrip(" :")
    say(f"{printable(path)}: error: {text}")


def reason(error: Exception) -> str:
    """One line that says why a picture failed."""
    if isinstance(error, MemoryError):
        return "not enough memory; a smaller picture was expected"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error) if isinstance(error, EdgeRuntimeError) else repr(error)
    return " ".join(text.split())


def _identity(file: str | Path | int | None) -> tuple[int, int] | None:
    """What two names of one file have in common; None for no file."""
    with suppress(OSError, ValueError):
        if file is not None:
            status = os.stat(file)
            return status.st_dev, status.st_ino
    return None


def _standard_input_number() -> int | None:
    with suppress(OSError, ValueError):
        return None if sys.stdin is None else sys.stdin.fileno()
    return None


def _pictures(path: str) -> list[Source]:
    if path == STANDARD_INPUT or not Path(path).is_dir():
        return [(path, None)]
    found: list[Source] = []
    # A folder that cannot be listed takes its place in the order as one failure.
    walk = os.walk(path, onerror=lambda error: found.append((str(error.filename), error)))
    for folder, below, _ in walk:
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [(str(picture), None) for picture in list_images(folder)]
    if not found:
        raise ImageError(f"{path} holds no pictures", "PNG, JPEG or other picture files in it")
    return found
