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
    targets = json.dumps({"targets": [{"name": "rp2040"}, {"name": "stm32f407vg"}]})
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
        Probe(target, 0x10100000, probe_id=NOBODYS).check()


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
    assert said == f"{len(image.data):,} bytes written to rp2040 at 0x10100000 by pyocd"


def test_one_of_several_probes_has_to_be_chosen(stand_in, image) -> None:
    log = stand_in("pyocd", pyocd("E6614103", "0668FF"))
    with pytest.raises(FlashError, match=r"2 connected .*E6614103, 0668FF.*--probe-id"):
        Probe("rp2040", 0x10100000).check()
    with pytest.raises(FlashError, match=r"2 match '66'"):
        Probe("rp2040", 0x10100000, probe_id="66").check()
    chosen = Probe("rp2040", 0x10100000, probe_id="e661")
    assert chosen.check() is None
    chosen.write(image, Path("seed.bin"), print)
    assert f"--probe e661 {Path('seed.bin').absolute()}" in log.read_text()


def test_no_probe_is_told_before_the_model_is_run(stand_in) -> None:
    stand_in("pyocd", pyocd())
    with pytest.raises(FlashError, match="of 0 connected debug probes .*plug one in"):
        Probe("rp2040", 0x10100000).check()


@pytest.mark.parametrize("address", [0x10100008, 0, -16, 2**32])
def test_impossible_address_is_refused(stand_in, address) -> None:
    stand_in("pyocd", pyocd("E6614103"))
    with pytest.raises(FlashError, match="not aligned, or none; a multiple of 16"):
        Probe("rp2040", address).check()


def test_list_that_is_none_is_refused(stand_in) -> None:
    stand_in("pyocd", "echo hello")
    with pytest.raises(FlashError, match="gave no list"):
        Probe("rp2040", 0x10100000).check()


def test_missing_program_names_the_extra(stand_in, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingDependencyError, match=r"program pyocd is not installed.*\[mcu\]"):
        Probe("rp2040", 0x10100000).check()
