"""How well whole pages are read: digits found and read right, false digits, and at what cost.

The pages are made by `tests/pages.py`, which knows where which digit stands.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge_runtime import Classifier, Reading
from edge_runtime.errors import InputError

__all__ = [
    "NO_DIGITS",
    "KindResult",
    "kind_names",
    "load_generator",
    "match",
    "measure_cost",
    "measure_pages",
    "measure_sheet",
    "summed",
    "ten_digits",
]

GENERATOR = Path(__file__).resolve().parent.parent / "tests" / "pages.py"
# A box is a digit's if the two share so much of the area they cover together.
OVERLAP = 0.3
# OpenCV's sheet: 20 x 20 pixels a digit, five rows of a hundred for each label.
CELL, ROWS_PER_LABEL = 20, 5
NO_DIGITS = "no digits: "


@dataclass
class KindResult:
    """What came out on the pages of one kind.

    Attributes:
        kind: Its name.
        pages: How many.
        digits: How many digits are on them.
        boxed: How many of these have a box, rejected or not.
        found: How many of these are read, right or wrong.
        right: How many are read right.
        false: Characters read where there is no digit.
        milliseconds: For each page.
    """

    kind: str
    pages: int = 0
    digits: int = 0
    boxed: int = 0
    found: int = 0
    right: int = 0
    false: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, times as their median."""
        median = float(np.median(self.milliseconds)) if self.milliseconds else None
        return {**vars(self), "milliseconds": median}


