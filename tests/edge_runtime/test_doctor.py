from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import doctor, v4l2
from edge_runtime.cli import main
from edge_runtime.doctor import Finding, Severity, examine

HEALTHY_OPENCV = {"version": "4.9.0", "decodes": True}
RING = {"label": "0", "score": 0.99}
NO_PICAMERA2 = {"error": "ModuleNotFoundError: No module named 'picamera2'"}
CAMERA = v4l2.VideoDevice(
    "/dev/video0",
    card="HD Webcam",
    captures=True,
    formats=(
        v4l2.VideoFormat("YUYV", "", (v4l2.FrameSize(640, 480, (30.0,)),)),
        v4l2.VideoFormat(
            "MJPG",
            "",
            (v4l2.FrameSize(640, 480, (60.0,)), v4l2.FrameSize(1920, 1080, (15.0, 30.0))),
        ),
    ),
)


class Machine:
    """What the doctor finds, to be changed by a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions = {
            "numpy": "1.26.4", "tflite-runtime": "2.14.0", "opencv-python-headless": "4.9.0.80",
            "flask": "3", "waitress": "3", "prometheus-client": "1", "paho-mqtt": "2",
        }  # fmt: skip
        self.opencv: dict[str, Any] = HEALTHY_OPENCV
        self.self_test: dict[str, dict[str, Any]] = {}
        self.picamera2: dict[str, Any] = NO_PICAMERA2
        self.devices: tuple[v4l2.VideoDevice, ...] = ()
        self.tried: list[str] = []

    def child(self, program: str, *arguments: str) -> dict[str, Any]:
        if "import json, cv2" in program:
            return self.opencv
        if "picamera2" in program:
            return self.picamera2
        self.tried += arguments
        return self.self_test.get(arguments[0], RING)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(self, about: str) -> Finding:
        """The one finding about something."""
        findings = [finding for finding in examine(self.root)[0] if finding.about == about]
        assert len(findings) == 1, findings
        return findings[0]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(doctor, "_child", made.child)
    monkeypatch.setattr(doctor, "_version", made.versions.get)
    monkeypatch.setattr(v4l2, "list_devices", lambda folder: made.devices)
    monkeypatch.setattr(v4l2, "is_busy", lambda path: False)
    monkeypatch.setattr(v4l2, "holders", lambda path: [])
    monkeypatch.setenv("PATH", str(tmp_path))
    return made


def severities(machine: Machine) -> set[Severity]:
    return {finding.severity for finding in examine(machine.root)[0]}


def test_healthy_machine_has_nothing_to_mend(machine: Machine) -> None:
    machine.devices = (CAMERA,)
    assert severities(machine) == {Severity.OK}
    assert machine.found("interpreter tflite-runtime").text.endswith("reads a ring as 0 (99.0%)")


def test_this_machine_is_examined_for_real(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["broken"] == 0
    assert report["machine"]["python"] == sys.version.split()[0]
    assert isinstance(report["cameras"], list)
    by_name = {finding["about"]: finding for finding in report["findings"]}
    assert by_name["python"]["severity"] == by_name["opencv"]["severity"] == "ok"
    answered = [name for name in by_name if name.startswith("interpreter ")]
    assert answered
    assert any("reads a ring as 0" in by_name[name]["text"] for name in answered)


def test_no_interpreter_is_broken_with_the_command(machine: Machine) -> None:
    del machine.versions["tflite-runtime"]
    finding = machine.found("interpreter")
    assert finding.severity is Severity.BROKEN
    assert finding.text == "no interpreter is installed; no model can run"
    assert finding.remedy.startswith("pip install ")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"label": "3", "score": 0.9}, "reads a ring as 3"),
        ({"error": "it crashed (signal 4)"}, "it crashed (signal 4)"),
    ],
)
def test_interpreter_that_answers_wrongly_is_broken_unless_another_works(
    said: dict[str, Any], text: str, machine: Machine
) -> None:
    machine.self_test["tflite-runtime"] = said
    finding = machine.found("interpreter tflite-runtime")
    assert text in finding.text
    assert "pip install --force-reinstall tflite-runtime" in finding.remedy
    assert machine.found("interpreter").severity is Severity.BROKEN
    machine.versions["ai-edge-litert"] = "2.3.0"
    assert Severity.BROKEN not in severities(machine)


def test_tensorflow_is_tried_only_if_there_is_nothing_else(machine: Machine) -> None:
    machine.versions["tensorflow-cpu"] = "2.21.0"
    examine(machine.root)
    assert machine.tried == ["tflite-runtime"]
    del machine.versions["tflite-runtime"]
    examine(machine.root)
    assert machine.tried[1:] == ["tensorflow"]


@pytest.mark.parametrize(
    ("said", "severity", "text", "remedy"),
    [
        ({"error": "ModuleNotFoundError: No module named 'cv2'"}, Severity.BROKEN,
         "not installed", "pip install 'edge-runtime[camera]'"),
        ({"error": "ImportError: libGL.so.1"}, Severity.BROKEN, "libGL.so.1", "--force-reinstall"),
        ({"version": "4.9.0", "decodes": False}, Severity.BROKEN, "decodes no pictures", "pip"),
        ({"version": "4.10.0", "decodes": True}, Severity.WARNING, "CVE-2025-53644", "!=4.10.*"),
        ({"version": "4.11.0", "decodes": True}, Severity.WARNING, "CVE-2025-53644", "!=4.11.*"),
        ({"version": "4.12.0", "decodes": True}, Severity.OK, "4.12.0", ""),
    ],
)  # fmt: skip
def test_opencv_is_judged(
    said: dict[str, Any], severity: Severity, text: str, remedy: str, machine: Machine
) -> None:
    if "No module" in said.get("error", ""):
        del machine.versions["opencv-python-headless"]
    machine.opencv = said
    finding = machine.found("opencv")
    assert finding.severity is severity
    assert text in finding.text
    assert remedy in finding.remedy


def test_two_opencvs_over_each_other_are_noticed(machine: Machine) -> None:
    machine.versions["opencv-python"] = "4.9.0.80"
    findings = [f for f in examine(machine.root)[0] if f.about == "opencv"]
    assert [finding.severity for finding in findings] == [Severity.OK, Severity.WARNING]
    assert "pip uninstall -y opencv-python-headless opencv-python" in findings[1].remedy


def test_camera_is_listed_with_formats_and_who_uses_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.devices = (CAMERA, v4l2.VideoDevice("/dev/video1", card="metadata"))
    finding = machine.found("camera /dev/video0")
    assert finding.text == (
        "HD Webcam: YUYV up to 640×480 at 30 fps, MJPG up to 1920×1080 at 30 fps"
    )
    monkeypatch.setattr(v4l2, "is_busy", lambda path: True)
    monkeypatch.setattr(v4l2, "holders", lambda path: [(7, "cheese")])
    assert "now in use by cheese (7)" in machine.found("camera /dev/video0").text
    findings, facts = examine(machine.root)
    assert [camera["path"] for camera in facts["cameras"]] == ["/dev/video0"]
    assert facts["cameras"][0]["formats"][1]["sizes"][1]["fps"] == (15.0, 30.0)
    assert "camera /dev/video1" not in {finding.about for finding in findings}


def test_camera_without_permission_is_broken_with_the_command(machine: Machine) -> None:
    machine.devices = (
        v4l2.VideoDevice("/dev/video0", problem="Permission denied", permission=True),
    )
    finding = machine.found("camera /dev/video0")
    assert finding.severity is Severity.BROKEN
    assert finding.remedy.startswith("sudo usermod -aG video $USER")


def test_no_camera_is_worth_a_note_only(machine: Machine) -> None:
    assert machine.found("camera").severity is Severity.NOTE


def test_csi_camera_is_found_through_picamera2_alone(machine: Machine) -> None:
    machine.devices = (v4l2.VideoDevice("/dev/video0", card="unicam", captures=True, csi=True),)
    machine.picamera2 = {
        "cameras": [{"Model": "imx708", "Id": "/base/i2c"}, {"Model": "C270", "Id": "/base/usb@0"}]
    }
    assert "imx708" in machine.found("camera picamera2").text
    assert machine.found("camera /dev/video0").severity is Severity.NOTE


def test_missing_picamera2_matters_on_a_raspberry_pi_alone(machine: Machine) -> None:
    assert "camera picamera2" not in {f.about for f in examine(machine.root)[0]}
    machine.write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    finding = machine.found("camera picamera2")
    assert "sudo apt install python3-picamera2" in finding.remedy
    assert finding.severity is Severity.NOTE
    machine.picamera2 = {"error": "ValueError: numpy.dtype size changed"}
    assert machine.found("camera picamera2").severity is Severity.WARNING


def test_missing_extras_are_noted_with_the_command(machine: Machine) -> None:
    del machine.versions["flask"], machine.versions["paho-mqtt"]
    web, mqtt = machine.found("extra web"), machine.found("extra mqtt")
    assert web.severity is mqtt.severity is Severity.NOTE
    assert "flask" in web.text
    assert "waitress" not in web.text
    assert mqtt.remedy == "pip install 'edge-runtime[mqtt]'"


@pytest.mark.parametrize(
    ("file", "text", "about", "severity", "remedy"),
    [
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "governor",
         Severity.WARNING, "echo ondemand | sudo tee"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand", "governor",
         Severity.OK, ""),
        ("sys/class/thermal/thermal_zone0/temp", "81500", "temperature", Severity.WARNING, "fan"),
        ("sys/class/thermal/thermal_zone0/temp", "61000", "temperature", Severity.OK, ""),
        ("proc/meminfo", "MemAvailable:   90000 kB\n", "memory", Severity.WARNING, "swap"),
        ("proc/meminfo", "MemAvailable:   900000 kB\n", "memory", Severity.OK, ""),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n", "throttling",
         Severity.WARNING, "power supply"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "80008\n", "throttling",
         Severity.WARNING, "fan"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n", "throttling",
         Severity.OK, ""),
    ],
)  # fmt: skip
def test_board_is_judged(
    file: str, text: str, about: str, severity: Severity, remedy: str, machine: Machine
) -> None:
    machine.write(file, text)
    finding = machine.found(about)
    assert finding.severity is severity
    assert remedy in finding.remedy


def test_command_prints_remedies_to_copy_and_fails_if_something_is_broken(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.devices = (
        v4l2.VideoDevice("/dev/video0", problem="Permission denied", permission=True),
    )
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN   camera /dev/video0: is there, but this user may not use it\n" in out
    assert "         → sudo usermod -aG video $USER, then log in again\n" in out
    assert out.endswith("\n1 broken\n")
    machine.devices = ()
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("\nnothing is broken\n")


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it crashed (signal 4)"),
        ("raise ValueError('odd')", "ValueError: odd"),
        ("print('[1]')", "it said nothing"),
    ],
)
def test_child_that_dies_is_an_answer(program: str, text: str) -> None:
    assert text in doctor._child(program)["error"]


def test_child_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHILD_TIMEOUT_S", 0.5)
    assert "no answer in" in doctor._child("import time; time.sleep(60)")["error"]
