from __future__ import annotations

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


def test_csv_and_binary_are_the_same_table(binary_table) -> None:
    assert read_partition_table(TABLE.encode(), "t.csv") == PARTITIONS
    assert read_partition_table(binary_table(PARTITIONS), "t.bin") == PARTITIONS


def test_order_is_that_of_the_offsets(binary_table) -> None:
    assert read_partition_table(binary_table(PARTITIONS[::-1]), "t.bin") == PARTITIONS


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
        (b"a,2,1,,4K", "line 1: its place depends on the project's settings"),
        (b"a,bootloader,recovery,N/A,N/A", "line 1: its place depends on the project's settings"),
        (b"a,data,nvs,-0x1000,4K", "line 1: -0x1000 lies before 0x9000"),
        (b"a,data,nvs,0x1000,4K", "line 1: 0x1000 lies before 0x9000"),
        (b"a,data,nvs,0x9000,8K\nb,data,fat,0xA000,4K", "line 2: 0xa000 lies before 0xb000"),
        (b"a,data,fat,0x9100,4K", "a at 0x9100 is not aligned"),
        (b"a,app,factory,0x11000,64K", "a at 0x11000 is not aligned"),
        (b"a,app,factory,0x10000,5000", "a at 0x10000 is not aligned"),
        (b"a,0x1ff,0,0x9000,4K", "line 1: there is no type 0x1ff"),
        (b"a,data,256,0x9000,4K", "line 1: there is no type 0x1 with the subtype 0x100"),
        (b"a,data,fat,0x9000,4096M", "a has an impossible size"),
        (b"a,data,fat,0x9000,4K\na,data,fat,0xA000,4K", "two partitions have the same name"),
        (
            lambda binary: binary([Partition("a", 1, 6, 0x9100, 0x1000)]),
            "a at 0x9100 is not aligned",
        ),
        (
            lambda binary: binary(
                [Partition("a", 1, 2, 0x9000, 0x2000), Partition("b", 1, 6, 0xA000, 0x1000)]
            ),
            "a and b overlap",
        ),
        (lambda binary: binary(PARTITIONS, md5=bytes(16)), "its MD5 does not match"),
        (lambda binary: binary(PARTITIONS)[:32], "its end is missing"),
        (lambda binary: binary(PARTITIONS)[:100], "unpack requires|no entry"),
        (lambda binary: binary(PARTITIONS)[:32] + b"\0" * 32, "no entry at byte 32"),
    ],
)
def test_what_is_no_partition_table_is_refused(binary_table, data, reason: str) -> None:
    data = data if isinstance(data, bytes) else data(binary_table)
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
        ("rest", "holds a file system"),
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


@pytest.mark.parametrize("subtype", [0, 1, 2, 3, 4, 5, 0x90, 0x91])
def test_esp_idfs_own_data_is_not_for_models(subtype: int) -> None:
    assert Partition("own", 1, subtype, 0x9000, 0x1000).why_not() == "holds ESP-IDF's own data"
    # The same numbers mean nothing to ESP-IDF in a type of the project's own.
    assert not Partition("own", 0x40, subtype, 0x9000, 0x1000).why_not()


@pytest.mark.parametrize("subtype", [0x81, 0x82, 0x83])
def test_file_systems_are_not_for_models(subtype: int) -> None:
    assert Partition("files", 1, subtype, 0x9000, 0x1000).why_not() == "holds a file system"


def test_readonly_partition_is_not_an_encrypted_one() -> None:
    text = b"a,data,undefined,,4K,readonly\nb,data,undefined,,4K,encrypted\n"
    one, other = read_partition_table(text, "t.csv")
    assert (one.flags, one.why_not()) == (2, "")
    assert other.flags == 1
    assert other.why_not().startswith("is encrypted")


def test_lines_for_bootloader_and_table_themselves_take_no_room() -> None:
    text = "boot,bootloader,primary,N/A,N/A\ntable,partition_table,primary,N/A,N/A\n"
    model = Partition("model", 1, 6, 0x9000, 0x1000)
    assert read_partition_table(f"{text}model,data,,,4K\n".encode(), "t.csv") == (model,)


def test_mark_that_some_editors_put_first_is_no_part_of_the_name() -> None:
    (one,) = read_partition_table(b"\xef\xbb\xbfmodel,data,,,4K\n", "t.csv")
    assert one.name == "model"


def test_name_is_cut_as_the_build_cuts_it() -> None:
    (one,) = read_partition_table(b"a-name-that-is-too-long,data,,,4K\n", "t.csv")
    assert one.name == "a-name-that-is-t"
