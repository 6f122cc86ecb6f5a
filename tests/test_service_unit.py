"""The systemd units: the one that the documentation offers, and those that `flash` installs."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.cli import camera

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "docs" / "examples" / "edge-run-camera.service"
INSTALLED = ("edge-run-camera.service", "edge-run-recover.service")
# In what the installed service may differ from the example: where its command, model and user come
# from, and what it says in addition.
MAY_DIFFER = {
    "ExecStart", "LoadCredential", "EnvironmentFile", "DynamicUser", "User", "Group",
    "RestartSec", "RestartSteps", "RestartMaxDelaySec", "ExecStartPre", "StandardOutput",
    "StandardError", "TimeoutStartSec",
}  # fmt: skip


class Repeating(dict):
    """Takes a key that is there already, as units have them, for one more line."""

    def __setitem__(self, key: object, value: object) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def read_unit(text: str) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False, dict_type=Repeating)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string(text)
    return unit


@pytest.fixture
def service() -> configparser.SectionProxy:
    return read_unit(UNIT.read_text())["Service"]


def unit_text(name: str) -> str:
    """A unit by name: "example", or one as it is installed on Bookworm, which has systemd 252."""
    if name == "example":
        return UNIT.read_text()
    from flash.install_plan import unit

    return unit(name, 252)


@pytest.mark.parametrize("name", ["example", *INSTALLED])
def test_systemd_finds_it_well_confined(
    require_tool: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    path = tmp_path / ("edge-run-camera.service" if name == "example" else name)
    path.write_text(unit_text(name))
    command = [require_tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.mark.parametrize("name", ["example", *INSTALLED])
def test_systemd_understands_every_line(
    require_tool: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    # The program it names is not on this machine; everything else must be known.
    program = tmp_path / "edge-run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / ("edge-run-camera.service" if name == "example" else name)
    unit.write_text(unit_text(name).replace("/opt/edge/bin/edge-run", str(program)))
    done = subprocess.run(
        [require_tool("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True, text=True,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert done.returncode == 0, done.stderr
    assert not ours, "\n".join(ours)


def test_the_installed_service_is_as_confined_as_the_example() -> None:
    example, installed = (
        {
            key: value
            for key, value in read_unit(unit_text(name))["Service"].items()
            if key not in MAY_DIFFER
        }
        for name in ("example", "edge-run-camera.service")
    )
    assert installed == example


def test_the_installed_service_reads_the_active_model_which_its_user_cannot_write() -> None:
    import argparse

    from flash.install_plan import DEPLOY_USER

    found = read_unit(unit_text("edge-run-camera.service"))["Service"]
    words = shlex.split(
        re.sub(r"\\\s", " ", found["ExecStart"]).replace("$EDGE_CAMERA_OPTIONS", "--loop")
    )
    parser = argparse.ArgumentParser()
    camera.configure(parser)
    args = parser.parse_args(words[2:])
    assert str(args.model) == "/var/lib/edge-runtime/active/model.tflite"
    assert args.source is None  # An address may hold a password: it comes by the environment.
    assert found["User"] == "edge"
    assert found["User"] != DEPLOY_USER
    assert found["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in found
    assert found["StandardOutput"] == found["StandardError"] == "journal"


def test_an_unconfirmed_model_is_taken_back_before_the_service_starts() -> None:
    recover = read_unit(unit_text("edge-run-recover.service"))
    assert recover["Unit"]["Before"] == "edge-run-camera.service"
    assert "receive --recover --dir /var/lib/edge-runtime" in recover["Service"]["ExecStart"]
    assert recover["Service"]["User"] == "edge-deploy"
    assert recover["Install"]["WantedBy"] == "multi-user.target"
    unit = read_unit(unit_text("edge-run-camera.service"))["Unit"]
    assert "edge-run-recover.service" in unit["After"].split()
    # Wanted by the service, it would run again at a restart, in the middle of a transfer.
    assert "edge-run-recover" not in unit["Wants"] + unit.get("Requires", "")


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
