"""The device's side of ``python -m flash``: take a model in, try it, make it the active one.

    lock → signature → manifest → room → files and their hashes → self-test → pending mark
         → switch → restart → health → confirmed; or switched back

`edge_runtime.device_store` describes the folder. Until the switch the old model is active, after
it the new one, and there is no moment without a whole model. A release that was not confirmed is
taken back: at once if its proof fails, by the boot unit or the next transfer if this process was
killed. The standard library is all that is needed; the self-test's child loads the interpreter.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import __version__
from .bundle import BundleReader, ByteStream
from .device_health import prove, restart
from .device_settings import Settings, default_directory, read_settings
from .device_status import DeviceStatus, status
from .device_store import ACTIVE, RELEASES, Release, State, Store
from .errors import DeviceError, EdgeRuntimeError
from .manifest import SEND_AGAIN, BundleError, Manifest, utc_time, version_numbers
from .selftest import SelfTest, run_self_test
from .signature import SignatureError, verify

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
# Going back must be over within 30 s of the failed proof; the switch itself takes milliseconds.
RESTART_BACK_S = 25.0

Progress = Callable[[str], None]


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
        _revert_unconfirmed(store, settings, progress)
        store.remove_leftovers()
        state = store.state()
        reader = BundleReader(stream)
        signer = _authenticate(reader, settings, state, clock)
        manifest = reader.manifest
        before = _active_name(store)
        _check_manifest(manifest, settings, state, store, None if force else before)
        store.check_space(manifest)
        size = f"{manifest.unpacked_bytes:,} bytes"
        progress(f"receiving {manifest.name} {manifest.variant} ({size})")
        accepted = _accepted(state, manifest)
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
        previous = _release(store, before)
        older = [name for name in state.chain if name != sha256]
        chain = (sha256, *older[: settings.keep if keep is None else keep])
        _activate(store, settings, state, replace(accepted, chain=chain), progress)
        active = store.release(sha256)
        removed = _prune(store, progress)
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
        _revert_unconfirmed(store, settings, progress)
        store.remove_leftovers()
        state, before = store.state(), _active_name(store)
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
        previous = _release(store, before)
        _activate(store, settings, state, replace(state, chain=tuple(chain)), progress)
        return Receipt("rolled-back", store.release(target), previous, found)


def recover(directory: Path, progress: Progress = lambda _: None) -> Receipt:
    """Takes an unconfirmed release back, without restarting anything; for the boot unit.

    A damaged active model, which no step here can cause but a worn card can, gives way to the
    newest whole one that was confirmed before.

    Args:
        directory: The folder that holds the models.
        progress: Called with one line for each step.

    Returns:
        The outcome "reverted", or "unchanged" where all was well.

    Raises:
        DeviceError: The folder cannot be written, or a transfer is under way.
    """
    if not directory.is_dir():
        return Receipt("unchanged", None, None, None)
    with _changing(directory) as (store, settings):
        found = _active_name(store)
        _revert_unconfirmed(store, replace(settings, restart=()), progress)
        store.remove_leftovers()
        state, now = store.state(), _active_name(store)
        if now is not None and not store.intact(now):
            whole = [name for name in state.chain if name != now and store.intact(name)]
            if whole:
                progress("the active model is damaged; making the one before it active")
                reverted = _reverted(now, "its file is damaged")
                store.switch(whole[0])
                store.save(replace(state, chain=tuple(whole), reverted=reverted))
        now = _active_name(store)
        outcome = "unchanged" if now == found else "reverted"
        return Receipt(outcome, _release(store, now), _release(store, found), None)


@contextmanager
def _changing(directory: Path) -> Iterator[tuple[Store, Settings]]:
    """The folder locked and the settings read; errors of the disk become ours."""
    store = Store(directory)
    try:
        with store.locked():
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


def _authenticate(
    reader: BundleReader, settings: Settings, state: State, clock: Callable[[], float]
) -> str | None:
    """Refuses a bundle that nobody signed who may; returns the signer's name."""
    if reader.signature is None:
        if settings.allow_unsigned:
            return None
        raise SignatureError(
            "the bundle is not signed",
            "a bundle made with --key",
            'for development, set "allow_unsigned": true in device.json there',
        )
    if settings.allowed_signers is None:
        raise SignatureError(
            "this device knows nobody who may sign models",
            "allowed_signers in device.json",
            "set the device up with python -m flash pi HOST --install",
        )
    # A Pi has no battery: after a power cut its clock may say 1970 until the network is up.
    moment = datetime.fromtimestamp(max(clock(), 0), UTC)
    if state.accepted_at is not None:
        moment = max(moment, utc_time(state.accepted_at))
    return verify(
        reader.manifest_bytes,
        reader.signature,
        settings.allowed_signers,
        moment=moment,
        revoked_keys=settings.revoked_keys,
    ).principal


