from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import v4l2
from edge_runtime.errors import EdgeRuntimeError, InputError, SourceError
from edge_runtime.sources import FrameSource, auto, open_source
from edge_runtime.sources.address import parse_address
from edge_runtime.sources.base import DeviceSource, FrameData, Wanted
from edge_runtime.testing import FakeCamera

LONG_ENOUGH_S = 30.0


def write_picture(path: Path, value: int) -> Path:
    """A grey PGM, which needs no encoder."""
    path.write_bytes(b"P5 6 4 255\n" + bytes([value]) * 24)
    return path


def read_all(source: FrameSource) -> list[int]:
    pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")
    source.open()
    values = []
    while (frame := source.read()) is not None:
        assert frame.pixels.shape == (4, 6)
        values.append(int(frame.pixels[0, 0]))
    source.close()
    return values


@pytest.mark.parametrize(
    ("spec", "kind", "name", "live"),
    [
        (0, "V4L2Camera", "/dev/video0", True),
        ("2", "V4L2Camera", "/dev/video2", True),
        ("/dev/video7", "V4L2Camera", "/dev/video7", True),
        ("/dev/v4l/by-id/usb-cam", "V4L2Camera", "/dev/v4l/by-id/usb-cam", True),
        ("auto", "AutoCamera", "auto", True),
        ("picamera2", "PiCamera", "picamera2", True),
        ("picamera2:1", "PiCamera", "picamera2:1", True),
        ("http://cam/video", "MjpegStream", "http://cam/video", True),
        ("HTTPS://u:p@cam:8443/v?a=b", "MjpegStream", "https://cam:8443/v?…", True),
        ("rtsp://u:p@cam/1", "RtspStream", "rtsp://cam/1", True),
        ("rtsps://cam/1", "RtspStream", "rtsps://cam/1", True),
    ],
)
def test_source_is_chosen_by_its_name_and_not_opened(
    spec: str | int, kind: str, name: str, live: bool
) -> None:
    source = open_source(spec)
    assert type(source).__name__ == kind
    assert source.name == name
    assert source.live is live
    assert isinstance(source, FrameSource)
    again = source.renew()  # type: ignore[union-attr]
    assert again is not source
    assert (type(again), again.name) == (type(source), name)


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"x")
    picture = write_picture(tmp_path / "one.PGM", 1)
    kinds = {path: type(open_source(path)).__name__ for path in (film, picture, tmp_path)}
    assert list(kinds.values()) == ["VideoFile", "Pictures", "Pictures"]
    assert not any(open_source(str(path)).live for path in kinds)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing.mp4", "'nothing.mp4' is no source: it does not exist"),
        ("", "the source's name is empty"),
        ("a\nb.mp4", "is no source"),
        ("a\0b", "is no source"),
        (-1, "the camera number is -1"),
        ("ftp://cam/x", "addresses with ftp cannot be read"),
        ("file:///etc/passwd", "addresses with file cannot be read"),
        ("http://", "names no host"),
        ("http://me:secret@/x", "names no host"),
        ("http://cam:99999/", "makes no sense"),
        ("http://[::1/", "makes no sense"),
        ("http://cam/a b?secret", "blanks or control characters"),
    ],
)
def test_name_of_nothing_is_one_line_of_error(
    spec: str | int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgeRuntimeError, match=message) as caught:
        open_source(spec)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        open_source(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"width": 640}, "width and height go together"),
        ({"width": 0, "height": 1}, "the width is 0"),
        ({"width": 640, "height": 99999}, "the height is 99999"),
        ({"fps": 0}, "the frame rate is 0"),
        ({"fps": float("nan")}, "the frame rate is nan"),
        ({"exposure": -1}, "the exposure is -1 ms"),
        ({"pixel_format": "MJPEG"}, "the pixel format is 'MJPEG'"),
        ({"loop": True}, "loop cannot be set for a camera"),
    ],
)
def test_wish_that_makes_no_sense_is_refused(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(0, **wishes)


@pytest.mark.parametrize(
    ("spec", "wishes", "message"),
    [
        ("http://cam/", {"fps": 5}, "fps cannot be set for a network stream"),
        ("rtsp://cam/", {"width": 6, "height": 4}, "width cannot be set for an RTSP stream"),
        ("picamera2", {"pixel_format": "MJPG"}, "pixel format cannot be set for a CSI camera"),
        (".", {"exposure": 5}, "exposure cannot be set for pictures; fps or loop was expected"),
    ],
)
def test_wish_that_a_source_cannot_grant_is_refused_not_ignored(
    spec: str, wishes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_source(spec, **wishes)


def test_folder_is_read_in_natural_order_without_what_is_no_picture(tmp_path: Path) -> None:
    for name, value in (("10.pgm", 10), ("9.pgm", 9), ("b1.pgm", 11), (".8.pgm", 8)):
        write_picture(tmp_path / name, value)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "below.pgm").mkdir()
    source = open_source(tmp_path)
    assert read_all(source) == [9, 10, 11]


def test_still_picture_is_one_frame(tmp_path: Path) -> None:
    assert read_all(open_source(write_picture(tmp_path / "a.pgm", 77))) == [77]


def test_pictures_begin_again(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")
    for value in range(2):
        write_picture(tmp_path / f"{value}.pgm", value)
    source = open_source(tmp_path, loop=True, fps=500)
    source.open()
    values = [int(frame.pixels[0, 0]) for _ in range(5) if (frame := source.read())]
    assert values == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "holds no pictures"),
        (lambda folder: (folder / "a.png").write_bytes(b"x"), "a.png is not a picture"),
        (lambda folder: (folder / "a.png").touch(), "a.png is empty"),
    ],
)
def test_folder_that_cannot_be_shown_says_why(prepare: Any, message: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    source = open_source(tmp_path)
    with pytest.raises(SourceError, match=message):
        source.open()
        source.read()


def test_pictures_that_cannot_be_read_are_passed_over_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("0.pgm", "2.pgm", "4.pgm"):
        (tmp_path / name).touch()
    for value in (1, 3):
        write_picture(tmp_path / f"{value}.pgm", value)
    assert read_all(open_source(tmp_path)) == [1, 3]
    assert [record.getMessage().split(" is empty")[0] for record in caplog.records] == [
        str(tmp_path / name) for name in ("0.pgm", "2.pgm", "4.pgm")
    ]
    caplog.clear()
    source = open_source(tmp_path, loop=True, fps=500)
    source.open()
    values = [int(frame.pixels[0, 0]) for _ in range(5) if (frame := source.read())]
    assert values == [1, 3, 1, 3, 1]
    assert len(caplog.records) == 3


@pytest.mark.parametrize("loop", [False, True])
def test_folder_whose_last_readable_picture_went_is_an_error_and_not_searched_for_ever(
    loop: bool, tmp_path: Path
) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")
    first = write_picture(tmp_path / "0.pgm", 1)
    (tmp_path / "1.pgm").touch()
    source = open_source(tmp_path, loop=loop, fps=500)
    source.open()
    assert source.read() is not None
    first.unlink()
    if loop:
        with pytest.raises(SourceError, match="none of the 2 pictures in .* can be read"):
            source.read()
    else:
        assert source.read() is None


def test_address_is_taken_apart() -> None:
    address = parse_address("http://me%40home:p%2Fw@[::1]:81/vid\u00e9o/x;y?q=%20")
    assert (address.user, address.password) == ("me@home", "p/w")
    assert (address.host, address.port) == ("::1", 81)
    assert address.target == "/vid%C3%A9o/x;y?q=%20"
    assert address.shown == "http://[::1]:81/vid\u00e9o/x;y?…"


class Blocking(DeviceSource):
    """A device whose read blocks until it is told otherwise."""

    def __init__(self) -> None:
        super().__init__("blocking", Wanted())
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.released_by: list[str] = []

    def renew(self) -> FrameSource:
        return Blocking()

    def _open(self) -> dict[str, Any]:
        return {}

    def _read(self) -> FrameData | None:
        self.reading.set()
        self.go_on.wait(LONG_ENOUGH_S)
        return FrameData(np.zeros((2, 2), np.uint8), 0.0)

    def _release(self) -> None:
        self.released_by.append(threading.current_thread().name)


def test_close_never_takes_a_device_from_under_a_read() -> None:
    source = Blocking()
    source.open()
    reader = threading.Thread(target=source.read, name="reader", daemon=True)
    reader.start()
    assert source.reading.wait(LONG_ENOUGH_S)
    source.close()
    assert source.released_by == []
    source.go_on.set()
    reader.join(LONG_ENOUGH_S)
    assert source.released_by == ["reader"]


def test_source_lives_once() -> None:
    source = Blocking()
    source.close()
    for use in (source.open, source.read):
        with pytest.raises(SourceError, match="was closed"):
            use()


def test_half_opened_source_is_given_back_and_any_error_is_ours() -> None:
    class Broken(Blocking):
        def _open(self) -> dict[str, Any]:
            raise ZeroDivisionError("driver\nbug")

    source = Broken()
    with pytest.raises(SourceError, match="blocking failed: driver bug"):
        source.open()
    assert len(source.released_by) == 1


def test_close_wakes_whoever_waits_for_the_next_frame_s_time() -> None:
    camera = FakeCamera(fps=0.001)
    camera.open()
    camera.read()
    threading.Timer(0.1, camera.close).start()
    began = time.monotonic()
    assert camera.read() is None
    assert time.monotonic() - began < LONG_ENOUGH_S


def test_automatic_choice_says_what_it_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> list[tuple[int, str]]:
        raise RuntimeError("libcamera is odd")

    monkeypatch.setattr(auto, "csi_cameras", none)
    source = auto.AutoCamera(folder=tmp_path)
    message = "no camera works .*libcamera is odd; no camera among 0 video devices"
    with pytest.raises(SourceError, match=message):
        source.open()


def test_automatic_choice_takes_csi_first_then_what_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    class Csi(FakeCamera):
        def __init__(self, number: int, wanted: Wanted) -> None:
            super().__init__(absent_openings=-number, name=f"csi {number}")

    class Usb(FakeCamera):
        def __init__(self, path: str, wanted: Wanted) -> None:
            super().__init__(absent_openings=-1 if path.endswith("0") else 0, name=path)

    devices = (
        v4l2.VideoDevice("/dev/video0", card="busy one", captures=True),
        v4l2.VideoDevice("/dev/video1", card="metadata", captures=False),
        v4l2.VideoDevice("/dev/video2", card="raw", captures=True, csi=True),
        v4l2.VideoDevice("/dev/video3", card="good one", captures=True),
    )
    monkeypatch.setattr(auto, "PiCamera", Csi)
    monkeypatch.setattr(auto, "V4L2Camera", Usb)
    monkeypatch.setattr(v4l2, "list_devices", lambda folder: devices)
    monkeypatch.setattr(auto, "csi_cameras", lambda: [(0, "imx708")])
    first = auto.AutoCamera()
    assert first.open()["found"] == "auto: csi 0 (imx708)"
    assert first.name == "auto: csi 0 (imx708)"
    frame = first.read()
    assert frame is not None
    first.close()

    monkeypatch.setattr(auto, "csi_cameras", lambda: [(1, "imx219")])
    second = auto.AutoCamera()
    granted = second.open()
    assert granted["found"] == "auto: /dev/video3 (good one)"
    assert len(granted["passed_over"]) == 2
    assert "csi 1" in granted["passed_over"][0]
    assert "/dev/video0" in granted["passed_over"][1]
    second.close()
