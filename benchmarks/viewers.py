"""Measures by how much viewers of the live picture slow the camera loop down.

The loop reads 640×480 frames with ten digits and publishes each result, as fast as it can and at a
camera's pace. Turns with viewers and without follow each other; the viewers are a process of their
own, as browsers are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime import Classifier
from edge_runtime.cli.numbers import whole_number
from edge_runtime.cli.shell import say
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.files import writable_folder, write_atomic
from edge_runtime.frames import Frame, LiveReading
from edge_runtime.machine import machine_facts, machine_warnings
from edge_runtime.preview import MAX_VIEWERS, Preview

from .options import add_record_options

__all__ = ["EPILOG", "configure", "handle", "sheet"]

EPILOG = """\
examples:
  python -m benchmarks viewers
  python -m benchmarks viewers --viewers 8 --rounds 15 --json

A ratio of 1.05 says that the loop takes 5 % longer for a frame while they watch. It is the median
over rounds, each of which compares two turns that follow each other. Writes viewers.json."""

ROUNDS, TURN_S, CAMERA_FPS = 25, 1.0, 30
# Frames that differ, so that no cache and no compression has an easy time.
FRAMES = 8
CONNECT_S = 30.0

# Connects to PORT N times and reads until it is ended. Says how many bytes came, at the end.
VIEWERS = """
import selectors, signal, socket, sys
port, count = map(int, sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ready = selectors.DefaultSelector()
for _ in range(count):
    viewer = socket.create_connection(("127.0.0.1", port))
    viewer.sendall(b"GET /stream.mjpg HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    ready.register(viewer, selectors.EVENT_READ)
while ready.get_map():
    for key, _ in ready.select():
        if not key.fileobj.recv(2**18):
            ready.unregister(key.fileobj)
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--viewers",
        type=whole_number(1),
        default=MAX_VIEWERS,
        metavar="N",
        help="how many watch (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=whole_number(1),
        default=ROUNDS,
        metavar="N",
        help="how often each takes its turn (default: %(default)s)",
    )
    add_record_options(parser, "viewers.json")


def handle(args: argparse.Namespace) -> int:
    """Measures, writes the record and prints it."""
    writable_folder(args.out)
    facts = machine_facts()
    for warning in machine_warnings(facts):
        say(warning)
    record: dict[str, Any] = {"viewers": args.viewers, "machine": facts}
    classifier, frames = Classifier(), [sheet(number) for number in range(FRAMES)]
    with Preview(Classifier, port=0, max_viewers=args.viewers) as preview:
        for name, fps in (("as_fast_as_it_can", None), ("at_30_fps", CAMERA_FPS)):
            turns = []
            for number in range(args.rounds):
                alone = _turn(classifier, preview, frames, fps)
                encoded = preview.encoded
                with _watched(preview, args.viewers):
                    watched = _turn(classifier, preview, frames, fps)
                shown = preview.encoded - encoded
                turns.append((alone, watched, shown))
                say(
                    f"{name}, round {number + 1} of {args.rounds}: {alone:.2f} ms a frame alone, "
                    f"{watched:.2f} ms watched, {shown} pictures shown"
                )
            record[name] = {
                "ratio": float(np.median([watched / alone for alone, watched, _ in turns])),
                "frame_ms_alone": float(np.median([alone for alone, _, _ in turns])),
                "frame_ms_watched": float(np.median([watched for _, watched, _ in turns])),
                "shown_fps": float(np.median([shown for _, _, shown in turns])) / TURN_S,
            }
    write_atomic(args.out / "viewers.json", json.dumps(record, indent=2) + "\n")
    if args.json:
        print(json.dumps(record))
        return 0
    for name in ("as_fast_as_it_can", "at_30_fps"):
        turn = record[name]
        print(
            f"{name.replace('_', ' ')}: {args.viewers} viewers make a frame take "
            f"{turn['ratio']:.3f} times as long "
            f"({turn['frame_ms_alone']:.2f} → {turn['frame_ms_watched']:.2f} ms, "
            f"{turn['shown_fps']:.1f} pictures a second)"
        )
    return 0


def sheet(number: int) -> NDArray[np.uint8]:
    """A 640×480 frame: ten digits in two lines on paper under uneven light, with noise.

    Args:
        number: Chooses where the digits are, and the noise.

    Returns:
        uint8 of shape (480, 640, 3), RGB.
    """
    import cv2

    random = np.random.default_rng(number)
    y, x = np.mgrid[0:480, 0:640]
    paper = np.repeat((225 - x / 16 - y / 20)[:, :, np.newaxis], 3, axis=2).astype(np.float32)
    for digit in range(10):
        shift_x, shift_y = (int(v) for v in random.integers(-6, 7, 2))
        place = (40 + digit % 5 * 118 + shift_x, 170 + digit // 5 * 180 + shift_y)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(paper, str(digit), place, font, 3, (45, 40, 40), 7, cv2.LINE_AA)
    paper += random.normal(0, 3, paper.shape)
    return paper.clip(0, 255).astype(np.uint8)


def _turn(
    classifier: Classifier, preview: Preview, frames: list[NDArray[np.uint8]], fps: float | None
) -> float:
    """Mean milliseconds that reading and publishing a frame took."""
    spent, count = 0.0, 0
    end = time.monotonic() + TURN_S
    while (began := time.monotonic()) < end:
        pixels = frames[count % len(frames)]
        reading = classifier.read(pixels)
        frame = Frame(pixels, count, time.time(), began)
        age_ms = (time.monotonic() - began) * 1000
        preview.publish(LiveReading(frame, reading, reading.text, False, age_ms, 0))
        took = time.monotonic() - began
        spent += took
        count += 1
        if fps is not None:
            time.sleep(max(0.0, 1 / fps - took))
    return spent / count * 1000


@contextmanager
def _watched(preview: Preview, viewers: int) -> Iterator[None]:
    """Has a process watch the stream while the block runs."""
    port = preview.url.rpartition(":")[2].strip("/")
    process = subprocess.Popen([sys.executable, "-c", VIEWERS, port, str(viewers)])
    try:
        _wait(lambda: preview.viewers == viewers, f"{viewers} viewers could not connect")
        yield
    finally:
        process.terminate()
        process.wait()
    _wait(lambda: preview.viewers == 0, "the viewers have gone, but are still counted")


def _wait(condition: Any, failure: str) -> None:
    end = time.monotonic() + CONNECT_S
    while not condition():
        if time.monotonic() > end:
            raise EdgeRuntimeError(failure)
        time.sleep(0.01)