def _check_manifest(
    manifest: Manifest, settings: Settings, state: State, store: Store, like: str | None
) -> None:
    """Refuses what is not for this device, older than what it had, or of another shape."""
    if manifest.device_type != settings.device_type:
        raise BundleError(
            f"the bundle is for the device type {manifest.device_type!r}",
            repr(settings.device_type),
            "make one with python -m flash bundle --device-type",
        )
    if version_numbers(manifest.minimum_runtime) > version_numbers(__version__):
        raise BundleError(
            f"the bundle asks for edge-runtime {manifest.minimum_runtime} and this is "
            f"{__version__}",
            "",
            "update edge-runtime on the device",
        )
    if manifest.counter < state.counter:
        raise BundleError(
            f"the bundle's counter is {manifest.counter}: it is older than what this device "
            "accepted last",
            f"{state.counter} or more",
            "make the bundle again, or go back on the device with edge-run rollback",
        )
    if manifest.shape is None:
        raise BundleError(
            "the manifest says nothing of the model's input and labels",
            "its contract",
            "make the bundle with python -m flash bundle",
        )
    if like is not None:
        try:
            active = store.manifest(like).shape
        except EdgeRuntimeError:
            return  # An active model that cannot be read is what this transfer mends.
        if active != manifest.shape:
            raise BundleError(
                f"the model has the input {_shown(manifest.shape)} and the active one "
                f"{_shown(active)}",
                "the same input and labels",
                "use --force if the programs that use it can",
            )


def _shown(shape: tuple[Any, ...] | None) -> str:
    if shape is None:
        return "of an unknown shape"
    height, width, channels, labels = shape
    count = len(labels) if isinstance(labels, tuple) else "?"
    return f"{height} × {width} × {channels} and {count} labels"


def _accepted(state: State, manifest: Manifest) -> State:
    """The state after this bundle: its counter is the floor, its time the earliest there can be."""
    newest = utc_time(manifest.created_at)
    if state.accepted_at is not None:
        newest = max(newest, utc_time(state.accepted_at))
    return replace(
        state, counter=max(state.counter, manifest.counter), accepted_at=newest.isoformat()
    )


def _activate(
    store: Store, settings: Settings, state: State, confirmed: State, progress: Progress
) -> None:
    """Switches to the first release of `confirmed`, and back to where we were if it fails."""
    target = confirmed.chain[0]
    before = _active_name(store)
    pending = replace(state, pending=target, before=before, reverted=None)
    try:
        store.prepare_way_back(before)
        store.save(pending)
        store.switch(target)
        prove(store.directory / ACTIVE, store.manifest(target).tolerance, settings, progress)
        store.save(replace(confirmed, pending=None, before=None, reverted=None))
    except BaseException as error:
        said = str(error) if isinstance(error, EdgeRuntimeError) else f"{error or type(error)}"
        end = _take_back(store, settings, pending, said, progress)
        if isinstance(error, EdgeRuntimeError):
            raise DeviceError(f"{error}; {end}") from error
        raise
    # A leftover goes with the next transfer; the release is confirmed.
    with suppress(OSError):
        store.remove_leftovers()


def _take_back(
    store: Store, settings: Settings, pending: State, reason: str, progress: Progress
) -> str:
    """Makes what was active before a pending release so again; says how that went."""
    assert pending.pending is not None
    with suppress(BrokenPipeError):
        progress("going back to the model before")
    try:
        store.switch_back(pending.before)
    except OSError as error:
        return (
            f"the old model could not be made active again ({error.strerror or error}): restart "
            "the device, or run edge-run receive --recover there"
        )
    # Should this fail, the mark stays, and whoever finds it goes back once more: to no effect.
    with suppress(OSError):
        reverted = _reverted(pending.pending, reason)
        store.save(replace(pending, pending=None, before=None, reverted=reverted))
        store.remove_leftovers()
        _prune(store, lambda _: None)
    what = "no model" if pending.before is None else "the old model"
    if settings.restart:
        try:
            restart(settings.restart, RESTART_BACK_S)
        except DeviceError as error:
            return f"{what} is active again, but {error}"
    return f"{what} is active again"


def _revert_unconfirmed(store: Store, settings: Settings, progress: Progress) -> None:
    """Takes back what an interrupted installation left active."""
    state = store.state()
    if state.pending is not None:
        progress("an installation was interrupted before its model was confirmed")
        _take_back(store, settings, state, "the installation was interrupted", progress)


def _reverted(sha256: str, reason: str) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"release": sha256, "reason": reason, "at": now}


def _prune(store: Store, progress: Progress) -> tuple[str, ...]:
    try:
        return tuple(store.prune(store.state()))
    except OSError as error:
        progress(f"an old release could not be removed ({error.strerror or error})")
        return ()


def _active_name(store: Store) -> str | None:
    try:
        return store.active_name()
    except DeviceError:
        return None  # A link that leads elsewhere is what this transfer mends.


def _release(store: Store, name: str | None) -> Release | None:
    with suppress(EdgeRuntimeError):
        return None if name is None else store.release(name)
    return None
