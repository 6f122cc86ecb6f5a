"""A page to test, its clients, and pictures for them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import Classifier
from edge_runtime.frames import CameraState, Frame, LiveReading, SourceStatus
from edge_runtime.preview import Preview
from edge_runtime.reading import Box, Digit, Reading, Timings
from edge_runtime.web.limits import Limits


@dataclass
class Answer:
    """What a page answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The error's text, which must be one line of JSON with nothing else."""
        assert self.headers["Content-Type"] == "application/json"
        assert set(self.json) == {"error"}
        assert "\n" not in self.json["error"]
        assert "Traceback" not in self.json["error"]
        return str(self.json["error"])


@dataclass
class Client:
    """Asks a page as a program would, each time on a connection of its own."""

    preview: Preview
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.preview.url.removeprefix("http://").strip("/").rpartition(":")
        return host, int(port)

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(method, path, body, {**self.headers, **named})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def model(released_model: Callable[[str], Path]) -> Path:
    return released_model("int8")


@pytest.fixture(scope="session")
def open_page(model: Path) -> Callable[..., Any]:
    """``with open_page(camera=True, …) as client`` is a page on a free port, open in the block."""

    # The web page is an extra; the rest of the runtime is tested where it is not installed.
    for module in ("cv2", "flask", "prometheus_client", "waitress"):
        pytest.importorskip(module)

    @contextmanager
    def page(**options: Any) -> Iterator[Client]:
        options.setdefault("limits", Limits(rate=1000, burst=1000))
        with Preview(lambda: Classifier(model), **{"port": 0, **options}) as preview:
            yield Client(preview)

    return page


@pytest.fixture(scope="module")
def client(open_page: Callable[..., Any]) -> Iterator[Client]:
    """A page without a camera, for tests that leave it as it was."""
    with open_page(camera=False) as client:
        yield client


def png(pixels: np.ndarray) -> bytes:
    cv2 = pytest.importorskip("cv2")
    return bytes(cv2.imencode(".png", pixels)[1])


def seven(side: int = 80) -> np.ndarray:
    """A 7 in black on white, grey."""
    cv2 = pytest.importorskip("cv2")
    paper = np.full((side, side), 255, np.uint8)
    points = np.array([[0.28, 0.25], [0.72, 0.25], [0.45, 0.78]]) * side
    cv2.polylines(paper, [points.astype(np.int32)], False, 0, max(2, side // 12), cv2.LINE_AA)
    return paper


@pytest.fixture(scope="session")
def seven_png() -> bytes:
    return png(seven())


@pytest.fixture(scope="session")
def make_png() -> Callable[[np.ndarray], bytes]:
    return png


@pytest.fixture(scope="session")
def seven_pixels() -> Callable[[int], np.ndarray]:
    return seven


@pytest.fixture(scope="session")
def make_reading() -> Callable[..., LiveReading]:
    """``make_reading(number, pixels)`` is a result of the camera loop with one digit in it."""

    def make(number: int = 0, pixels: np.ndarray | None = None, text: str = "7") -> LiveReading:
        if pixels is None:
            pixels = np.full((120, 160, 3), number * 37 % 256, np.uint8)
        scores = np.eye(10, dtype=np.float32)[7]
        digit = Digit("7", 7, 1.0, Box(10, 20, 30, 40), False, 0, scores)
        inputs = np.zeros((1, 28, 28, 1), np.uint8)
        reading = Reading(text, (digit,), inputs, Timings(1.0, 2.0, 3.0, 4.0))
        frame = Frame(pixels, number, time.time(), time.monotonic(), 1.0)
        return LiveReading(frame, reading, text, number == 0, 12.5, 3)

    return make


@pytest.fixture(scope="session")
def running() -> SourceStatus:
    granted = {"width": 640, "height": 480, "format": "MJPG", "fps": 30}
    return SourceStatus(CameraState.RUNNING, "", time.time(), None, 0, "/dev/video0", granted)
