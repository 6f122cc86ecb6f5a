"""The device's side of ``python -m flash``: take a model in, try it, make it the active one.

    lock → signature → manifest → room → files and their hashes → self-test → pending mark
         → switch → restart → health → confirmed; or switched back

`edge_runtime.device_store` describes the folder. Until the switch the old model is active, after
it the new one, and there is no moment without a whole model. A release that was not confirmed is
taken back: at once if its proof fails or this process is killed, by the boot unit or the next
transfer after a power cut. The standard library is all that is needed; the self-test's child loads
the interpreter.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .bundle import BundleReader, ByteStream
from .device_acceptance import accepted_after, authenticate, check_manifest
from .device_activation import (
    Progress,
    activate,
    active_name,
    prune,
    release_or_none,
    revert_unconfirmed,
    reverted_note,
)
from .device_settings import Settings, default_directory, read_settings
from .device_status import DeviceStatus, status
from .device_store import ACTIVE, Release, Store
from .errors import DeviceError
from .selftest import SelfTest, run_self_test

__all__ = [
    "ACTIVE",
    "DeviceStatus",
    "PatientStream",
    "Receipt",
    "Release",
    "default_directory",
    "receive",
    "recover",
    "rollback",
    "status",
]

# A transfer from which nothing comes for so long has lost its other end; the lock must not outlive
# it, or a cut cable would block the next attempt.
IDLE_LIMIT_S = 60.0
# And so would one that drips: the largest bundle (80 MiB) comes in that time at 50 KB/s.
TOTAL_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Receipt:
    """What was done.

    Attributes:
        outcome: "activated"; "unchanged" where that model was active already; "rolled-back" after
            `rollback`; "reverted" or "unchanged" after `recover`.
        active: The model that is active now, or None.
        previous: The model that was active before, or None.
        self_test: What the self-test found; None where none was needed.
        signer: Who signed the bundle, by the name in the file of allowed signers, or None.
        removed: Old releases that were removed.
    """

    outcome: str
    active: Release | None
    previous: Release | None
    self_test: SelfTest | None
    signer: str | None = None
    removed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "removed": list(self.removed)}


class PatientStream:
    """A file descriptor read with limits on silence and on the whole transfer.

    Args:
        descriptor: An open pipe or socket.
        idle_limit_s: Seconds without a byte after which the other end counts as lost.
        total_limit_s: Seconds for everything.
    """

    def __init__(
        self,
        descriptor: int,
        idle_limit_s: float = IDLE_LIMIT_S,
        total_limit_s: float = TOTAL_LIMIT_S,
    ) -> None:
        self._descriptor = descriptor
        self._idle_limit_s = idle_limit_s
        self._total_limit_s = total_limit_s
        self._ends = time.monotonic() + total_limit_s

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end.

        Args:
            size: The most to read.

        Returns:
            What has arrived.

        Raises:
            DeviceError: Nothing came for too long, or everything too slowly.
        """
        if time.monotonic() > self._ends:
            raise DeviceError(
                f"the transfer took more than {self._total_limit_s:.0f} s",
                "the rest of the bundle",
                "use a faster connection",
            )
        if not select.select([self._descriptor], [], [], self._idle_limit_s)[0]:
            raise DeviceError(
                f"nothing arrived for {self._idle_limit_s:.0f} s",
                "the rest of the bundle",
                "check the connection and send it again",
            )
        return os.read(self._descriptor, size)


