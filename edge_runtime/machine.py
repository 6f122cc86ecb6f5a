"""What kind of machine this is, and what about it spoils a measurement.

Everything comes from files of the Linux kernel and from Python itself; a fact that this machine
does not tell is None.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "board_name",
    "machine_facts",
    "machine_warnings",
    "peak_memory_bytes",
    "temperature_c",
    "throttling",
]

# Bits of `vcgencmd get_throttled`; source: Raspberry Pi documentation, "vcgencmd".
THROTTLED_BITS = {
    0: "under-voltage now",
    1: "clock capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "clock capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
VCGENCMD_TIMEOUT_S = 5.0


def machine_facts(root: Path = Path("/")) -> dict[str, Any]:
    """Describes this machine for a report.

    Args:
        root: Where ``/proc`` and ``/sys`` are found; another one only for tests.

    Returns:
        JSON-ready facts: `system`, `release`, `machine`, `board` (a Raspberry Pi's name for
        itself), `cpu`, `cores` (that this process may use), `memory_bytes`, `python`, `numpy`,
        `governor`, `frequency_mhz`, `temperature_c`, `throttled` (a list of reasons, empty when
        there are none) and `load` (mean number of running processes over the last minute).
        None stands for what is not known.
    """
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    kilohertz = _number(cpu / "scaling_cur_freq")
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "board": board_name(root),
        "cpu": _cpu_name(root),
        "cores": _cores(),
        "memory_bytes": _memory_bytes(root),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "governor": _text(cpu / "scaling_governor"),
        "frequency_mhz": None if kilohertz is None else kilohertz / 1000,
        "temperature_c": temperature_c(root),
        "throttled": throttling(root),
        "load": _load(root),
    }


def machine_warnings(facts: Mapping[str, Any]) -> list[str]:
    """What makes times measured on this machine hard to trust.

    Args:
        facts: What `machine_facts` gave.

    Returns:
        One sentence each; none for a machine set up for measuring, or one that tells nothing.
    """
    warnings = []
    governor = facts.get("governor")
    if governor not in (None, "performance"):
        warnings.append(
            f"the CPU governor is {governor!r}, so times vary with the clock; for steady ones: "
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    if reasons := facts.get("throttled"):
        warnings.append(
            f"the board reports {', '.join(reasons)}; check its power supply and cooling"
        )
    load, cores = facts.get("load"), facts.get("cores")
    if load is not None and cores is not None and load > cores:
        warnings.append(
            f"{load:.1f} processes share {cores} cores; times are longer than on an idle machine"
        )
    return warnings


def board_name(root: Path = Path("/")) -> str | None:
    """What the board calls itself, "Raspberry Pi 4 Model B Rev 1.4"; None where nothing tells."""
    return _text(root / "proc/device-tree/model")


def temperature_c(root: Path = Path("/")) -> float | None:
    """The processor's temperature in degrees Celsius; None where nothing tells."""
    milli_celsius = _number(root / "sys/class/thermal/thermal_zone0/temp")
    return None if milli_celsius is None else milli_celsius / 1000


def throttling(root: Path = Path("/")) -> list[str] | None:
    """What a Raspberry Pi's firmware says of its power and heat.

    Args:
        root: Where ``/sys`` is found; another one only for tests.

    Returns:
        The reasons for a slower clock, as in `THROTTLED_BITS`; empty when there are none, None
        where nothing tells, as on another board.
    """
    said = _vcgencmd()
    if said is None:
        # The same number where vcgencmd is missing or not allowed; source: the Raspberry Pi
        # kernel's drivers/firmware/raspberrypi.c, which the Pi 5 has below another address.
        for path in root.glob("sys/devices/platform/soc*/*firmware*/get_throttled"):
            said = _text(path)
    try:
        flags = int(said or "", 16)
    except ValueError:
        return _under_voltage(root)
    return [reason for bit, reason in THROTTLED_BITS.items() if flags >> bit & 1]


def peak_memory_bytes() -> int | None:
    """The most physical memory this process has held, in bytes; None where nothing tells.

    Linux keeps it for the program that runs now, as ``VmHWM``. What ``getrusage`` says is the
    fallback, because there a child starts with the peak of the process that started it.
    """
    status = _text(Path("/proc/self/status")) or ""
    if match := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
        return int(match[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in kibibytes elsewhere; source: getrusage(2) of both systems.
    return peak if platform.system() == "Darwin" else peak * 1024


def _text(path: Path) -> str | None:
    """The content of a small kernel file, or None. Device-tree strings end in a NUL."""
    try:
        return path.read_text(errors="replace").strip("\0\n ") or None
    except (OSError, ValueError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None


def _cpu_name(root: Path) -> str | None:
    """The processor's name: x86 and old ARM kernels write it, arm64 kernels write a part number."""
    cpuinfo = _text(root / "proc/cpuinfo") or ""
    for key in ("model name", "Model", "CPU part"):
        if match := re.search(rf"^{key}\s*:\s*(.+)$", cpuinfo, re.MULTILINE):
            return match[1] if key != "CPU part" else f"ARM part {match[1]}"
    return platform.processor() or None


def _cores() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Only Linux has it.
        return os.cpu_count()


def _memory_bytes(root: Path) -> int | None:
    match = re.search(r"^MemTotal:\s*(\d+) kB", _text(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _load(root: Path) -> float | None:
    text = _text(root / "proc/loadavg")
    try:
        return float(text.split()[0]) if text else None
    except ValueError:
        return None


def _under_voltage(root: Path) -> list[str] | None:
    """The one thing that a Pi with Linux's own kernel tells (hwmon driver raspberrypi-hwmon).

    The driver clears the firmware's memory each time it asks, every two seconds: the alarm is of
    now, not since boot.
    """
    for name in root.glob("sys/class/hwmon/hwmon*/name"):
        if _text(name) == "rpi_volt":
            alarm = _text(name.with_name("in0_lcrit_alarm"))
            return [THROTTLED_BITS[0]] if alarm == "1" else []
    return None


def _vcgencmd() -> str | None:
    """The hexadecimal number that ``vcgencmd get_throttled`` prints."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=VCGENCMD_TIMEOUT_S
        ).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", answer.strip())
    return match and match[1]
