"""esptool itself for what needs no ESP32; a script in its place for the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge_runtime.errors import MissingDependencyError
from flash.errors import FlashError
from flash.esp32 import Esp32

TABLE = """\
nvs,     data, nvs,       0x9000,   0x6000
factory, app,  factory,   0x10000,  1M
model,   data, undefined, 0x110000, 512K
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "partitions.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def image_file(image, tmp_path: Path) -> Path:
    path = tmp_path / "seed.bin"
    path.write_bytes(image.data)
    return path


def test_esptool_takes_our_words_and_says_that_there_is_no_device(
    image, image_file, tmp_path, require_tool
):
    require_tool("esptool")
    lines: list[str] = []
    place = Esp32(str(tmp_path / "no-port"), 0x110000)
    with pytest.raises(FlashError, match=r"esptool failed: Could not open .*no-port"):
        place.write(image, image_file, lines.append)
    # It came as far as the port: a wrong option or address is found before.
    assert any("no-port" in line for line in lines)


def test_esptool_places_the_image_where_we_say(image, image_file, tmp_path, require_tool):
    whole = tmp_path / "flash.bin"
    subprocess.run(
        [
            *[require_tool("esptool"), "--chip", "esp32", "merge-bin", "--format", "raw"],
            *["--pad-to-size", "2MB", "-o", whole, "0x110000", image_file],
        ],
        check=True,
        capture_output=True,
    )
    flash = whole.read_bytes()
    assert flash[0x110000:][: len(image.data)] == image.data
    assert len(flash) == 2 * 2**20


@pytest.mark.parametrize(
    ("version", "command"), [("5.6.0", "write-flash"), ("4.8.1", "write_flash")]
)
def test_command_is_called_as_its_version_calls_it(
    stand_in, image, image_file, version, command
) -> None:
    log = stand_in("esptool", f'echo "$@" >> "$LOG"; echo "esptool v{version}"; echo {version}')
    said = Esp32("/dev/ttyUSB0", 0x110000).write(image, image_file, print)
    calls = log.read_text().splitlines()
    assert calls == ["version", f"--port /dev/ttyUSB0 {command} 0x110000 {image_file}"]
    assert said == f"{len(image.data):,} bytes written to /dev/ttyUSB0 at 0x110000 by esptool"


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (0x110010, "0x110010 is not aligned; a multiple of 0x1000 .* for example 0x110000"),
        (0x8000, "at least 0x9000, after bootloader and partition table"),
        (0, "at least 0x9000"),
        (-0x1000, "at least 0x9000"),
        (2**32, "not in a partition"),
    ],
)
def test_impossible_offset_is_refused(stand_in, offset, message) -> None:
    stand_in("esptool", "exit 0")
    with pytest.raises(FlashError, match=message):
        Esp32("/dev/ttyUSB0", offset).check()


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (0x9000, "'nvs' at 0x9000 holds ESP-IDF's own data"),
        (0x10000, "'factory' at 0x10000 holds an application"),
        (0x190000, "no partition at 0x190000; model 0x110000 was expected"),
        (0xF000, "no partition at 0xf000"),
    ],
)
def test_offset_in_no_partition_for_models_is_refused(stand_in, table, offset, message) -> None:
    stand_in("esptool", "exit 0")
    with pytest.raises(FlashError, match=message):
        Esp32("/dev/ttyUSB0", offset, partition_table=table).check()


def test_room_is_that_of_the_partition(stand_in, table) -> None:
    stand_in("esptool", "exit 0")
    assert Esp32("P", 0x110000).check() is None
    assert Esp32("P", 0x110000, 0x1FFFF).check() == 0x1F000
    assert Esp32("P", 0x110000, partition_table=table).check() == 0x80000
    assert Esp32("P", 0x180000, partition_table=table).check() == 0x10000
    assert Esp32("P", 0x110000, 0x2000, table).check() == 0x2000
    assert Esp32("P", 0x110000, 0x900000, table).check() == 0x80000


def test_missing_program_is_found_before_anything_else(stand_in, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingDependencyError, match=r"program esptool is not installed"):
        Esp32("/dev/ttyUSB0", 0x110000).check()
