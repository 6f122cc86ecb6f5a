"""pyOCD itself for its lists and for what it says without a probe; a script for what needs one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_runtime.errors import MissingDependencyError
from flash.errors import FlashError
from flash.probe import Probe

# No probe has this ID: a test never writes to a board that happens to be connected.
NOBODYS = "no-such-probe"


def pyocd(*probes: str) -> str:
    """A script that lists these probes, and notes what it is asked to load."""
    known = ("rp2040", "rp2040_core1", "rp2350", "stm32f407vg")
    targets = json.dumps({"targets": [{"name": name} for name in known]})
    boards = json.dumps({"boards": [{"unique_id": one} for one in probes]})
    return f"""case "$2" in
--targets) echo "0000100 W a warning"; echo '{targets}';;
--probes) echo '{boards}';;
*) echo "$@" > "$LOG";;
esac"""


@pytest.mark.parametrize("target", ["rp2040", "RP2040", "mps2-an521"])
def test_pyocd_knows_the_target(target, require_tool) -> None:
    require_tool("pyocd")
    with pytest.raises(FlashError, match=r"0 match 'no-such-probe'"):
        Probe(target, 0x10100000, 0x40000, probe_id=NOBODYS).check()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("rp204", "no target 'rp204'; rp2040 or rp2350.* pyocd pack install rp204"),
        ("toaster9000", "no target 'toaster9000'; a name from pyocd list --targets"),
    ],
)
def test_target_that_pyocd_does_not_know_is_refused(target, message, require_tool) -> None:
    require_tool("pyocd")
    with pytest.raises(FlashError, match=message):
        Probe(target, 0x10100000, probe_id=NOBODYS).check()


def test_pyocd_takes_our_words_and_says_that_there_is_no_probe(image, tmp_path, require_tool):
    require_tool("pyocd")
    file = tmp_path / "seed.bin"
    file.write_bytes(image.data)
    with pytest.raises(
        FlashError, match="pyocd failed: No connected debug probe matches .*no-such"
    ):
        Probe("rp2040", 0x10100000, probe_id=NOBODYS).write(image, file, print)


def test_image_goes_to_the_address_on_the_one_probe(stand_in, image) -> None:
    log = stand_in("pyocd", pyocd("E6614103"))
    place = Probe("rp2040", 0x10100000, 0x40000)
    assert place.check() == 0x40000
    said = place.write(image, Path("seed.bin"), print)
    assert log.read_text().split() == [
        *["load", "--no-wait", "--target", "rp2040", "--base-address", "0x10100000"],
        *[
            "--erase",
            "sector",
            "-O",
            "keep_unwritten=true",
            "--format",
            "bin",
            str(Path("seed.bin").absolute()),
        ],
    ]
    assert said.text == f"{len(image.data):,} bytes written to rp2040 at 0x10100000 by pyocd"


def test_one_of_several_probes_has_to_be_chosen(stand_in, image) -> None:
    log = stand_in("pyocd", pyocd("E6614103", "0668FF"))
    with pytest.raises(FlashError, match=r"2 connected .*E6614103, 0668FF.*--probe-id"):
        Probe("rp2040", 0x10100000).check()
    with pytest.raises(FlashError, match=r"2 match '66'"):
        Probe("rp2040", 0x10100000, probe_id="66").check()
    chosen = Probe("rp2040", 0x10100000, probe_id="e661")
    assert chosen.check() == 0x100000
    chosen.write(image, Path("seed.bin"), print)
    assert f"--probe e661 {Path('seed.bin').absolute()}" in log.read_text()


def test_no_probe_is_told_before_the_model_is_run(stand_in) -> None:
    stand_in("pyocd", pyocd())
    with pytest.raises(FlashError, match="of 0 connected debug probes .*plug one in"):
        Probe("rp2040", 0x10100000).check()


@pytest.mark.parametrize("address", [0x10100008, -16, 2**32])
def test_impossible_address_is_refused(stand_in, address) -> None:
    stand_in("pyocd", pyocd("E6614103"))
    with pytest.raises(FlashError, match="not aligned, or none; a multiple of 16"):
        Probe("rp2040", address).check()


@pytest.mark.parametrize(
    ("target", "address", "room", "message"),
    [
        ("stm32f407vg", 0x20000000, 0x1000, "0x20000000 to 0x20000fff is no flash of a Cortex-M"),
        ("stm32f407vg", 0x3FFFF000, 0x1000, "is no flash of a Cortex-M"),
        ("stm32f407vg", 0x1FFFF000, 0x1010, "is no flash of a Cortex-M"),
        ("stm32f407vg", 0x40000000, 0x1000, "is no flash of a Cortex-M"),
        ("stm32f407vg", 0xE0000000, 0x1000, "is no flash of a Cortex-M"),
        ("stm32f407vg", 0xFFFFFFF0, 0x1000, "is no flash of a Cortex-M"),
        ("stm32f407vg", 0x08000000, 0x40000, "firmware's own beginning.* from 0x8004000"),
        ("stm32f407vg", 0x08003FF0, 0x1000, "firmware's own beginning"),
        ("stm32f407vg", 0, 0x1000, "firmware's own beginning.* from 0x4000"),
        ("stm32f407vg", 0x08040000, None, "nothing says how much room .*--partition-size was"),
        ("rp2040", 0x10000000, 0x1000, r"behind the firmware \(from 0x10004000\)"),
        ("RP2040-core1", 0x10200000, None, r"flash's end \(0x10200000\)"),
        ("rp2040", 0x20000000, 0x1000, "not one for a model"),
        ("rp2350", 0x10400000, None, r"flash's end \(0x10400000\)"),
    ],
)
def test_place_that_is_no_flash_for_models_is_refused(
    stand_in, target, address, room, message
) -> None:
    stand_in("pyocd", pyocd("E6614103"))
    with pytest.raises(FlashError, match=message):
        Probe(target, address, room).check()


@pytest.mark.parametrize(
    ("target", "address", "room", "flash", "expected"),
    [
        ("stm32f407vg", 0x08004000, 0x40000, None, 0x40000),
        ("stm32f407vg", 0x90000000, 0x40000, None, 0x40000),  # QSPI flash, mapped
        ("stm32f407vg", 0x1FFC0000, 0x40000, None, 0x40000),
        ("rp2040", 0x101FF000, 0x40000, None, 0x1000),
        ("rp2040", 0x10200000, None, 4 * 2**20, 0x200000),
        ("rp2350", 0x10200000, 0x1000, None, 0x1000),
    ],
)
def test_room_ends_with_the_partition_and_the_flash(
    stand_in, target, address, room, flash, expected
) -> None:
    stand_in("pyocd", pyocd("E6614103"))
    assert Probe(target, address, room, flash_bytes=flash).check() == expected


def test_flash_size_of_another_chip_is_refused(stand_in) -> None:
    stand_in("pyocd", pyocd("E6614103"))
    with pytest.raises(FlashError, match="--flash-size says nothing about the target stm32f407vg"):
        Probe("stm32f407vg", 0x08040000, 0x1000, flash_bytes=2**20).check()


def test_list_that_is_none_is_refused(stand_in) -> None:
    stand_in("pyocd", "echo hello")
    with pytest.raises(FlashError, match="gave no list"):
        Probe("rp2040", 0x10100000).check()


def test_missing_program_names_the_extra(stand_in, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingDependencyError, match=r"program pyocd is not installed.*\[mcu\]"):
        Probe("rp2040", 0x10100000).check()
