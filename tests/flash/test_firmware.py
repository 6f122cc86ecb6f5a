"""The reader for the firmware: compiled, given damaged images, run on a Cortex-M3 in QEMU."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.contract import load_sealed
from flash.image import make_image
from flash.mcu import interface_id, run_in_tflm

ROOT = Path(__file__).resolve().parents[2]
READER = ROOT / "flash" / "firmware"
FIRMWARE = Path(__file__).parent / "firmware"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"]
CORTEX_M3 = ["-mcpu=cortex-m3", "-mthumb", "-Os"]
# Where main.c has its slots, and how long they are.
SLOTS, SLOT_BYTES = (0x21000000, 0x21040000), 0x40000
OK, ABSENT, HEADER_DAMAGED, UNKNOWN_VERSION, TOO_LARGE, DAMAGED = 0, 2, 3, 4, 5, 6


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        ("gcc", ["-std=c99"]),
        ("gcc", ["-std=c11", "-O3"]),
        ("g++", ["-x", "c++"]),
        ("arm-none-eabi-gcc", ["-std=c99", *CORTEX_M3]),
        ("arm-none-eabi-gcc", ["-std=c99", "-mcpu=cortex-m0", "-mthumb", "-O2"]),
    ],
    ids=["c99", "c11", "c++", "cortex-m3", "cortex-m0"],
)
def test_reader_compiles_without_warnings_and_needs_no_library(
    compiler, options, tmp_path, require_tool
):
    built = tmp_path / "edge_model.o"
    command = [require_tool(compiler), *options, *WARNINGS, "-c", "-o", built]
    subprocess.run([*command, READER / "edge_model.c"], check=True)
    # Undefined symbols would be calls of a library.
    names = subprocess.run(
        [require_tool("nm"), "-u", built], capture_output=True, text=True, check=True
    )
    assert names.stdout.strip() in ("", "U _GLOBAL_OFFSET_TABLE_")


def test_no_damage_is_overlooked_and_nothing_is_read_beyond_the_end(image, tmp_path, require_tool):
    program, file = tmp_path / "damage", tmp_path / "image.bin"
    file.write_bytes(image.data)
    subprocess.run(
        [
            require_tool("gcc"),
            "-std=c99",
            *WARNINGS,
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            f"-I{READER}",
            "-o",
            program,
            FIRMWARE / "damage.c",
            READER / "edge_model.c",
        ],
        check=True,
    )
    ran = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    *counts, last = ran.stdout.splitlines()
    assert last == f"0 unseen, null {ABSENT}"
    seen = [int(count) for count in counts]
    assert seen[OK] == 0
    assert seen[1] == 15  # misaligned by 1 to 15 bytes
    assert seen[ABSENT] == 80 + 32  # shorter than the header; a bit of the magic
    assert seen[HEADER_DAMAGED] == 640 - 32
    assert seen[UNKNOWN_VERSION] == 0  # a version with a wrong checksum is damage
    assert seen[TOO_LARGE] > 48
    assert seen[DAMAGED] > 128


@pytest.fixture(scope="module")
def nano():
    return run_in_tflm(ROOT / "models" / "nano" / "nano_int8.tflite")


@pytest.fixture(scope="module")
def elf(tmp_path_factory, require_tool, nano) -> Path:
    """The firmware of the test, made for `nano` and built once for all models."""
    built = tmp_path_factory.mktemp("firmware") / "firmware.elf"
    sources = [FIRMWARE / "main.c", FIRMWARE / "sha256.c", READER / "edge_model.c"]
    subprocess.run(
        [
            require_tool("arm-none-eabi-gcc"),
            "-std=c99",
            *CORTEX_M3,
            *WARNINGS,
            f"-I{READER}",
            f"-DFIRMWARE_INTERFACE_ID={interface_id(nano.contract, nano.run)}u",
            f"-DFIRMWARE_ARENA_BYTES={nano.arena_bytes}u",
            "-nostartfiles",
            "--specs=rdimon.specs",
            f"-Wl,-T,{FIRMWARE / 'mps2.ld'}",
            "-o",
            built,
            *sources,
        ],
        check=True,
    )
    return built


@pytest.fixture
def boot(elf, tmp_path, require_tool):
    """``boot(a, b)`` runs the firmware with these bytes in its slots.

    Returns what it says of each, and the slot whose model it runs, -1 for none.
    """
    qemu, digest = require_tool("qemu-system-arm"), hashlib.sha256(elf.read_bytes()).digest()

    def run(*slots: bytes) -> tuple[list[dict[str, str]], int]:
        loaders: list[str] = []
        for number, data in enumerate(slots):
            if data:
                file = tmp_path / f"slot{number}.bin"
                file.write_bytes(data)
                place = f"loader,file={file},addr={SLOTS[number]:#x},force-raw=on"
                loaders += ["-device", place]
        ran = subprocess.run(
            [
                *[qemu, "-M", "mps2-an385", "-kernel", elf],
                *["-nographic", "-monitor", "none", "-serial", "none"],
                *["-semihosting-config", "enable=on,target=native"],
                *loaders,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        *lines, last = ran.stdout.splitlines()
        assert ran.returncode == (last == "runs=-1"), ran.stderr
        assert hashlib.sha256(elf.read_bytes()).digest() == digest
        slot = int(last.removeprefix("runs="))
        return [dict(word.split("=") for word in line.split()) for line in lines], slot

    return run


def test_one_firmware_finds_whatever_model_lies_in_its_slots(boot, micro_model, nano):
    def expected(model, slot: int, counter: int) -> dict[str, str]:
        digest = hashlib.sha256(load_sealed(model.path).flatbuffer).hexdigest()
        return {
            "slot": str(slot),
            "status": "0",
            "aligned": "1",
            "length": str(len(model.flatbuffer)),
            "counter": str(counter),
            "arena": str(model.arena_bytes),
            "interface": str(interface_id(model.contract, model.run)),
            "threshold": str(round(model.contract.rejection_threshold * 1_000_000)),
            "stated": digest,
            "computed": digest,
        }

    first, second = make_image(micro_model, 3).data, make_image(nano, 2**32 - 1).data
    slots, runs = boot(first, second)
    assert slots == [expected(micro_model, 0, 3), expected(nano, 1, 2**32 - 1)]
    assert runs == 1
    # Another model in the slot, the same firmware.
    slots, runs = boot(second, first)
    assert slots == [expected(nano, 0, 2**32 - 1), expected(micro_model, 1, 3)]
    assert runs == 0


def test_larger_counter_is_taken_and_of_equal_ones_the_first(boot, nano):
    old, new = make_image(nano, 1).data, make_image(nano, 2).data
    assert [boot(*slots)[1] for slots in ((old, new), (new, old), (new, new))] == [1, 0, 0]


def test_damaged_newer_model_is_refused_and_the_older_taken(boot, nano):
    old, new = make_image(nano, 1).data, make_image(nano, 2).data
    middle = len(new) // 2
    flipped = bytes([*new[:middle], new[middle] ^ 0x10, *new[middle + 1 :]])
    slots, runs = boot(old, flipped)
    assert [slot["status"] for slot in slots] == [str(OK), str(DAMAGED)]
    assert runs == 0
    # Power was cut while it was written: the rest is as erased.
    slots, runs = boot(new[:4096] + b"\xff" * (len(new) - 4096), old)
    assert [slot["status"] for slot in slots] == [str(DAMAGED), str(OK)]
    assert runs == 1


def test_newer_model_that_does_not_fit_or_start_leaves_the_older_one(boot, micro_model, nano):
    old, newer = make_image(nano, 1).data, make_image(nano, 2).data
    unfit = {
        "other labels or pixels": make_image(replace(micro_model, arena_bytes=1024), 2).data,
        "larger arena": make_image(replace(nano, arena_bytes=nano.arena_bytes + 1), 2).data,
        # Its checksums are right: what is wrong shows only when it is to start.
        "does not start": with_header(newer, "32s", 28, bytes(32)),
    }
    for why, new in unfit.items():
        slots, runs = boot(old, new)
        assert [slot["status"] for slot in slots] == ["0", "0"], why
        assert runs == 0, why
        assert boot(new, old)[1] == 1, why
        # And with nothing else there is nothing to run.
        assert boot(new)[1] == -1, why


def with_header(data: bytes, form: str, at: int, value: int | bytes) -> bytes:
    """The image with one field changed and a checksum that says that this is right."""
    header = bytearray(data[:76])
    struct.pack_into(form, header, at, value)
    return bytes(header) + struct.pack("<I", zlib.crc32(header)) + data[80:]


def test_firmware_says_why_it_refuses_an_image(boot, image):
    data = image.data
    cases = {
        b"": ABSENT,
        b"\xff" * 4096: ABSENT,
        data[:17] + b"\x99" + data[18:]: HEADER_DAMAGED,
        with_header(data, "<H", 4, 1): UNKNOWN_VERSION,
        with_header(data, "<H", 6, 64): UNKNOWN_VERSION,
        with_header(data, "<I", 8, SLOT_BYTES - 79): TOO_LARGE,
        with_header(data, "<I", 8, 2**32 - 1): TOO_LARGE,
        with_header(data, "<I", 8, 0): DAMAGED,
        # The CRC-32 of nothing is 0: an empty model with a right checksum is none either.
        with_header(data, "<Q", 8, 0): DAMAGED,
        with_header(data, "<I", 12, 0): DAMAGED,
    }
    contents = list(cases)
    for first, second in zip(contents[::2], contents[1::2], strict=True):
        slots, runs = boot(first, second)
        assert [int(slot["status"]) for slot in slots] == [cases[first], cases[second]]
        assert runs == -1
