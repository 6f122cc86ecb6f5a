from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import v4l2


# The kernel's structures, written down a second time from linux/videodev2.h.
class Capability(ctypes.Structure):
    _fields_ = (
        ("driver", ctypes.c_char * 16), ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32), ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32), ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )  # fmt: skip


class FormatDescription(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint32), ("type", ctypes.c_uint32), ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32), ("pixelformat", ctypes.c_uint32),
        ("mbus_code", ctypes.c_uint32), ("reserved", ctypes.c_uint32 * 3),
    )  # fmt: skip


class FrameSizeEnum(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint32), ("pixel_format", ctypes.c_uint32), ("type", ctypes.c_uint32),
        ("values", ctypes.c_uint32 * 6), ("reserved", ctypes.c_uint32 * 2),
    )  # fmt: skip


class FrameIntervalEnum(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint32), ("pixel_format", ctypes.c_uint32), ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32), ("type", ctypes.c_uint32), ("values", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )  # fmt: skip


def code(letters: str) -> int:
    return int.from_bytes(letters.encode(), "little")


class Driver:
    """A driver that answers ioctls as uvcvideo does."""

    def __init__(
        self,
        capabilities: int = 0x84A00001,
        device_caps: int = 0x04200001,
        formats: dict[str, dict[tuple[int, ...], list[tuple[int, ...]]]] | None = None,
        driver: bytes = b"uvcvideo",
        endless: bool = False,
    ) -> None:
        self.capabilities, self.device_caps, self.driver = capabilities, device_caps, driver
        self.formats = {"YUYV": {(640, 480): [(1, 30)]}} if formats is None else formats
        self.endless = endless
        self.calls = 0

    def __call__(self, handle: int, request: int, block: bytearray) -> int:
        self.calls += 1
        number, size = request & 0xFF, request >> 16 & 0x3FFF
        assert request >> 8 & 0xFF == ord("V")
        assert size == len(block)
        answer: Any = {
            0: Capability, 2: FormatDescription, 74: FrameSizeEnum, 75: FrameIntervalEnum,
        }[number].from_buffer(block)  # fmt: skip
        assert ctypes.sizeof(answer) == size
        if number == 0:
            assert request >> 30 == 2
            answer.driver, answer.card = self.driver, b"HD Webcam\xff\x07"
            answer.capabilities, answer.device_caps = self.capabilities, self.device_caps
            return 0
        assert request >> 30 == 3
        names = list(self.formats)
        if number == 2:
            assert answer.type in (1, 9)
            index = 0 if self.endless else answer.index
            if index >= len(names):
                raise OSError(errno.EINVAL, "Invalid argument")
            answer.pixelformat, answer.description = code(names[index]), b"a format"
            return 0
        sizes = self.formats[answer.pixel_format.to_bytes(4, "little").decode()]
        if number == 74:
            self._fill(answer, list(sizes))
        else:
            whole = {(s if len(s) == 2 else (s[1], s[4])): r for s, r in sizes.items()}
            self._fill(answer, whole[(answer.width, answer.height)])
        return 0

    def _fill(self, answer: Any, entries: list[tuple[int, ...]]) -> None:
        index = 0 if self.endless else answer.index
        if index >= len(entries):
            raise OSError(errno.EINVAL, "Invalid argument")
        values = entries[index]
        answer.type = 1 if len(values) == 2 else 3
        answer.values[: len(values)] = values


@pytest.fixture
def describe() -> Callable[[Driver], v4l2.VideoDevice]:
    """Asks a driver; /dev/null is the character device that stands for its device."""
    return lambda driver: v4l2.describe("/dev/null", driver)


def test_camera_is_described_with_all_formats(
    describe: Callable[[Driver], v4l2.VideoDevice],
) -> None:
    driver = Driver(
        formats={
            "YUYV": {(640, 480): [(1, 30), (1, 15)], (1280, 720): [(1, 10)]},
            "MJPG": {(1920, 1080): [(1001, 30000)]},
        }
    )
    device = describe(driver)
    assert device.problem is None
    assert device.captures
    assert not device.csi
    assert device.driver == "uvcvideo"
    assert device.card == "HD Webcam\ufffd?"  # No control character gets to the terminal.
    assert device.formats == (
        v4l2.VideoFormat(
            "YUYV",
            "a format",
            (v4l2.FrameSize(640, 480, (30.0, 15.0)), v4l2.FrameSize(1280, 720, (10.0,))),
        ),
        v4l2.VideoFormat("MJPG", "a format", (v4l2.FrameSize(1920, 1080, (29.97,)),)),
    )


