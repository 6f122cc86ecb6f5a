"""How far a training is and how long it will still take, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

__all__ = ["Progress", "duration"]

# A line is rewritten no more often than one can read.
SECONDS_BETWEEN = 0.5
# The first steps take longer, because the graph is made in them.
STEPS_BEFORE_ESTIMATE = 10


@dataclass
class Progress:
    """Tells one person or one log file how a run is going.

    Attributes:
        epochs: Of the whole run.
        done: Epochs that an earlier sitting did.
        steps: In an epoch.
        stream: Where it is told; on a terminal the epoch's line is rewritten while it lasts.
    """

    epochs: int
    done: int
    steps: int
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def __post_init__(self) -> None:
        self._told = 0.0
        self._measured: tuple[float, int] | None = None

    def step(self, steps_done: int) -> None:
        """Counts a step of the present epoch."""
        now = time.monotonic()
        steps = self.done * self.steps + steps_done
        if self._measured is None and steps_done >= STEPS_BEFORE_ESTIMATE:
            self._measured = now, steps
        if self.stream.isatty() and now - self._told >= SECONDS_BETWEEN:
            self._told = now
            line = f"epoch {self.done + 1}/{self.epochs}  step {steps_done}/{self.steps}"
            self._write(f"\r{line}{self._left(now, steps)}\x1b[K")

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Writes the line of an epoch that is done.

        Args:
            figures: "loss", "accuracy", "val_loss", "val_accuracy" and "seconds".
        """
        self.done += 1
        left = self._left(time.monotonic(), self.done * self.steps)
        beginning = "\r\x1b[K" if self.stream.isatty() else ""
        self._write(
            f"{beginning}epoch {self.done}/{self.epochs}  loss {figures['loss']:.4f}  "
            f"accuracy {figures['accuracy']:.2%}  validation {figures['val_loss']:.4f}  "
            f"{figures['val_accuracy']:.2%}  {figures['seconds']:.1f} s{left}\n"
        )

    def _left(self, now: float, steps: int) -> str:
        if self._measured is None or steps <= self._measured[1]:
            return ""
        begun, before = self._measured
        seconds = (now - begun) / (steps - before) * (self.epochs * self.steps - steps)
        return f"  {duration(seconds)} left" if seconds > 0 else ""

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(42.4), duration(130), duration(4000)
    ('42 s', '2 min 10 s', '1 h 6 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
