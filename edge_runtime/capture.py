"""Keeps the newest frame of a source at hand, and the source alive.

Two threads: one reads and may be stuck in a driver for ever; the other watches it, gives it up,
and opens the source anew. Whoever takes frames waits for neither.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SourceError
from .frames import CameraState, Frame, SourceStatus
from .recovery import Backoff, Patience, Stillness
from .sources.base import FrameData, FrameSource

__all__ = ["TRIED_AGAIN", "Capture"]

TRIED_AGAIN = "; it is tried again"
"""How the reason ends while a source is away; not true any more once nobody waits for it."""


@dataclass
class _Attempt:
    """One opening of the source and what came of it. Guarded by the capture's lock."""

    source: FrameSource
    stillness: Stillness
    # When the present call into the source began; None between calls.
    call_began: float | None
    opened: bool = False
    first_frame: float | None = None
    last_frame: float = 0.0
    # What ended it: an error, or the end of the frames.
    error: BaseException | None = None
    state: CameraState | None = None
    thread: threading.Thread = field(init=False)


class Capture:
    """A source that is read in the background.

    The frame handed out is always the newest; older ones nobody took are dropped and counted. A
    live source that fails, ends, blocks or freezes is opened anew, after longer and longer waits.

    Args:
        source: Where frames come from; it is not opened itself, but renewed for each opening. (One
            that has no `renew` is opened again itself, and not while a call of it is stuck.)
        keep_all: Drop nothing: the source waits until its frame was taken. By default for sources
            that are not live.
        patience: The times after which something is done.

    Use it as a context manager, or `close` it.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        keep_all: bool | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._source = source
        self._live = source.live
        self._keep_all = not source.live if keep_all is None else keep_all
        self._patience = patience or Patience()
        lock = threading.Lock()
        # Those who wait for a frame or for room for one, and the one who watches.
        self._frames = threading.Condition(lock)
        self._events = threading.Condition(lock)
        self._lock = lock
        self._slot: Frame | None = None
        self._number = 0
        self._dropped = 0
        self._closed = False
        self._over = False
        self._failure: BaseException | None = None
        self._attempt: _Attempt | None = None
        self._readers: list[threading.Thread] = []
        self._watcher: threading.Thread | None = None
        self._state = CameraState.OPENING
        self._reason = ""
        self._since = time.time()
        self._next_try: float | None = None
        self._runs = 0
        self._name = source.name
        self._granted: dict[str, Any] = {}

    def __enter__(self) -> Capture:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begins to read; what has begun goes on."""
        with self._lock:
            if self._watcher is not None or self._closed:
                return
            self._watcher = threading.Thread(target=self._watch, name="capture", daemon=True)
            self._watcher.start()

    def newest(self, timeout: float) -> Frame | None:
        """The newest frame that was not handed out yet.

        Args:
            timeout: Seconds to wait for one.

        Returns:
            The frame; None after `timeout`, at the end (`status` says which) or once closed.

        Raises:
            EdgeRuntimeError: Trying again is useless: a file cannot be read, a package is missing.
        """
        self.start()
        deadline = time.monotonic() + timeout
        with self._lock:
            while self._slot is None and not self._over:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return None
                self._frames.wait(remaining)
            frame, self._slot = self._slot, None
            if frame is not None:
                self._frames.notify_all()  # There is room for the next.
            elif self._failure is not None and not self._closed:
                raise self._failure
            return frame

    @property
    def status(self) -> SourceStatus:
        """Where the source is now."""
        with self._lock:
            next_try = self._next_try
            return SourceStatus(
                state=self._state,
                reason=self._reason,
                since=self._since,
                next_try_s=None if next_try is None else max(0.0, next_try - time.monotonic()),
                reconnections=max(0, self._runs - 1),
                name=self._name,
                granted=dict(self._granted),
            )

    @property
    def dropped(self) -> int:
        """Frames that nobody took, because newer ones had come."""
        with self._lock:
            return self._dropped

    def close(self) -> None:
        """Ends it within a second, also while the device does not answer."""
        with self._lock:
            self._closed = self._over = True
            self._slot = None
            if self._state is not CameraState.ENDED:
                self._enter(CameraState.ENDED, "closed")
            watcher, readers = self._watcher, list(self._readers)
            self._frames.notify_all()
            self._events.notify_all()
        deadline = time.monotonic() + self._patience.close_s
        for thread in filter(None, (watcher, *readers)):
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    # What the watching thread does.

    def _watch(self) -> None:
        """Opens the source again and again, until it ends for good."""
        try:
            self._supervise()
        except BaseException as error:  # No thread can be started: whoever waits must hear of it.
            with self._lock:
                self._failure, self._over = error, True
                self._enter(CameraState.ENDED, repr(error))
                self._frames.notify_all()

    def _supervise(self) -> None:
        waits = Backoff(self._patience)
        last: NDArray[np.uint8] | None = None
        while not self._closed:
            if not self._may_open(waits):
                continue
            attempt = self._begin(Stillness(last))
            state, reason, final = self._await_end(attempt)
            if attempt.state is None:
                self._give_up(attempt)
            # Of a picture that froze, the first that differs shows that it came back.
            froze = attempt.state is CameraState.STALLED
            last = attempt.stillness.last if froze else None
            if final:
                return
            if (
                attempt.first_frame is not None
                and attempt.last_frame - attempt.first_frame >= self._patience.well_s
            ):
                waits.reset()
            self._rest(state, reason + TRIED_AGAIN, waits.next_wait_s())

    def _give_up(self, attempt: _Attempt) -> None:
        """Tells a source to close whose call has not returned. Its reader does it, later.

        Should the call return at this very moment, closing is ours and may block: hence a thread.
        """
        closer = threading.Thread(target=attempt.source.close, name="capture-close", daemon=True)
        with self._lock:
            self._readers.append(closer)
        closer.start()

    def _may_open(self, waits: Backoff) -> bool:
        """False, after a wait, while too many calls into the device have never returned."""
        with self._lock:
            self._readers = [thread for thread in self._readers if thread.is_alive()]
            stuck = len(self._readers)
        if stuck < (self._patience.max_stuck if hasattr(self._source, "renew") else 1):
            return True
        reason = (
            f"{stuck} calls to {self._name} have never returned; it is not opened again before one "
            "does; plug it in again, or start the program anew"
        )
        self._rest(CameraState.STALLED, reason, waits.next_wait_s())
        return False

    def _begin(self, stillness: Stillness) -> _Attempt:
        renew = getattr(self._source, "renew", None)
        source = self._source if renew is None else renew()
        attempt = _Attempt(source, stillness, call_began=time.monotonic())
        attempt.thread = threading.Thread(
            target=self._read, args=(attempt,), name="capture-read", daemon=True
        )
        with self._lock:
            self._attempt = attempt
            self._next_try = None
            self._readers.append(attempt.thread)
        attempt.thread.start()
        return attempt

    def _await_end(self, attempt: _Attempt) -> tuple[CameraState, str, bool]:
        """Waits until an attempt has ended or must be given up: state, reason, whether for good."""
        with self._lock:
            while attempt.state is None and not self._closed:
                limit_s = self._patience.read_s if attempt.opened else self._patience.open_s
                # A file on a sleeping disk may take its time; nobody loses a moment of it.
                watched = self._live and attempt.call_began is not None
                left_s = limit_s
                if watched and attempt.call_began is not None:
                    left_s = attempt.call_began + limit_s - time.monotonic()
                if left_s <= 0:
                    self._attempt = None
                    if attempt.opened:
                        reason = f"{attempt.source.name} has not given a frame for {limit_s:g} s"
                        return CameraState.STALLED, reason, False
                    reason = f"{attempt.source.name} did not open within {limit_s:g} s"
                    return CameraState.ABSENT, reason, False
                self._events.wait(left_s)
            self._attempt = None
            if attempt.state is None:  # Closed.
                return CameraState.ENDED, "", True
            reason = "" if attempt.error is None else str(attempt.error)
            if attempt.state is CameraState.ENDED:
                self._failure = attempt.error
                self._over = True
                if not self._closed:
                    self._enter(CameraState.ENDED, reason)
                self._frames.notify_all()
                return CameraState.ENDED, reason, True
            return attempt.state, reason, False

    def _rest(self, state: CameraState, reason: str, wait_s: float) -> None:
        with self._lock:
            if self._closed:
                return
            self._enter(state, reason)
            self._next_try = until = time.monotonic() + wait_s
            while not self._closed and (left_s := until - time.monotonic()) > 0:
                self._events.wait(left_s)

    def _enter(self, state: CameraState, reason: str) -> None:
        """Changes the state; with the lock held."""
        if state is not self._state:
            self._since = time.time()
        self._state, self._reason, self._next_try = state, reason, None

    # What the reading thread does.

    def _read(self, attempt: _Attempt) -> None:
        """Opens and reads until somebody says that it is enough."""
        try:
            granted = attempt.source.open()
            with self._lock:
                attempt.opened, attempt.call_began = True, None
                if self._attempt is attempt:
                    self._name, self._granted = attempt.source.name, granted
            while self._read_one(attempt):
                pass
        except BaseException as error:
            # Trying again helps a camera, not a file, and not where a package is missing.
            retry = self._live and isinstance(error, SourceError)
            self._end(attempt, CameraState.ABSENT if retry else CameraState.ENDED, error)
        finally:
            attempt.source.close()

    def _read_one(self, attempt: _Attempt) -> bool:
        """Reads a frame and leaves it for whoever wants it; false if there will be no more."""
        with self._lock:
            if self._closed or self._attempt is not attempt:
                return False
            attempt.call_began = time.monotonic()
        data = attempt.source.read()
        now = time.monotonic()
        if data is None:
            if self._live:
                error = SourceError(f"{attempt.source.name} ended")
                self._end(attempt, CameraState.ABSENT, error)
            else:
                self._end(attempt, CameraState.ENDED, None)
            return False
        if not self._live:
            return self._hand_over(attempt, data, now)
        stillness = attempt.stillness
        stillness.see(data.pixels, now)
        if stillness.still_s >= self._patience.frozen_s:
            error = SourceError(
                f"{attempt.source.name} has given the same picture for {stillness.still_s:.0f} s"
            )
            self._end(attempt, CameraState.STALLED, error)
            return False
        return self._hand_over(attempt, data, now)

    def _hand_over(self, attempt: _Attempt, data: FrameData, now: float) -> bool:
        taken = now - data.capture_ms / 1000 if data.monotonic is None else data.monotonic
        pixels = data.pixels.view()
        pixels.flags.writeable = False
        with self._lock:
            # None while the frame waits to be taken: then nobody can call the source stuck.
            attempt.call_began = None
            while (
                self._keep_all
                and self._slot is not None
                and not self._closed
                and self._attempt is attempt
            ):
                self._frames.wait()
            if self._closed or self._attempt is not attempt:
                return False
            self._number += data.skipped
            number, self._number = self._number, self._number + 1
            self._dropped += data.skipped
            if self._live and not self._moves(attempt):
                return True
            self._dropped += self._slot is not None
            attempt.first_frame = attempt.first_frame or now
            attempt.last_frame = now
            age_s = now - taken
            self._slot = Frame(pixels, number, time.time() - age_s, taken, data.capture_ms)
            if self._state is not CameraState.RUNNING:
                self._runs += 1
                self._enter(CameraState.RUNNING, "")
            self._frames.notify_all()
        return True

    def _moves(self, attempt: _Attempt) -> bool:
        """False if the camera was reopened because its picture froze, and it still is frozen."""
        return attempt.first_frame is not None or attempt.stillness.moving

    def _end(self, attempt: _Attempt, state: CameraState, error: BaseException | None) -> None:
        with self._lock:
            if attempt.state is None:
                attempt.state, attempt.error = state, error
            self._events.notify_all()
