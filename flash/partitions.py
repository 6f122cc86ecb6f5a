"""ESP-IDF's partition tables: what lies where in an ESP32's flash.

Both forms are read: the CSV that a project has, and the binary table that its build makes of it.
The format is that of ESP-IDF's guide "Partition Tables"; the arithmetic of blank offsets is that of
its gen_esp32part.py.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from .errors import FlashError

__all__ = ["ENTRY_MAGIC", "SECTOR_BYTES", "Partition", "parse_number", "read_partition_table"]

SECTOR_BYTES = 4096
"""What flash erases at once: ESP-IDF, and the RP2040's boot ROM."""

ENTRY = struct.Struct("<2sBBII16sI")
ENTRY_MAGIC = b"\xaa\x50"
"""What every entry of a binary table begins with."""
MD5_MAGIC, END = b"\xeb\xeb", b"\xff" * ENTRY.size
APP, DATA, BOOTLOADER, TABLE = 0, 1, 2, 3
APP_ALIGNMENT = 0x10000
# ESP-IDF's CONFIG_PARTITION_TABLE_OFFSET is 0x8000, and the table has a sector of its own.
FIRST_OFFSET = 0x9000
ENCRYPTED, READONLY = 1, 2
FLAGS = {"encrypted": ENCRYPTED, "readonly": READONLY}
NAME_BYTES = 16
TYPES = {"app": APP, "data": DATA, "bootloader": BOOTLOADER, "partition_table": TABLE}
SUBTYPES = {
    APP: {
        "factory": 0,
        "test": 0x20,
        "tee_0": 0x30,
        "tee_1": 0x31,
        **{f"ota_{n}": 0x10 + n for n in range(16)},
    },
    DATA: {
        "ota": 0,
        "phy": 1,
        "nvs": 2,
        "coredump": 3,
        "nvs_keys": 4,
        "efuse": 5,
        "undefined": 6,
        "esphttpd": 0x80,
        "fat": 0x81,
        "spiffs": 0x82,
        "littlefs": 0x83,
        "tee_ota": 0x90,
        "tee_sec_stg": 0x91,
    },
    BOOTLOADER: {"primary": 0, "ota": 1, "recovery": 2},
    TABLE: {"primary": 0, "ota": 1},
}
# What a model would overwrite: what ESP-IDF itself keeps in these, and the project's file systems.
OWN_DATA = {0, 1, 2, 3, 4, 5, 0x90, 0x91}
FILE_SYSTEMS = {0x81, 0x82, 0x83}


@dataclass(frozen=True)
class Partition:
    """One entry of the table.

    Attributes:
        name: Its label.
        type: 0 app, 1 data, others the project's own.
        subtype: What kind of that type.
        offset: Where it begins in flash, in bytes.
        size_bytes: How long it is.
        flags: Bit 0: encrypted; bit 1: read-only for the firmware.
    """

    name: str
    type: int
    subtype: int
    offset: int
    size_bytes: int
    flags: int = 0

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.size_bytes

    def why_not(self) -> str:
        """Why no model may be written there; empty where one may."""
        if self.type == APP:
            return "holds an application"
        if self.type != DATA and self.type < 0x40:
            return "belongs to ESP-IDF"
        if self.type == DATA and self.subtype in OWN_DATA:
            return "holds ESP-IDF's own data"
        if self.type == DATA and self.subtype in FILE_SYSTEMS:
            return "holds a file system"
        if self.flags & ENCRYPTED:
            return "is encrypted, and a model is written as it is"
        return ""


def parse_number(text: str, names: Mapping[str, int] | None = None) -> int:
    """A number as partition tables write them.

    Args:
        text: Decimal, hexadecimal with 0x, or with the suffix K or M.
        names: Words that stand for numbers.

    Returns:
        The number.

    Raises:
        ValueError: It is none.

    >>> parse_number("0x1000"), parse_number("512K"), parse_number("1M")
    (4096, 524288, 1048576)
    """
    word = text.strip().lower()
    if names and word in names:
        return names[word]
    for suffix, factor in (("k", 2**10), ("m", 2**20)):
        if word.endswith(suffix):
            return int(word[:-1], 0) * factor
    return int(word, 0)


