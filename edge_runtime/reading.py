"""What was read on a picture: the digits with their places, and the text they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Digit", "Reading", "Timings"]


class Box(NamedTuple):
    """A rectangle in pixels of the picture; x and y are those of its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Digit:
    """One character found on a picture.

    Attributes:
        label: The most probable label, also when the character is rejected.
        index: Its index among the model's labels.
        score: Its probability, 0 to 1.
        box: Where it is.
        rejected: It is likely none of the model's classes, or several that touch; not in the text.
        line: The line of text it belongs to, from 0.
        probabilities: Of all labels in their order, float32 of shape (number of labels,).
    """

    label: str
    index: int
    score: float
    box: Box
    rejected: bool
    line: int
    probabilities: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, without the probabilities."""
        return {
            "label": self.label,
            "score": self.score,
            "box": list(self.box),
            "rejected": self.rejected,
            "line": self.line,
        }


@dataclass(frozen=True)
class Timings:
    """Milliseconds that the steps took.

    Attributes:
        capture: Waiting for the frame and decoding it; 0 for a picture that was there.
        preprocess: From pixels to the model's inputs: finding digits and fitting them.
        invoke: The model, for all digits at once.
        postprocess: From the model's outputs to the reading.
    """

    capture: float
    preprocess: float
    invoke: float
    postprocess: float

    def to_dict(self) -> dict[str, float]:
        """The fields as plain JSON values."""
        return {
            "capture": self.capture,
            "preprocess": self.preprocess,
            "invoke": self.invoke,
            "postprocess": self.postprocess,
        }


@dataclass(frozen=True)
class Reading:
    """What was read on one picture.

    Attributes:
        text: The labels of the digits that are not rejected, in reading order; a line feed between
            lines, a space where a line has a wide gap.
        digits: All characters found, rejected ones too, in reading order.
        inputs: What the model saw of each, uint8 of shape (len(digits), height, width, channels).
        timings_ms: What the steps took.
    """

    text: str
    digits: tuple[Digit, ...]
    inputs: NDArray[np.uint8]
    timings_ms: Timings

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the picture to this answer."""
        return self.timings_ms.preprocess + self.timings_ms.invoke + self.timings_ms.postprocess

    def to_dict(self) -> dict[str, Any]:
        """What `edge-run read --json` prints but the path, as plain JSON values."""
        return {
            "text": self.text,
            "digits": [digit.to_dict() for digit in self.digits],
            "latency_ms": self.latency_ms,
        }