def receive(
    stream: ByteStream,
    directory: Path,
    progress: Progress = lambda _: None,
    *,
    allow_unsigned: bool = False,
    force: bool = False,
    keep: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Receipt:
    """Takes in a bundle and makes its model the active one, if it proves itself.

    Args:
        stream: The bundle (see `edge_runtime.bundle`).
        directory: The folder that holds the models; made if it is missing.
        progress: Called with one line for each step.
        allow_unsigned: For development: take a bundle without a signature, as ``allow_unsigned``
            in ``device.json`` does.
        force: Take a model with another input or other labels than the active one's.
        keep: How many releases stay beside the active one; None for what ``device.json`` says.
        clock: Seconds since 1970, as far as this device knows.

    Returns:
        What was done.

    Raises:
        DeviceError: The bundle is damaged, not signed by somebody who may, not for this device or
            older than what it had; the model fails a test; the disk is full; another transfer is
            under way. The model that was active is active.
    """
    with _changing(directory) as (store, settings):
        if allow_unsigned:
            settings = replace(settings, allow_unsigned=True)
        revert_unconfirmed(store, settings, progress)
        store.remove_leftovers()
        state = store.state()
        reader = BundleReader(stream)
        signer = authenticate(reader, settings, state, clock)
        manifest = reader.manifest
        before = active_name(store)
        previous = release_or_none(store, before)
        check_manifest(manifest, settings, state, store, None if force else before)
        store.check_space(manifest)
        size = f"{manifest.unpacked_bytes:,} bytes"
        progress(f"receiving {manifest.name} {manifest.variant} ({size})")
        accepted = accepted_after(state, manifest)
        sha256 = manifest.model.sha256
        incoming = store.incoming()
        try:
            # A whole bundle before anything is said about it: a cut transfer is a failure even
            # when it would have changed nothing.
            reader.extract(incoming)
            if before == sha256 and store.intact(sha256):
                if accepted != state:
                    store.save(accepted)
                active = store.release(sha256)
                return Receipt("unchanged", active, active, None, signer)
            progress("letting the model answer its golden inputs")
            found = run_self_test(incoming, manifest.tolerance)
            progress(f"{found.inputs} golden inputs answered rightly; making the model active")
            store.put(incoming, sha256)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        older = [name for name in state.chain if name != sha256]
        chain = (sha256, *older[: settings.keep if keep is None else keep])
        activate(store, settings, state, replace(accepted, chain=chain), progress)
        active = store.release(sha256)
        removed = prune(store, progress)
        return Receipt("activated", active, previous, found, signer, removed)


def rollback(directory: Path, progress: Progress = lambda _: None) -> Receipt:
    """Makes the previous release the active one, if it still proves itself.

    The counter's floor stays: what was left behind comes back only in a newer bundle, or the same.

    Args:
        directory: The folder that holds the models.
        progress: Called with one line for each step.

    Returns:
        What was done.

    Raises:
        DeviceError: There is no whole previous release, or it fails a test.
    """
    with _changing(directory) as (store, settings):
        revert_unconfirmed(store, settings, progress)
        store.remove_leftovers()
        state, before = store.state(), active_name(store)
        chain = [name for name in state.chain if name != before and store.intact(name)]
        if not chain:
            raise DeviceError(
                f"there is no previous release in {store.releases}",
                "a whole release that was active before",
                "send a model with python -m flash pi",
            )
        target = chain[0]
        progress("letting the previous model answer its golden inputs")
        found = run_self_test(store.releases / target, store.manifest(target).tolerance)
        previous = release_or_none(store, before)
        activate(store, settings, state, replace(state, chain=tuple(chain)), progress)
        return Receipt("rolled-back", store.release(target), previous, found)


def recover(
    directory: Path,
    progress: Progress = lambda _: None,
    *,
    restarts: bool = False,
    patience_s: float = 0.0,
) -> Receipt:
    """Takes an unconfirmed release back.

    A damaged active model, which no step here can cause but a worn card can, gives way to the
    newest whole one that was confirmed before.

    Args:
        directory: The folder that holds the models.
        progress: Called with one line for each step.
        restarts: Restart the service after that; at boot it has not begun yet.
        patience_s: Seconds to wait for a transfer that is under way.

    Returns:
        The outcome "reverted", or "unchanged" where all was well.

    Raises:
        DeviceError: The folder cannot be written, or a transfer is under way.
    """
    if not directory.is_dir():
        return Receipt("unchanged", None, None, None)
    with _changing(directory, patience_s) as (store, settings):
        found = active_name(store)
        if not restarts:
            settings = replace(settings, restart=())
        revert_unconfirmed(store, settings, progress)
        store.remove_leftovers()
        state, now = store.state(), active_name(store)
        if now is not None and not store.intact(now):
            whole = [name for name in state.chain if name != now and store.intact(name)]
            if whole:
                progress("the active model is damaged; making the one before it active")
                reverted = reverted_note(now, "its file is damaged")
                store.switch(whole[0])
                store.save(replace(state, chain=tuple(whole), reverted=reverted))
        now = active_name(store)
        outcome = "unchanged" if now == found else "reverted"
        return Receipt(outcome, release_or_none(store, now), release_or_none(store, found), None)


@contextmanager
def _changing(directory: Path, patience_s: float = 0.0) -> Iterator[tuple[Store, Settings]]:
    """The folder locked and the settings read; errors of the disk become ours."""
    store = Store(directory)
    try:
        with store.locked(patience_s):
            yield store, read_settings(store.directory)
    except BrokenPipeError:
        raise  # Nobody listens to the progress any more: the operator's end is gone.
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DeviceError(
            f"{error.filename or store.directory} cannot be written: {error.strerror or error}",
            "" if full else "a folder that this user may write",
            f"remove old models from {store.releases}" if full else "choose another folder",
        ) from error
