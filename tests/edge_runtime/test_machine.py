from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.machine import machine_facts, machine_warnings


@pytest.fixture
def raspberry_pi(tmp_path: Path) -> Path:
    """The kernel files of a Raspberry Pi 4 that is hot and saves power."""
    files = {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4\n",
        "proc/meminfo": "MemTotal:        3884360 kB\nMemFree: 1 kB\n",
        "proc/loadavg": "0.52 0.58 0.59 1/257 1234\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/thermal/thermal_zone0/temp": "61340\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def fake_vcgencmd(folder: Path, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] && echo "{answer}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_facts_of_a_raspberry_pi_are_read_from_its_kernel(raspberry_pi: Path) -> None:
    facts = machine_facts(raspberry_pi)
    assert facts["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["cpu"] == "Raspberry Pi 4"
    assert facts["memory_bytes"] == 3884360 * 1024
    assert facts["governor"] == "ondemand"
    assert facts["frequency_mhz"] == 1500
    assert facts["temperature_c"] == 61.34
    assert facts["load"] == 0.52


def test_what_a_machine_does_not_tell_is_none(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path)
    for name in ("board", "memory_bytes", "governor", "frequency_mhz", "temperature_c", "load"):
        assert facts[name] is None, name
    assert facts["python"]
    assert facts["cores"] >= 1
    assert machine_warnings(facts) == []


def test_kernel_files_with_nonsense_are_not_believed(raspberry_pi: Path) -> None:
    (raspberry_pi / "sys/class/thermal/thermal_zone0/temp").write_text("N/A\n")
    (raspberry_pi / "proc/loadavg").write_text("busy\n")
    facts = machine_facts(raspberry_pi)
    assert facts["temperature_c"] is None
    assert facts["load"] is None


def test_facts_of_this_machine_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(machine_facts()))["system"]


def test_throttling_is_named_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_vcgencmd(tmp_path, "throttled=0x50005", monkeypatch)
    facts = machine_facts()
    assert facts["throttled"] == [
        "under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot",
    ]  # fmt: skip
    assert any("under-voltage now" in warning for warning in machine_warnings(facts))


@pytest.mark.parametrize(("answer", "expected"), [("throttled=0x0", []), ("error=1", None)])
def test_a_board_without_trouble_and_one_without_an_answer_differ(
    answer: str, expected: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_vcgencmd(tmp_path, answer, monkeypatch)
    assert machine_facts()["throttled"] == expected


def test_a_governor_that_saves_power_is_warned_of_with_the_command(raspberry_pi: Path) -> None:
    facts = machine_facts(raspberry_pi)
    (warning,) = machine_warnings(facts)
    assert "'ondemand'" in warning
    assert "echo performance | sudo tee" in warning
    assert machine_warnings({**facts, "governor": "performance"}) == []


def test_a_busy_machine_is_warned_of() -> None:
    (warning,) = machine_warnings({"load": 6.5, "cores": 2})
    assert warning.startswith("6.5 processes share 2 cores")
    assert machine_warnings({"load": 1.5, "cores": 2}) == []


def test_peak_memory_keeps_the_largest_moment() -> None:
    program = (
        "import numpy\n"
        "from edge_runtime.machine import peak_memory_bytes as peak\n"
        "before = peak()\n"
        "block = numpy.ones(2 * before, numpy.uint8)\n"
        "del block\n"
        "print(before, peak())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    before, after = map(int, done.stdout.split())
    assert before > 5e6
    assert after >= 2.9 * before


def test_throttling_is_read_from_the_kernel_where_there_is_no_vcgencmd(
    raspberry_pi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(raspberry_pi))
    assert machine_facts(raspberry_pi)["throttled"] is None
    hwmon = raspberry_pi / "sys/class/hwmon/hwmon1"
    hwmon.mkdir(parents=True)
    (hwmon / "name").write_text("rpi_volt\n")
    (hwmon / "in0_lcrit_alarm").write_text("1\n")
    assert machine_facts(raspberry_pi)["throttled"] == ["under-voltage now"]
    (hwmon / "in0_lcrit_alarm").write_text("0\n")
    assert machine_facts(raspberry_pi)["throttled"] == []
    firmware = raspberry_pi / "sys/devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("20002\n")
    assert machine_facts(raspberry_pi)["throttled"] == [
        "clock capped now", "clock capped since boot",
    ]  # fmt: skip
