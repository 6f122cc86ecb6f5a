"""The systemd unit that the documentation offers."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.cli import camera

UNIT = Path(__file__).resolve().parent.parent / "docs" / "examples" / "edge-run-camera.service"


class Repeating(dict):
    """Takes a key that is there already, as units have them, for one more line."""

    def __setitem__(self, key: object, value: object) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


@pytest.fixture
def service() -> configparser.SectionProxy:
    unit = configparser.RawConfigParser(strict=False, dict_type=Repeating)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(UNIT)
    return unit["Service"]


def test_systemd_finds_it_well_confined(require_tool: Callable[[str], str]) -> None:
    command = [require_tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20"]
    done = subprocess.run([*command, str(UNIT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_systemd_understands_every_line(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    # The program it names is not on this machine; everything else must be known.
    program = tmp_path / "edge-run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edge/bin/edge-run", str(program)))
    done = subprocess.run(
        [require_tool("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True, text=True,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert done.returncode == 0, done.stderr
    assert not ours, "\n".join(ours)


def test_its_command_is_one_that_edge_run_takes(service: configparser.SectionProxy) -> None:
    import argparse

    program, verb, *arguments = shlex.split(re.sub(r"\\\s", " ", service["ExecStart"]))
    assert Path(program).name == "edge-run"
    assert verb == "camera"
    parser = argparse.ArgumentParser()
    camera.configure(parser)
    args = parser.parse_args(arguments)
    assert args.mqtt
    assert str(args.mqtt_password_file).startswith("%d/")


def test_the_watchdog_leaves_time_to_declare_a_camera_absent(
    service: configparser.SectionProxy,
) -> None:
    from edge_runtime.recovery import Patience

    patience = Patience()
    slowest = max(patience.open_s, patience.read_s, patience.frozen_s)
    assert float(service["WatchdogSec"]) >= 2 * slowest
    assert service["Type"] == "notify"
