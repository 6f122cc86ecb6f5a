"""The device's side of ``python -m flash pi``: take a model in, try it, make it the active one.

Everything lives in one folder, by default ``~/.local/share/edge-runtime``:

    active -> releases/SHA256       the model in use; switched by one rename
    releases/SHA256/                model.tflite, golden.npz, manifest.json
    incoming-…/                     a transfer under way, or what a power cut left of one
    lock                            held while a transfer is under way

Until that rename the old model is active, after it the new one, and there is no moment without a
whole model: files are on the disk before the name that leads to them. Whoever can log in may
install a model, for a bundle carries no signature yet.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .bundle import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    MODEL_FILE,
    BundleReader,
    ByteStream,
    FileRecord,
    Manifest,
    is_sha256,
)
from .errors import DeviceError, EdgeRuntimeError
from .files import exclusive_lock, read_limited
from .selftest import SelfTest, run_self_test

__all__ = [
    "DeviceStatus",
    "PatientStream",
    "Receipt",
    "Release",
    "default_directory",
    "receive",
    "status",
]

ACTIVE = "active"
RELEASES = "releases"
LOCK = "lock"
# Both begin with this, so that what a power cut leaves behind is recognised.
INCOMING = "incoming-"

# Room for the file system's own book-keeping beside the two files.
SPARE_BYTES = 2**20
# A transfer from which nothing comes for so long has lost its other end; the lock must not outlive
# it, or a cut cable would block the next attempt.
IDLE_LIMIT_S = 60.0


@dataclass(frozen=True)
class Release:
    """A model on this device.

    Attributes:
        sha256: SHA-256 of its file, which is also the release's name.
        name: The model's name.
        variant: Its variant.
        path: The model's file.
        size_bytes: Its size.
    """

    sha256: str
    name: str
    variant: str
    path: str
    size_bytes: int


@dataclass(frozen=True)
class Receipt:
    """What `receive` did.

    Attributes:
        outcome: "activated", or "unchanged" where that model was active already.
        active: The model that is active now.
        previous: The model that was active before, or None.
        self_test: What the self-test found; None where nothing changed.
    """

    outcome: str
    active: Release
    previous: Release | None
    self_test: SelfTest | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class DeviceStatus:
    """What `status` found.

    Attributes:
        directory: The folder that holds the models.
        active: The active model, or None.
        activated_at: When it became active, by this device's clock (ISO 8601, UTC).
        releases: SHA-256 of every model here.
        problem: What is wrong with the active model, in one line, or None.
    """

    directory: str
    active: Release | None
    activated_at: str | None
    releases: tuple[str, ...]
    problem: str | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        values = asdict(self)
        values["releases"] = list(self.releases)
        return values


class PatientStream:
    """A file descriptor read with a limit on silence.

    Args:
        descriptor: An open pipe or socket.
        idle_limit_s: Seconds without a byte after which the other end counts as lost.
    """

    def __init__(self, descriptor: int, idle_limit_s: float = IDLE_LIMIT_S) -> None:
        self._descriptor = descriptor
        self._idle_limit_s = idle_limit_s

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end.

        Args:
            size: The most to read.

        Returns:
            What has arrived.

        Raises:
            DeviceError: Nothing came for too long.
        """
        if not select.select([self._descriptor], [], [], self._idle_limit_s)[0]:
            raise DeviceError(
                f"nothing arrived for {self._idle_limit_s:.0f} s",
                "the rest of the bundle",
                "check the connection and send it again",
            )
        return os.read(self._descriptor, size)


