"""Locks: one installation at a time, and none while a model is on its way."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .places import DEPLOY_USER, OPT, STATE, full_name
from .programs import StepError

__all__ = ["no_transfer", "one_at_a_time", "remove_leftovers"]

STORE_LOCK = STATE / "lock"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keeps other installations and removals out: a lock on a folder, which leaves no file.

    Raises:
        StepError: One is under way.
    """
    handle = os.open(OPT, os.O_RDONLY)
    try:
        if not _locks(handle):
            raise StepError("another installation is under way there; try again later")
        yield
    finally:
        os.close(handle)


@contextmanager
def no_transfer() -> Iterator[None]:
    """Holds the lock of the models' folder, as ``edge-run receive`` does.

    Raises:
        StepError: A model is being received there.
    """
    if full_name(DEPLOY_USER) is None or not STATE.is_dir():
        yield
        return
    handle = _store_lock()
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            STORE_LOCK.unlink()
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Removes what a power cut left of earlier archives.

    Args:
        folder: Ours. Whoever unpacks another one or uses it has a lock on its folder.
    """
    for path in folder.parent.glob("edge-install.*"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                if path != folder and _locks(handle):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _store_lock() -> int:
    while True:
        handle = _open_lock()
        if not _locks(handle):
            os.close(handle)
            raise StepError("a transfer of a model is under way there; try again when it is done")
        # Who held it may have removed the file since we opened it; then it keeps nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), STORE_LOCK.stat()):
                return handle
        os.close(handle)


def _open_lock() -> int:
    while True:
        # Not made and opened in one call: in a folder that others may write the kernel keeps the
        # superuser, too, from that (fs.protected_regular).
        with suppress(FileNotFoundError):
            return os.open(STORE_LOCK, os.O_RDWR | os.O_NOFOLLOW)
        with suppress(FileExistsError):
            handle = os.open(STORE_LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            shutil.chown(STORE_LOCK, DEPLOY_USER, DEPLOY_USER)
            return handle


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
