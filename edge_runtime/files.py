"""Reading with a limit, and writing so that a file is either the old one or the new one, whole."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

__all__ = [
    "atomic_path",
    "exclusive_lock",
    "folder_name",
    "new_file",
    "read_limited",
    "synchronise",
    "writable_folder",
    "write_atomic",
]

# What cannot stand in a file name on one of the usual systems.
UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f]')


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well.

    For writers that want a file name (``model.save``, ``savefig``). The temporary name keeps the
    suffix, because such writers choose their format by it. After an exception `path` is as it was.

    Args:
        path: The file to write. Its folder is made if it is missing.

    Yields:
        The temporary path; the block must create or overwrite that file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files for the owner alone; what we write is for whoever may read the folder.
        temporary.chmod(0o666 & ~_umask())
        synchronise(temporary)
        temporary.replace(target)
        synchronise(target.parent)
    except OSError as error:
        # A full disk names no file by itself, and a temporary name means nothing to anybody.
        if error.filename in (None, name):
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Writes `data` (text as UTF-8) to `path`, which is at every moment the old file or the new.

    Args:
        path: The file to write. Its folder is made if it is missing.
        data: The whole content.

    Returns:
        The path written.

    Raises:
        OSError: The folder cannot be written, the disk is full; `path` is then as it was.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a folder and tries that files can be written in it, before work depends on that.

    Args:
        path: The folder that a command's ``--out`` names.

    Returns:
        The folder.

    Raises:
        InputError: It cannot be made, is a file, or takes no files from this user.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        raise InputError(
            f"{folder} is not a folder"
            if in_the_way
            else f"{folder} cannot be written: {error.strerror or error}",
            "a folder that this user may write",
            "choose another folder with --out",
        ) from error
    return folder


@contextmanager
def exclusive_lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a lock file, so that two processes do not do the same work in one place.

    The file is removed when the block ends. After a crash it stays and does no harm: the lock
    itself goes with the process, however that ends.

    Args:
        path: The lock file; made if it is missing.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: The file cannot be made.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows has no such lock; a host there goes without.
        yield
        return
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have removed the file after we opened it. A lock on that file is
            # worth nothing: the next process makes a new one.
            if _is_open_as(handle, path):
                break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield
    finally:
        # Removed while it is locked, and only if it is ours.
        with suppress(OSError):
            if _is_open_as(handle, path):
                os.unlink(path)
        os.close(handle)


def read_limited(path: str | os.PathLike[str], limit_bytes: int) -> bytes:
    """The content of a regular file of at most `limit_bytes`.

    A folder, a pipe or a device is refused before it is opened: reading one may never end.

    Args:
        path: The file.
        limit_bytes: The largest size accepted.

    Returns:
        The bytes of the file.

    Raises:
        InputError: The path does not exist, is not a regular file, is too large or unreadable.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"{path} is {kind}", "a file")
        if status.st_size > limit_bytes:
            raise InputError(
                f"{path} has {status.st_size:,} bytes", f"a file of at most {limit_bytes:,} bytes"
            )
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "a file", "check the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}") from error
    if len(data) > limit_bytes:
        raise InputError(f"{path} grew while it was read", f"at most {limit_bytes:,} bytes")
    return data


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that was not there before; it is on the disk when the block ends.

    Everybody may read it, whatever the umask says: what is stored on a device is read by a service
    of another user.

    Args:
        path: The file. Its name is not on the disk yet: see `synchronise`.

    Yields:
        The open file.

    Raises:
        FileExistsError: Something has that name, be it a link that somebody put there.
        OSError: The disk is full, or the folder cannot be written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o644)
        yield file
        file.flush()
        os.fsync(handle)


def synchronise(path: Path) -> None:
    """Asks the disk to have a file's content, or a folder's names, before we go on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def folder_name(label: str) -> str:
    """What a label is called where it has to be the name of a file or a folder.

    >>> folder_name("T-shirt/top")
    'T-shirt-top'
    """
    return UNSAFE.sub("-", label).strip(". ") or "-"


def _is_open_as(handle: int, path: str | os.PathLike[str]) -> bool:
    """Whether `path` still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
