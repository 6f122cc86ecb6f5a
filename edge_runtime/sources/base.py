"""What all sources of frames have in common."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import EdgeRuntimeError, InputError, SourceError

__all__ = ["READ_TIMEOUT_S", "DeviceSource", "FrameData", "FrameSource", "Wanted"]

READ_TIMEOUT_S = 8.0
"""How long a live source may give nothing. Below the 10 s after which `Capture` gives up a read
that does not return, so that a source that can tell the reason does."""

# The largest sensor sold for a Raspberry Pi has 9152 columns; V4L2 itself has no limit.
MAX_SIDE = 16_384
MAX_FPS = 1000.0
# Ten seconds: longer than any camera for daylight exposes.
MAX_EXPOSURE_MS = 10_000.0


class FrameData(NamedTuple):
    """One frame as a source gives it.

    Attributes:
        pixels: uint8 of shape (H, W, 3) RGB or (H, W) grey.
        capture_ms: Milliseconds that fetching and decoding took, without waiting for the camera.
        monotonic: When the device says that it was taken, by `time.monotonic`; None if it does not
            say, which means: `capture_ms` before it was given.
        skipped: Older frames that had piled up before it and were thrown away undecoded.
    """

    pixels: NDArray[np.uint8]
    capture_ms: float
    monotonic: float | None = None
    skipped: int = 0


@runtime_checkable
class FrameSource(Protocol):
    """Where frames come from. An object lives once: opened, read by one thread, closed.

    Attributes:
        name: What to call it, without passwords.
        live: Whether its frames come in their own time; false for files, which wait to be read.
    """

    name: str
    live: bool

    def open(self) -> dict[str, Any]:
        """Opens it; may block.

        Returns:
            What was granted: "width", "height", "fps", "format", "exposure", as known.

        Raises:
            SourceError: It is not there, busy, or gives nothing; worth another try if it is live.
            EdgeRuntimeError: Anything else will be so the next time, too.
        """

    def read(self) -> FrameData | None:
        """The next frame, None at the end; may block.

        Raises:
            SourceError: It failed.
        """

    def close(self) -> None:
        """Gives everything back. From any thread, at once, and without an exception.

        While another thread is within `open` or `read`, that thread gives everything back when it
        returns.
        """

    def renew(self) -> FrameSource:
        """The same source once more, not opened yet."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks of a source; None is what the source does by itself.

    Attributes:
        width: Pixels; together with `height`.
        height: Pixels.
        fps: Frames a second.
        exposure: Milliseconds; 0 for automatic.
        pixel_format: Four letters as V4L2 has them, for example "MJPG" or "YUYV".
        loop: A file begins again at its end.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    exposure: float | None = None
    pixel_format: str | None = None
    loop: bool = False

    def __post_init__(self) -> None:
        """Checks what does not depend on the kind of source."""
        if (self.width is None) != (self.height is None):
            raise InputError("width and height go together", "both or neither")
        for name, value in (("width", self.width), ("height", self.height)):
            if value is not None and not 1 <= value <= MAX_SIDE:
                raise InputError(f"the {name} is {value}", f"1 to {MAX_SIDE} pixels")
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            raise InputError(f"the frame rate is {self.fps}", f"up to {MAX_FPS:g} frames a second")
        if self.exposure is not None and not 0 <= self.exposure <= MAX_EXPOSURE_MS:
            raise InputError(
                f"the exposure is {self.exposure} ms",
                f"0 (automatic) to {MAX_EXPOSURE_MS:g} ms",
            )
        if self.pixel_format is not None and not (
            len(self.pixel_format) == 4 and self.pixel_format.isascii()
        ):
            raise InputError(
                f"the pixel format is {self.pixel_format!r}", "four letters as in MJPG or YUYV"
            )

    def only(self, what: str, *names: str) -> Wanted:
        """These wishes, if they are among those that this kind of source can grant.

        Args:
            what: The kind of source, for the error.
            names: The fields that it can grant.

        Returns:
            Itself.

        Raises:
            InputError: There is another.
        """
        for field in fields(self):
            if getattr(self, field.name) not in (None, False) and field.name not in names:
                raise InputError(
                    f"{field.name.replace('_', ' ')} cannot be set for {what}",
                    " or ".join(name.replace("_", " ") for name in names) or "no setting",
                )
        return self


class DeviceSource(ABC):
    """Base of this package's sources: one thread opens and reads, any thread may close.

    Native code must not lose its device while it reads from it, and a read may block for ever. So
    `close` only says what is wanted while the lock is held, and whoever holds it gives the device
    back.
    """

    live = True

    def __init__(self, name: str, wanted: Wanted | None = None) -> None:
        """Names the source and keeps what is wanted of it."""
        self.name = name
        self._wanted = wanted or Wanted()
        self._busy = threading.Lock()
        self._closing = threading.Event()
        self._due = 0.0

    @abstractmethod
    def renew(self) -> FrameSource:
        """See `FrameSource`."""

    @abstractmethod
    def _open(self) -> dict[str, Any]:
        """What `open` does."""

    @abstractmethod
    def _read(self) -> FrameData | None:
        """What `read` does."""

    @abstractmethod
    def _release(self) -> None:
        """Gives back what is held; called again, it finds nothing to do."""

    def _interrupt(self) -> None:  # noqa: B027 - most devices do not allow it.
        """Wakes a read in another thread, if the device allows that."""

    def open(self) -> dict[str, Any]:
        """See `FrameSource`."""
        with self._working():
            try:
                return self._open()
            except BaseException:
                with suppress(Exception):  # What half of an opening left behind.
                    self._release()
                raise

    def read(self) -> FrameData | None:
        """See `FrameSource`."""
        with self._working():
            return self._read()

    def close(self) -> None:
        """See `FrameSource`."""
        self._closing.set()
        self._interrupt()
        self._give_back()

    @contextmanager
    def _working(self) -> Iterator[None]:
        try:
            with self._busy:
                if self._closing.is_set():
                    raise SourceError(f"{self.name} was closed", remedy="open it anew")
                try:
                    yield
                except EdgeRuntimeError:
                    raise
                except Exception as error:  # Drivers' libraries raise whatever they like.
                    reason = str(error) or type(error).__name__
                    raise SourceError(f"{self.name} failed: {reason}") from error
        finally:
            if self._closing.is_set():
                self._give_back()

    def _give_back(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                with suppress(Exception):  # What is given up has nothing left to tell.
                    self._release()
            finally:
                self._busy.release()

    def _pace(self, fps: float | None) -> bool:
        """Waits until the next frame is due; false if the source was closed meanwhile."""
        if fps is not None:
            now = time.monotonic()
            if self._closing.wait(max(0.0, self._due - now)):
                return False
            # One that came late does not make the next ones hurry.
            self._due = max(self._due, now) + 1 / fps
        return not self._closing.is_set()
