"""What is wrong with this machine, and the command that mends it.

Whatever may crash (interpreters, OpenCV's binary, picamera2) is tried in a process of its own: a
wheel built for another processor dies of an illegal instruction, and the doctor must survive that
to say so.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from . import v4l2
from .backend import BACKENDS
from .machine import machine_facts

__all__ = ["Finding", "Severity", "examine"]


class Severity(Enum):
    """How bad a finding is; the value is what is printed."""

    OK = "ok"
    NOTE = "note"
    """Something that is not there and need not be."""
    WARNING = "warning"
    """It works, but slowly, hot or unsafely."""
    BROKEN = "broken"
    """Reading pictures, or a camera that is plugged in, cannot work."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        about: What was looked at.
        severity: How bad it is.
        text: What was found.
        remedy: What to do, if possible a command; "" where there is nothing to do.
    """

    about: str
    severity: Severity
    text: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """The fields as plain JSON values."""
        return {**asdict(self), "severity": self.severity.value}


PYTHON_FROM = (3, 11)
# The self-test's picture, a ring, is a zero to whoever reads digits.
SELF_TEST_LABEL = "0"
# A cold import on the slowest Pi takes some ten seconds, on a busy one a few times that.
CHILD_TIMEOUT_S = 120.0
# CVE-2025-53644: a JPEG can overrun the heap.
VULNERABLE_OPENCV = re.compile(r"4\.1[01]\.")
OPENCV_DISTRIBUTIONS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
# A Raspberry Pi slows down from 80 °C (its documentation, "Frequency management and thermal
# control"); other boards of the kind do so a little later.
HOT_C = 80.0
# An interpreter, OpenCV and one large photo.
LOW_MEMORY_BYTES = 150 * 2**20
# What each extra brings, by the names of the distributions.
EXTRAS = {
    "web": ("the web page", ("flask", "waitress", "prometheus-client")),
    "mqtt": ("MQTT", ("paho-mqtt",)),
}

_SELF_TEST = """
import json, sys
from edge_runtime import Classifier, EdgeRuntimeError
from edge_runtime.measure import sample_picture
try:
    classifier = Classifier(backend=sys.argv[1])
    answer = classifier.classify(sample_picture(classifier.contract))
except EdgeRuntimeError as error:
    print(json.dumps({"error": str(error)}))
else:
    print(json.dumps({"label": answer.label, "score": answer.score}))
"""
_OPENCV = """
import json, cv2, numpy
data = cv2.imencode(".png", numpy.zeros((2, 2), numpy.uint8))[1]
print(json.dumps({"version": cv2.__version__, "decodes": cv2.imdecode(data, -1) is not None}))
"""
_PICAMERA2 = """
import json, os
os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
from picamera2 import Picamera2
cameras = []
for info in Picamera2.global_camera_info():
    cameras.append({key: str(info.get(key, "")) for key in ("Model", "Id")})
