"""The first camera that works: picamera2's, then V4L2's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import v4l2
from ..errors import EdgeRuntimeError, MissingDependencyError, SourceError
from .base import DeviceSource, FrameData, FrameSource, Wanted
from .cameras import V4L2Camera
from .picamera import PiCamera, csi_cameras

__all__ = ["AutoCamera"]

NAME = "auto"


class AutoCamera(DeviceSource):
    """Looks for a camera each time it is opened: after a cable moved it may have another number.

    Args:
        wanted: Size, rate, exposure; with a pixel format only V4L2 cameras are tried.
        folder: Where video devices are; another one only for tests.
    """

    def __init__(self, wanted: Wanted | None = None, folder: Path = Path("/dev")) -> None:
        wanted = wanted or Wanted()
        wanted.only("a camera", "width", "height", "fps", "exposure", "pixel_format")
        super().__init__(NAME, wanted)
        self._folder = folder
        self._camera: DeviceSource | None = None

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return AutoCamera(self._wanted, self._folder)

    def _open(self) -> dict[str, Any]:
        failed: list[str] = []
        missing: MissingDependencyError | None = None
        for camera, card in self._candidates(failed):
            if self._closing.is_set():
                break
            try:
                granted = camera.open()
            except EdgeRuntimeError as error:
                camera.close()
                failed.append(str(error))
                if isinstance(error, MissingDependencyError):
                    missing = error
                continue
            self._camera = camera
            self.name = f"{NAME}: {camera.name} ({card})"
            # What was passed over explains why it is this one.
            return {**granted, "found": self.name, "passed_over": failed}
        if missing is not None:  # There is a camera, and trying again would not help.
            raise missing
        raise SourceError(f"no camera works ({'; '.join(failed)})", "", "edge-run doctor says more")

    def _candidates(self, failed: list[str]) -> Iterator[tuple[DeviceSource, str]]:
        """The cameras to try, made when their turn comes; why others are none goes to `failed`."""
        if self._wanted.pixel_format is None:
            try:
                found = csi_cameras()
            except MissingDependencyError:
                failed.append("picamera2 is not installed")
            except Exception as error:  # libcamera raises whatever it likes.
                failed.append(f"picamera2: {error}")
            else:
                if not found:
                    failed.append("picamera2 sees no CSI camera")
                for number, model in found:
                    yield PiCamera(number, replace(self._wanted, pixel_format=None)), model
        devices = v4l2.list_devices(self._folder)
        for device in devices:
            # Codecs, outputs and metadata are on every Pi and of no interest here.
            if device.problem or (device.captures and not device.csi):
                yield V4L2Camera(device.path, self._wanted), device.card or "not described"
        if not any(device.captures and not device.csi for device in devices):
            failed.append(f"no camera among {len(devices)} video devices in {self._folder}")

    def _read(self) -> FrameData | None:
        assert self._camera is not None
        return self._camera.read()

    def _interrupt(self) -> None:
        if self._camera is not None:
            self._camera.close()

    def _release(self) -> None:
        if self._camera is not None:
            self._camera.close()
