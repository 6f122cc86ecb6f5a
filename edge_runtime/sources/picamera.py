"""Cameras on a Raspberry Pi's CSI connector, by way of picamera2 and libcamera.

Written for the interface of picamera2 0.3.12 (Raspberry Pi OS Bookworm's first) to 0.3.38.
"""

from __future__ import annotations

import atexit
import os
import time
from importlib import import_module
from types import ModuleType
from typing import Any

from ..errors import MissingDependencyError, SourceError
from .base import READ_TIMEOUT_S, DeviceSource, FrameData, FrameSource, Wanted

__all__ = ["PiCamera", "csi_cameras", "import_picamera2"]

# libcamera writes its version and each configuration to the terminal unless told otherwise.
LIBCAMERA_LOG_LEVELS = "*:ERROR"
# libcamera names formats by their bytes from the last: BGR888 lies in memory as R, G, B.
RGB_IN_MEMORY = "BGR888"
MICROSECONDS_PER_MS = 1000


def import_picamera2() -> ModuleType:
    """The module ``picamera2``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: It, or the libcamera below it, is not installed.
        SourceError: It is installed and cannot be imported.
    """
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", LIBCAMERA_LOG_LEVELS)
    try:
        return import_module("picamera2")
    except ModuleNotFoundError as error:
        # It comes from Debian, because pip has no libcamera; a plain environment does not see it.
        raise MissingDependencyError(
            f"{error.name}, which reads CSI cameras, is not installed",
            remedy="sudo apt install python3-picamera2, and make the virtual environment with "
            "python3 -m venv --system-site-packages",
        ) from None
    except Exception as error:  # Its own imports break with another NumPy, for example.
        raise SourceError(f"picamera2 cannot be imported: {error}") from error


def csi_cameras() -> list[tuple[int, str]]:
    """The cameras that picamera2 sees on a CSI connector; USB cameras are V4L2's.

    Returns:
        Number and model of each.

    Raises:
        MissingDependencyError: See `import_picamera2`.
        SourceError: See `import_picamera2`.
    """
    found = import_picamera2().Picamera2.global_camera_info()
    return [
        (number, str(camera.get("Model", "a camera")))
        for number, camera in enumerate(found)
        if "/usb" not in str(camera.get("Id", ""))
    ]


class PiCamera(DeviceSource):
    """A CSI camera.

    Args:
        number: Its number, as ``rpicam-hello --list-cameras`` shows it.
        wanted: Size, rate and exposure; the format is always RGB.
    """

    def __init__(self, number: int = 0, wanted: Wanted | None = None) -> None:
        wanted = wanted or Wanted()
        wanted.only("a CSI camera", "width", "height", "fps", "exposure")
        super().__init__(f"picamera2:{number}" if number else "picamera2", wanted)
        self._number = number
        self._camera: Any = None
        self._silent = False

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return PiCamera(self._number, self._wanted)

    def _open(self) -> dict[str, Any]:
        module = import_picamera2()
        count = len(module.Picamera2.global_camera_info())
        if self._number >= count:
            raise SourceError(
                f"picamera2 sees {count} cameras and none with the number {self._number}",
                remedy="check the ribbon cable at both ends; rpicam-hello --list-cameras shows "
                "what is there",
            )
        try:
            self._camera = module.Picamera2(self._number)
        except Exception as error:  # Its own words: "Camera __init__ sequence did not complete."
            cause = error.__cause__ or error
            raise SourceError(
                f"{self.name} cannot be opened: {cause}",
                remedy="end the other program that uses the camera, or start the Pi again",
            ) from error
        camera, wanted = self._camera, self._wanted
        main: dict[str, Any] = {"format": RGB_IN_MEMORY, "size": (640, 480)}
        if wanted.width is not None and wanted.height is not None:
            main["size"] = (wanted.width, wanted.height)
        controls: dict[str, Any] = {}
        if wanted.fps is not None:
            frame_us = round(1e6 / wanted.fps)
            controls["FrameDurationLimits"] = (frame_us, frame_us)
        if wanted.exposure is not None:
            controls["ExposureTime"] = round(wanted.exposure * MICROSECONDS_PER_MS)
        camera.configure(camera.create_video_configuration(main=main, controls=controls))
        camera.start()
        return self._granted(camera.camera_configuration())

    def _granted(self, configuration: dict[str, Any]) -> dict[str, Any]:
        width, height = configuration["main"]["size"]
        granted = {"width": width, "height": height, "format": configuration["main"]["format"]}
        limits = configuration.get("controls", {}).get("FrameDurationLimits")
        if limits:
            granted["fps"] = round(1e6 / limits[0], 3)
        if self._wanted.exposure:
            granted["exposure"] = self._wanted.exposure
        return granted

    def _read(self) -> FrameData | None:
        job = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(job, timeout=READ_TIMEOUT_S)
        except TimeoutError:
            self._silent = True
            raise SourceError(
                f"{self.name} gave no frame for {READ_TIMEOUT_S:.0f} s",
                remedy="check the ribbon cable at both ends",
            ) from None
        began = time.perf_counter()
        try:
            pixels = request.make_array("main")
            stamp_ns = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        taken = None
        if stamp_ns:
            # The sensor's stamp counts from boot with sleep, our clock without.
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - stamp_ns / 1e9
            taken = time.monotonic() - age if 0 <= age <= READ_TIMEOUT_S else None
        return FrameData(pixels, (time.perf_counter() - began) * 1000, taken)

    def _release(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        # Closing a dead camera may never return; the end of the program must not try it again.
        atexit.unregister(camera.close)
        if self._silent and hasattr(camera, "cancel_all_and_flush"):
            camera.cancel_all_and_flush()
        camera.close()
