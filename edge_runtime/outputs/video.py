"""Results as a video file, each frame with its boxes and readings."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..annotate import draw_reading
from ..errors import InputError, OutputError
from ..files import atomic_path
from ..frames import LiveReading, SourceStatus
from ..health import Health
from ..opencv import import_opencv

__all__ = ["VideoOutput"]

# What OpenCV's own FFmpeg encodes without a library of the system, by the file's suffix. Motion
# JPEG in AVI can be played even if the end is missing; MPEG-4 takes a fifth of the room.
CODECS = {".avi": "MJPG", ".mkv": "mp4v", ".mp4": "mp4v"}
DEFAULT_FPS = 15.0
# A camera of 60 frames a second makes a file twice the size that nobody enjoys more.
MAX_FPS = 30.0
# A live source that was away leaves a gap. More is not filled with its last picture.
MAX_REPEATS = 300
LIMIT_BYTES = 2 * 1024**3
# What a Linux system needs to go on: logs, package updates, our own last lines.
RESERVE_BYTES = 64 * 1024**2
# Asking the system for its free space takes microseconds; a second of video takes 100 KB.
CHECK_EVERY_FRAMES = 15


class VideoOutput:
    """Writes an annotated video beside its place, and moves it there when it is whole.

    The video runs at the speed of what it shows: a frame is repeated where the loop was slower than
    the video's rate, or skipped where it was faster. A source that is not live gives one frame for
    each of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        live: bool = True,
        limit_bytes: int = LIMIT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Looks whether the video can be written; begins with the first frame, whose size counts.

        Args:
            path: The file; its suffix says the format.
            live: Frames come in their own time, and are repeated or skipped to keep it.
            limit_bytes: The largest size; the video ends there.
            reserve_bytes: What must stay free on the disk; the video ends there.

        Raises:
            InputError: An unknown suffix, no such folder, or no room from the start.
            MissingDependencyError: OpenCV is not installed.
        """
        self._path = Path(path)
        self._codec = CODECS.get(self._path.suffix.lower(), "")
        if not self._codec:
            raise InputError(
                f"{path} ends in {self._path.suffix or 'nothing'}", f"one of {', '.join(CODECS)}"
            )
        if self._path.is_dir() or not os.access(self._path.parent, os.W_OK | os.X_OK):
            raise InputError(
                f"{path} cannot be written",
                "a file in a folder that is there and that this user may write",
            )
        self._limit, self._reserve, self._live = limit_bytes, reserve_bytes, live
        if (free := shutil.disk_usage(self._path.parent).free) < reserve_bytes:
            raise InputError(
                f"the disk of {path} has {free:,} bytes free",
                f"at least {reserve_bytes:,}",
                "free some space, or write elsewhere",
            )
        import_opencv()
        self._fps = DEFAULT_FPS
        self._writer: Any = None
        self._temporary: Path | None = None
        self._place = ExitStack()
        self._size = (0, 0)
        self._began = 0.0
        self._frames = 0

    def status(self, status: SourceStatus, health: Health) -> None:
        """Learns the frame rate that the camera granted, before the first frame."""
        fps = status.granted.get("fps")
        if self._writer is None and isinstance(fps, int | float) and 0 < fps < 1000:
            self._fps = min(float(fps), MAX_FPS) if self._live else float(fps)

    def reading(self, reading: LiveReading) -> None:
        """Writes the frame as often as its time asks for.

        Raises:
            OutputError: The disk or the limit is reached; what was written is kept.
        """
        frame = reading.frame
        if self._writer is None:
            self._open(frame.pixels)
            self._began = frame.monotonic
        count = 1
        if self._live:
            due = round((frame.monotonic - self._began) * self._fps) + 1
            if due - self._frames > MAX_REPEATS:
                # The camera was away: the gap is left out.
                self._began += (due - self._frames - 1) / self._fps
                due = self._frames + 1
            count = due - self._frames
        if count < 1:
            return
        picture = self._picture(draw_reading(frame.pixels, reading.reading, reading.text))
        for _ in range(count):
            self._writer.write(picture)
            self._frames += 1
            if self._frames % CHECK_EVERY_FRAMES == 0:
                self._check_room()

    def close(self) -> None:
        """Finishes the file and moves it to its place.

        Raises:
            OutputError: It could not be finished.
        """
        if self._writer is None or self._temporary is None:
            return
        writer, temporary = self._writer, self._temporary
        self._writer = self._temporary = None
        # Leaving this block well moves the file to its place; leaving it by an error removes it.
        with self._place.pop_all():
            writer.release()
            # OpenCV says nothing of a write that failed, so what it wrote is looked at.
            if not _can_be_played(temporary):
                raise OutputError(
                    f"{self._path} could not be finished", "a video that plays", "is the disk full?"
                )

    def _open(self, pixels: NDArray[np.uint8]) -> None:
        cv2 = import_opencv()
        height, width = pixels.shape[:2]
        # Video codecs store colour for two pixels at once, so sides are even.
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        with ExitStack() as place:
            temporary = place.enter_context(atomic_path(self._path))
            codec = cv2.VideoWriter_fourcc(*self._codec)
            writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, codec, self._fps, self._size)
            if not writer.isOpened():
                raise OutputError(
                    f"OpenCV cannot write {self._codec} to {self._path}",
                    "an OpenCV with FFmpeg",
                    "pip install 'edge-runtime[camera]'",
                )
            self._writer, self._temporary, self._place = writer, temporary, place.pop_all()

    def _picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame as OpenCV wants it; a camera that came back may have another size."""
        cv2 = import_opencv()
        bgr: NDArray[np.uint8] = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        width, height = self._size
        if bgr.shape[:2] == (height, width):
            return bgr
        if 0 <= bgr.shape[0] - height < 2 and 0 <= bgr.shape[1] - width < 2:
            return np.ascontiguousarray(bgr[:height, :width])
        return np.asarray(cv2.resize(bgr, self._size, interpolation=cv2.INTER_AREA))

    def _check_room(self) -> None:
        assert self._temporary is not None
        size = self._temporary.stat().st_size
        free = shutil.disk_usage(self._temporary.parent).free
        if size >= self._limit:
            raise OutputError(f"{self._path} has reached its limit of {self._limit:,} bytes")
        if free < self._reserve:
            raise OutputError(
                f"the disk of {self._path} has {free:,} bytes left",
                f"at least {self._reserve:,}",
                "the video ends here",
            )


def _can_be_played(path: Path) -> bool:
    capture = import_opencv().VideoCapture(str(path), import_opencv().CAP_FFMPEG)
    try:
        return bool(capture.isOpened() and capture.read()[0])
    finally:
        capture.release()