def default_directory() -> Path:
    """Where this user's models live: below ``$XDG_DATA_HOME``, else ``~/.local/share``."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "edge-runtime"


def receive(
    stream: ByteStream, directory: Path, progress: Callable[[str], None] = lambda _: None
) -> Receipt:
    """Takes in a bundle and makes its model the active one, if it proves itself.

    Args:
        stream: The bundle (see `edge_runtime.bundle`).
        directory: The folder that holds the models; made if it is missing.
        progress: Called with one line for each step.

    Returns:
        What was done.

    Raises:
        DeviceError: The bundle is damaged, the model fails its self-test, the disk is full or
            another transfer is under way. The model that was active stays active.
    """
    directory = directory.absolute()
    try:
        _make_folders(directory / RELEASES)
        with _lock(directory):
            _remove_leftovers(directory)
            return _receive(BundleReader(stream), directory, progress)
    except BrokenPipeError:
        raise  # Nobody listens to the progress any more: the operator's end is gone.
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DeviceError(
            f"{error.filename or directory} cannot be written: {error.strerror or error}",
            "" if full else "a folder that this user may write",
            f"remove old models from {directory / RELEASES}" if full else "choose another folder",
        ) from error


def status(directory: Path) -> DeviceStatus:
    """What is active, checked against its checksum.

    Args:
        directory: The folder that holds the models.

    Returns:
        The status. A folder that does not exist has no active model.
    """
    directory = directory.absolute()
    problem = None
    try:
        active = _active(directory)
        if active is not None and not _intact(active):
            problem = f"the active model {active.path} is damaged; send it again"
    except EdgeRuntimeError as error:
        active, problem = None, str(error)
    activated_at = None
    if active is not None:
        changed = (directory / ACTIVE).lstat().st_mtime
        activated_at = datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
    releases = directory / RELEASES
    names = sorted(p.name for p in releases.iterdir()) if releases.is_dir() else []
    return DeviceStatus(
        str(directory), active, activated_at, tuple(filter(is_sha256, names)), problem
    )


def _receive(reader: BundleReader, directory: Path, progress: Callable[[str], None]) -> Receipt:
    manifest = reader.manifest
    try:
        previous = _active(directory)
    except EdgeRuntimeError:
        previous = None  # An active model that cannot be read is what this transfer mends.
    # A whole bundle before anything is said about it: a cut transfer is a failure even when it
    # would have changed nothing.
    _check_space(directory, manifest)
    progress(f"receiving {manifest.name} {manifest.variant} ({manifest.unpacked_bytes:,} bytes)")
    incoming = Path(tempfile.mkdtemp(prefix=INCOMING, dir=directory))
    try:
        reader.extract(incoming)
        if previous and previous.sha256 == manifest.model.sha256 and _intact(previous):
            return Receipt("unchanged", previous, previous, None)
        progress("letting the model answer its golden inputs")
        found = run_self_test(incoming, manifest.tolerance)
        progress(f"{found.inputs} golden inputs answered rightly; making the model active")
        _store(incoming, directory / RELEASES / manifest.model.sha256)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    _switch(directory, manifest.model.sha256)
    return Receipt("activated", _release(directory, manifest.model.sha256), previous, found)


def _make_folders(folder: Path) -> None:
    """Makes a folder and those above it, each on the disk: no file is safer than its folder."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _to_disk(folder.parent)


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(exclusive_lock(directory / LOCK))
        except BlockingIOError:
            raise DeviceError(
                f"another model is being installed in {directory}",
                "",
                "wait until that is done, then try again",
            ) from None
        yield


def _remove_leftovers(directory: Path) -> None:
    """Removes what an interrupted transfer left; the lock says that none is under way."""
    for path in directory.glob(f"{INCOMING}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_space(directory: Path, manifest: Manifest) -> None:
    free, needed = shutil.disk_usage(directory).free, manifest.unpacked_bytes + SPARE_BYTES
    if free < needed:
        raise DeviceError(
            f"the disk of {directory} has {free:,} bytes left",
            f"{needed:,} bytes",
            f"remove old models from {directory / RELEASES}",
        )


def _store(incoming: Path, release: Path) -> None:
    """Gives a tried model its final name; it is on the disk when this returns."""
    if release.is_dir():
        # Here before, now inactive or damaged: each file is replaced whole.
        for name in (MODEL_FILE, GOLDEN_FILE, MANIFEST_FILE):
            (incoming / name).replace(release / name)
        _to_disk(release)
    else:
        # mkdtemp makes folders for the owner alone; a service of another user reads the model.
        incoming.chmod(0o755)
        _to_disk(incoming)
        incoming.rename(release)
    _to_disk(release.parent)


def _switch(directory: Path, sha256: str) -> None:
    """Makes a stored release the active one: a new link beside the old, renamed over it."""
    link = directory / f"{INCOMING}link"
    link.symlink_to(Path(RELEASES) / sha256)
    link.replace(directory / ACTIVE)
    _to_disk(directory)


def _active(directory: Path) -> Release | None:
    """The release to which the link leads, or None where there is no link."""
    link = directory / ACTIVE
    try:
        target = Path(os.readlink(link))
    except FileNotFoundError:
        return None
    except OSError:
        raise DeviceError(
            f"{link} is not a link", "a link that receive made", "move it out of the way"
        ) from None
    if target.parent != Path(RELEASES) or not is_sha256(target.name):
        raise DeviceError(f"{link} leads to {target}", f"a folder in {RELEASES}", "send a model")
    return _release(directory, target.name)


def _release(directory: Path, sha256: str) -> Release:
    folder = directory / RELEASES / sha256
    manifest = Manifest.from_json(read_limited(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES))
    return Release(
        sha256, manifest.name, manifest.variant, str(folder / MODEL_FILE), manifest.model.size_bytes
    )


def _intact(release: Release) -> bool:
    try:
        data = read_limited(release.path, release.size_bytes)
        return FileRecord.of(data).sha256 == release.sha256
    except EdgeRuntimeError:
        return False


def _to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
