"""The adapter for CSI cameras, against a stand-in with picamera2's interface (0.3.12 to 0.3.38).

picamera2 needs libcamera, which only Raspberry Pi OS has. The stand-in was written from the source
of picamera2: it has the methods and arguments that the adapter uses, and no others.
"""

from __future__ import annotations

import atexit
import builtins
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import MissingDependencyError, SourceError
from edge_runtime.sources import open_source, picamera


class Request:
    def __init__(self, camera: Picamera2, shade: int) -> None:
        self.camera = camera
        self.shade = shade

    def make_array(self, name: str) -> np.ndarray:
        width, height = self.camera.configuration[name]["size"]
        pixels = np.zeros((height, width, 3), np.uint8)
        # "BGR888" lies in memory as red, green, blue.
        pixels[:, :, 0 if self.camera.configuration[name]["format"] == "BGR888" else 2] = self.shade
        return pixels

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": int((time.clock_gettime(time.CLOCK_BOOTTIME) - 0.04) * 1e9)}

    def release(self) -> None:
        self.camera.requests_out -= 1


class Picamera2:
    """One camera; class attributes say what is attached and what is wrong with it."""

    attached: list[dict[str, Any]]
    used_elsewhere = False
    silent = False
    last: Picamera2

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.attached

    def __init__(self, camera_num: int = 0) -> None:
        if camera_num >= len(self.attached):
            raise RuntimeError(f"No camera number {camera_num} found")
        if self.used_elsewhere:
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        Picamera2.last = self
        self.calls: list[str] = []
        self.configuration: dict[str, Any] = {}
        self.requests_out = 0
        self.started = False
        atexit.register(self.close)

    def create_video_configuration(
        self, main: dict[str, Any], controls: dict[str, Any]
    ) -> dict[str, Any]:
        # Widths are aligned to the hardware; the rate is 30 unless something else is said.
        width, height = main["size"]
        given = {"FrameDurationLimits": (33333, 33333), **controls}
        main = {**main, "size": (width // 32 * 32, height)}
        return {"main": main, "controls": given}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        self.calls.append("configure")

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        if not self.configuration:
            raise RuntimeError("Camera has not been configured")
        self.started = True
        self.calls.append("start")

    def capture_request(self, wait: bool | None = None) -> Future[Request]:
        assert wait is False
        assert self.started
        future: Future[Request] = Future()
        if not self.silent:
            self.requests_out += 1
            future.set_result(Request(self, 200))
        return future

    def wait(self, job: Future[Request], timeout: float | None = None) -> Request:
        assert timeout is not None
        return job.result(timeout=min(timeout, 0.05))

    def cancel_all_and_flush(self) -> None:
        self.calls.append("cancel")

    def close(self) -> None:
        atexit.unregister(self.close)
        self.calls.append("close")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    stand_in = ModuleType("picamera2")
    stand_in.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", stand_in)
    csi = {"Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Num": 0}
    usb = {"Model": "C270", "Id": "/base/scb/pcie@7d500000/usb@0-1.3:1.0-046d:0825", "Num": 1}
    monkeypatch.setattr(Picamera2, "attached", [csi, usb], raising=False)
    return Picamera2


def test_frames_are_rgb_of_the_granted_size_with_the_sensor_s_time(module: type[Picamera2]) -> None:
    source = open_source("picamera2", width=650, height=480, fps=15, exposure=8.5)
    assert source.live
    granted = source.open()
    assert granted == {
        "width": 640, "height": 480, "format": "BGR888", "fps": 15.0, "exposure": 8.5,
    }  # fmt: skip
    controls = module.last.configuration["controls"]
    assert controls == {"FrameDurationLimits": (66667, 66667), "ExposureTime": 8500}
    frame = source.read()
    assert frame is not None
    assert frame.pixels.shape == (480, 640, 3)
    assert frame.pixels[0, 0].tolist() == [200, 0, 0]
    assert frame.monotonic is not None
    assert time.monotonic() - frame.monotonic >= 0.04
    assert module.last.requests_out == 0  # Each goes back, or the camera runs out of buffers.
    source.close()
    assert module.last.calls == ["configure", "start", "close"]


def test_nothing_is_set_that_was_not_asked_for(module: type[Picamera2]) -> None:
    source = open_source("picamera2")
    assert source.open()["fps"] == pytest.approx(30, abs=0.01)
    assert "ExposureTime" not in module.last.configuration["controls"]
    source.close()


def test_silent_camera_is_given_up_with_its_waiting_requests(
    module: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "silent", True)
    source = open_source("picamera2")
    source.open()
    with pytest.raises(SourceError, match="picamera2 gave no frame for 8 s; check the ribbon"):
        source.read()
    source.close()
    assert module.last.calls[-2:] == ["cancel", "close"]


def test_camera_that_is_used_elsewhere_gives_the_cause(
    module: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "used_elsewhere", True)
    with pytest.raises(SourceError, match="Device or resource busy; end the other program"):
        open_source("picamera2").open()


def test_camera_with_a_number_that_is_not_there(module: type[Picamera2]) -> None:
    with pytest.raises(SourceError, match="picamera2 sees 2 cameras and none with the number 5"):
        open_source("picamera2:5").open()


def test_only_csi_cameras_are_chosen_automatically(module: type[Picamera2]) -> None:
    assert picamera.csi_cameras() == [(0, "imx708")]


def test_camera_that_cannot_be_closed_does_not_hold_up_the_end_of_the_program(
    module: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[Callable[[], Any]] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(atexit, "unregister", registered.remove)
    source = open_source("picamera2")
    source.open()
    assert len(registered) == 1

    def close(camera: Picamera2) -> None:
        assert registered == []  # Before this call, which may never return.

    monkeypatch.setattr(module, "close", close)
    registered[:] = [module.last.close]
    source.close()
    assert registered == []


@pytest.mark.parametrize("lacking", ["picamera2", "libcamera"])
def test_missing_picamera2_names_debian_s_package(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)

    def refuse(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {lacking!r}", name=lacking)

    monkeypatch.setattr(picamera, "import_module", refuse)
    with pytest.raises(MissingDependencyError, match=f"{lacking}, which.*python3-picamera2"):
        open_source("picamera2").open()


def test_picamera2_that_breaks_on_import_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ValueError("numpy.dtype size changed")

    monkeypatch.setattr(picamera, "import_module", refuse)
    with pytest.raises(SourceError, match="cannot be imported: numpy.dtype size changed"):
        open_source("picamera2").open()


def test_time_limit_is_the_builtin_that_we_catch() -> None:
    from concurrent.futures import TimeoutError as FuturesTimeoutError

    assert FuturesTimeoutError is builtins.TimeoutError
