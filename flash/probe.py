"""Writes a flash image to any Cortex-M through a debug probe, by pyOCD."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import FlashError
from .image import ALIGNMENT, Image, Written
from .programs import find_program, run_program
from .rp2 import FAMILIES, FIRMWARE_BYTES, room_at

__all__ = ["Probe"]

WRITE_LIMIT_S, ASK_LIMIT_S = 900.0, 120.0
# Where a Cortex-M has memory that keeps: "code", and the "external RAM" where chips also map flash
# (ARMv7-M and ARMv8-M Architecture Reference Manuals, "the system address map"). Between and beyond
# are RAM (from 0x20000000), peripherals (0x40000000), devices and the core's own registers.
MEMORY = ((0x0000_0000, 0x2000_0000), (0x6000_0000, 0xA000_0000))
# Where the vector table of a firmware lies with most chips: at 0, on STM32 at 0x08000000.
FLASH_STARTS = (0x0000_0000, 0x0800_0000)


@dataclass(frozen=True)
class Probe:
    """A place in the memory of a chip that a debug probe reaches.

    Attributes:
        target: The chip, by pyOCD's name for it.
        address: Where the image begins in memory.
        partition_bytes: What the firmware leaves for the model there; only an RP2040 or RP2350 can
            do without, up to the end of its flash.
        probe_id: Which probe, by its unique ID or a part of it; None for the only one.
        flash_bytes: The flash of an RP2040's or RP2350's board; None for Raspberry Pi's own.
    """

    target: str
    address: int
    partition_bytes: int | None = None
    probe_id: str | None = None
    flash_bytes: int | None = None

    def check(self) -> int:
        """Checks all that can be checked without touching the chip.

        Returns:
            Bytes that there are for the image.

        Raises:
            MissingDependencyError: pyOCD is not installed.
            FlashError: The address is none for a model, nothing says how much room there is, pyOCD
                knows no such target, or there is not exactly one probe that is meant.
        """
        program = find_program("pyocd")
        if self.address % ALIGNMENT or not 0 <= self.address < 2**32:
            raise FlashError(
                f"the address {self.address:#x} is not aligned, or none",
                f"a multiple of {ALIGNMENT} of 32 bits",
                "the first address of a sector is best",
            )
        self._check_target(program)
        room = self._room()
        self._check_connected(program)
        return room

    def _room(self) -> int:
        family = next((name for name in FAMILIES if _words(self.target).startswith(name)), None)
        if family:
            room = room_at(self.address, family, self.flash_bytes)
            return room if self.partition_bytes is None else min(room, self.partition_bytes)
        if self.flash_bytes is not None:
            raise FlashError(
                f"--flash-size says nothing about the target {self.target}",
                f"a target such as {' or '.join(FAMILIES)}",
                "give the room for the model with --partition-size",
            )
        if self.partition_bytes is None:
            raise FlashError(
                f"nothing says how much room there is at {self.address:#x} of {self.target}",
                "--partition-size",
                "take it from the firmware's linker script",
            )
        end = self.address + self.partition_bytes
        if not any(first <= self.address and end <= last for first, last in MEMORY):
            places = " or ".join(f"{first:#x} to {last - 1:#x}" for first, last in MEMORY)
            raise FlashError(
                f"{self.address:#x} to {end - 1:#x} is no flash of a Cortex-M",
                f"a place within {places}",
                "RAM forgets its model with the power",
            )
        for start in FLASH_STARTS:
            if start <= self.address < start + FIRMWARE_BYTES:
                raise FlashError(
                    f"at {self.address:#x} lies the firmware's own beginning",
                    f"an address behind the firmware, from {start + FIRMWARE_BYTES:#x}",
                    "take it from the firmware's linker script",
                )
        return self.partition_bytes

    def _check_target(self, program: Path) -> None:
        # The same list as that of `pyocd list --targets`.
        names = [str(one["name"]) for one in _listed(program, "targets")]
        wanted = _words(self.target)
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

    def write(self, image: Image, file: Path, on_line: Callable[[str], None]) -> Written:
        """Lets pyOCD write the image.

        Args:
            image: The image.
            file: Where it was written.
            on_line: Is given what pyOCD prints.

        Returns:
            What was done.

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
        return Written(
            f"{len(image.data):,} bytes written to {self.target} at {self.address:#x} by pyocd"
        )


def _words(target: str) -> str:
    """A target's name as pyOCD itself compares them."""
    return re.sub(r"[^a-z0-9]+", "_", target.lower())


def _listed(program: Path, what: str) -> list[dict]:
    """Pyocd's list of targets or probes, in the form that it has for programs."""
    said = run_program([program, "json", f"--{what}"], ASK_LIMIT_S)
    try:
        # A warning may come before it.
        found = json.loads(said[said.index("{") :])
        return found["boards" if what == "probes" else what]
    except (ValueError, KeyError):
        raise FlashError(f"pyocd json --{what} gave no list", "pyocd 0.34 or later") from None
