"""The folder that holds a device's models, and the steps that change it.

    active -> releases/SHA256       the model in use; switched by one rename
    releases/SHA256/                model.tflite, golden.npz, manifest.json, manifest.json.sig
    state.json                      what is confirmed, what is pending, the counter's floor
    device.json                     the operator's settings; only read here
    .edge-run/                      our own: nothing of a person's is touched elsewhere
        lock                        held while something changes
        back -> releases/SHA256     while a release is not confirmed: the way back, one rename too
        incoming-…                  work under way, or what a power cut left of it
        reserve                     room that a rollback on a full disk needs

Files are on the disk before the name that leads to them, and every name changes by one rename. So
whatever interrupts a step, the folder is as before it or as after it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .device_state import MAX_STATE_BYTES, STATE_FILE, State, guessed_state, parse_state, state_text
from .errors import DeviceError, EdgeRuntimeError, InputError
from .files import exclusive_lock, new_file, read_limited, synchronise
from .manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    MODEL_FILE,
    SIGNATURE_FILE,
    BundleError,
    FileRecord,
    Manifest,
    is_sha256,
)

__all__ = ["ACTIVE", "RELEASES", "Release", "State", "Store"]

ACTIVE = "active"
RELEASES = "releases"
WORK = ".edge-run"
BACK = "back"
LOCK = "lock"
RESERVE = "reserve"
# The manifest of a newer bundle that brought the same model: what it says of the floor must outlive
# the loss of the state.
ACCEPTED_FILE = "accepted.json"
INCOMING = "incoming-"

LOCK_POLL_S = 0.05

# Room for the file system's own book-keeping beside the two files.
SPARE_BYTES = 2**20
# Two links and two states, each of which takes a block; those of most file systems have 4 KiB.
RESERVE_BYTES = 2**16


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
        self._work = self.directory / WORK

    def exists(self) -> bool:
        """Whether this folder is one of ours already, and not a person's by a mistyped name."""
        if self._work.is_dir():
            return True
        with suppress(FileNotFoundError, NotADirectoryError):
            link = self.directory / ACTIVE
            return link.is_symlink() and os.readlink(link).startswith(f"{RELEASES}/")
        return False

    @contextmanager
    def locked(self, patience_s: float = 0.0) -> Iterator[None]:
        """Makes the folder if it is missing, and holds its lock.

        Args:
            patience_s: Seconds to wait for somebody else who holds it.

        Raises:
            DeviceError: Somebody else holds it.
            OSError: The folder cannot be made or written.
        """
        for folder in (self.releases, self._work):
            if not folder.is_dir():
                _make_folders(folder)
                folder.chmod(0o755)  # For the service, whatever the umask says.
        if (lock := self._work / LOCK).is_dir():
            _remove(lock)
        with ExitStack() as held:
            ends = time.monotonic() + patience_s
            while True:
                try:
                    held.enter_context(exclusive_lock(lock))
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
            found = (self._work / LOCK).stat()
            # As proc(5) writes it: the disk's two numbers in hexadecimal, then the file's.
            disk = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
            locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
            return any(f" {disk}:{found.st_ino} " in line and " FLOCK " in line for line in locks)
        return False

    def remove_leftovers(self) -> None:
        """Removes what interrupted work left; the lock says that none is under way."""
        for path in (*self._work.glob(f"{INCOMING}*"), self._work / BACK):
            _remove(path)

    def incoming(self) -> Path:
        """A new folder for a transfer."""
        return Path(tempfile.mkdtemp(prefix=INCOMING, dir=self._work))

    def keep_reserve(self) -> None:
        """Sets room aside, so that `use_reserve` has some to give; not to be had is no failure."""
        reserve = self._work / RESERVE
        with suppress(OSError):
            if not reserve.is_file():
                with new_file(reserve) as file:
                    file.write(os.urandom(RESERVE_BYTES))

    def use_reserve(self) -> None:
        """Gives the room free that was set aside: going back must not fail for a full disk."""
        with suppress(OSError):
            _remove(self._work / RESERVE)

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
            OSError: The link cannot be read.
        """
        link = self.directory / ACTIVE
        try:
            target = Path(os.readlink(link))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise  # Of a link that cannot be read nobody knows where it leads.
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
        return self._manifest(sha256, MANIFEST_FILE)

    def _manifest(self, sha256: str, file: str) -> Manifest:
        return Manifest.from_json(read_limited(self.releases / sha256 / file, MAX_MANIFEST_BYTES))

    def shape(self, sha256: str) -> tuple[Any, ...] | None:
        """What programs rely on in a release; None where it says nothing, is damaged or gone.

        Raises:
            InputError: Its manifest is there and cannot be read.
        """
        with suppress(BundleError, FileNotFoundError):
            (self.releases / sha256 / MANIFEST_FILE).stat()
            return self.manifest(sha256).shape
        return None

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
            synchronise(release)
        else:
            # mkdtemp makes folders for the owner alone; a service of another user reads the model.
            incoming.chmod(0o755)
            synchronise(incoming)
            incoming.rename(release)
            synchronise(self._work)
        synchronise(self.releases)

    def prepare_way_back(self, sha256: str | None) -> None:
        """Makes the link that `switch_back` needs: going back must not ask a full disk for room."""
        back = self._work / BACK
        _remove(back)
        if sha256 is not None:
            back.symlink_to(Path(RELEASES) / sha256)
            synchronise(self._work)

    def switch(self, sha256: str) -> None:
        """Makes a stored release the active one: a new link beside the old, renamed over it."""
        link = self._work / f"{INCOMING}link"
        _remove(link)
        link.symlink_to(Path(RELEASES) / sha256)
        link.replace(self.directory / ACTIVE)
        synchronise(self.directory)

    def switch_back(self, sha256: str | None) -> None:
        """Makes what was active before so again; None where nothing was."""
        active, back = self.directory / ACTIVE, self._work / BACK
        if sha256 is None:
            active.unlink(missing_ok=True)
            synchronise(self.directory)
            return
        target = str(Path(RELEASES) / sha256)
        with suppress(OSError):
            if os.readlink(active) == target:
                return
        with suppress(OSError):
            if os.readlink(back) == target:
                back.replace(active)
                synchronise(self.directory)
                return
        self.switch(sha256)

    def state(self) -> State:
        """The state; what a lost file said is taken from the links and the stored manifests.

        Where the link and the file disagree, the link is right: what leads the chain before the
        active release was taken back, and only the note of it was lost.

        Raises:
            DeviceError: The file is there and cannot be read: nobody knows what it says.
            OSError: The active link cannot be read.
        """
        state = self._stored_state()
        if state is None:
            return self._guessed_state()
        if state.pending is None:
            with suppress(EdgeRuntimeError):
                active = self.active_name()
                if active in state.chain:
                    return replace(state, chain=state.chain[state.chain.index(active) :])
                if active is not None and not state.chain:
                    return self._guessed_state()
        return state

    def _stored_state(self) -> State | None:
        """What ``state.json`` says; None where it is not there or none of ours."""
        path = self.directory / STATE_FILE
        try:
            path.stat()
            text = read_limited(path, MAX_STATE_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, InputError) as error:
            raise DeviceError(
                f"it is not known which model was confirmed: {error}",
                "",
                "mend the disk, or the file's owner and size; nothing was changed",
            ) from error
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError, BundleError):
            return parse_state(text)
        return None

    def _guessed_state(self) -> State:
        """What the releases and the links tell."""
        accepted = []
        for name in self.names():
            for file in (MANIFEST_FILE, ACCEPTED_FILE):
                with suppress(EdgeRuntimeError):
                    accepted.append(self._manifest(name, file))
        active = None
        with suppress(EdgeRuntimeError):
            active = self.active_name()
        # A new folder has nothing to lose.
        lost = bool(self.names())
        return replace(guessed_state(accepted, active, self._way_back()), guessed=lost)

    def _way_back(self) -> str | None:
        """The release to which the way back leads, if there is one."""
        with suppress(OSError):
            name = Path(os.readlink(self._work / BACK)).name
            return name if is_sha256(name) else None
        return None

    def save(self, state: State) -> None:
        """Writes the state; it is on the disk when this returns."""
        path, new = self.directory / STATE_FILE, self._work / f"{INCOMING}state"
        _remove(new)
        try:
            with new_file(new) as file:
                file.write(state_text(state).encode())
            new.replace(path)
        except OSError as error:
            error.filename = str(path)  # The other name means nothing to anybody.
            raise
        synchronise(self.directory)

    def keep_floor(self, incoming: Path, sha256: str) -> None:
        """Stores the manifest of a newer bundle that brought a stored model once more."""
        release = self.releases / sha256
        (incoming / MANIFEST_FILE).replace(release / ACCEPTED_FILE)
        synchronise(release)

    def make_room(self, needed_bytes: int, state: State, keep: int) -> None:
        """Removes what `keep` will not allow with one more release, if that is not room enough.

        Never the active one, the previous one or a pending one; and nothing on a guess.
        """
        if self.free_bytes() < needed_bytes + SPARE_BYTES and not state.guessed:
            self.prune(replace(state, chain=state.chain[: max(keep, 2)]))

    def prune(self, state: State) -> list[str]:
        """Removes every release that the state does not name; returns their names."""
        needed = {*state.chain, state.pending, state.before}
        with suppress(EdgeRuntimeError):
            needed.add(self.active_name())
        removed = [name for name in self.names() if name not in needed]
        for name in removed:
            # Out of the way first: half a release must not have a release's name.
            rubbish = self._work / f"{INCOMING}old-{name}"
            (self.releases / name).rename(rubbish)
            shutil.rmtree(rubbish)
        return removed


def _make_folders(folder: Path) -> None:
    """Makes a folder and those above it, each on the disk: no file is safer than its folder."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        synchronise(folder.parent)


def _remove(path: Path) -> None:
    """Removes one of our own, whatever it is by now."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
