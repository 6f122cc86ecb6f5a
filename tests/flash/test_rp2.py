"""UF2 files, read by a reader of the test's own that is held against another program's files."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from pathlib import Path

import pytest

from flash.errors import FlashError
from flash.rp2 import DEFAULT_ADDRESS, Rp2, uf2

# What the boot ROMs have in INFO_UF2.TXT.
INFO = {
    "rp2040": "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n",
    "rp2350": "UF2 Bootloader v1.0\r\nModel: Raspberry Pi RP2350\r\nBoard-ID: RP2350\r\n",
}


def read_uf2(data: bytes) -> tuple[set[int], int, bytes]:
    """Family IDs, first address and content, by the specification at github.com/microsoft/uf2."""
    assert len(data) % 512 == 0
    families, content, first = set(), b"", None
    for number in range(len(data) // 512):
        block = data[512 * number :][:512]
        start_0, start_1, flags, address, size, index, count, family = struct.unpack_from(
            "<8I", block
        )
        assert block[:4] == b"UF2\n"
        assert (start_0, start_1) == (0x0A324655, 0x9E5D5157)
        assert block[-4:] == bytes.fromhex("306fb10a")
        assert flags == 0x00002000  # a family ID, and none of: not for flash, file, MD5
        assert (index, count) == (number, len(data) // 512)
        assert size <= 476
        first = address if first is None else first
        assert address == first + len(content)
        families.add(family)
        content += block[32 : 32 + size]
        assert not any(block[32 + size : 508])
    assert first is not None
    return families, first, content


def test_reader_of_this_test_reads_what_esptool_writes(tmp_path: Path, require_tool) -> None:
    (tmp_path / "in.bin").write_bytes(bytes(range(250)) * 41)
    command = [require_tool("esptool"), "--chip", "esp32", "merge-bin", "--format", "uf2"]
    command += ["--chunk-size", "256", "--md5-disable", "-o", str(tmp_path / "out.uf2")]
    subprocess.run(
        [*command, "0x110000", str(tmp_path / "in.bin")], check=True, capture_output=True
    )
    families, address, content = read_uf2((tmp_path / "out.uf2").read_bytes())
    assert (families, address) == ({0x1C5F21B0}, 0x110000)  # the ESP32's, in uf2families.json
    assert content.rstrip(b"\0\xff") == (tmp_path / "in.bin").read_bytes()


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 10_000])
def test_blocks_are_whole_sectors_in_order(length: int) -> None:
    data = bytes(n % 255 for n in range(length))
    blocks = uf2(data, 0x10102000, 0xE48BFF56)
    families, address, content = read_uf2(blocks)
    assert (families, address) == ({0xE48BFF56}, 0x10102000)
    assert len(content) == -(-length // 4096) * 4096
    assert content[:length] == data
    assert set(content[length:]) <= {0xFF}
    # The boot ROM takes blocks of 256 bytes only.
    assert {struct.unpack_from("<I", blocks, at + 16)[0] for at in range(0, len(blocks), 512)} == {
        256
    }


@pytest.mark.parametrize(("family", "number"), [("rp2040", 0xE48BFF56), ("rp2350", 0xE48BFF59)])
def test_file_has_the_image_at_its_address(image, tmp_path, family, number) -> None:
    path = tmp_path / "model.uf2"
    place = Rp2(path, family)
    assert place.check() >= len(image.data)
    said = place.write(image, tmp_path / "model.bin", print)
    families, address, content = read_uf2(path.read_bytes())
    assert (families, address) == ({number}, DEFAULT_ADDRESS)
    assert content[: len(image.data)] == image.data
    assert str(path) in said.text
    assert said.confirmed


def test_file_is_replaced_whole_or_not_at_all(image, tmp_path) -> None:
    path, kept = tmp_path / "model.uf2", tmp_path / "kept"
    path.write_bytes(b"old")
    os.link(path, kept)
    place = Rp2(path)
    place.check()
    place.write(image, tmp_path / "model.bin", print)
    # What was there was not written over.
    assert kept.read_bytes() == b"old"
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("family", ["rp2040", "rp2350"])
def test_drive_of_the_family_gets_the_file(image, tmp_path, family) -> None:
    (tmp_path / "INFO_UF2.TXT").write_text(INFO[family])
    place = Rp2(tmp_path, family)
    place.check()
    assert place.write(image, Path("build/seed.bin"), print).confirmed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["INFO_UF2.TXT", "seed.uf2"]
    assert read_uf2((tmp_path / "seed.uf2").read_bytes())[2].startswith(image.data)


@pytest.mark.parametrize(
    ("info", "family", "message"),
    [
        (INFO["rp2350"], "rp2040", r"drive of RP2350; RPI-RP2 \(rp2040\) was .*; --family rp2350"),
        (INFO["rp2040"], "rp2350", r"drive of RPI-RP2; RP2350 \(rp2350\) was .*; --family rp2040"),
        ("Board-ID: nRF52840-Feather-v1\n", "rp2040", "drive of nRF52840-Feather-v1; RPI-RP2"),
        ("Board-ID:\nModel: RPI-RP2\n", "rp2040", "a board without a name"),
        ("", "rp2040", "a board without a name"),
        (None, "rp2040", "has no INFO_UF2.TXT"),
    ],
)
def test_other_drive_is_refused(tmp_path, info, family, message) -> None:
    if info is not None:
        (tmp_path / "INFO_UF2.TXT").write_text(info)
    with pytest.raises(FlashError, match=message):
        Rp2(tmp_path, family).check()


def test_path_that_is_neither_file_nor_drive_is_refused(tmp_path) -> None:
    for path in (tmp_path / "model.bin", tmp_path / "RPI-RP2"):
        with pytest.raises(FlashError, match=r"neither a \.uf2 file nor a mounted drive"):
            Rp2(path).check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": 0x10100800}, "0x10100800 is not aligned.* for example 0x10100000"),
        ({"address": 0x10000000}, "not one for a model"),
        ({"address": 0x10003000}, r"behind the firmware \(from 0x10004000\)"),
        ({"flash_bytes": 16 * 2**20 + 4096}, "rp2040 maps no flash of 16,781,312 bytes"),
        ({"address": 0x20000000}, "not one for a model"),
        ({"address": 0x10200000}, r"the flash's end \(0x10200000\).*--flash-size"),
        ({"address": 0x10400000, "family": "rp2350"}, "0x10400000"),
        ({"address": 0x10100000, "flash_bytes": 2**20}, r"the flash's end \(0x10100000\)"),
    ],
)
def test_address_that_is_impossible_is_refused(settings, message) -> None:
    with pytest.raises(FlashError, match=message):
        Rp2(Path("model.uf2"), **settings).check()


@pytest.mark.parametrize(
    ("settings", "room"),
    [
        ({}, 0x100000),
        ({"flash_bytes": 16 * 2**20}, 0xF00000),
        ({"address": 0x10004000}, 0x1FC000),
        ({"partition_bytes": 0x40000}, 0x40000),
        ({"partition_bytes": 0x40FFF}, 0x40000),  # what follows would be erased with it
        ({"partition_bytes": 2**30}, 0x100000),
    ],
)
def test_room_ends_with_the_partition_and_the_flash(settings, room) -> None:
    assert Rp2(Path("model.uf2"), **settings).check() == room


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(INFO["rp2040"])
    return folder


def checked(drive: Path) -> Rp2:
    place = Rp2(drive)
    place.check()
    return place


def test_drive_that_leaves_with_the_last_block_is_not_called_written(
    image, drive, monkeypatch
) -> None:
    place = checked(drive)

    def gone(handle: int) -> None:
        (drive / "INFO_UF2.TXT").unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", gone)
    said = place.write(image, Path("seed.bin"), print)
    assert not said.confirmed
    assert "blocks for 0x10100000 sent; the drive left, as it does once the last" in said.text
    assert "if the board does not start, send them again" in said.text


def test_drive_that_fails_and_stays_is_an_error(image, drive, monkeypatch) -> None:
    place = checked(drive)

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        place.write(image, Path("seed.bin"), print)


def test_drive_that_leaves_before_the_last_block_is_an_error(image, drive, monkeypatch) -> None:
    place, write, given = checked(drive), os.write, []

    def leave_midway(handle: int, data: bytes) -> int:
        if given:
            (drive / "INFO_UF2.TXT").unlink()
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        given.append(write(handle, data[:5120]))
        return given[0]

    monkeypatch.setattr(os, "write", leave_midway)
    with pytest.raises(OSError, match=r"No such device.*seed\.uf2"):
        place.write(image, Path("seed.bin"), print)


def test_drive_that_takes_little_at_a_time_gets_everything(image, drive, monkeypatch) -> None:
    place, write = checked(drive), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:10_000]))
    assert place.write(image, Path("seed.bin"), print).confirmed
    assert read_uf2((drive / "seed.uf2").read_bytes())[2].startswith(image.data)


def test_full_drive_is_an_error(image, drive) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", drive], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (drive / "INFO_UF2.TXT").write_text(INFO["rp2040"])
        with pytest.raises(OSError, match=r"No space left on device.*seed\.uf2"):
            checked(drive).write(image, Path("seed.bin"), print)
    finally:
        subprocess.run(["umount", drive], check=True)


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "another file system"])
def test_drive_that_leaves_while_the_model_runs_gets_no_file(
    image, drive, monkeypatch, left
) -> None:
    place = checked(drive)
    if left == "another file system":
        place._drive = -1
    else:
        (drive / "INFO_UF2.TXT").unlink()
    if left == "nothing":
        drive.rmdir()
    before = sorted(drive.parent.rglob("*"))
    with pytest.raises(FlashError, match="has gone since it was checked; nothing was written"):
        place.write(image, Path("seed.bin"), print)
    assert sorted(drive.parent.rglob("*")) == before


def test_file_on_a_drive_is_refused(drive) -> None:
    with pytest.raises(FlashError, match=r"is a file on a drive; the drive: .*RPI-RP2 was"):
        Rp2(drive / "model.uf2").check()
