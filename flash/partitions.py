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

__all__ = ["SECTOR_BYTES", "Partition", "parse_number", "read_partition_table"]

SECTOR_BYTES = 4096
"""What flash erases at once: ESP-IDF, and the RP2040's boot ROM."""

ENTRY = struct.Struct("<2sBBII16sI")
ENTRY_MAGIC, MD5_MAGIC, END = b"\xaa\x50", b"\xeb\xeb", b"\xff" * ENTRY.size
APP, DATA = 0, 1
APP_ALIGNMENT = 0x10000
# ESP-IDF's CONFIG_PARTITION_TABLE_OFFSET is 0x8000, and the table has a sector of its own.
FIRST_OFFSET = 0x9000
ENCRYPTED, READONLY = 1, 2
FLAGS = {"encrypted": ENCRYPTED, "readonly": READONLY}
TYPES = {"app": APP, "data": DATA, "bootloader": 2, "partition_table": 3}
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
    },
}
# What ESP-IDF itself keeps in these, a model would overwrite; file systems are the project's.
OWN_DATA = {0, 1, 2, 3, 4, 5, 0x90}


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
        found = tuple(_from_binary(data) if data[:2] == ENTRY_MAGIC else _from_csv(data.decode()))
        if not found:
            raise ValueError("it has no partitions")
        table = tuple(sorted(found, key=lambda one: one.offset))
        for before, after in pairwise(table):
            if after.offset < before.end:
                raise ValueError(f"{before.name} and {after.name} overlap")
    except (ValueError, struct.error) as error:
        raise FlashError(
            f"{source} cannot be read ({error})",
            "a partition table of ESP-IDF, .csv or .bin",
            "build the project, and give build/partition_table/partition-table.bin",
        ) from None
    return table


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
        end = partition.end
        yield partition


def _from_fields(fields: list[str], end_before: int) -> Partition:
    name, kind_text, subtype_text, offset_text, size_text, flag_text = fields
    kind = parse_number(kind_text, TYPES)
    names = SUBTYPES.get(kind, {})
    if not subtype_text and kind == APP:
        raise ValueError("an app partition needs a subtype")
    subtype = parse_number(subtype_text or "6", names)
    if offset_text:
        offset = parse_number(offset_text)
    elif kind in (APP, DATA) or kind >= 0x40:
        step = APP_ALIGNMENT if kind == APP else SECTOR_BYTES
        offset = -(-end_before // step) * step
    else:
        raise ValueError("its offset depends on the project's settings")
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
    return Partition(name, kind, subtype, offset, size, flags)
