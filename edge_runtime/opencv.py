"""OpenCV's video half: imported when it is needed, and kept from writing to the terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import MissingDependencyError

__all__ = ["import_opencv", "quiet"]

# libavutil/log.h: AV_LOG_QUIET. FFmpeg's own lines show the address with its password.
FFMPEG_QUIET = "-8"
# Seconds after which a V4L2 camera that gives nothing is given up; OpenCV's own default is 10.
V4L2_SELECT_TIMEOUT_S = "5"

_lock = threading.Lock()
_users = 0
_level = 0


def import_opencv() -> Any:
    """The module ``cv2``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    # Read once by the native code, when it first opens a video; what a person has set stays.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", V4L2_SELECT_TIMEOUT_S)
    try:
        import cv2
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingDependencyError(
            "OpenCV, which reads cameras and videos, is not installed",
            remedy="pip install 'edge-runtime[camera]'",
        ) from None
    return cv2


@contextmanager
def quiet(cv2: Any) -> Iterator[None]:
    """Keeps OpenCV's warnings off the terminal: the one line that the caller makes is enough.

    The level is the process's, so it comes back when the last of several threads is through.
    """
    global _users, _level
    log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 5 has moved it.
    with _lock:
        if _users == 0:
            _level = log.setLogLevel(0)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                log.setLogLevel(_level)