print(json.dumps({"cameras": cameras}))
"""


def examine(root: Path = Path("/")) -> tuple[list[Finding], dict[str, Any]]:
    """Looks at everything that the runtime needs.

    Args:
        root: Where ``/dev``, ``/proc`` and ``/sys`` are found; another one only for tests.

    Returns:
        The findings in the order of what depends on what, and the facts behind them: "machine" as
        `machine_facts` and "cameras", the video devices that frames can be taken from.
    """
    facts = machine_facts(root)
    devices = v4l2.list_devices(root / "dev")
    findings = [
        _python(),
        *_interpreters(),
        *_opencv(),
        *_cameras(devices, facts.get("board")),
        *_extras(),
        *_machine(facts, root),
    ]
    cameras = [asdict(device) for device in devices if device.captures or device.problem]
    return findings, {"machine": facts, "cameras": cameras}


def _python() -> Finding:
    version = f"Python {platform.python_version()}, {platform.machine()}"
    if sys.version_info < PYTHON_FROM:
        wanted = ".".join(map(str, PYTHON_FROM))
        return Finding(
            "python",
            Severity.BROKEN,
            f"{version} is too old",
            f"sudo apt install python{wanted}-venv, and make the environment anew with it",
        )
    return Finding("python", Severity.OK, version)


def _interpreters() -> Iterator[Finding]:
    """Each interpreter that is installed answers with the released model."""
    numpy = _version("numpy") or "not installed as a package"
    answered = False
    installed = 0
    for name, candidate in BACKENDS.items():
        version = _version(candidate.distribution) or _version(f"{candidate.distribution}-cpu")
        if version is None or (name == "tensorflow" and answered):
            continue  # TensorFlow takes seconds and is used only if there is nothing else.
        installed += 1
        about = f"interpreter {name}"
        said = _child(_SELF_TEST, name)
        if said.get("label") == SELF_TEST_LABEL:
            answered = True
            text = f"{version} with NumPy {numpy}; the released model reads a ring as 0"
            yield Finding(about, Severity.OK, f"{text} ({said['score']:.1%})")
            continue
        wrong = f"the released model reads a ring as {said.get('label')}"
        problem = said.get("error", wrong)
        yield Finding(
            about,
            Severity.WARNING,
            f"{version} with NumPy {numpy} does not work: {problem}",
            candidate.remedy.replace("pip install", "pip install --force-reinstall"),
        )
    if not answered:
        remedy = BACKENDS["tflite-runtime" if sys.version_info < (3, 12) else "litert"].remedy
        text = "no interpreter is installed" if not installed else "no interpreter works"
        yield Finding("interpreter", Severity.BROKEN, f"{text}; no model can run", remedy)


def _opencv() -> Iterator[Finding]:
    install = "pip install 'edge-runtime[camera]'"
    found = [name for name in OPENCV_DISTRIBUTIONS if _version(name)]
    said = _child(_OPENCV)
    version = said.get("version")
    if version is None:
        if not found and "No module named 'cv2'" in said["error"]:
            text = "not installed; pictures, videos and cameras cannot be read"
            yield Finding("opencv", Severity.BROKEN, text, install)
            return
        again = f"pip install --force-reinstall {found[0] if found else 'opencv-python-headless'}"
        yield Finding("opencv", Severity.BROKEN, f"does not work: {said['error']}", again)
        return
    if not said["decodes"]:
        again = "pip install --force-reinstall opencv-python-headless"
        yield Finding("opencv", Severity.BROKEN, f"{version} decodes no pictures", again)
    elif VULNERABLE_OPENCV.match(version):
        yield Finding(
            "opencv",
            Severity.WARNING,
            f"{version} overruns the heap on certain JPEG pictures (CVE-2025-53644); whoever sends "
            "one may take over this program",
            f"pip install '{found[0] if found else 'opencv-python-headless'}!=4.10.*,!=4.11.*'",
        )
    else:
        yield Finding("opencv", Severity.OK, version)
    if len(found) > 1:
        yield Finding(
            "opencv",
            Severity.WARNING,
            f"{' and '.join(found)} are installed over each other",
            f"pip uninstall -y {' '.join(found)}, then {install}",
        )


def _cameras(devices: Sequence[v4l2.VideoDevice], board: str | None) -> Iterator[Finding]:
    usable = 0
    for device in devices:
        about = f"camera {device.path}"
        if device.permission:
            text = "is there, but this user may not use it"
            remedy = "sudo usermod -aG video $USER, then log in again"
            yield Finding(about, Severity.BROKEN, text, remedy)
        elif device.problem:
            text = f"cannot be asked: {device.problem}"
            yield Finding(about, Severity.WARNING, text, "unplug it and plug it in again")
        elif device.csi and device.captures:
            text = f"{device.card} receives a CSI camera; edge-run camera picamera2 reads it"
            yield Finding(about, Severity.NOTE, text)
        elif device.captures:
            usable += 1
            busy = v4l2.is_busy(device.path)
            names = ", ".join(f"{name} ({number})" for number, name in v4l2.holders(device.path))
            text = f"{device.card}: {_formats(device)}"
            if busy:
                text += f"; now in use by {names or 'another program'}"
            yield Finding(about, Severity.OK, text)
    csi, problem = _csi_cameras(board)
    for model in csi:
        usable += 1
        yield Finding("camera picamera2", Severity.OK, f"{model}, on the CSI connector")
    if problem is not None:
        yield problem
    if not usable and not any(device.problem for device in devices):
        yield Finding(
            "camera",
            Severity.NOTE,
            "none is plugged in; files and network cameras can be read all the same",
        )


def _csi_cameras(board: str | None) -> tuple[list[str], Finding | None]:
    said = _child(_PICAMERA2)
    if "cameras" in said:
        return [c["Model"] for c in said["cameras"] if "/usb" not in c["Id"]], None
    on_a_pi = board is not None and "Raspberry Pi" in board
    if "No module named" in said["error"]:
        if not on_a_pi:
            return [], None
        return [], Finding(
            "camera picamera2",
            Severity.NOTE,
            "not installed here, so CSI cameras cannot be read",
            "sudo apt install python3-picamera2, and make the virtual environment with "
            "python3 -m venv --system-site-packages",
        )
    remedy = "sudo apt install --reinstall python3-picamera2"
    return [], Finding("camera picamera2", Severity.WARNING, said["error"], remedy)


def _formats(device: v4l2.VideoDevice) -> str:
    """Each pixel format with its largest size and that size's best rate."""
    texts = []
    for item in device.formats:
        text = item.fourcc
        if item.sizes:
            largest = max(item.sizes, key=lambda size: size.width * size.height)
            text += f" up to {largest.width}×{largest.height}"
            text += f" at {max(largest.fps):g} fps" if largest.fps else ""
        texts.append(text)
    return ", ".join(texts)


