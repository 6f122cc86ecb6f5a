from __future__ import annotations

import hashlib
import struct

import pytest

from flash.errors import FlashError
from flash.partitions import Partition, read_partition_table

# The example of ESP-IDF's guide, with a partition for the model and blanks to be filled in.
TABLE = """\
# ESP-IDF Partition Table
# Name,   Type, SubType, Offset,  Size, Flags
nvs,      data, nvs,     ,        0x6000,
phy_init, data, phy,     ,        0x1000,
factory,  app,  factory, ,        1M,
model,    data, undefined, ,      512K,
secret,   data, 0x40,    ,        4K, encrypted:readonly
own,      0x40, 1,       0x300000, 16384   # the project's own type

rest,     data, fat,     ,        -0x400000,
"""
PARTITIONS = (
    Partition("nvs", 1, 2, 0x9000, 0x6000),
    Partition("phy_init", 1, 1, 0xF000, 0x1000),
    Partition("factory", 0, 0, 0x10000, 0x100000),
    Partition("model", 1, 6, 0x110000, 0x80000),
    Partition("secret", 1, 0x40, 0x190000, 0x1000, 3),
    Partition("own", 0x40, 1, 0x300000, 0x4000),
    Partition("rest", 1, 0x81, 0x304000, 0xFC000),
)


def binary(partitions=PARTITIONS, md5: bytes | None = None) -> bytes:
    """The table as a project's build writes it."""
    entries = b"".join(
        b"\xaa\x50"
        + struct.pack("<BBII", one.type, one.subtype, one.offset, one.size_bytes)
        + one.name.encode().ljust(16, b"\0")
        + struct.pack("<I", one.flags)
        for one in partitions
    )
    digest = hashlib.md5(entries).digest() if md5 is None else md5
    return (entries + b"\xeb\xeb" + b"\xff" * 14 + digest).ljust(0xC00, b"\xff")


def test_csv_and_binary_are_the_same_table() -> None:
    assert read_partition_table(TABLE.encode(), "t.csv") == PARTITIONS
    assert read_partition_table(binary(), "t.bin") == PARTITIONS


def test_order_is_that_of_the_offsets() -> None:
    assert read_partition_table(binary(PARTITIONS[::-1]), "t.bin") == PARTITIONS


def test_blank_offset_of_an_application_is_aligned_to_64_kilobytes() -> None:
    text = "a,data,nvs,,4K\nb,app,ota_0,,64K\nc,app,ota_15,,64K\n"
    offsets = [(one.offset, one.subtype) for one in read_partition_table(text.encode(), "t")]
    assert offsets == [(0x9000, 2), (0x10000, 0x10), (0x20000, 0x1F)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no partitions"),
        (b"\xff\xfe", "utf-8"),
        (b"hello", "line 1: invalid literal"),
        (b"a,data,nvs,,", "line 1: invalid literal"),
        (b"a,data,nvs,,0", "line 1: 0 bytes"),
        (b"a,data,unheard,,4K", "line 1: "),
        (b"a,app,,,64K", "line 1: an app partition needs a subtype"),
        (b"a,data,nvs,,4K,\nb,data,nvs,,4K,sticky", "line 2: unknown flag 'sticky'"),
        (b"a,2,0,,4K", "line 1: its offset depends on the project's settings"),
        (b"a,data,nvs,0x9000,8K\nb,data,fat,0xA000,4K", "a and b overlap"),
        (binary(md5=bytes(16)), "its MD5 does not match"),
        (binary()[:32], "its end is missing"),
        (binary()[:100], "unpack requires|no entry"),
        (binary()[:32] + b"\0" * 32, "no entry at byte 32"),
    ],
)
def test_what_is_no_partition_table_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FlashError, match=rf"^t\.x cannot be read \(.*({reason})") as caught:
        read_partition_table(data, "t.x")
    assert "partition-table.bin" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nvs", "holds ESP-IDF's own data"),
        ("phy_init", "holds ESP-IDF's own data"),
        ("factory", "holds an application"),
        ("secret", "is encrypted"),
        ("model", ""),
        ("own", ""),
    ],
)
def test_only_some_partitions_are_for_models(name: str, reason: str) -> None:
    (partition,) = (one for one in PARTITIONS if one.name == name)
    assert partition.why_not().startswith(reason)
    assert bool(partition.why_not()) == bool(reason)


def test_unknown_type_of_esp_idf_is_not_for_models() -> None:
    assert Partition("boot", 2, 0, 0x1000, 0x7000).why_not() == "belongs to ESP-IDF"
