"""Writes a flash image for an RP2040 or RP2350 as UF2, to a file or to the boot ROM's drive.

UF2 is Microsoft's USB Flashing Format: blocks of 512 bytes that each name their own address, so
that a drive may take them in any order. What the boot ROM asks of them beyond that stands in the
RP2040's datasheet, "UF2 Format Details".
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.files import read_limited, write_atomic

from .errors import FlashError
from .image import Image
from .partitions import SECTOR_BYTES

__all__ = ["DEFAULT_ADDRESS", "FAMILIES", "Family", "Rp2", "uf2"]

BLOCK = struct.Struct("<8I476sI")
MAGIC_START_0, MAGIC_START_1, MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
FAMILY_ID_PRESENT = 0x2000
PAYLOAD_BYTES = 256
ERASED = b"\xff"
# Where execute-in-place maps the flash: 16 MB of addresses, of which a board fills a part.
FLASH_START = 0x1000_0000
DEFAULT_ADDRESS = 0x1010_0000
"""One megabyte into the flash: room for a firmware before it, and on a Pico one more after it."""
INFO_FILE = "INFO_UF2.TXT"
MAX_INFO_BYTES = 64 * 1024


@dataclass(frozen=True)
class Family:
    """A kind of chip.

    Attributes:
        id: The number that Raspberry Pi registered for it in Microsoft's uf2families.json.
        board_id: What its boot ROM's drive calls itself.
        flash_bytes: The flash of Raspberry Pi's own board with it (Pico, Pico 2).
    """

    id: int
    board_id: str
    flash_bytes: int


FAMILIES = {
    "rp2040": Family(0xE48BFF56, "RPI-RP2", 2 * 2**20),
    "rp2350": Family(0xE48BFF59, "RP2350", 4 * 2**20),
}
"""By the name that ``--family`` takes; of the RP2350's, that for images of its Arm cores."""


def uf2(data: bytes, address: int, family_id: int) -> bytes:
    """Puts data into UF2 blocks, in whole sectors.

    Args:
        data: What is to be in flash; filled up with 0xFF to whole sectors, because the boot ROM
            erases whole ones.
        address: Where it begins, a multiple of `SECTOR_BYTES`.
        family_id: The chip's number.

    Returns:
        The content of a ``.uf2`` file.
    """
    padded = data + ERASED * (-len(data) % SECTOR_BYTES)
    count = len(padded) // PAYLOAD_BYTES
    return b"".join(
        BLOCK.pack(
            MAGIC_START_0,
            MAGIC_START_1,
            FAMILY_ID_PRESENT,
            address + number * PAYLOAD_BYTES,
            PAYLOAD_BYTES,
            number,
            count,
            family_id,
            padded[number * PAYLOAD_BYTES :][:PAYLOAD_BYTES],
            MAGIC_END,
        )
        for number in range(count)
    )


@dataclass(frozen=True)
class Rp2:
    """A place in the flash of an RP2040 or RP2350.

    Attributes:
        path: A ``.uf2`` file to write, or the folder where the boot ROM's drive is mounted.
        family: A key of `FAMILIES`.
        address: Where the image begins in memory.
        flash_bytes: The board's flash; None for that of Raspberry Pi's own board.
        partition_bytes: What the firmware leaves for the model there; None for all that follows.
    """

    path: Path
    family: str = "rp2040"
    address: int = DEFAULT_ADDRESS
    flash_bytes: int | None = None
    partition_bytes: int | None = None

    def check(self) -> int:
        """Checks all that can be checked before the model is run.

        Returns:
            Bytes that there are for the image.

        Raises:
            FlashError: The address is impossible, or the path is neither a ``.uf2`` file nor the
                drive of a chip of this family.
        """
        if self.address % SECTOR_BYTES:
            raise FlashError(
                f"the address {self.address:#x} is not aligned",
                f"a multiple of {SECTOR_BYTES:#x} (the flash's sector)",
                f"for example {self.address // SECTOR_BYTES * SECTOR_BYTES:#x}",
            )
        # The boot ROM wraps what lies beyond the flash to its beginning: over the firmware.
        end = FLASH_START + (self.flash_bytes or FAMILIES[self.family].flash_bytes)
        if not FLASH_START < self.address < end:
            raise FlashError(
                f"the address {self.address:#x} is not one for a model",
                f"one between the firmware's ({FLASH_START:#x}) and the flash's end ({end:#x})",
                "give the board's flash with --flash-size if it has more",
            )
        if self.path.is_dir():
            self._check_drive()
        elif self.path.suffix.lower() != ".uf2":
            raise FlashError(
                f"{self.path} is neither a .uf2 file nor a mounted drive",
                "one of them",
                "hold BOOTSEL while plugging the board in",
            )
        room = end - self.address
        if self.partition_bytes is not None:
            room = min(room, self.partition_bytes)
        return room // SECTOR_BYTES * SECTOR_BYTES

    def _check_drive(self) -> None:
        info = self.path / INFO_FILE
        wanted = FAMILIES[self.family].board_id
        if not info.is_file():
            raise FlashError(
                f"{self.path} has no {INFO_FILE}",
                f"the drive {wanted} of the boot ROM",
                "hold BOOTSEL while plugging the board in",
            )
        text = read_limited(info, MAX_INFO_BYTES).decode("ascii", "replace")
        found = re.search(r"^Board-ID:[ \t]*(.*?)\s*$", text, re.MULTILINE)
        board = found[1] if found else ""
        if board != wanted:
            other = next((name for name, one in FAMILIES.items() if one.board_id == board), None)
            raise FlashError(
                f"{self.path} is the drive of {board or 'a board without a name'}",
                f"{wanted} ({self.family})",
                f"--family {other}" if other else "hold BOOTSEL while plugging the board in",
            )

    def write(self, image: Image, file: Path, on_line: Callable[[str], None]) -> str:
        """Writes the UF2.

        Args:
            image: The image.
            file: Where it was written; gives the name on a drive.
            on_line: Is given what a person should know.

        Returns:
            What was done, in words.

        Raises:
            OSError: The disk is full, or the drive went away too soon.
        """
        data = uf2(image.data, self.address, FAMILIES[self.family].id)
        if not self.path.is_dir():
            path = write_atomic(self.path, data)
        else:
            path = self.path / f"{file.stem}.uf2"
            self._copy_to_drive(path, data, on_line)
        return f"{len(data) // BLOCK.size} blocks for {self.address:#x} written to {path}"

    def _copy_to_drive(self, path: Path, data: bytes, on_line: Callable[[str], None]) -> None:
        # Not beside it and renamed: what the drive is given goes to flash as it comes.
        with path.open("wb", buffering=0) as drive:
            drive.write(data)
            try:
                os.fsync(drive.fileno())
            except OSError:
                if (self.path / INFO_FILE).exists():
                    raise
                # With its last block the chip restarts, often before the disk's own bookkeeping.
                on_line("the drive left as it was written: the board restarts with its last block")