def test_range_of_sizes_is_described_by_its_largest(
    describe: Callable[[Driver], v4l2.VideoDevice],
) -> None:
    driver = Driver(formats={"YU12": {(32, 2592, 2, 32, 1944, 2): [(1, 90, 1, 1, 1, 90)]}})
    assert describe(driver).formats[0].sizes == (v4l2.FrameSize(2592, 1944, (90.0,)),)


@pytest.mark.parametrize(
    ("capabilities", "device_caps", "captures"),
    [
        (0x84A00001, 0x04200001, True),
        (0x84A00001, 0x04A00000, False),  # The metadata node beside a USB camera.
        (0x84204000, 0x04204000, False),  # A codec of the Pi.
        (0x84200002, 0x04200002, False),  # An output.
        (0x04000001, 0, True),  # A driver older than device_caps.
        (0x84201000, 0x04201000, True),  # Several planes.
    ],
)
def test_only_what_gives_frames_is_a_camera(
    capabilities: int,
    device_caps: int,
    captures: bool,
    describe: Callable[[Driver], v4l2.VideoDevice],
) -> None:
    assert describe(Driver(capabilities, device_caps)).captures is captures


def test_device_without_formats_is_no_camera(
    describe: Callable[[Driver], v4l2.VideoDevice],
) -> None:
    assert not describe(Driver(formats={})).captures


@pytest.mark.parametrize(
    ("fourcc", "driver", "csi"),
    [
        ("RG10", b"xyz", True), ("pBAA", b"xyz", True), ("BA81", b"xyz", True),
        ("YUYV", b"unicam", True), ("YUYV", b"rp1-cfe", True),
        ("GREY", b"xyz", False), ("RGB3", b"xyz", False), ("BGR3", b"xyz", False),
    ],
)  # fmt: skip
def test_raw_sensor_is_told_from_a_picture(
    fourcc: str, driver: bytes, csi: bool, describe: Callable[[Driver], v4l2.VideoDevice]
) -> None:
    formats = {fourcc: {(640, 480): [(1, 30)]}}
    assert describe(Driver(formats=formats, driver=driver)).csi is csi


def test_driver_that_never_says_no_more_is_left(
    describe: Callable[[Driver], v4l2.VideoDevice],
) -> None:
    driver = Driver(endless=True)
    device = describe(driver)
    assert len(device.formats) == v4l2.MAX_ENTRIES
    assert driver.calls < 2 * v4l2.MAX_ENTRIES**3


def test_what_is_no_video_device_is_not_opened_or_said_to_be_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "video0")
    for path in (tmp_path / "video0", Path("/dev/null")):
        assert v4l2.describe(str(path)).problem == "not a video device"
    assert v4l2.describe(str(tmp_path / "video1")).problem == "No such file or directory"


def test_permission_is_told_from_other_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    device = v4l2.describe("/dev/null")
    assert device.permission
    assert device.problem == "Permission denied"


def test_devices_are_listed_by_their_numbers(tmp_path: Path) -> None:
    for name in ("video10", "video2", "video", "video2x", "media0"):
        (tmp_path / name).touch()
    listed = v4l2.list_devices(tmp_path)
    assert [Path(device.path).name for device in listed] == ["video2", "video10"]
    assert all(device.problem == "not a video device" for device in listed)


def test_processes_that_hold_a_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / "held"
    assert v4l2.holders(str(path)) == []
    with path.open("w"):
        ((number, name),) = v4l2.holders(str(path))
        assert number == os.getpid()
        assert name
    assert stat.S_ISREG(path.stat().st_mode)


def test_device_that_is_not_there_is_not_busy() -> None:
    assert not v4l2.is_busy("/dev/video77")
