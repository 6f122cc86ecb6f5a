"""Writes a flash image to any Cortex-M through a debug probe, by pyOCD."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import FlashError
from .image import ALIGNMENT, Image
from .programs import find_program, run_program

__all__ = ["Probe"]

WRITE_LIMIT_S, ASK_LIMIT_S = 900.0, 120.0


@dataclass(frozen=True)
class Probe:
    """A place in the memory of a chip that a debug probe reaches.

    Attributes:
        target: The chip, by pyOCD's name for it.
        address: Where the image begins in memory.
        partition_bytes: What the firmware leaves for the model there; None if that is not known.
        probe_id: Which probe, by its unique ID or a part of it; None for the only one.
    """

    target: str
    address: int
    partition_bytes: int | None = None
    probe_id: str | None = None

    def check(self) -> int | None:
        """Checks all that can be checked without touching the chip.

        Returns:
            Bytes that there are for the image; None if nothing says.

        Raises:
            MissingDependencyError: pyOCD is not installed.
            FlashError: The address is impossible, pyOCD knows no such target, or there is not
                exactly one probe that is meant.
        """
        program = find_program("pyocd")
        if self.address % ALIGNMENT or not 0 < self.address < 2**32:
            raise FlashError(
                f"the address {self.address:#x} is not aligned, or none",
                f"a multiple of {ALIGNMENT} of 32 bits",
                "the first address of a sector is best",
            )
        self._check_target(program)
        self._check_connected(program)
        return self.partition_bytes

    def _check_target(self, program: Path) -> None:
        # The same list as that of `pyocd list --targets`.
        names = [str(one["name"]) for one in _listed(program, "targets")]
        wanted = re.sub(r"[^a-z0-9]+", "_", self.target.lower())  # as pyOCD itself compares them
        if wanted not in names:
            near = difflib.get_close_matches(wanted, names, 3)
            raise FlashError(
                f"pyocd knows no target {self.target!r}",
                " or ".join(near) or "a name from pyocd list --targets",
                f"for other chips: pyocd pack install {self.target}",
            )

    def _check_connected(self, program: Path) -> None:
        # pyOCD would ask which one is meant, and nobody is there to answer.
        found = [str(one["unique_id"]) for one in _listed(program, "probes")]
        wanted = (self.probe_id or "").lower()
        meant = [one for one in found if wanted in one.lower()]
        if len(meant) != 1:
            matching = f" match {self.probe_id!r}" if self.probe_id else ""
            raise FlashError(
                f"of {len(found)} connected debug probes ({', '.join(found) or 'none'}) "
                f"{len(meant)}{matching or ' may be meant'}",
                "one",
                "choose it with --probe-id" if found else "plug one in; pyocd list shows it",
            )

    def write(self, image: Image, file: Path, on_line: Callable[[str], None]) -> str:
        """Lets pyOCD write the image.

        Args:
            image: The image.
            file: Where it was written.
            on_line: Is given what pyOCD prints.

        Returns:
            What was done, in words.

        Raises:
            FlashError: pyOCD failed, or there is no probe; the text has its own words.
        """
        command: list[str | Path] = [
            find_program("pyocd"),
            "load",
            "--no-wait",
            *(["--target", self.target, "--base-address", f"{self.address:#x}"]),
            # What else lies in the first and the last sector is written back.
            *(["--erase", "sector", "-O", "keep_unwritten=true", "--format", "bin"]),
            *(["--probe", self.probe_id] if self.probe_id else []),
            file.absolute(),  # so that no name is taken for an option
        ]
        run_program(command, WRITE_LIMIT_S, on_line)
        return f"{len(image.data):,} bytes written to {self.target} at {self.address:#x} by pyocd"


def _listed(program: Path, what: str) -> list[dict]:
    """Pyocd's list of targets or probes, in the form that it has for programs."""
    said = run_program([program, "json", f"--{what}"], ASK_LIMIT_S)
    try:
        # A warning may come before it.
        found = json.loads(said[said.index("{") :])
        return found["boards" if what == "probes" else what]
    except (ValueError, KeyError):
        raise FlashError(f"pyocd json --{what} gave no list", "pyocd 0.34 or later") from None