def _extras() -> Iterator[Finding]:
    for extra, (what, distributions) in EXTRAS.items():
        lacking = [name for name in distributions if _version(name) is None]
        if lacking:
            text = f"{', '.join(lacking)} not installed; needed for {what} alone"
            yield Finding(
                f"extra {extra}", Severity.NOTE, text, f"pip install 'edge-runtime[{extra}]'"
            )
        else:
            yield Finding(f"extra {extra}", Severity.OK, "installed")


def _machine(facts: Mapping[str, Any], root: Path) -> Iterator[Finding]:
    if board := facts.get("board") or facts.get("cpu"):
        yield Finding("board", Severity.OK, f"{board}, {facts.get('cores')} cores")
    governor = facts.get("governor")
    if governor == "powersave":
        yield Finding(
            "governor",
            Severity.WARNING,
            "powersave holds the processor at its lowest clock",
            "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        )
    elif governor is not None:
        yield Finding("governor", Severity.OK, governor)
    throttled = facts.get("throttled")
    if throttled:
        yield Finding("throttling", Severity.WARNING, ", ".join(throttled), _mend(throttled))
    elif throttled is not None:
        yield Finding("throttling", Severity.OK, "none since the start")
    celsius = facts.get("temperature_c")
    if celsius is not None:
        hot = celsius >= HOT_C
        yield Finding(
            "temperature",
            Severity.WARNING if hot else Severity.OK,
            f"{celsius:.0f} °C",
            "fit a heat sink or a fan" if hot else "",
        )
    free = _available_bytes(root)
    if free is not None:
        low = free < LOW_MEMORY_BYTES
        yield Finding(
            "memory",
            Severity.WARNING if low else Severity.OK,
            f"{free / 2**20:,.0f} MiB available",
            "end other programs, or add swap" if low else "",
        )


def _mend(throttled: Sequence[str]) -> str:
    if any("under-voltage" in reason for reason in throttled):
        return "use the board's own power supply and a short cable"
    return "fit a heat sink or a fan"


def _available_bytes(root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text()
    except (OSError, ValueError):
        return None
    match = re.search(r"^MemAvailable:\s*(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _child(program: str, *arguments: str) -> dict[str, Any]:
    """What a program printed as JSON, or {"error": …} in one line."""
    package = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        # -P: what lies in the working folder is not to be imported.
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=CHILD_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": path},
        )
    except (OSError, subprocess.SubprocessError) as error:
        slow = isinstance(error, subprocess.TimeoutExpired)
        return {"error": f"no answer in {CHILD_TIMEOUT_S:.0f} s" if slow else repr(error)}
    if done.returncode < 0:
        return {"error": f"it crashed (signal {-done.returncode}); made for another processor?"}
    for line in reversed(done.stdout.splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            return said
    return {"error": (done.stderr.strip().splitlines() or ["it said nothing"])[-1]}