def read_partition_table(data: bytes, source: str) -> tuple[Partition, ...]:
    """Reads a partition table in either form.

    Args:
        data: Content of a ``.csv`` or ``.bin``.
        source: Its name, for errors.

    Returns:
        Its partitions, in the order of their offsets.

    Raises:
        FlashError: It is no partition table, is damaged, or partitions overlap.
    """
    try:
        found = tuple(
            _from_binary(data) if data[:2] == ENTRY_MAGIC else _from_csv(data.decode("utf-8-sig"))
        )
        if not found:
            raise ValueError("it has no partitions")
        table = tuple(sorted(found, key=lambda one: one.offset))
        for one in table:
            _check(one)
        for before, after in pairwise(table):
            if after.offset < before.end:
                raise ValueError(f"{before.name} and {after.name} overlap")
        if len({one.name for one in table}) < len(table):
            raise ValueError("two partitions have the same name")
    except (ValueError, struct.error) as error:
        raise FlashError(
            f"{source} cannot be read ({error})",
            "a partition table of ESP-IDF, .csv or .bin",
            "build the project, and give build/partition_table/partition-table.bin",
        ) from None
    return table


def _check(one: Partition) -> None:
    """What gen_esp32part.py refuses to put into a table, or to take out of one."""
    step = APP_ALIGNMENT if one.type == APP else SECTOR_BYTES
    if one.offset % step or (one.type == APP and one.size_bytes % SECTOR_BYTES):
        raise ValueError(f"{one.name} at {one.offset:#x} is not aligned")
    if one.size_bytes <= 0 or one.end > 2**32:
        raise ValueError(f"{one.name} has an impossible size of {one.size_bytes} bytes")


def _from_binary(data: bytes) -> Iterator[Partition]:
    for at in range(0, len(data), ENTRY.size):
        entry = data[at : at + ENTRY.size]
        if entry == END:
            return
        if entry[:2] == MD5_MAGIC:
            if entry[16:] != hashlib.md5(data[:at], usedforsecurity=False).digest():
                raise ValueError("its MD5 does not match")
            continue
        magic, kind, subtype, offset, size, name, flags = ENTRY.unpack(entry)
        if magic != ENTRY_MAGIC:
            raise ValueError(f"there is no entry at byte {at}")
        label = name.partition(b"\0")[0].decode()
        yield Partition(label, kind, subtype, offset, size, flags)
    raise ValueError("its end is missing")


def _from_csv(text: str) -> Iterator[Partition]:
    end = FIRST_OFFSET
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field.strip() for field in line.partition("#")[0].split(",")]
        if fields == [""]:
            continue
        try:
            partition = _from_fields([*fields, *[""] * 6][:6], end)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if partition is None:
            continue
        end = partition.end
        yield partition


def _from_fields(fields: list[str], end_before: int) -> Partition | None:
    """One line; None for the two that say only where bootloader and table themselves are."""
    name, kind_text, subtype_text, offset_text, size_text, flag_text = fields
    kind = parse_number(kind_text, TYPES)
    if not subtype_text and kind == APP:
        raise ValueError("an app partition needs a subtype")
    subtype = parse_number(subtype_text or "6", SUBTYPES.get(kind, {}))
    if not (0 <= kind <= 0xFF and 0 <= subtype <= 0xFF):
        raise ValueError(f"there is no type {kind:#x} with the subtype {subtype:#x}")
    if kind in (BOOTLOADER, TABLE):
        # Both lie before the first partition; where, and how long, the project's settings say.
        if subtype == SUBTYPES[kind]["primary"]:
            return None
        raise ValueError("its place depends on the project's settings")
    step = APP_ALIGNMENT if kind == APP else SECTOR_BYTES
    offset = parse_number(offset_text) if offset_text else -(-end_before // step) * step
    if offset < end_before:
        raise ValueError(f"{offset:#x} lies before {end_before:#x}, the end of what comes before")
    size = parse_number(size_text)
    if size < 0:  # A negative size names the end.
        size = -size - offset
    if size <= 0:
        raise ValueError(f"{size} bytes are no size")
    flags = 0
    for word in filter(None, flag_text.split(":")):
        if word not in FLAGS:
            raise ValueError(f"unknown flag {word!r}")
        flags |= FLAGS[word]
    # The build cuts the name as well.
    label = name.encode()[:NAME_BYTES].decode(errors="ignore")
    return Partition(label, kind, subtype, offset, size, flags)
