"""Stand-ins for what a test bench does not have: a camera that fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SourceError
from .sources.base import DeviceSource, FrameData, FrameSource, Wanted

__all__ = ["FakeCamera"]

DEFAULT_FPS = 30.0


class FakeCamera(DeviceSource):
    """A camera that shows what it is given, and fails as real ones do.

    What it counts and what is wrong with it is shared by all that `renew` makes of it, as one
    device is by all who open it. Counts of frames begin anew with each opening.

    Args:
        frames: Pictures, uint8 (H, W, 3) RGB or (H, W) grey. A list or array is shown again and
            again if `live` (a single picture is then a frozen one), else once; anything else until
            it ends. By default a grey picture of
            48 × 64 in which each frame differs from the last.
        fps: Frames a second; None for as many as are read.
        live: Whether it behaves as a camera or as a file.
        absent_openings: So many openings fail first; negative for all.
        fail_after: After so many frames `read` raises `SourceError`.
        block_after: After so many frames `read` blocks until `unblock` is called, whoever closes.
        frozen_after: After so many frames the last one is given again and again.
        end_after: After so many frames `read` gives None.
        faulty_openings: In how many openings, counted from the first, the faults above occur; None
            for all.
        block_open: `open` blocks until `unblock` is called.
        name: What it is called.

    Attributes:
        openings: How often it was opened.
        closings: How often it gave its device back.
        frames_given: Frames read, over all openings.

    >>> camera = FakeCamera([np.zeros((2, 2), np.uint8)], live=False, fps=None)
    >>> camera.open()
    {'width': 2, 'height': 2, 'fps': None, 'format': 'fake'}
    >>> camera.read().pixels.shape, camera.read()
    ((2, 2), None)
    """

    def __init__(
        self,
        frames: Iterable[NDArray[np.uint8]] | None = None,
        *,
        fps: float | None = DEFAULT_FPS,
        live: bool = True,
        absent_openings: int = 0,
        fail_after: int | None = None,
        block_after: int | None = None,
        frozen_after: int | None = None,
        end_after: int | None = None,
        faulty_openings: int | None = None,
        block_open: bool = False,
        name: str = "a fake camera",
    ) -> None:
        super().__init__(name, Wanted(fps=fps))
        self.live = live
        self._device = _Device(
            frames=frames,
            fps=fps,
            live=live,
            absent_openings=absent_openings,
            faults={
                "fail": fail_after,
                "block": block_after,
                "end": end_after,
                "freeze": frozen_after,
            },
            faulty_openings=faulty_openings,
            block_open=block_open,
        )
        self._frames: Iterator[NDArray[np.uint8]] | None = None
        self._faulty = True
        self._given = 0
        self._last: NDArray[np.uint8] | None = None

    @property
    def openings(self) -> int:
        """How often it was opened, or tried to."""
        return self._device.openings

    @property
    def closings(self) -> int:
        """How often it gave its device back."""
        return self._device.closings

    @property
    def frames_given(self) -> int:
        """Frames read, over all openings."""
        return self._device.frames_given

    def unplug(self) -> None:
        """Pulls the cable: reads and openings fail until `plug`."""
        self._device.plugged.clear()

    def plug(self) -> None:
        """Puts the cable back in."""
        self._device.plugged.set()

    def unblock(self) -> None:
        """Lets all calls that block return, now and later."""
        self._device.unblocked.set()

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        twin = FakeCamera(name=self.name, fps=self._wanted.fps, live=self.live)
        twin._device = self._device
        return twin

    def _open(self) -> dict[str, Any]:
        device = self._device
        device.openings += 1
        self._faulty = device.faulty_openings is None or device.openings <= device.faulty_openings
        if device.block_open and self._faulty:
            device.unblocked.wait()
        absent = device.absent_openings
        if not device.plugged.is_set() or absent < 0 or device.openings <= absent:
            raise SourceError(f"there is no camera at {self.name}", remedy="plug it in")
        self._frames = device.pictures()
        height, width = device.shape
        return {"width": width, "height": height, "fps": device.fps, "format": "fake"}

    def _read(self) -> FrameData | None:
        device = self._device
        if not self._pace(device.fps):
            return None
        if not device.plugged.is_set():
            raise SourceError(f"{self.name} is gone", remedy="check its cable")
        fault = self._fault()
        if fault == "fail":
            raise SourceError(f"{self.name} gives no frames", remedy="check its cable")
        if fault == "block":
            device.unblocked.wait()
        if fault == "end" or self._frames is None:
            return None
        if fault != "freeze" or self._last is None:
            self._last = next(self._frames, None)
            if self._last is None:
                return None
        self._given += 1
        device.frames_given += 1
        return FrameData(self._last, 0.0)

    def _fault(self) -> str | None:
        if not self._faulty:
            return None
        for name, after in self._device.faults.items():
            if after is not None and self._given >= after:
                return name
        return None

    def _release(self) -> None:
        if self._frames is not None:
            self._frames = None
            self._device.closings += 1


class _Device:
    """What all openings of one fake camera share."""

    def __init__(
        self,
        *,
        frames: Iterable[NDArray[np.uint8]] | None,
        fps: float | None,
        live: bool,
        absent_openings: int,
        faults: dict[str, int | None],
        faulty_openings: int | None,
        block_open: bool,
    ) -> None:
        self.fps = fps
        self.absent_openings = absent_openings
        self.faults = faults
        self.faulty_openings = faulty_openings
        self.block_open = block_open
        self.openings = self.closings = self.frames_given = 0
        self.plugged, self.unblocked = threading.Event(), threading.Event()
        self.plugged.set()
        self._live = live
        self._again: Sequence[NDArray[np.uint8]] | None = None
        self._once: Iterator[NDArray[np.uint8]] = iter(())
        self.shape = (0, 0)
        if frames is None:
            self._once, self.shape = _noise(), (48, 64)
        elif isinstance(frames, Sequence | np.ndarray):
            self._again = list(frames)
            height, width = self._again[0].shape[:2] if self._again else (0, 0)
            self.shape = (height, width)
        else:
            self._once = iter(frames)

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The pictures that the next opening shows."""
        if self._again is None:
            return self._once
        return _again_and_again(self._again) if self._live else iter(self._again)


def _again_and_again(frames: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    while frames:
        yield from frames


def _noise() -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    while True:
        yield random.integers(120, 136, (48, 64), np.uint8)
