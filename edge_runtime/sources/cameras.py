"""Sources that OpenCV reads: V4L2 cameras, RTSP streams, video files."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import v4l2
from ..errors import SourceError
from ..opencv import import_opencv, quiet
from .address import Address
from .base import READ_TIMEOUT_S, DeviceSource, FrameData, FrameSource, Wanted

__all__ = ["RtspStream", "V4L2Camera", "VideoFile"]

# A frame whose transmission was disturbed is worth nothing, but no reason to open a camera anew.
MAX_BAD_FRAMES = 10
# A driver's time stamp is believed if it lies this far back at most; some count from elsewhere.
MAX_STAMP_AGE_S = 5.0
# V4L2_EXPOSURE_MANUAL and V4L2_EXPOSURE_APERTURE_PRIORITY, which USB cameras call automatic.
EXPOSURE_MANUAL, EXPOSURE_AUTOMATIC = 1, 3
# V4L2_CID_EXPOSURE_ABSOLUTE counts in 100 µs; source: the kernel's "Camera Control Reference".
EXPOSURE_STEPS_PER_MS = 10
DOCTOR = "edge-run doctor lists the cameras of this machine"


class _OpenCVSource(DeviceSource):
    """What reading through ``cv2.VideoCapture`` has in common."""

    def __init__(self, name: str, wanted: Wanted) -> None:
        super().__init__(name, wanted)
        self._cv2: Any = None
        self._capture: Any = None
        self._bad = 0

    @abstractmethod
    def _connect(self) -> Any:
        """An opened ``VideoCapture``, or a `SourceError`."""

    def _open(self) -> dict[str, Any]:
        self._cv2 = import_opencv()
        with quiet(self._cv2):
            self._capture = self._connect()
            return self._granted()

    def _granted(self) -> dict[str, Any]:
        cv2, capture = self._cv2, self._capture
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        letters = code.to_bytes(4, "little").decode("ascii", "replace") if code > 0 else ""
        granted = {
            "width": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            "height": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            "fps": round(fps, 3) if np.isfinite(fps) and fps > 0 else None,
            "format": letters.strip("\0 ") if letters.isprintable() else None,
        }
        return {name: value for name, value in granted.items() if value}

    def _grab(self) -> tuple[NDArray[np.uint8], float] | None:
        """The next frame and the seconds that decoding took; None if there is none."""
        with quiet(self._cv2):
            while self._capture.grab():
                began = time.perf_counter()
                good, pixels = self._capture.retrieve()
                if good and pixels is not None and pixels.size:
                    self._bad = 0
                    if pixels.ndim == 3 and pixels.shape[2] == 3:
                        pixels = self._cv2.cvtColor(pixels, self._cv2.COLOR_BGR2RGB)
                    elif pixels.ndim == 3:
                        pixels = pixels[:, :, 0]
                    return pixels, time.perf_counter() - began
                self._bad += 1
                if self._bad == MAX_BAD_FRAMES or self._closing.is_set():
                    raise SourceError(
                        f"{self.name} gave {self._bad} frames one after another that cannot be "
                        "decoded",
                        remedy="try another pixel format, cable or port",
                    )
        return None

    def _release(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            with quiet(self._cv2):
                capture.release()


class V4L2Camera(_OpenCVSource):
    """A camera that Linux shows as ``/dev/video*``.

    Args:
        path: The device, or a link to it as in ``/dev/v4l/by-id``.
        wanted: Size, rate, exposure and pixel format.
    """

    def __init__(self, path: str, wanted: Wanted | None = None) -> None:
        wanted = wanted or Wanted()
        wanted.only("a camera", "width", "height", "fps", "exposure", "pixel_format")
        super().__init__(path, wanted)
        self._path = path

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return V4L2Camera(self._path, self._wanted)

    def _connect(self) -> Any:
        device = v4l2.describe(self._path)
        if device.problem or not device.captures or device.csi:
            raise SourceError(*_unusable(device))
        capture = self._cv2.VideoCapture(self._path, self._cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise SourceError(*_refused(self._path))
        try:
            self._ask_for(capture)
        except BaseException:
            capture.release()
            raise
        return capture

    def _ask_for(self, capture: Any) -> None:
        """Asks for what is wanted; the device takes what is nearest.

        The order matters: a format has its own sizes, a size its own rates.
        """
        cv2, wanted = self._cv2, self._wanted
        if wanted.pixel_format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*wanted.pixel_format))
        if wanted.width is not None and wanted.height is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height)
        if wanted.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, wanted.fps)
        if wanted.exposure is not None:
            manual = wanted.exposure > 0
            mode = EXPOSURE_MANUAL if manual else EXPOSURE_AUTOMATIC
            capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, mode)
            if manual:
                steps = max(1, round(wanted.exposure * EXPOSURE_STEPS_PER_MS))
                capture.set(cv2.CAP_PROP_EXPOSURE, steps)

    def _granted(self) -> dict[str, Any]:
        granted = super()._granted()
        if self._wanted.exposure is not None:
            manual = self._capture.get(self._cv2.CAP_PROP_AUTO_EXPOSURE) == EXPOSURE_MANUAL
            steps = self._capture.get(self._cv2.CAP_PROP_EXPOSURE)
            # None says that the camera has no such setting.
            granted["exposure"] = steps / EXPOSURE_STEPS_PER_MS if manual and steps > 0 else None
        return granted

    def _read(self) -> FrameData | None:
        grabbed = self._grab()
        if grabbed is None:
            if not os.path.exists(self._path):
                raise SourceError(f"{self.name} is gone", remedy="check its cable")
            raise SourceError(
                f"{self.name} gives no frames",
                remedy="check its cable and power, and whether another program uses it",
            )
        pixels, seconds = grabbed
        stamp = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000
        fresh = 0 <= time.monotonic() - stamp <= MAX_STAMP_AGE_S
        return FrameData(pixels, seconds * 1000, stamp if fresh else None)


class RtspStream(_OpenCVSource):
    """A network camera that speaks RTSP, read by OpenCV's FFmpeg over TCP.

    Args:
        address: Where it is.
        wanted: Nothing can be set.
    """

    def __init__(self, address: Address, wanted: Wanted | None = None) -> None:
        wanted = (wanted or Wanted()).only("an RTSP stream, which is set up in the camera")
        super().__init__(address.shown, wanted)
        self._address = address

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return RtspStream(self._address, self._wanted)

    def _connect(self) -> Any:
        cv2, limit_ms = self._cv2, round(READ_TIMEOUT_S * 1000)
        began = time.monotonic()
        capture = cv2.VideoCapture(
            self._address.url,
            cv2.CAP_FFMPEG,
            [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms],
        )
        if capture.isOpened():
            return capture
        capture.release()
        _require_ffmpeg(cv2)
        if time.monotonic() - began >= READ_TIMEOUT_S:
            raise SourceError(f"{self.name} did not answer within {READ_TIMEOUT_S:.0f} s")
        raise SourceError(
            f"{self.name} cannot be opened",
            "an RTSP camera that lets this user in",
            f"try it with ffplay, and check that {self._address.host} is switched on",
        )

    def _read(self) -> FrameData | None:
        grabbed = self._grab()
        if grabbed is None:
            raise SourceError(f"{self.name} ended, or gave nothing for {READ_TIMEOUT_S:.0f} s")
        return FrameData(grabbed[0], grabbed[1] * 1000)


class VideoFile(_OpenCVSource):
    """A video file, read as fast as its reader goes unless a rate is given.

    Args:
        path: The file.
        wanted: The rate, and whether it begins again.
    """

    live = False

    def __init__(self, path: str, wanted: Wanted | None = None) -> None:
        wanted = (wanted or Wanted()).only("a video file", "fps", "loop")
        super().__init__(path, wanted)
        self._path = path
        self._frames = 0

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return VideoFile(self._path, self._wanted)

    def _connect(self) -> Any:
        # An absolute path: FFmpeg takes what looks like "http:…" or "concat:…" for an address.
        capture = self._cv2.VideoCapture(str(Path(self._path).absolute()), self._cv2.CAP_FFMPEG)
        if not capture.isOpened():
            capture.release()
            _require_ffmpeg(self._cv2)
            if not os.access(self._path, os.R_OK):
                raise SourceError(f"{self.name} cannot be read", "a file that this user may read")
            raise SourceError(
                f"{self.name} is damaged, or not a video",
                "a video or picture file",
                "try it with ffplay",
            )
        return capture

    def _read(self) -> FrameData | None:
        if not self._pace(self._wanted.fps):
            return None
        began = time.perf_counter()
        grabbed = self._grab()
        if grabbed is None and self._wanted.loop and self._frames:
            self._release()
            with quiet(self._cv2):
                self._capture = self._connect()
            grabbed = self._grab()
        if grabbed is None:
            if not self._frames:
                raise SourceError(f"{self.name} has no frame that can be decoded", "a video")
            return None
        self._frames += 1
        return FrameData(grabbed[0], (time.perf_counter() - began) * 1000)


def _unusable(device: v4l2.VideoDevice) -> tuple[str, str, str]:
    """Why a device is no camera to read from: the parts of an error."""
    path = device.path
    if device.permission:
        return (
            f"{path} may not be used by this user",
            "a member of the group video",
            "sudo usermod -aG video $USER, then log in again",
        )
    if device.problem is not None:
        if not os.path.lexists(path):
            return f"there is no camera at {path}", "", f"plug it in; {DOCTOR}"
        return f"{path} cannot be used: {device.problem}", "", DOCTOR
    if device.csi:
        return (
            f"{path} is the receiver of a CSI camera, which gives raw sensor values",
            "",
            "use the source picamera2",
        )
    what = f"{path} ({device.card}) gives no pictures; it is an output, a codec or metadata"
    return what, "a camera", DOCTOR


def _refused(path: str) -> tuple[str, str, str]:
    """Why OpenCV could not open a device that describes itself well."""
    users = v4l2.holders(path)
    if v4l2.is_busy(path) or users:
        if any(number == os.getpid() for number, _ in users):
            return f"{path} is held by a read of this program that never returned", "", ""
        names = ", ".join(f"{name} (process {number})" for number, name in users)
        return f"{path} is in use by {names or 'another program'}", "", "end that program"
    return f"{path} refuses to be opened", "", "unplug it and plug it in again"


def _require_ffmpeg(cv2: Any) -> None:
    """Tells an OpenCV that was built without FFmpeg from a file or stream that is at fault."""
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        raise SourceError(
            "this OpenCV was built without FFmpeg, which reads videos and RTSP",
            "",
            "pip install 'edge-runtime[camera]'",
        )
