from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import v4l2
from edge_runtime.capture import Capture
from edge_runtime.errors import SourceError
from edge_runtime.frames import CameraState
from edge_runtime.opencv import import_opencv
from edge_runtime.sources import open_source
from edge_runtime.sources.base import READ_TIMEOUT_S

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")
import_opencv()  # FFmpeg takes its settings once, when it is first used: by the writer below.

LONG_ENOUGH_S = 60.0
SERVER = Path(__file__).with_name("rtsp_server.py")
DEBIAN_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 64 × 48, each 40 brighter than the last, all with more red than blue."""
    path = tmp_path_factory.mktemp("video") / "six.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.0, (64, 48))
    for value in range(6):
        frame = np.full((48, 64, 3), 40 * value, np.uint8)
        frame[:, :, 2] += 30  # OpenCV has red last.
        writer.write(frame)
    writer.release()
    return path


def test_video_gives_all_frames_as_rgb_and_ends(video: Path) -> None:
    source = open_source(video)
    assert not source.live
    assert source.name == str(video)
    assert source.open() == {"width": 64, "height": 48, "fps": 12.0, "format": "MJPG"}
    for value in range(6):
        frame = source.read()
        assert frame is not None
        assert frame.pixels.shape == (48, 64, 3)
        assert frame.pixels[24, 32, 2] == pytest.approx(40 * value, abs=6)
        assert frame.pixels[24, 32, 0] == pytest.approx(40 * value + 30, abs=6)
        assert frame.capture_ms > 0
    assert source.read() is None
    assert source.read() is None
    source.close()


def test_video_begins_again(video: Path) -> None:
    source = open_source(video, loop=True)
    source.open()
    values = []
    for _ in range(15):
        frame = source.read()
        assert frame is not None
        values.append(round(int(frame.pixels[24, 32, 2]) / 40))
    assert values == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2]
    source.close()


def test_video_is_shown_at_the_rate_asked_for(video: Path) -> None:
    source = open_source(video, fps=20)
    source.open()
    began = time.monotonic()
    while source.read() is not None:
        pass
    assert time.monotonic() - began >= 5 / 20  # The first comes at once.
    source.close()


def test_video_through_the_capture_loses_nothing(video: Path) -> None:
    with Capture(open_source(video)) as capture:
        numbers = []
        while (frame := capture.newest(LONG_ENOUGH_S)) is not None:
            numbers.append(frame.number)
        assert numbers == list(range(6))
        assert capture.status.state is CameraState.ENDED
        assert capture.status.granted["width"] == 64


@pytest.mark.parametrize("content", [b"", b"not a video" * 100, b"RIFF\x00\x00\x00\x00AVI LIST"])
def test_file_that_is_no_video_is_an_error(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    source = open_source(path)
    with pytest.raises(SourceError, match="film.mp4 (is damaged, or not a video|has no frame)"):
        source.open()
        source.read()
    source.close()
    assert capfd.readouterr() == ("", "")


def test_camera_that_is_not_there_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    source = open_source(77)
    assert source.live
    assert source.name == "/dev/video77"
    with pytest.raises(SourceError, match="there is no camera at /dev/video77.*edge-run doctor"):
        source.open()
    assert capfd.readouterr() == ("", "")


def test_device_that_is_no_camera_says_so() -> None:
    with pytest.raises(SourceError, match="/dev/null cannot be used: not a video device"):
        open_source("/dev/null").open()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (v4l2.VideoDevice("P", problem="Permission denied", permission=True), "usermod -aG video"),
        (v4l2.VideoDevice("P", card="codec", captures=False), "gives no pictures"),
        (v4l2.VideoDevice("P", card="unicam", captures=True, csi=True), "source picamera2"),
    ],
)
def test_camera_that_cannot_be_used_names_the_remedy(
    device: v4l2.VideoDevice, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "describe", lambda path: device)
    with pytest.raises(SourceError, match=message):
        open_source("/dev/video0").open()


class FakeVideoCapture:
    """As much of cv2.VideoCapture as a camera needs; `opened` and the rest are set by the test."""

    opened = True
    asked: list[tuple[int, float]]
    frames: list[np.ndarray | None]
    values: dict[int, float]
    released = 0

    def __init__(self, name: str, api: int) -> None:
        assert api == cv2.CAP_V4L2
        type(self).asked = []

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name.
        return self.opened

    def set(self, name: int, value: float) -> bool:
        self.asked.append((name, value))
        return True

    def get(self, name: int) -> float:
        return self.values.get(name, 0.0)

    def grab(self) -> bool:
        return bool(self.frames)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        frame = self.frames.pop(0)
        return frame is not None, frame

    def release(self) -> None:
        type(self).released += 1


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[FakeVideoCapture]:
    """What /dev/video0 opens in place of a device; tests/real/webcam.sh has a real one."""

    class Camera(FakeVideoCapture):
        frames = []  # noqa: RUF012
        values = {  # noqa: RUF012
            cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720,
            cv2.CAP_PROP_FPS: 24.975, cv2.CAP_PROP_FOURCC: cv2.VideoWriter_fourcc(*"MJPG"),
            cv2.CAP_PROP_AUTO_EXPOSURE: 1, cv2.CAP_PROP_EXPOSURE: 83,
        }  # fmt: skip

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    device = v4l2.VideoDevice("/dev/video0", card="cam", captures=True)
    monkeypatch.setattr(v4l2, "describe", lambda path: device)
    return Camera


def test_camera_is_asked_in_the_order_that_matters(camera: type[FakeVideoCapture]) -> None:
    source = open_source(0, width=1200, height=700, fps=25, exposure=8, pixel_format="MJPG")
    granted = source.open()
    assert camera.asked == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1200),
        (cv2.CAP_PROP_FRAME_HEIGHT, 700),
        (cv2.CAP_PROP_FPS, 25),
        (cv2.CAP_PROP_AUTO_EXPOSURE, 1),
        (cv2.CAP_PROP_EXPOSURE, 80),  # In steps of 100 µs.
    ]
    assert granted == {
        "width": 1280, "height": 720, "fps": 24.975, "format": "MJPG", "exposure": 8.3,
    }  # fmt: skip


def test_camera_is_left_as_it_is_where_nothing_is_asked(camera: type[FakeVideoCapture]) -> None:
    source = open_source("/dev/video0")
    assert "exposure" not in source.open()
    assert camera.asked == []


def test_automatic_exposure_is_asked_for_with_zero(camera: type[FakeVideoCapture]) -> None:
    open_source(0, exposure=0).open()
    assert camera.asked == [(cv2.CAP_PROP_AUTO_EXPOSURE, 3)]


def test_single_disturbed_frames_are_passed_over(camera: type[FakeVideoCapture]) -> None:
    good = np.zeros((4, 6, 3), np.uint8)
    good[:, :, 0] = 9
    camera.frames = [None, None, good, *[None] * 20]
    source = open_source(0)
    source.open()
    frame = source.read()
    assert frame is not None
    assert frame.pixels[0, 0].tolist() == [0, 0, 9]
    with pytest.raises(SourceError, match="10 frames one after another that cannot be decoded"):
        source.read()
    source.close()
    assert camera.released == 1


def test_time_of_a_frame_is_the_driver_s_if_it_can_be(camera: type[FakeVideoCapture]) -> None:
    now = time.monotonic()
    source = open_source(0)
    source.open()
    for stamp, believed in ((now - 0.25, True), (now + 100, False), (0.001, now < 4)):
        camera.frames = [np.zeros((4, 6, 3), np.uint8)]
        camera.values = {**camera.values, cv2.CAP_PROP_POS_MSEC: stamp * 1000}
        frame = source.read()
        assert frame is not None
        assert (frame.monotonic is not None) == believed
        if believed:
            assert frame.monotonic == pytest.approx(stamp, abs=0.01)


def test_grey_camera_stays_grey(camera: type[FakeVideoCapture]) -> None:
    camera.frames = [np.full((4, 6, 1), 5, np.uint8), np.full((4, 6), 6, np.uint8)]
    source = open_source(0)
    source.open()
    for _ in range(2):
        frame = source.read()
        assert frame is not None
        assert frame.pixels.shape == (4, 6)


@pytest.mark.parametrize(
    ("busy", "users", "message"),
    [
        (True, [(7, "cheese")], r"in use by cheese \(process 7\); end that program"),
        (True, [], "in use by another program"),
        (True, [(os.getpid(), "python")], "a read of this program that never returned"),
        (False, [], "refuses to be opened; unplug it"),
    ],
)
def test_camera_that_does_not_open_says_who_has_it(
    busy: bool,
    users: list[tuple[int, str]],
    message: str,
    camera: type[FakeVideoCapture],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera.opened = False
    monkeypatch.setattr(v4l2, "is_busy", lambda path: busy)
    monkeypatch.setattr(v4l2, "holders", lambda path: users)
    with pytest.raises(SourceError, match=message):
        open_source(0).open()
    assert camera.released == 1


def test_camera_that_gives_nothing_is_an_error(camera: type[FakeVideoCapture]) -> None:
    source = open_source(0)
    source.open()
    with pytest.raises(SourceError, match="/dev/video0 is gone; check its cable"):
        source.read()


@pytest.fixture(scope="module")
def rtsp_camera() -> Iterator[Callable[..., tuple[int, subprocess.Popen[str]]]]:
    """Starts GStreamer's RTSP server as a camera on a port of this machine."""
    known = (
        subprocess.run(
            [DEBIAN_PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
            capture_output=True,
        )
        if Path(DEBIAN_PYTHON).exists()
        else None
    )
    if known is None or known.returncode:
        text = (
            "GStreamer's RTSP server is missing; apt-get install python3-gi "
            "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(f"{text} (in CI no test may be skipped for that)", pytrace=False)
        pytest.skip(text)
    running: list[subprocess.Popen[str]] = []

    def start(*login: str, port: int = 0) -> tuple[int, subprocess.Popen[str]]:
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
        command = [DEBIAN_PYTHON, str(SERVER), str(port), *login]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return port, server

    yield start
    for server in running:
        server.kill()
        server.communicate()


def test_rtsp_camera_killed_and_started_again_is_recovered_from(
    rtsp_camera: Callable[..., tuple[int, subprocess.Popen[str]]],
) -> None:
    port, server = rtsp_camera()
    with Capture(open_source(f"rtsp://127.0.0.1:{port}/video")) as capture:

        def wait_for(state: CameraState) -> None:
            deadline = time.monotonic() + LONG_ENOUGH_S
            while capture.status.state is not state:
                assert time.monotonic() < deadline, capture.status
                capture.newest(0.1)

        wait_for(CameraState.RUNNING)
        frame = capture.newest(LONG_ENOUGH_S)
        assert frame is not None
        assert frame.pixels.shape == (240, 320, 3)
        server.kill()
        server.wait()
        wait_for(CameraState.ABSENT)
        rtsp_camera(port=port)
        wait_for(CameraState.RUNNING)
        assert capture.status.reconnections == 1


def test_rtsp_login_is_used_and_never_shown(
    rtsp_camera: Callable[..., tuple[int, subprocess.Popen[str]]],
) -> None:
    port, _ = rtsp_camera("me", "secret")
    # In a process of its own, so that what FFmpeg itself writes is seen too.
    program = """
import sys
from edge_runtime.sources import open_source
from edge_runtime.errors import SourceError
for password in ("secret", "wr0ng"):
    source = open_source(f"rtsp://me:{password}@127.0.0.1:{sys.argv[1]}/video")
    try:
        source.open()
        print(source.name, source.read().pixels.shape)
    except SourceError as error:
        print(error)
    source.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    right, wrong = done.stdout.splitlines()
    assert right == f"rtsp://127.0.0.1:{port}/video (240, 320, 3)"
    assert wrong.startswith(f"rtsp://127.0.0.1:{port}/video cannot be opened")
    assert "secret" not in done.stdout
    assert "wr0ng" not in done.stdout


def test_rtsp_host_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = open_source(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/video")
        with pytest.raises(SourceError, match=f"did not answer within {READ_TIMEOUT_S:.0f} s"):
            source.open()
        source.close()
