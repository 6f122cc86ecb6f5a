"""The live picture: one thread draws and encodes frames, and each viewer has a thread to send them.

A viewer's thread is its own and none of the server's, so that whoever watches takes nothing from
those who ask. It sends the newest frame there is when the one before has gone out: on a slow line
frames are left out, not queued. Nothing is encoded while nobody watches.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import LiveReading
from .limits import Limits

__all__ = ["BOUNDARY", "Stream", "draw_jpeg"]

log = logging.getLogger(__name__)

BOUNDARY = "edge-runtime-frame"
# Beyond 80 files grow faster than what an eye gains.
JPEG_QUALITY = 80
# What the system holds of frames on their way to a viewer; by itself it would grow to megabytes,
# which on a slow line are seconds.
SEND_BUFFER_BYTES = 2**17
# How often a viewer that gets no frames is looked after: it may have gone.
PATROL_S = 1.0


@dataclass(frozen=True)
class _Shot:
    number: int
    jpeg: bytes


class Stream:
    """Frames for viewers.

    Attributes:
        max_viewers: One more is refused.
    """

    def __init__(
        self,
        limits: Limits,
        max_viewers: int,
        encode: Callable[[LiveReading, int], bytes] | None = None,
    ) -> None:
        self.max_viewers = max_viewers
        self._limits = limits
        self._encode = encode or draw_jpeg
        self._changed = threading.Condition()
        self._newest: LiveReading | None = None
        self._published = 0
        self._shot: _Shot | None = None
        self._viewers = 0
        self._closed = False
        self._sockets: set[socket.socket] = set()
        self._encoder = threading.Thread(target=self._encode_all, name="encoder", daemon=True)
        self.encoded = 0

    def start(self) -> None:
        """Starts the thread that encodes."""
        self._encoder.start()

    def publish(self, reading: LiveReading) -> None:
        """Takes a frame with its reading; wakes the encoder only if somebody watches."""
        with self._changed:
            self._newest = reading
            self._published += 1
            if self._viewers:
                self._changed.notify_all()

    @property
    def viewers(self) -> int:
        """How many watch."""
        with self._changed:
            return self._viewers

    def admit(self) -> bool:
        """Takes a place for a viewer; `show` or `dismiss` gives it back. False if none is free."""
        with self._changed:
            if self._closed or self._viewers >= self.max_viewers:
                return False
            self._viewers += 1
            self._changed.notify_all()
            return True

    def dismiss(self) -> None:
        """Gives back the place of a viewer that was never shown anything."""
        with self._changed:
            self._viewers -= 1

    def show(self, viewer: socket.socket, head: bytes) -> None:
        """Sends frames to a viewer that was admitted, in a thread of its own, until it goes.

        Args:
            viewer: The connection; closed at the end.
            head: What is sent first: the response's status line and headers.
        """
        with self._changed:
            self._sockets.add(viewer)
        thread = threading.Thread(
            target=self._show, args=(viewer, head), name="viewer", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # The system has no more threads.
            self._part_from(viewer)

    def close(self) -> None:
        """Sends everybody away and ends the threads."""
        with self._changed:
            self._closed = True
            for viewer in self._sockets:
                _hang_up(viewer)
            self._changed.notify_all()
        if self._encoder.ident is not None:
            self._encoder.join(timeout=1.0)

    def _encode_all(self) -> None:
        failed = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wanted() is not None)
                newest, number = self._wanted(), self._published
            if newest is None:
                return
            began = time.monotonic()
            try:
                jpeg = self._encode(newest, self._limits.stream_side)
            except Exception:
                # The loop goes on, and so does the page; once is enough in a log.
                if not failed:
                    log.exception("a frame could not be drawn for the stream")
                failed = True
                time.sleep(PATROL_S)
                continue
            with self._changed:
                self._shot = _Shot(number, jpeg)
                self.encoded += 1
                self._changed.notify_all()
            time.sleep(max(0.0, 1 / self._limits.stream_fps - (time.monotonic() - began)))

    def _wanted(self) -> LiveReading | None:
        """The frame to encode next: the newest, if somebody watches and it is not encoded yet."""
        if self._closed or not self._viewers:
            return None
        encoded = self._shot is not None and self._shot.number == self._published
        return None if encoded else self._newest

    def _show(self, viewer: socket.socket, head: bytes) -> None:
        try:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            # For a whole frame, however slowly it goes: whoever needs longer is not watching.
            viewer.settimeout(self._limits.send_s)
            viewer.sendall(head + f"--{BOUNDARY}\r\n".encode())
            number = 0
            while not self._closed:
                shot = self._newer_than(number)
                if shot is not None:
                    number = shot.number
                    viewer.sendall(_part(shot.jpeg))
                elif _has_gone(viewer):
                    break
        except OSError:
            pass  # It has gone, or does not take what it asked for.
        finally:
            self._part_from(viewer)

    def _part_from(self, viewer: socket.socket) -> None:
        with self._changed:
            self._sockets.discard(viewer)
            self._viewers -= 1
            if not self._viewers:
                self._shot = None  # The next viewer is to start with a picture of its time.
        viewer.close()

    def _newer_than(self, number: int) -> _Shot | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (self._shot is not None and self._shot.number > number),
                timeout=PATROL_S,
            )
            shot = self._shot
        return shot if shot is not None and shot.number > number else None


def draw_jpeg(reading: LiveReading, longest: int) -> bytes:
    """A frame with its boxes, labels and scores as a JPEG file.

    Args:
        reading: What the camera loop made of the frame.
        longest: The picture is made smaller if a side has more pixels than this.

    Returns:
        The file's bytes.
    """
    import cv2

    from ..annotate import draw_reading

    drawn: NDArray[np.uint8] = draw_reading(reading.frame.pixels, reading.reading)
    scale = longest / max(drawn.shape[:2])
    if scale < 1:
        size = (max(1, round(drawn.shape[1] * scale)), max(1, round(drawn.shape[0] * scale)))
        drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(jpeg)


def _part(jpeg: bytes) -> bytes:
    # The boundary follows at once: browsers show a picture when they have seen its end.
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()


def _has_gone(viewer: socket.socket) -> bool:
    timeout = viewer.gettimeout()
    viewer.setblocking(False)
    try:
        # A viewer has nothing more to say; what it says anyway is taken and forgotten.
        return viewer.recv(4096) == b""
    except BlockingIOError:
        return False
    finally:
        viewer.settimeout(timeout)


def _hang_up(viewer: socket.socket) -> None:
    with suppress(OSError):  # It may have gone already.
        viewer.shutdown(socket.SHUT_RDWR)
