"""The device's side of ``python -m flash``: take a model in, try it, make it the active one.

    lock → signature → manifest → room → files and their hashes → self-test → pending mark
         → switch → restart → health → confirmed; or switched back

A folder that is not one of ours yet is only made, and locked, once a signature counts.
`edge_runtime.device_store` describes the folder. Until the switch the old model is active, after
it the new one, and there is no moment without a whole model. A release that was not confirmed is
taken back: at once if its proof fails or this process is killed, by the boot unit or the next
transfer after a power cut. The standard library is all that is needed; the self-test's child loads
the interpreter.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from .device_settings import MAX_KEEP, Settings, default_directory, read_settings
from .device_status import DeviceStatus, status
from .device_store import ACTIVE, Release, State, Store
from .device_stream import TOTAL_LIMIT_S, PatientStream
from .errors import DeviceError
from .selftest import SelfTest, run_self_test

__all__ = [
    "ACTIVE",
    "TOTAL_LIMIT_S",
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


@dataclass(frozen=True)
class Receipt:
    """What was done.

    Attributes:
        outcome: "activated"; "unchanged" where that model was active already; "rolled-back" after
            `rollback`, or "reverted" where that took an unconfirmed release back; "reverted" or
            "unchanged" after `recover`.
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
    store = Store(directory)
    with _own_errors(store), ExitStack() as held:
        settings = read_settings(store.directory)
        if allow_unsigned:
            settings = replace(settings, allow_unsigned=True)
        known = store.exists()
        if known:
            held.enter_context(store.locked())
            revert_unconfirmed(store, settings, progress)
        reader = BundleReader(stream)
        signer = authenticate(reader, settings, store.state(), clock)
        if not known:
            held.enter_context(store.locked())
        keep = min(settings.keep if keep is None else keep, MAX_KEEP)
        return _take_in(store, settings, reader, signer, progress, force, keep)


def _take_in(
    store: Store,
    settings: Settings,
    reader: BundleReader,
    signer: str | None,
    progress: Progress,
    force: bool,
    keep: int,
) -> Receipt:
    """Takes in a bundle whose signature counts; the folder is locked."""
    store.remove_leftovers()
    state, before = store.state(), active_name(store)
    manifest = reader.manifest
    check_manifest(manifest, settings, state, store, None if force else before)
    store.make_room(manifest.unpacked_bytes, state, keep)
    store.check_space(manifest)
    size = f"{manifest.unpacked_bytes:,} bytes"
    progress(f"receiving {manifest.name} {manifest.variant} ({size})")
    accepted, sha256 = accepted_after(state, manifest), manifest.model.sha256
    previous = release_or_none(store, before)
    incoming = store.incoming()
    try:
        # A whole bundle before anything is said about it: a cut transfer is a failure even when it
        # would have changed nothing.
        reader.extract(incoming)
        if before == sha256 and store.intact(sha256):
            _raise_floor(store, incoming, sha256, state, accepted)
            active = store.release(sha256)
            return Receipt("unchanged", active, active, None, signer)
        progress("letting the model answer its golden inputs")
        found = run_self_test(incoming, manifest.tolerance)
        progress(f"{found.inputs} golden inputs answered rightly; making the model active")
        store.put(incoming, sha256)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    older = [name for name in state.chain if name != sha256]
    confirmed = replace(accepted, chain=(sha256, *older[:keep]))
    activate(store, settings, state, confirmed, progress)
    removed = prune(store, state, progress)
    return Receipt("activated", store.release(sha256), previous, found, signer, removed)


def _raise_floor(store: Store, incoming: Path, sha256: str, state: State, accepted: State) -> None:
    """Notes that a newer bundle brought the active model; nothing is written for the same one."""
    if accepted.counter > state.counter:
        store.keep_floor(incoming, sha256)
    if accepted != state:
        store.save(accepted)


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
    store = Store(directory)
    with _own_errors(store):
        if not store.exists():
            raise _nothing_before(store)
    with _changing(store) as settings:
        if (left := revert_unconfirmed(store, settings, progress)) is not None:
            # What is asked for has been done: once more would be one too far.
            progress("that was the rollback; call it again to go one further")
            active = release_or_none(store, active_name(store))
            return Receipt("reverted", active, release_or_none(store, left), None)
        store.remove_leftovers()
        state, before = store.state(), active_name(store)
        chain = [name for name in state.chain if name != before and store.intact(name)]
        if not chain:
            raise _nothing_before(store)
        target = chain[0]
        progress("letting the previous model answer its golden inputs")
        found = run_self_test(store.releases / target, store.manifest(target).tolerance)
        previous = release_or_none(store, before)
        store.use_reserve()
        confirmed = replace(state, chain=tuple(chain))
        activate(store, settings, state, confirmed, progress)
        return Receipt("rolled-back", store.release(target), previous, found)


def _nothing_before(store: Store) -> DeviceError:
    return DeviceError(
        f"there is no previous release in {store.releases}",
        "a whole release that was active before",
        "send a model with python -m flash pi",
    )


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
    store = Store(directory)
    with _own_errors(store):
        known = store.exists()
    if not known:
        return Receipt("unchanged", None, None, None)
    with _changing(store, patience_s) as settings:
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
def _changing(store: Store, patience_s: float = 0.0) -> Iterator[Settings]:
    """The folder locked and the settings read; errors of the disk become ours."""
    with _own_errors(store), store.locked(patience_s):
        yield read_settings(store.directory)


@contextmanager
def _own_errors(store: Store) -> Iterator[None]:
    """Errors of the disk become ours."""
    try:
        yield
    except BrokenPipeError:
        raise  # Nobody listens to the progress any more: the operator's end is gone.
    except OSError as error:
        where, why = error.filename or store.directory, error.strerror or error
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            raise DeviceError(f"{where} is in the way ({why})", "", "move it elsewhere") from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DeviceError(
            f"{where} cannot be {'written' if full else 'read or written'}: {why}",
            "" if full else "a folder that this user may write",
            f"remove old models from {store.releases}" if full else "choose another folder",
        ) from error
