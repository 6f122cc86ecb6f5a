"""Writes a flash image to an ESP32, by Espressif's own esptool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.files import read_limited

from .errors import FlashError
from .image import Image
from .partitions import SECTOR_BYTES, read_partition_table
from .programs import find_program, run_program

__all__ = ["Esp32"]

# Below lie bootloader and partition table (CONFIG_PARTITION_TABLE_OFFSET = 0x8000, one sector).
LOWEST_OFFSET = 0x9000
# A partition table has 0xC00 bytes; its CSV is not much longer.
MAX_TABLE_BYTES = 64 * 1024
# 16 MB at esptool's 115,200 baud take 24 minutes; a model has a hundredth of that.
WRITE_LIMIT_S, ASK_LIMIT_S = 900.0, 60.0


@dataclass(frozen=True)
class Esp32:
    """A place in the flash of an ESP32 of any kind.

    Attributes:
        port: Its serial port, as esptool knows it.
        offset: Where the image begins in flash, in bytes.
        partition_bytes: How long the partition is; None if that is not known.
        partition_table: The project's partition table, ``.csv`` or ``.bin``.
    """

    port: str
    offset: int
    partition_bytes: int | None = None
    partition_table: Path | None = None

    def check(self) -> int | None:
        """Checks all that can be checked without the device.

        Returns:
            Bytes that there are for the image; None if nothing says.

        Raises:
            MissingDependencyError: esptool is not installed.
            FlashError: The offset is impossible, or the partition is not for models.
        """
        find_program("esptool", "esptool.py")
        if self.offset % SECTOR_BYTES:
            raise FlashError(
                f"the offset {self.offset:#x} is not aligned",
                f"a multiple of {SECTOR_BYTES:#x} (the flash's sector)",
                f"for example {self.offset // SECTOR_BYTES * SECTOR_BYTES:#x}",
            )
        if not LOWEST_OFFSET <= self.offset < 2**32:
            raise FlashError(
                f"the offset {self.offset:#x} is not in a partition",
                f"at least {LOWEST_OFFSET:#x}, after bootloader and partition table,",
                "take it from the project's partition table",
            )
        rooms = [] if self.partition_bytes is None else [self.partition_bytes]
        if self.partition_table is not None:
            rooms.append(self._room_in_table(self.partition_table))
        # Sectors are erased whole: of a part of one, nothing may be used.
        return min(rooms) // SECTOR_BYTES * SECTOR_BYTES if rooms else None

    def _room_in_table(self, path: Path) -> int:
        table = read_partition_table(read_limited(path, MAX_TABLE_BYTES), str(path))
        for partition in table:
            if partition.offset <= self.offset < partition.end:
                if reason := partition.why_not():
                    raise FlashError(
                        f"the partition {partition.name!r} at {self.offset:#x} {reason}",
                        "a data partition of its own for the model",
                        "add one: model, data, undefined, , 512K",
                    )
                return partition.end - self.offset
        places = ", ".join(f"{p.name} {p.offset:#x}" for p in table if not p.why_not())
        raise FlashError(
            f"{path} has no partition at {self.offset:#x}",
            places or "a data partition for the model",
            "take the offset from the table"
            if places
            else "add one: model, data, undefined, , 512K",
        )

    def write(self, image: Image, file: Path, on_line: Callable[[str], None]) -> str:
        """Lets esptool write the image and compare what the flash then holds.

        Args:
            image: The image.
            file: Where it was written.
            on_line: Is given what esptool prints.

        Returns:
            What was done, in words.

        Raises:
            FlashError: esptool failed; the text has its own words.
        """
        program = find_program("esptool", "esptool.py")
        # The last line is the bare number. Version 5 gave the commands names with hyphens.
        said = run_program([program, "version"], ASK_LIMIT_S).split()
        write = "write_flash" if said and said[-1].startswith(("2.", "3.", "4.")) else "write-flash"
        command: list[str | Path] = [program, "--port", self.port, write, f"{self.offset:#x}"]
        command.append(file.absolute())  # so that no name is taken for an option
        run_program(command, WRITE_LIMIT_S, on_line)
        return f"{len(image.data):,} bytes written to {self.port} at {self.offset:#x} by esptool"
