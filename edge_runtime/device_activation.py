"""The switch to another release, its proof, and the way back.

The mark in the state is on the disk before the link changes, and goes with the confirmation in one
rename. Whoever finds it, finds a release that was not confirmed, and takes it back; the first to
look is `edge_runtime.device_guard`, as soon as this process is gone. A signal may interrupt the
proof, and nothing else: not the two switches, and not what comes after the confirmation.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from .device_guard import guarded
from .device_health import prove, restart
from .device_settings import Settings
from .device_signals import Interrupted, interruptible, shield, unshield
from .device_store import ACTIVE, Release, State, Store
from .errors import DeviceError, EdgeRuntimeError

__all__ = [
    "Progress",
    "activate",
    "active_name",
    "prune",
    "release_or_none",
    "revert_unconfirmed",
    "reverted_note",
]

# Going back, its restart included, must be over within 30 s of the failed proof; the switch itself
# takes milliseconds.
RESTART_BACK_S = 25.0

# Their texts are meant for a person.
_OURS = (EdgeRuntimeError, Interrupted)

Progress = Callable[[str], None]


def activate(
    store: Store, settings: Settings, state: State, confirmed: State, progress: Progress
) -> None:
    """Switches to a release, and back to where we were if it fails.

    From here to the end of the process's work signals are shielded from, but for the proof.

    Args:
        store: The device's folder, locked.
        settings: How the service is restarted and watched.
        state: The state until now.
        confirmed: The state once the first release of its chain has proved itself.
        progress: Called with one line for each step.

    Raises:
        DeviceError: It failed; the text says what is active now.
        Interrupted: A signal ended the proof; the same.
    """
    target = confirmed.chain[0]
    before = active_name(store)
    pending = replace(state, pending=target, before=before, reverted=None)
    with guarded(store.directory):
        shield()
        try:
            store.prepare_way_back(before)
            store.save(pending)
            store.switch(target)
            tolerance = store.manifest(target).tolerance
            with interruptible():
                prove(store.directory / ACTIVE, tolerance, settings, progress)
            store.save(replace(confirmed, pending=None, before=None, reverted=None))
        except BaseException as error:
            said = str(error) if isinstance(error, _OURS) else f"{error or type(error)}"
            try:
                end = _take_back(store, settings, pending, said, progress)
            except DeviceError as stuck:
                end = str(stuck)
            if isinstance(error, EdgeRuntimeError):
                raise DeviceError(f"{error}; {end}") from error
            if isinstance(error, Interrupted):
                raise Interrupted(f"{error}; {end}") from error
            raise
    # A leftover goes with the next transfer; the release is confirmed.
    with suppress(OSError):
        store.remove_leftovers()
    store.keep_reserve()


def _take_back(
    store: Store, settings: Settings, pending: State, reason: str, progress: Progress
) -> str:
    """Makes what was active before a pending release so again, and says how that went.

    Raises:
        DeviceError: It cannot be done, and the mark stays.
    """
    assert pending.pending is not None
    with suppress(BrokenPipeError):
        progress("going back to the model before")
    try:
        store.switch_back(pending.before)
    except OSError as error:
        raise DeviceError(
            f"the old model could not be made active again ({error.strerror or error})",
            "",
            "restart the device, or run edge-run receive --recover there",
        ) from error
    store.use_reserve()
    # Should this fail, the mark stays, and whoever finds it goes back once more: to no effect.
    with suppress(OSError):
        reverted = reverted_note(pending.pending, reason)
        store.save(replace(pending, pending=None, before=None, reverted=reverted))
        store.remove_leftovers()
        prune(store, pending, lambda _: None)
    store.keep_reserve()
    what = "no model" if pending.before is None else "the old model"
    if settings.restart:
        try:
            restart(settings.restart, RESTART_BACK_S)
        except DeviceError as error:
            return f"{what} is active again, but {error}"
    return f"{what} is active again"


def revert_unconfirmed(store: Store, settings: Settings, progress: Progress) -> str | None:
    """Takes back what an interrupted installation left active.

    Args:
        store: The device's folder, locked.
        settings: How the service is restarted.
        progress: Called with one line for each step.

    Returns:
        The release that is active no more; None where nothing had to be done.

    Raises:
        DeviceError: It cannot be taken back; or what is confirmed cannot be read.
    """
    state = store.state()
    if state.pending is None:
        return None
    before = active_name(store)
    shield()
    progress("an installation was interrupted before its model was confirmed")
    progress(_take_back(store, settings, state, "the installation was interrupted", progress))
    unshield()
    return before if before != active_name(store) else None


def reverted_note(sha256: str, reason: str) -> dict[str, str]:
    """What the state says of a release that was taken back."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"release": sha256, "reason": reason, "at": now}


def prune(store: Store, known: State, progress: Progress) -> tuple[str, ...]:
    """Removes old releases, but none on a guess; returns their names. It is no reason to fail."""
    if known.guessed:
        return ()
    try:
        return tuple(store.prune(store.state()))
    except OSError as error:
        progress(f"an old release could not be removed ({error.strerror or error})")
        return ()


def active_name(store: Store) -> str | None:
    """The active release's name; None, too, for a link that leads elsewhere: it gets mended."""
    try:
        return store.active_name()
    except DeviceError:
        return None


def release_or_none(store: Store, name: str | None) -> Release | None:
    """A release for a receipt; None where its manifest cannot be read."""
    with suppress(EdgeRuntimeError):
        return None if name is None else store.release(name)
    return None
