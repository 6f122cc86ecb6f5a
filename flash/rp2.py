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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.files import read_limited, write_atomic

from .errors import FlashError
from .image import Image, Written
from .partitions import SECTOR_BYTES

__all__ = ["DEFAULT_ADDRESS", "FAMILIES", "FIRMWARE_BYTES", "Family", "Rp2", "room_at", "uf2"]

BLOCK = struct.Struct("<8I476sI")
MAGIC_START_0, MAGIC_START_1, MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
FAMILY_ID_PRESENT = 0x2000
PAYLOAD_BYTES = 256
ERASED = b"\xff"
# Where execute-in-place maps the flash: 16 MB of addresses, of which a board fills a part.
FLASH_START, FLASH_WINDOW_BYTES = 0x1000_0000, 16 * 2**20
FIRMWARE_BYTES = 16 * 2**10
"""What the firmware has at the start of the flash, at the least: TFLM's core alone, by its own
documentation, fits just into 16 KB of a Cortex-M3's flash."""
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


def room_at(address: int, family: str, flash_bytes: int | None) -> int:
    """How much flash there is for a model from an address on.

    Args:
        address: Where the image begins in memory.
        family: A key of `FAMILIES`.
        flash_bytes: The board's flash; None for that of Raspberry Pi's own board.

    Returns:
        Bytes up to the flash's end.

    Raises:
        FlashError: The address is not in the flash behind the firmware, or no chip has such a
            flash.
    """
    size = FAMILIES[family].flash_bytes if flash_bytes is None else flash_bytes
    if size > FLASH_WINDOW_BYTES:
        raise FlashError(
            f"the {family} maps no flash of {size:,} bytes", f"at most {FLASH_WINDOW_BYTES:,}"
        )
    # The boot ROM wraps what lies beyond the flash to its beginning: over the firmware.
    first, end = FLASH_START + FIRMWARE_BYTES, FLASH_START + size
    if not first <= address < end:
        raise FlashError(
            f"the address {address:#x} is not one for a model",
            f"one behind the firmware (from {first:#x}) and before the flash's end ({end:#x})",
            "give the board's flash with --flash-size if it has more",
        )
    return end - address


@dataclass
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
    # The drive's device number, by which `write` knows it again; None for a file.
    _drive: int | None = field(default=None, init=False)

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
        room = room_at(self.address, self.family, self.flash_bytes)
        if self.path.is_dir():
            self._check_info()
            self._drive = self.path.stat().st_dev
        elif self.path.suffix.lower() != ".uf2":
            raise FlashError(
                f"{self.path} is neither a .uf2 file nor a mounted drive",
                "one of them",
                "hold BOOTSEL while plugging the board in",
            )
        elif (self.path.parent / INFO_FILE).exists():
            raise FlashError(f"{self.path} is a file on a drive", f"the drive: {self.path.parent}")
        if self.partition_bytes is not None:
            room = min(room, self.partition_bytes)
        return room // SECTOR_BYTES * SECTOR_BYTES

    def _check_info(self) -> None:
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

    def write(self, image: Image, file: Path, on_line: Callable[[str], None]) -> Written:
        """Writes the UF2, to what `check` found.

        Args:
            image: The image.
            file: Where it was written; gives the name on a drive.
            on_line: Is told nothing: what there is to say stands in the result.

        Returns:
            What was done; unconfirmed where the drive left before it could say that it has all.

        Raises:
            FlashError: The drive has gone since it was checked, or is another one.
            OSError: The disk is full, or the drive left before the last block.
        """
        data = uf2(image.data, self.address, FAMILIES[self.family].id)
        blocks = f"{len(data) // BLOCK.size} blocks for {self.address:#x}"
        if self._drive is None:
            return Written(f"{blocks} written to {write_atomic(self.path, data)}")
        name = f"{file.stem}.uf2"
        if self._copy_to_drive(name, data):
            return Written(f"{blocks} written to {self.path / name}")
        return Written(
            f"{blocks} sent; the drive left, as it does once the last block has arrived; if the "
            "board does not start, send them again",
            confirmed=False,
        )

    def _copy_to_drive(self, name: str, data: bytes) -> bool:
        """Whether the drive said that it has all of it."""
        # TFLM ran since `check`. All goes through this handle: where a drive was meant, nothing
        # comes into the folder that is left when it has gone.
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._gone() from error
        try:
            if os.fstat(folder).st_dev != self._drive or not _has_info(folder):
                raise self._gone()
            # Not beside it and renamed: what the drive is given goes to flash as it comes.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            drive = os.open(name, flags, 0o666, dir_fd=folder)
            try:
                _write_all(drive, data[: -BLOCK.size])
                return _finish(drive, data[-BLOCK.size :], folder)
            finally:
                with suppress(OSError):  # What a drive that left has to say has been heard.
                    os.close(drive)
        except OSError as error:
            error.filename = error.filename or str(self.path / name)
            raise
        finally:
            os.close(folder)

    def _gone(self) -> FlashError:
        return FlashError(
            f"the drive at {self.path} has gone since it was checked; nothing was written",
            f"the drive {FAMILIES[self.family].board_id} as it was",
            "hold BOOTSEL while plugging the board in, and try again",
        )


def _write_all(handle: int, data: bytes) -> None:
    """`os.write` may take less than it was given, as a drive that is nearly full does."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _finish(handle: int, last: bytes, folder: int) -> bool:
    """The last block, and whether the drive stayed to confirm it.

    With its last block the chip restarts, often before the disk's own bookkeeping. From here a
    cable that is pulled looks the same.
    """
    try:
        _write_all(handle, last)
        os.fsync(handle)
    except OSError:
        if _has_info(folder):
            raise
        return False
    return True


def _has_info(folder: int) -> bool:
    try:
        os.stat(INFO_FILE, dir_fd=folder)
    except OSError:
        return False
    return True
