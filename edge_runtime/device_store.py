"""The folder that holds a device's models, and the steps that change it.

    active -> releases/SHA256       the model in use; switched by one rename
    back -> releases/SHA256         while a release is not confirmed: the way back, one rename too
    releases/SHA256/                model.tflite, golden.npz, manifest.json, manifest.json.sig
    state.json                      what is confirmed, what is pending, the counter's floor
    device.json                     the operator's settings; only read here
    incoming-…/                     a transfer under way, or what a power cut left of one
    lock                            held while something changes

Files are on the disk before the name that leads to them, and every name changes by one rename. So
whatever interrupts a step, the folder is as before it or as after it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import DeviceError, EdgeRuntimeError
from .files import exclusive_lock, read_limited, write_atomic
from .manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MAX_COUNTER,
    MAX_MANIFEST_BYTES,
    MODEL_FILE,
    SIGNATURE_FILE,
    BundleError,
    FileRecord,
    Manifest,
    is_sha256,
    utc_time,
)

__all__ = ["ACTIVE", "RELEASES", "Release", "State", "Store"]

ACTIVE = "active"
BACK = "back"
RELEASES = "releases"
STATE_FILE = "state.json"
LOCK = "lock"
# All begin with this, so that what a power cut leaves behind is recognised.
INCOMING = "incoming-"

LOCK_POLL_S = 0.05

# Room for the file system's own book-keeping beside the two files.
SPARE_BYTES = 2**20
MAX_STATE_BYTES = 2**16


@dataclass(frozen=True)
class Release:
    """A model on this device.

    Attributes:
        sha256: SHA-256 of its file, which is also the release's name.
        name: The model's name.
        variant: Its variant.
        path: The model's file.
        size_bytes: Its size.
        counter: The counter of the bundle that brought it.
    """

    sha256: str
    name: str
    variant: str
    path: str
    size_bytes: int
    counter: int = 0


@dataclass(frozen=True)
class State:
    """What must outlive a power cut, beside the files and links themselves.

    Attributes:
        chain: Releases that were confirmed, the newest first: the active one, the previous one,
            and those before it. A rollback takes the first away.
        counter: The smallest counter that is accepted.
        accepted_at: When the newest accepted bundle was made (ISO 8601, UTC), or None.
        pending: The release that was made active and is not confirmed, or None.
        before: What was active before the pending one, or None.
        reverted: The last release that was taken back and why, or None.
    """

    chain: tuple[str, ...] = ()
    counter: int = 0
    accepted_at: str | None = None
    pending: str | None = None
    before: str | None = None
    reverted: dict[str, str] | None = None


class Store:
    """A device's folder.

    Args:
        directory: The folder; need not exist to be read.

    Attributes:
        directory: The folder, absolute.
        releases: The folder below it that holds the releases.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.releases = self.directory / RELEASES

    @contextmanager
    def locked(self, patience_s: float = 0.0) -> Iterator[None]:
        """Makes the folder if it is missing, and holds its lock.

        Args:
            patience_s: Seconds to wait for somebody else who holds it.

        Raises:
            DeviceError: Somebody else holds it.
            OSError: The folder cannot be made or written.
        """
        if not self.releases.is_dir():
            _make_folders(self.releases)
            self.releases.chmod(0o755)  # For the service, whatever the umask says.
        with ExitStack() as held:
            ends = time.monotonic() + patience_s
            while True:
                try:
                    held.enter_context(exclusive_lock(self.directory / LOCK))
                    break
                except BlockingIOError:
                    if time.monotonic() >= ends:
                        raise DeviceError(
                            f"another model is being installed in {self.directory}",
                            "",
                            "wait until that is done, then try again",
                        ) from None
                time.sleep(LOCK_POLL_S)
            yield

    def is_locked(self) -> bool:
        """Whether somebody holds the lock, without taking it oneself (Linux's list of locks)."""
        with suppress(OSError):
            number = (self.directory / LOCK).stat().st_ino
            locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
            return any(f":{number} " in line and " FLOCK " in line for line in locks)
        return False

    def remove_leftovers(self) -> None:
        """Removes what an interrupted transfer left; the lock says that none is under way."""
        for path in self.directory.glob(f"{INCOMING}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        # write_atomic's temporary files, and the way back from a release that was confirmed.
        for path in (*self.directory.glob(f".{Path(STATE_FILE).stem}-*"), self.directory / BACK):
            path.unlink(missing_ok=True)

    def incoming(self) -> Path:
        """A new folder for a transfer."""
        return Path(tempfile.mkdtemp(prefix=INCOMING, dir=self.directory))

    def check_space(self, manifest: Manifest) -> None:
        """Refuses what does not fit on the disk.

        Raises:
            DeviceError: The disk has too little room.
        """
        free, needed = self.free_bytes(), manifest.unpacked_bytes + SPARE_BYTES
        if free < needed:
            raise DeviceError(
                f"the disk of {self.directory} has {free:,} bytes left",
                f"{needed:,} bytes",
                f"remove old models from {self.releases}",
            )

    def free_bytes(self) -> int:
        """Room on the disk, or on the one that the folder would be made on."""
        folder = self.directory
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def active_name(self) -> str | None:
        """The release to which the link leads, or None where there is no link.

        Raises:
            DeviceError: Something else has the link's name, or it leads elsewhere.
        """
        link = self.directory / ACTIVE
        try:
            target = Path(os.readlink(link))
        except FileNotFoundError:
            return None
        except OSError:
            raise DeviceError(
                f"{link} is not a link", "a link that receive made", "move it out of the way"
            ) from None
        if target.parent != Path(RELEASES) or not is_sha256(target.name):
            raise DeviceError(
                f"{link} leads to {target}", f"a folder in {RELEASES}", "send a model"
            )
        return target.name

    def active(self) -> Release | None:
        """The active release, or None; raises as `active_name` and `release`."""
        name = self.active_name()
        return None if name is None else self.release(name)

    def release(self, sha256: str) -> Release:
        """A release by its name.

        Raises:
            InputError: It is not there.
            BundleError: Its manifest cannot be understood.
        """
        manifest = self.manifest(sha256)
        path = self.releases / sha256 / MODEL_FILE
        size = manifest.model.size_bytes
        return Release(sha256, manifest.name, manifest.variant, str(path), size, manifest.counter)

    def manifest(self, sha256: str) -> Manifest:
        """The manifest of a release; raises as `release`."""
        path = self.releases / sha256 / MANIFEST_FILE
        return Manifest.from_json(read_limited(path, MAX_MANIFEST_BYTES))

    def intact(self, sha256: str) -> bool:
        """Whether a release's model and golden inputs are those of its name and manifest."""
        folder = self.releases / sha256
        try:
            manifest = self.manifest(sha256)
            return manifest.model.sha256 == sha256 and all(
                FileRecord.of(read_limited(folder / name, record.size_bytes)) == record
                for name, record in ((MODEL_FILE, manifest.model), (GOLDEN_FILE, manifest.golden))
            )
        except EdgeRuntimeError:
            return False

    def names(self) -> tuple[str, ...]:
        """Every release that is here, sorted."""
        if not self.releases.is_dir():
            return ()
        return tuple(sorted(filter(is_sha256, os.listdir(self.releases))))

    def put(self, incoming: Path, sha256: str) -> None:
        """Gives a tried model its final name; it is on the disk when this returns."""
        release = self.releases / sha256
        if release.is_dir():
            # Here before, now inactive or damaged: each file is replaced whole.
            for name in (MODEL_FILE, GOLDEN_FILE, SIGNATURE_FILE, MANIFEST_FILE):
                if (incoming / name).exists():
                    (incoming / name).replace(release / name)
                else:
                    (release / name).unlink(missing_ok=True)
            _to_disk(release)
        else:
            # mkdtemp makes folders for the owner alone; a service of another user reads the model.
            incoming.chmod(0o755)
            _to_disk(incoming)
            incoming.rename(release)
        _to_disk(self.releases)

    def prepare_way_back(self, sha256: str | None) -> None:
        """Makes the link that `switch_back` needs: going back must not ask a full disk for room."""
        back = self.directory / BACK
        back.unlink(missing_ok=True)
        if sha256 is not None:
            back.symlink_to(Path(RELEASES) / sha256)

    def switch(self, sha256: str) -> None:
        """Makes a stored release the active one: a new link beside the old, renamed over it."""
        link = self.directory / f"{INCOMING}link"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(RELEASES) / sha256)
        link.replace(self.directory / ACTIVE)
        _to_disk(self.directory)

    def switch_back(self, sha256: str | None) -> None:
        """Makes what was active before so again; None where nothing was."""
        active, back = self.directory / ACTIVE, self.directory / BACK
        if sha256 is None:
            active.unlink(missing_ok=True)
            _to_disk(self.directory)
            return
        target = str(Path(RELEASES) / sha256)
        with suppress(OSError):
            if os.readlink(active) == target:
                return
        with suppress(OSError):
            if os.readlink(back) == target:
                back.replace(active)
                _to_disk(self.directory)
                return
        self.switch(sha256)

    def state(self) -> State:
        """The state; what a lost file said is taken from the active model's manifest.

        Where the link and the file disagree, the link is right: what leads the chain before the
        active release was taken back, and only the note of it was lost.

        Raises:
            InputError: The file is there and cannot be read.
        """
        path = self.directory / STATE_FILE
        state = State()
        if os.path.lexists(path):
            with suppress(ValueError, TypeError, KeyError, RecursionError, BundleError):
                state = _parse_state(json.loads(read_limited(path, MAX_STATE_BYTES)))
        if state.pending is not None:
            return state
        with suppress(EdgeRuntimeError):
            active = self.active_name()
            if active in state.chain:
                return replace(state, chain=state.chain[state.chain.index(active) :])
            if active is not None and not state.chain:
                found = self.manifest(active)
                return State((active,), max(state.counter, found.counter), found.created_at)
        return state

    def save(self, state: State) -> None:
        """Writes the state; it is on the disk when this returns."""
        text = json.dumps(asdict(state), indent=2) + "\n"
        write_atomic(self.directory / STATE_FILE, text)

    def prune(self, state: State) -> list[str]:
        """Removes every release that the state does not name; returns their names."""
        needed = {*state.chain, state.pending, state.before}
        with suppress(EdgeRuntimeError):
            needed.add(self.active_name())
        removed = [name for name in self.names() if name not in needed]
        for name in removed:
            # Out of the way first: half a release must not have a release's name.
            rubbish = self.directory / f"{INCOMING}old-{name}"
            (self.releases / name).rename(rubbish)
            shutil.rmtree(rubbish)
        return removed


def _parse_state(values: dict[str, Any]) -> State:
    state = State(**values)
    state = replace(state, chain=tuple(state.chain))
    if not all(is_sha256(name) for name in state.chain):
        raise ValueError("a release has an impossible name")
    if not all(name is None or is_sha256(name) for name in (state.pending, state.before)):
        raise ValueError("a release has an impossible name")
    if type(state.counter) is not int or not 0 <= state.counter <= MAX_COUNTER:
        raise ValueError("the counter is impossible")
    if state.accepted_at is not None:
        utc_time(state.accepted_at)
    if state.reverted is not None and not isinstance(state.reverted, dict):
        raise TypeError("what was reverted is no object")
    return state


def _make_folders(folder: Path) -> None:
    """Makes a folder and those above it, each on the disk: no file is safer than its folder."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _to_disk(folder.parent)


def _to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
