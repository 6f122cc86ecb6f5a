"""Whether this device takes a bundle: who signed it, for whom it is, and how new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from . import __version__
from .bundle import BundleReader
from .device_settings import Settings
from .device_store import State, Store
from .manifest import BundleError, Manifest, utc_time, version_numbers
from .signature import SignatureError, verify

__all__ = ["accepted_after", "authenticate", "check_manifest"]


def authenticate(
    reader: BundleReader, settings: Settings, state: State, clock: Callable[[], float]
) -> str | None:
    """Refuses a bundle that nobody signed who may.

    Args:
        reader: The bundle, of which nothing but manifest and signature has been read.
        settings: Who may sign.
        state: When the newest accepted bundle was made: the time can be no earlier.
        clock: Seconds since 1970, as far as this device knows.

    Returns:
        The signer's name, or None for an unsigned bundle where those are taken.

    Raises:
        SignatureError: It was signed by nobody who may.
    """
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


def check_manifest(
    manifest: Manifest, settings: Settings, state: State, store: Store, like: str | None
) -> None:
    """Refuses what is not for this device, older than what it had, or of another shape.

    Args:
        manifest: The bundle's manifest, whose signature counts.
        settings: What kind of device this is.
        state: The counter's floor.
        store: The releases.
        like: The release whose input and labels the model must have; None for any.

    Raises:
        BundleError: It is one of these.
    """
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
        active = store.shape(like)
        # An active model that is not whole is what this transfer mends.
        if active is not None and active != manifest.shape:
            raise BundleError(
                f"the model has {_difference(manifest.shape, active)}",
                "the same input and labels",
                "use --force if the programs that use it can",
            )


def _difference(new: tuple[Any, ...], active: tuple[Any, ...]) -> str:
    """In which way two shapes differ, for somebody who sees neither."""
    *size, labels = new
    *active_size, active_labels = active
    if size != active_size:
        return f"the input {_size(size)} and the active one {_size(active_size)}"
    if not (isinstance(labels, tuple) and isinstance(active_labels, tuple)):
        return "labels that are no list, or the active one has"
    if len(labels) != len(active_labels):
        return f"{len(labels)} labels and the active one {len(active_labels)}"
    pairs = enumerate(zip(labels, active_labels, strict=True))
    number, (one, other) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    return f"the label {one!r:.40} for class {number} and the active one {other!r:.40}"


def _size(size: list[Any]) -> str:
    return " × ".join(f"{number!r:.20}" for number in size)


def accepted_after(state: State, manifest: Manifest) -> State:
    """The state after this bundle: its counter is the floor, its time the earliest there can be."""
    newest = utc_time(manifest.created_at)
    if state.accepted_at is not None:
        newest = max(newest, utc_time(state.accepted_at))
    return replace(
        state, counter=max(state.counter, manifest.counter), accepted_at=newest.isoformat()
    )
