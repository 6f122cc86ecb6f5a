"""What webcam.sh does where the webcam is: ``webcam_inside.py TRUTH FRAMES``.

Each step prints what it saw; the first that fails ends it with one line and exit status 1.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

from edge_runtime import v4l2
from edge_runtime.capture import Capture
from edge_runtime.frames import CameraState, SourceStatus
from edge_runtime.sources import open_source

DEVICE = "/dev/video0"
SIZE = (640, 480)
# Emulated processors are slow, and the machine that emulates them may be busy.
PATIENCE_S = 120.0
RIGHT_AT_LEAST = 0.9


def fail(text: str) -> None:
    sys.exit(f"webcam_inside.py: error: {text}")


def edge_run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "edge_runtime", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=10 * PATIENCE_S)
    return done.returncode, done.stdout


def wait_for_state(capture: Capture, *states: CameraState) -> SourceStatus:
    began = time.monotonic()
    while (status := capture.status).state not in states:
        capture.newest(0.1)
        if time.monotonic() - began > PATIENCE_S:
            fail(f"no state of {states} within {PATIENCE_S:.0f} s; the last was {status}")
    print(
        f"  {status.state.value} after {time.monotonic() - began:.1f} s: {status.reason or 'well'}"
    )
    return status


def check_frames() -> None:
    source = open_source(DEVICE, width=SIZE[0], height=SIZE[1])
    granted = source.open()
    print(f"  granted: {granted}")
    if (granted["width"], granted["height"]) != SIZE:
        fail(f"{granted} was granted, not {SIZE}")
    seen = set()
    for _ in range(10):
        frame = source.read()
        if frame is None or frame.pixels.shape != (SIZE[1], SIZE[0], 3):
            fail(f"{frame} is not a frame of {SIZE}")
        else:
            seen.add(frame.pixels.tobytes())
    source.close()
    print(f"  {len(seen)} of 10 frames differ")
    if len(seen) < 2:
        fail("all frames are the same")
    found = open_source("auto")
    print(f"  {found.open()['found']}")
    found.close()


def check_doctor() -> None:
    status, text = edge_run("doctor", "--json")
    report = json.loads(text)
    (camera,) = [camera for camera in report["cameras"] if camera["path"] == DEVICE]
    print(f"  {camera['card']}, driver {camera['driver']}: {camera['formats']}")
    sizes = [(size["width"], size["height"]) for f in camera["formats"] for size in f["sizes"]]
    states = {finding["about"]: finding["severity"] for finding in report["findings"]}
    for finding in report["findings"]:
        if finding["severity"] != "ok":
            print(f"  {finding['severity']}: {finding['about']}: {finding['text']}")
    if status not in (0, 1) or states.get(f"camera {DEVICE}") != "ok" or SIZE not in sizes:
        fail(f"doctor ended with {status} and lists the sizes {sizes}")


def check_faults() -> None:
    """The producer stops, as a hung camera does, and goes on."""
    (producer,) = [number for number, name in v4l2.holders(DEVICE) if name == "ffmpeg"]
    with Capture(open_source(DEVICE)) as capture:
        wait_for_state(capture, CameraState.RUNNING)
        os.kill(producer, signal.SIGSTOP)
        began = time.monotonic()
        wait_for_state(capture, CameraState.STALLED, CameraState.ABSENT)
        took = time.monotonic() - began
        os.kill(producer, signal.SIGCONT)
        status = wait_for_state(capture, CameraState.RUNNING)
    print(f"  noticed after {took:.1f} s, {status.reconnections} reconnection")
    if took > 20:
        fail(f"it took {took:.1f} s to notice that no frames come")


def check_reading(truth: list[str], frames: int) -> None:
    status, text = edge_run("camera", DEVICE, "--max-frames", str(frames), "--json")
    lines = [json.loads(line) for line in text.splitlines()]
    # Changes of the camera's state are lines too.
    readings = Counter(line["text"] for line in lines if "frame" in line)
    whole = sum(count for text, count in readings.items() if text in truth)
    print(f"  {whole} of {readings.total()} frames read whole: {dict(readings)}")
    # By digits, because among MNIST's there are some that the model rightly rejects, and each frame
    # of their page lacks them.
    digits = frames * len(truth[0])
    right = sum(count * in_common(text, truth) for text, count in readings.items())
    print(f"  {right} of {digits} digits read right")
    if status != 0 or readings.total() != frames or right < RIGHT_AT_LEAST * digits:
        fail(f"edge-run camera ended with {status} and read {right} of {digits} digits right")


def in_common(text: str, truth: list[str]) -> int:
    """Digits in their order that a text shares with the page most like it."""

    def shared(page: str) -> int:
        blocks = SequenceMatcher(None, text, page, autojunk=False).get_matching_blocks()
        return sum(block.size for block in blocks)

    return max(map(shared, truth))


def main(truth: Path, frames: int) -> None:
    began = time.monotonic()
    while not v4l2.describe(DEVICE).captures:  # Until the video has begun.
        if time.monotonic() - began > PATIENCE_S:
            fail(f"{DEVICE} is no camera within {PATIENCE_S:.0f} s: {v4l2.describe(DEVICE)}")
        time.sleep(0.5)
    print("==> Frames", flush=True)
    check_frames()
    print("==> edge-run doctor", flush=True)
    check_doctor()
    print("==> A camera that hangs", flush=True)
    check_faults()
    print("==> edge-run camera", flush=True)
    check_reading(json.loads(truth.read_text()), frames)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
