"""Where frames come from: cameras, network streams, videos, pictures.

Every kind is a `FrameSource`; `open_source` chooses by what the user typed.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError, SourceError
from ..images import IMAGE_SUFFIXES
from .address import parse_address
from .auto import AutoCamera
from .base import DeviceSource, FrameData, FrameSource, Wanted
from .cameras import RtspStream, V4L2Camera, VideoFile
from .http import MjpegStream
from .picamera import PiCamera
from .pictures import Pictures

__all__ = ["FrameData", "FrameSource", "open_source"]

KINDS = (
    "auto, a camera's number, /dev/video0, picamera2, a video or picture file, a folder of "
    "pictures, or an http or rtsp address"
)


def open_source(
    spec: str | int | Path = "auto",
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    exposure: float | None = None,
    pixel_format: str | None = None,
    loop: bool = False,
) -> FrameSource:
    """Chooses a source by its name. No device is opened yet: that is `FrameSource.open`.

    Args:
        spec: "auto" (the first camera that works), a V4L2 camera as a number or path, "picamera2"
            or "picamera2:1", a video file, a picture file, a folder of pictures, an address that
            begins with http:// or https:// (motion JPEG) or rtsp:// or rtsps://.
        width: Pixels, together with `height`; for cameras. They grant what is nearest.
        height: Pixels.
        fps: Frames a second: of a camera, or to show a file at.
        exposure: Milliseconds, 0 for automatic; for cameras.
        pixel_format: For V4L2 cameras, for example "MJPG", which large pictures need over USB.
        loop: A file or folder begins again at its end.

    Returns:
        The source.

    Raises:
        InputError: Nothing is called so, or it has no such setting.
        SourceError: The file does not exist.
    """
    wanted = Wanted(width, height, fps, exposure, pixel_format, loop)
    text = str(spec)
    if isinstance(spec, int) and spec < 0:
        raise InputError(f"the camera number is {spec}", "a number from 0")
    if re.fullmatch(r"[0-9]{1,3}", text):
        return V4L2Camera(f"/dev/video{int(text)}", wanted)
    if text == "auto":
        return AutoCamera(wanted)
    if camera := re.fullmatch(r"picamera2(?::([0-9]{1,2}))?", text):
        return PiCamera(int(camera[1] or 0), wanted)
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text):
        return _network(scheme[1].lower(), text, wanted)
    return _local(text, wanted)


def _network(scheme: str, url: str, wanted: Wanted) -> FrameSource:
    kinds: dict[str, Callable[..., DeviceSource]] = {
        "http": MjpegStream,
        "https": MjpegStream,
        "rtsp": RtspStream,
        "rtsps": RtspStream,
    }
    if scheme not in kinds:
        raise InputError(f"addresses with {scheme} cannot be read", ", ".join(kinds))
    return kinds[scheme](parse_address(url), wanted)


def _local(text: str, wanted: Wanted) -> FrameSource:
    path = Path(text)
    if not text.strip():  # Path("") would be the folder one happens to be in.
        raise InputError("the source's name is empty", KINDS)
    # A camera that is not there now may be plugged in later.
    if re.match(r"/dev/(video|v4l/)", text):
        return V4L2Camera(text, wanted)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        if isinstance(error, FileNotFoundError):
            reason = "it does not exist"
        raise SourceError(f"{text!r} is no source: {reason}", KINDS) from None
    if stat.S_ISCHR(mode):
        return V4L2Camera(text, wanted)
    if stat.S_ISDIR(mode):
        return Pictures(text, wanted)
    if not stat.S_ISREG(mode):
        raise InputError(f"{text} is not a regular file", KINDS)
    return (Pictures if path.suffix.lower() in IMAGE_SUFFIXES else VideoFile)(text, wanted)
