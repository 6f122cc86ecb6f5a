"""Writes a flash image to an ESP32, by Espressif's own esptool."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.files import read_limited

from .errors import FlashError
from .image import Image, Written
from .partitions import ENTRY_MAGIC, SECTOR_BYTES, Partition, read_partition_table
from .programs import find_program, run_program

__all__ = ["Esp32"]

# Below lie bootloader and partition table (CONFIG_PARTITION_TABLE_OFFSET = 0x8000, one sector).
TABLE_OFFSET, LOWEST_OFFSET = 0x8000, 0x9000
# A partition table has 0xC00 bytes (MAX_PARTITION_LENGTH of gen_esp32part.py); its CSV is not much
# longer.
TABLE_BYTES = 0xC00
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
        partition_table: The project's partition table, ``.csv`` or ``.bin``. Where neither is
            known, the device is asked for its own.
    """

    port: str
    offset: int
    partition_bytes: int | None = None
    partition_table: Path | None = None

    def check(self) -> int:
        """Checks all that can be checked before the model is run.

        Returns:
            Bytes that there are for the image.

        Raises:
            MissingDependencyError: esptool is not installed.
            FlashError: The offset is impossible, the partition is not for models, or nothing says
                what lies there.
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
            data = read_limited(self.partition_table, MAX_TABLE_BYTES)
            rooms.append(self._room_in(read_partition_table(data, str(self.partition_table))))
        if not rooms:
            rooms.append(self._room_in(self._table_of_device()))
        # Sectors are erased whole: of a part of one, nothing may be used.
        return min(rooms) // SECTOR_BYTES * SECTOR_BYTES

    def _table_of_device(self) -> tuple[Partition, ...]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "table.bin"
            try:
                self._esptool("read-flash", f"{TABLE_OFFSET:#x}", f"{TABLE_BYTES:#x}", file)
                data = read_limited(file, TABLE_BYTES)
                # An empty table would pass for a CSV.
                if data[:2] != ENTRY_MAGIC:
                    raise FlashError(f"there is none at {TABLE_OFFSET:#x}")
                return read_partition_table(data, "the table in its flash")
            except (FlashError, InputError) as error:
                raise FlashError(
                    f"the partition table of the device at {self.port} cannot be read: {error}",
                    "",
                    "give the project's with --partition-table, or --partition-size",
                ) from error

    def _room_in(self, table: tuple[Partition, ...]) -> int:
        new = "add one: model, data, undefined, , 512K"
        for partition in table:
            if not partition.offset <= self.offset < partition.end:
                continue
            if reason := partition.why_not():
                raise FlashError(
                    f"the partition {partition.name!r} at {partition.offset:#x} {reason}",
                    "a data partition of its own for the model",
                    new,
                )
            if partition.offset != self.offset:
                raise FlashError(
                    f"{self.offset:#x} is inside the partition {partition.name!r}",
                    f"its start {partition.offset:#x}, where the firmware looks",
                )
            return partition.size_bytes
        places = ", ".join(f"{p.name} {p.offset:#x}" for p in table if not p.why_not())
        raise FlashError(
            f"there is no partition at {self.offset:#x}",
            places or "a data partition for the model",
            "take the offset from the table" if places else new,
        )

    def write(self, image: Image, file: Path, on_line: Callable[[str], None]) -> Written:
        """Lets esptool write the image and compare what the flash then holds.

        Args:
            image: The image.
            file: Where it was written.
            on_line: Is given what esptool prints.

        Returns:
            What was done.

        Raises:
            FlashError: esptool failed; the text has its own words.
        """
        # An absolute path, so that no name is taken for an option.
        self._esptool("write-flash", f"{self.offset:#x}", file.absolute(), on_line=on_line)
        return Written(
            f"{len(image.data):,} bytes written to {self.port} at {self.offset:#x} by esptool"
        )

    def _esptool(
        self, verb: str, *arguments: str | Path, on_line: Callable[[str], None] | None = None
    ) -> None:
        program = find_program("esptool", "esptool.py")
        # The last line is the bare number. Version 5 gave the commands names with hyphens.
        said = run_program([program, "version"], ASK_LIMIT_S).split()
        if said and said[-1].startswith(("2.", "3.", "4.")):
            verb = verb.replace("-", "_")
        run_program([program, "--port", self.port, verb, *arguments], WRITE_LIMIT_S, on_line)