def load_generator(path: Path = GENERATOR) -> ModuleType:
    """The module that makes pages.

    Args:
        path: Its file.

    Returns:
        The module, with the one it needs beside it.

    Raises:
        InputError: It is not there: only a checkout has the tests.
    """
    folder = str(path.parent)
    if not path.is_file():
        raise InputError(f"{path} is missing", "a checkout of this project, tests included")
    spec = importlib.util.spec_from_file_location("page_generator", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be loaded", "a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name; the file imports one beside it.
    sys.modules[spec.name] = module
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def kind_names() -> list[str]:
    """All kinds of pages; names of those without digits begin with "no digits: "."""
    generator = load_generator()
    return [*generator.PAPERS, *(NO_DIGITS + name for name in generator.EMPTY)]


def match(page: Any, reading: Reading) -> list[int | None]:
    """Which of the characters read is each digit of a page.

    Args:
        page: With `digits`, as `tests/pages.py` makes it.
        reading: What was read.

    Returns:
        For each digit of the page an index into `reading.digits`, or None.
    """
    used: set[int] = set()
    matched: list[int | None] = []
    for truth in page.digits:
        shares = [
            (_overlap(truth.box, digit.box), index)
            for index, digit in enumerate(reading.digits)
            if index not in used
        ]
        share, index = max(shares, default=(0.0, -1))
        matched.append(index if share > OVERLAP else None)
        if share > OVERLAP:
            used.add(index)
    return matched


def measure_pages(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    count: int,
    seed: int,
    size: tuple[int, int] | None = None,
    kinds: list[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[KindResult]:
    """Reads pages of every kind.

    Args:
        classifier: The model.
        images: Digits to lay on them, uint8 (N, 28, 28, 1).
        labels: Theirs.
        count: Pages of each kind.
        seed: Of the first page of each kind.
        size: Width and height of all pages; None for various.
        kinds: Some of the generator's kinds; None for all.
        progress: Called with a line after each kind.

    Returns:
        A result for each kind; names of those without digits begin with "no digits: ".
    """
    generator = load_generator()
    results = []
    for kind in kinds or kind_names():
        result = KindResult(kind)
        for number in range(seed, seed + count):
            page = generator.make_page(kind, number, images, labels, size)
            began = time.perf_counter()
            reading = classifier.read(page.pixels)
            result.milliseconds.append((time.perf_counter() - began) * 1000)
            _count(result, page, reading)
        results.append(result)
        progress(kind)
    return results


def measure_sheet(classifier: Classifier, pixels: np.ndarray) -> KindResult:
    """Reads OpenCV's sheet of 5,000 digits as one picture.

    Args:
        classifier: The model.
        pixels: The sheet, uint8 (1000, 2000).

    Returns:
        The result; a digit is found if a box read has its middle in the digit's cell.
    """
    began = time.perf_counter()
    reading = classifier.read(pixels)
    result = KindResult("OpenCV's sheet as one picture", pages=1)
    result.milliseconds.append((time.perf_counter() - began) * 1000)
    rows, columns = pixels.shape[0] // CELL, pixels.shape[1] // CELL
    result.digits = rows * columns
    boxed: set[tuple[int, int]] = set()
    found: dict[tuple[int, int], str] = {}
    for digit in reading.digits:
        box = digit.box
        cell = (int(box.y + box.height / 2) // CELL, int(box.x + box.width / 2) // CELL)
        boxed.add(cell)
        if digit.rejected:
            continue
        result.false += cell in found
        found.setdefault(cell, digit.label)
    result.boxed, result.found = len(boxed), len(found)
    result.right = sum(label == str(row // ROWS_PER_LABEL) for (row, _), label in found.items())
    return result


def measure_cost(classifier: Classifier, images: np.ndarray, rounds: int = 60) -> dict[str, float]:
    """What reading a 640x480 frame with ten digits costs beside the bare model.

    Both take turns, so that what slows the machine down slows both; the least of many rounds is
    what the work takes.

    Args:
        classifier: The model; with one thread both run on one core.
        images: At least ten digits, uint8 (N, 28, 28, 1).
        rounds: How often each takes its turn.

    Returns:
        "read_ms", "invoke_ms" (a batch of ten), "ratio", "digits" read.
    """
    frame = ten_digits(images)
    reading = classifier.read(frame)
    inputs = np.resize(reading.inputs, (10, *classifier.contract.input_shape))
    tensor = classifier.model_input(inputs)
    classifier.interpreter.run(tensor)
    reads, invokes = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        classifier.read(frame)
        reads.append(time.perf_counter() - began)
        # If the frame needed another batch size, the interpreter allocates anew: not its work.
        classifier.interpreter.run(tensor)
        began = time.perf_counter()
        classifier.interpreter.run(tensor)
        invokes.append(time.perf_counter() - began)
    read_ms, invoke_ms = min(reads) * 1000, min(invokes) * 1000
    return {
        "read_ms": read_ms,
        "invoke_ms": invoke_ms,
        "ratio": read_ms / invoke_ms,
        "digits": float(sum(not digit.rejected for digit in reading.digits)),
    }


def ten_digits(images: np.ndarray) -> np.ndarray:
    """A 640x480 frame with two lines of five digits, dark on light, with a little noise."""
    random = np.random.default_rng(0)
    frame = np.full((480, 640), 215.0, np.float32)
    for place in range(10):
        large = images[place].reshape(28, 28).repeat(2, 0).repeat(2, 1)
        top, left = 110 + 150 * (place // 5), 60 + 105 * (place % 5)
        frame[top : top + 56, left : left + 56] -= large * 0.65
    frame += random.normal(0, 1.5, frame.shape)
    return frame.clip(0, 255).astype(np.uint8)[:, :, np.newaxis].repeat(3, 2)


def _count(result: KindResult, page: Any, reading: Reading) -> None:
    matched = match(page, reading)
    result.pages += 1
    result.digits += len(matched)
    for truth, index in zip(page.digits, matched, strict=True):
        if index is None:
            continue
        digit = reading.digits[index]
        result.boxed += 1
        result.found += not digit.rejected
        result.right += not digit.rejected and digit.label == str(truth.label)
    used = set(matched)
    result.false += sum(
        not digit.rejected and index not in used for index, digit in enumerate(reading.digits)
    )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (a[2] * a[3] + b[2] * b[3] - wide * high)


def summed(results: Iterable[KindResult], kind: str) -> KindResult:
    """The sum of some results under one name."""
    total = KindResult(kind)
    for result in results:
        for name in ("pages", "digits", "boxed", "found", "right", "false"):
            setattr(total, name, getattr(total, name) + getattr(result, name))
        total.milliseconds += result.milliseconds
    return total
