"""Video devices as the Linux kernel describes them: what they are, and the formats they give.

Asked with the ioctls of ``linux/videodev2.h`` (the V4L2 API), so that neither v4l-utils nor OpenCV
is needed. Nothing here changes a device or takes a frame.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "FrameSize",
    "VideoDevice",
    "VideoFormat",
    "describe",
    "holders",
    "is_busy",
    "list_devices",
]


def _request(direction: int, number: int, form: str) -> int:
    """The code of an ioctl; source: ``asm-generic/ioctl.h``, which ARM and x86 use."""
    return direction << 30 | struct.calcsize(form) << 16 | ord("V") << 8 | number


READ, READ_WRITE = 2, 3
CAPABILITY = "=16s32s32sIII12x"
FORMAT_DESCRIPTION = "=III32sI16x"
FRAME_SIZE = "=III6I8x"
FRAME_INTERVAL = "=IIIII6I8x"
REQUEST_BUFFERS = "=III8x"
QUERYCAP = _request(READ, 0, CAPABILITY)
ENUM_FMT = _request(READ_WRITE, 2, FORMAT_DESCRIPTION)
REQBUFS = _request(READ_WRITE, 8, REQUEST_BUFFERS)
ENUM_FRAMESIZES = _request(READ_WRITE, 74, FRAME_SIZE)
ENUM_FRAMEINTERVALS = _request(READ_WRITE, 75, FRAME_INTERVAL)

CAP_CAPTURE, CAP_CAPTURE_MPLANE = 0x1, 0x1000
CAP_MEMORY_TO_MEMORY = 0x4000 | 0x8000
CAP_DEVICE_CAPS = 0x80000000
BUFFER_CAPTURE, BUFFER_CAPTURE_MPLANE = 1, 9
MEMORY_MMAP = 1
DISCRETE = 1

# No camera has as many; a driver that never says "no more" must not hold us.
MAX_ENTRIES = 64

# What a CSI camera's receiver on a Raspberry Pi is called: it gives a sensor's raw values, which
# only libcamera makes into a picture. Sources: drivers/media/platform/{bcm2835,raspberrypi}.
CSI_DRIVERS = frozenset(("unicam", "bcm2835-unicam", "rp1-cfe"))
# Raw sensor values: Bayer patterns of 8 to 16 bits, plain and packed; source: the kernel's
# "Raw Bayer Formats".
RAW_FORMAT = re.compile(
    r"BA81|GBRG|GRBG|RGGB|BYR2|(BG|GB|BA|RG|GR)1[0246]|p[BGgR](AA|CC|EE)", re.ASCII
)


@dataclass(frozen=True)
class FrameSize:
    """A size in which a device gives frames.

    Attributes:
        width: Pixels; the largest where the device takes a range.
        height: Pixels.
        fps: The frame rates at that size, fastest first.
    """

    width: int
    height: int
    fps: tuple[float, ...]


@dataclass(frozen=True)
class VideoFormat:
    """A pixel format of a device.

    Attributes:
        fourcc: Its four-letter code, for example "MJPG".
        description: The driver's words.
        sizes: The sizes it comes in.
    """

    fourcc: str
    description: str
    sizes: tuple[FrameSize, ...]


@dataclass(frozen=True)
class VideoDevice:
    """A device ``/dev/video*``.

    Attributes:
        path: Its path.
        card: Its name, as the driver gives it; "" if it could not be asked.
        driver: The driver's name.
        bus: Where it is connected.
        captures: Whether frames can be taken from it (decoders, metadata and outputs are no
            cameras).
        csi: It is the receiver of a CSI camera, which needs picamera2.
        formats: What it gives.
        problem: Why it could not be asked, None if it could.
        permission: Whether the problem is one of permission.
    """

    path: str
    card: str = ""
    driver: str = ""
    bus: str = ""
    captures: bool = False
    csi: bool = False
    formats: tuple[VideoFormat, ...] = ()
    problem: str | None = None
    permission: bool = False


_Ioctl = Callable[[int, int, bytearray], Any]


def list_devices(folder: Path = Path("/dev")) -> tuple[VideoDevice, ...]:
    """All video devices of this machine, in the order of their numbers.

    Args:
        folder: Where they are; another one only for tests.

    Returns:
        What each says of itself.
    """
    found = []
    for path in folder.glob("video*"):
        if number := re.fullmatch(r"video(\d+)", path.name):
            found.append((int(number[1]), str(path)))
    return tuple(describe(path) for _, path in sorted(found))


def describe(path: str, ioctl: _Ioctl | None = None) -> VideoDevice:
    """What a video device says of itself.

    Args:
        path: The device.
        ioctl: The system call; another one only for tests.

    Returns:
        Its description; `problem` says why there is none.
    """
    try:
        with _opened(path) as (handle, native):
            return _describe(path, handle, ioctl or native)
    except OSError as error:
        return VideoDevice(
            path,
            problem=error.strerror or str(error),
            permission=error.errno in (errno.EACCES, errno.EPERM),
        )


def is_busy(path: str) -> bool:
    """Whether another program takes frames from a device.

    Asking for no buffers at all changes nothing, and is refused while somebody else has some.
    """
    for kind in (BUFFER_CAPTURE, BUFFER_CAPTURE_MPLANE):
        try:
            with _opened(path) as (handle, ioctl):
                ioctl(
                    handle, REQBUFS, bytearray(struct.pack(REQUEST_BUFFERS, 0, kind, MEMORY_MMAP))
                )
        except OSError as error:
            if error.errno == errno.EBUSY:
                return True
    return False


def holders(path: str, proc: Path = Path("/proc")) -> list[tuple[int, str]]:
    """The processes that have a file open, as far as this user may see.

    Args:
        path: The file.
        proc: Where the kernel tells of processes; another one only for tests.

    Returns:
        Number and name of each.
    """
    target = os.path.realpath(path)
    found = []
    for link in proc.glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) != target:
                continue
            process = link.parent.parent
            found.append((int(process.name), (process / "comm").read_text().strip()))
        except (OSError, ValueError):  # It ended meanwhile.
            continue
    return sorted(set(found))


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, _Ioctl]]:
    """A device opened for asking, and the system call to ask with."""
    # A pipe or a disk is not to be opened at all.
    if not stat.S_ISCHR(os.stat(path).st_mode):
        raise OSError(errno.ENOTTY, "not a video device", path)
    try:
        import fcntl
    except ModuleNotFoundError:
        raise OSError(errno.ENOSYS, "only Linux has video devices", path) from None
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle, fcntl.ioctl
    finally:
        os.close(handle)


def _describe(path: str, handle: int, ioctl: _Ioctl) -> VideoDevice:
    try:
        driver, card, bus, _, all_of_them, of_this = _ask(ioctl, handle, QUERYCAP, CAPABILITY)
    except OSError as error:
        raise OSError(error.errno, "not a video device", path) from None
    # One driver may make several devices; what this one can do is told apart since Linux 3.4.
    can = of_this if all_of_them & CAP_DEVICE_CAPS else all_of_them
    captures = bool(can & (CAP_CAPTURE | CAP_CAPTURE_MPLANE)) and not can & CAP_MEMORY_TO_MEMORY
    kind = BUFFER_CAPTURE if can & CAP_CAPTURE else BUFFER_CAPTURE_MPLANE
    formats = tuple(_formats(handle, ioctl, kind)) if captures else ()
    raw_only = bool(formats) and all(RAW_FORMAT.fullmatch(item.fourcc) for item in formats)
    return VideoDevice(
        path,
        card=_text(card),
        driver=_text(driver),
        bus=_text(bus),
        captures=captures and bool(formats),
        csi=_text(driver) in CSI_DRIVERS or raw_only,
        formats=formats,
    )


def _formats(handle: int, ioctl: _Ioctl, kind: int) -> Iterator[VideoFormat]:
    for _, answer in _entries(ioctl, handle, ENUM_FMT, FORMAT_DESCRIPTION, kind):
        code, words = answer[4], answer[3]
        yield VideoFormat(
            fourcc=struct.pack("=I", code).decode("ascii", "replace").rstrip("\0 "),
            description=_text(words),
            sizes=tuple(_sizes(handle, ioctl, code)),
        )


def _sizes(handle: int, ioctl: _Ioctl, code: int) -> Iterator[FrameSize]:
    for _, answer in _entries(ioctl, handle, ENUM_FRAMESIZES, FRAME_SIZE, code):
        if answer[2] == DISCRETE:
            width, height = answer[3], answer[4]
        else:  # A range: smallest and largest width and the step, the same for the height.
            width, height = answer[4], answer[7]
        yield FrameSize(width, height, tuple(_rates(handle, ioctl, code, width, height)))
        if answer[2] != DISCRETE:
            return


def _rates(handle: int, ioctl: _Ioctl, code: int, width: int, height: int) -> Iterator[float]:
    for _, answer in _entries(
        ioctl, handle, ENUM_FRAMEINTERVALS, FRAME_INTERVAL, code, width, height
    ):
        # Seconds a frame as a fraction; of a range, the shortest.
        seconds, parts = answer[5], answer[6]
        if seconds and parts:
            yield round(parts / seconds, 3)
        if answer[4] != DISCRETE:
            return


def _entries(
    ioctl: _Ioctl, handle: int, request: int, form: str, *given: int
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Counts an enumeration up until the driver says that there is no more."""
    for index in range(MAX_ENTRIES):
        try:
            yield index, _ask(ioctl, handle, request, form, index, *given)
        except OSError:  # EINVAL after the last; ENOTTY where the driver has no such list.
            return


def _ask(ioctl: _Ioctl, handle: int, request: int, form: str, *given: int) -> tuple[Any, ...]:
    """One ioctl: the first fields given, all fields back."""
    block = bytearray(struct.calcsize(form))
    struct.pack_into(f"={len(given)}I", block, 0, *given)
    ioctl(handle, request, block)
    return struct.unpack(form, block)


def _text(field: bytes) -> str:
    """A driver's text: ended by a NUL, from a device that may say anything."""
    text = field.split(b"\0")[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text).strip()
