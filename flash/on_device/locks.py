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

# As `edge_runtime.device_store` has them.
WORK, LOCK = STATE / ".edge-run", "lock"


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
    # The folder belongs to another user, who may put a link where we look: it is opened once, and
    # what happens in it happens to that very folder.
    folder = _work_folder()
    try:
        handle = _store_lock(folder)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(LOCK, dir_fd=folder)
            os.close(handle)
    finally:
        os.close(folder)


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


def _work_folder() -> int:
    try:
        return os.open(WORK, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        WORK.mkdir(0o755)
        shutil.chown(WORK, DEPLOY_USER, DEPLOY_USER)
        return os.open(WORK, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _store_lock(folder: int) -> int:
    while True:
        handle = _open_lock(folder)
        if not _locks(handle):
            os.close(handle)
            raise StepError("a transfer of a model is under way there; try again when it is done")
        # Who held it may have removed the file since we opened it; then it keeps nobody out.
        with suppress(FileNotFoundError):
            found = os.stat(LOCK, dir_fd=folder, follow_symlinks=False)
            if os.path.samestat(os.fstat(handle), found):
                return handle
        os.close(handle)


def _open_lock(folder: int) -> int:
    owner = os.fstat(folder)
    while True:
        # Not made and opened in one call: in a folder that others may write the kernel keeps the
        # superuser, too, from that (fs.protected_regular).
        with suppress(FileNotFoundError):
            return os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW, dir_fd=folder)
        with suppress(FileExistsError):
            handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            os.fchown(handle, owner.st_uid, owner.st_gid)
            return handle


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
