"""Results in a window, where there is a screen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from ..annotate import draw_reading
from ..errors import OutputError
from ..frames import LiveReading, SourceStatus
from ..health import Health
from ..opencv import import_opencv

__all__ = ["WindowOutput"]

TITLE = "edge-run camera (q ends)"
# Starting Python, OpenCV and its window library on a Pi Zero 2 with a cold disk.
PROBE_TIMEOUT_S = 30.0
KEYS_THAT_END = {ord("q"), ord("Q"), 27}
INSTEAD = "use --preview 8080 and a browser on any machine"


class WindowOutput:
    """Shows each frame with its boxes and readings; q, Escape or closing the window ends the loop.

    The build of OpenCV without windows is the default, and where no display answers the window
    library ends the whole process. So a window is first opened in a child process.
    """

    def __init__(self, stop: threading.Event) -> None:
        """Opens the window.

        Args:
            stop: Set when the person closes the window.

        Raises:
            MissingDependencyError: OpenCV is not installed.
            OutputError: There is no display, or OpenCV was built without windows.
        """
        self._cv2 = import_opencv()
        self._stop = stop
        _probe(self._cv2)
        self._cv2.namedWindow(TITLE, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO)
        self._shown = False

    def reading(self, reading: LiveReading) -> None:
        """Shows a result."""
        picture = draw_reading(reading.frame.pixels, reading.reading, reading.text)
        self._cv2.imshow(TITLE, self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2BGR))
        key = self._cv2.waitKey(1)
        closed = self._shown and self._cv2.getWindowProperty(TITLE, self._cv2.WND_PROP_VISIBLE) < 1
        self._shown = True
        if closed or (key >= 0 and key & 0xFF in KEYS_THAT_END):
            self._stop.set()

    def status(self, status: SourceStatus, health: Health) -> None:
        """Writes the camera's state into the window's title."""
        self._cv2.setWindowTitle(TITLE, f"{TITLE}: {status.state.value}")

    def close(self) -> None:
        """Closes the window."""
        self._cv2.destroyAllWindows()


def _probe(cv2: object) -> None:
    windowed = sys.platform in ("win32", "darwin")
    if not windowed and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise OutputError("--show: there is no display here", "a screen", INSTEAD)
    program = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, timeout=PROBE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise OutputError("--show: the display does not answer", "a screen", INSTEAD) from None
    if done.returncode == 0:
        return
    if b"not implemented" in done.stderr:  # What OpenCV says of itself when built without windows.
        raise OutputError(
            "--show: this OpenCV was built without windows",
            "the one of the extra window",
            "pip uninstall opencv-python-headless; pip install 'edge-runtime[window]'; "
            f"or {INSTEAD}",
        )
    raise OutputError("--show: no window can be opened on this display", "a screen", INSTEAD)
