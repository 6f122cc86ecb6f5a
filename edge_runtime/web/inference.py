"""The one thread that owns the classifier, and the queue in front of it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import TypeVar

from ..classifier import Classifier

__all__ = ["BusyError", "Inference"]

T = TypeVar("T")
_Job = tuple["Future[object]", Callable[[Classifier], object]]


class BusyError(Exception):
    """There is no room for one more picture, or no answer in time."""


class Inference:
    """A classifier for many threads: one does the work, the others wait their turn.

    Decoding a picture is part of the work: of the memory it takes, there is one share at a time.
    """

    def __init__(self, factory: Callable[[], Classifier], *, waiting: int, answer_s: float) -> None:
        self._factory, self._answer_s = factory, answer_s
        self._room = threading.BoundedSemaphore(waiting)
        # Never full: who puts something has been given room.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ready: Future[Classifier] = Future()
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._closed = False

    def start(self) -> Classifier:
        """Loads the model, in the thread that will use it.

        Returns:
            The classifier, for reading what it is; only the thread may use it.

        Raises:
            EdgeRuntimeError: What the factory raised.
        """
        self._thread.start()
        return self._ready.result()

    @contextmanager
    def room(self) -> Iterator[None]:
        """Holds one of the places for pictures; entered before the picture is in memory.

        Raises:
            BusyError: All are taken.
        """
        if self._closed or not self._room.acquire(blocking=False):
            raise BusyError("too many pictures at once")
        try:
            yield
        finally:
            self._room.release()

    def run(self, work: Callable[[Classifier], T]) -> T:
        """Lets the thread do something with the classifier.

        Args:
            work: What to do; called in that thread.

        Returns:
            What `work` returned.

        Raises:
            BusyError: There was no answer in time, or this is being closed.
            Exception: What `work` raised.
        """
        answer: Future[T] = Future()
        self._jobs.put((answer, work))  # type: ignore[arg-type]
        try:
            return answer.result(self._answer_s)
        except TimeoutError:
            if answer.done():
                raise
            answer.cancel()  # If its turn has not come, it never will.
            raise BusyError("the classifier took too long") from None
        except CancelledError:
            raise BusyError("the page is being closed") from None

    @property
    def stuck_s(self) -> float:
        """Seconds that the present picture has taken; 0 while there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def alive(self) -> bool:
        """Whether pictures are still being answered."""
        return self._thread.is_alive() and not self._closed

    def close(self) -> None:
        """Ends the thread after the present picture; those that wait are not answered."""
        self._closed = True
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout=1.0)

    def _work(self) -> None:
        try:
            classifier = self._factory()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(classifier)
        while (job := self._jobs.get()) is not None:
            answer, work = job
            if self._closed:
                answer.cancel()
            if not answer.set_running_or_notify_cancel():
                continue
            self._busy_since = time.monotonic()
            try:
                answer.set_result(work(classifier))
            except BaseException as error:
                answer.set_exception(error)
            finally:
                self._busy_since = None
                # The picture is not to stay in memory until the next one comes.
                del job, answer, work
