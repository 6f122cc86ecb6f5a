"""Watches a Raspberry Pi's power and heat while something else runs, and says when they bite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .machine import THROTTLED_BITS, board_name, temperature_c, throttling

__all__ = ["Health", "HealthWatch", "read_health"]

# From 80 °C on a Raspberry Pi lowers its clock; source: Raspberry Pi documentation, "Frequency
# management and thermal control". It must cool down a little before that is taken back, or a
# temperature that swings around the limit would be news every time.
HOT_C = 80.0
COOL_C = 75.0
INTERVAL_S = 10.0
NOW = tuple(reason for bit, reason in THROTTLED_BITS.items() if bit < 16)


@dataclass(frozen=True)
class Health:
    """A machine's power and heat at some moment.

    Attributes:
        temperature_c: The processor's temperature in degrees Celsius; None if nothing tells.
        troubles: What slows the machine down now, one phrase each.
    """

    temperature_c: float | None = None
    troubles: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for a person."""
        heat = "" if self.temperature_c is None else f" at {self.temperature_c:.0f} °C"
        if not self.troubles:
            return f"the board is well again{heat}"
        return f"the board reports {', '.join(self.troubles)}{heat}; check power supply and cooling"

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {"temperature_c": self.temperature_c, "troubles": list(self.troubles)}


WELL = Health()


def read_health(before: Health = WELL, root: Path = Path("/")) -> Health:
    """Asks the machine how it is.

    Args:
        before: What was found the last time: a board that was too hot must cool down to be well.
        root: Where ``/proc`` and ``/sys`` are found; another one only for tests.

    Returns:
        What was found.
    """
    heat = temperature_c(root)
    troubles = [reason for reason in throttling(root) or [] if reason in NOW]
    # Other processors are at home in such heat.
    if heat is not None and "Raspberry Pi" in (board_name(root) or ""):
        was_hot = "too hot" in before.troubles
        troubles += ["too hot"] * (heat >= (COOL_C if was_hot else HOT_C))
    return Health(heat, tuple(troubles))


@dataclass
class HealthWatch:
    """Asks again and again in a thread: the firmware's tool takes its time, a loop has none.

    Attributes:
        read: What to ask with; gets what was found before.
        interval_s: Seconds between two questions.
        latest: What was found last.
    """

    read: Callable[[Health], Health] = read_health
    interval_s: float = INTERVAL_S
    latest: Health = field(default=WELL, init=False)

    def __post_init__(self) -> None:
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="health", daemon=True).start()

    def close(self) -> None:
        """Asks no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self.latest = self.read(self.latest)
            self._closed.wait(self.interval_s)
