"""esptool itself for what needs no ESP32; a script in its place for the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.errors import MissingDependencyError
from flash.errors import FlashError
from flash.esp32 import Esp32
from flash.partitions import Partition

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
    assert said.text == f"{len(image.data):,} bytes written to /dev/ttyUSB0 at 0x110000 by esptool"


def test_name_like_an_option_is_given_as_a_path(stand_in, image, tmp_path, monkeypatch) -> None:
    log = stand_in("esptool", 'echo "$@" >> "$LOG"; echo 5.6.0')
    monkeypatch.chdir(tmp_path)
    Esp32("/dev/ttyUSB0", 0x110000).write(image, Path("--help"), print)
    assert log.read_text().splitlines()[-1].endswith(f" 0x110000 {tmp_path / '--help'}")


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
        (0x111000, "0x111000 is inside the partition 'model'; its start 0x110000, where the firm"),
        (0xF000, "no partition at 0xf000"),
    ],
)
def test_offset_in_no_partition_for_models_is_refused(stand_in, table, offset, message) -> None:
    stand_in("esptool", "exit 0")
    with pytest.raises(FlashError, match=message):
        Esp32("/dev/ttyUSB0", offset, partition_table=table).check()


def test_room_is_that_of_the_partition(stand_in, table) -> None:
    stand_in("esptool", "exit 1")
    assert Esp32("P", 0x110000, 0x1FFFF).check() == 0x1F000
    assert Esp32("P", 0x110000, partition_table=table).check() == 0x80000
    assert Esp32("P", 0x110000, 0x2000, table).check() == 0x2000
    assert Esp32("P", 0x110000, 0x900000, table).check() == 0x80000


@pytest.fixture
def device(stand_in, tmp_path) -> Callable[..., Path]:
    """``device(TABLE, VERSION)``: an esptool whose device has these bytes at 0x8000."""

    def put(table: bytes, version: str = "5.6.0") -> Path:
        (tmp_path / "flash").write_bytes(table)
        script = f"""echo "$@" >> "$LOG"
[ "$1" = version ] && {{ echo {version}; exit; }}
for last; do :; done
cp "{tmp_path / "flash"}" "$last"
"""
        return stand_in("esptool", script)

    return put


IN_FLASH = (
    Partition("nvs", 1, 2, 0x9000, 0x6000),
    Partition("factory", 0, 0, 0x10000, 0x100000),
    Partition("model", 1, 6, 0x110000, 0x80000),
)


@pytest.mark.parametrize(("version", "verb"), [("5.6.0", "read-flash"), ("4.8.1", "read_flash")])
def test_device_is_asked_for_its_table_where_nothing_else_says(
    device, binary_table, version, verb
) -> None:
    log = device(binary_table(IN_FLASH), version)
    assert Esp32("/dev/ttyUSB0", 0x110000).check() == 0x80000
    asked = log.read_text().splitlines()[-1].rpartition(" ")
    assert asked[0] == f"--port /dev/ttyUSB0 {verb} 0x8000 0xc00"
    assert not Path(asked[2]).exists()


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (0x9000, "'nvs' at 0x9000 holds ESP-IDF's own data"),
        (0x20000, "'factory' at 0x10000 holds an application"),
        (0x200000, "no partition at 0x200000; model 0x110000 was expected"),
    ],
)
def test_devices_own_table_guards_its_partitions(device, binary_table, offset, message) -> None:
    device(binary_table(IN_FLASH))
    with pytest.raises(FlashError, match=message):
        Esp32("/dev/ttyUSB0", offset).check()


@pytest.mark.parametrize(
    ("flash", "reason"),
    [
        (b"\xff" * 0xC00, "there is none at 0x8000"),
        (b"", "there is none at 0x8000"),
        (b"model,data,,0x110000,512K", "there is none at 0x8000"),
        (lambda binary: binary(IN_FLASH, md5=bytes(16)), "its MD5 does not match"),
        (lambda binary: binary(IN_FLASH) + b"\xff", "has 3,073 bytes"),
    ],
)
def test_device_without_a_table_that_can_be_read_is_refused(
    device, binary_table, flash, reason
) -> None:
    device(flash if isinstance(flash, bytes) else flash(binary_table))
    message = rf"device at P cannot be read: .*{reason}.*--partition-table, or --partition-size"
    with pytest.raises(FlashError, match=message):
        Esp32("P", 0x110000).check()


def test_device_that_does_not_answer_is_refused(stand_in) -> None:
    stand_in("esptool", '[ "$1" = version ] && exec echo 5.6.0; echo no device; exit 2')
    with pytest.raises(FlashError, match="cannot be read: esptool failed: no device"):
        Esp32("P", 0x110000).check()


def test_esptool_knows_how_to_read_flash(tmp_path, require_tool) -> None:
    require_tool("esptool")
    with pytest.raises(FlashError, match=r"cannot be read: esptool failed: Could not open .*no-po"):
        Esp32(str(tmp_path / "no-port"), 0x110000).check()


def test_missing_program_is_found_before_anything_else(stand_in, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingDependencyError, match=r"program esptool is not installed"):
        Esp32("/dev/ttyUSB0", 0x110000).check()
