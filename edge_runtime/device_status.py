"""What is active on this device, what was before, and what it would accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata, util
from pathlib import Path
from typing import Any

from . import __version__
from .device_settings import read_settings
from .device_store import ACTIVE, Release, State, Store
from .errors import EdgeRuntimeError

__all__ = ["DeviceStatus", "installed_interpreters", "status"]

# The packages of `edge_runtime.backend.BACKENDS`, which needs NumPy: a module and distributions.
INTERPRETERS = {
    "litert": ("ai_edge_litert", "ai-edge-litert"),
    "tflite-runtime": ("tflite_runtime", "tflite-runtime"),
    "tensorflow": ("tensorflow", "tensorflow", "tensorflow-cpu"),
}


@dataclass(frozen=True)
class DeviceStatus:
    """What `status` found.

    Attributes:
        directory: The folder that holds the models.
        active: The active model, or None.
        activated_at: When it became active, by this device's clock (ISO 8601, UTC).
        releases: SHA-256 of every model here.
        problem: What is wrong here, in one line, or None.
        previous: What `rollback` would make active, or None.
        pending: SHA-256 of a release that is active and not confirmed yet, or None.
        reverted: The last release that was taken back: its SHA-256, why and when; or None.
        counter: The smallest counter that is accepted.
        device_type: What kind of device this is.
        runtime: Version of edge-runtime.
        interpreters: The interpreters that are installed, each with its version, or None where the
            package does not say. Whether one can be imported, only the self-test finds out.
        signed_only: Whether only signed bundles are accepted.
        free_bytes: Room on the disk.
        shape: Height, width, channels and labels of the active model, or None.
    """

    directory: str
    active: Release | None
    activated_at: str | None
    releases: tuple[str, ...]
    problem: str | None
    previous: Release | None = None
    pending: str | None = None
    reverted: dict[str, str] | None = None
    counter: int = 0
    device_type: str = ""
    runtime: str = __version__
    interpreters: Mapping[str, str | None] = field(default_factory=dict)
    signed_only: bool = True
    free_bytes: int = 0
    shape: tuple[Any, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        values = asdict(self)
        values["releases"] = list(self.releases)
        return values


def installed_interpreters() -> dict[str, str | None]:
    """The interpreters that are installed, without importing one.

    Returns:
        The name of each, as `edge_runtime.backend.BACKENDS` has it, and its version.
    """
    return {
        name: next(filter(None, map(_version, distributions)), None)
        for name, (module, *distributions) in INTERPRETERS.items()
        if _exists(module)
    }


def _exists(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ValueError:  # One that is imported and does not say from where.
        return True


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def status(directory: Path) -> DeviceStatus:
    """What is active, checked against its checksum.

    Args:
        directory: The folder that holds the models.

    Returns:
        The status. A folder that does not exist has no active model.

    Raises:
        DeviceError: The settings cannot be understood.
    """
    store = Store(directory)
    settings = read_settings(store.directory)
    state, problem = State(), None
    active, shape = None, None
    try:
        active = store.active()
        if active is not None:
            shape = store.manifest(active.sha256).shape
            if not store.intact(active.sha256):
                problem = f"the active model {active.path} is damaged; send it again"
    except (EdgeRuntimeError, OSError) as error:
        active, problem = None, str(error)
    try:
        state = store.state()
    except (EdgeRuntimeError, OSError) as error:
        problem = problem or str(error)
    if state.pending is not None and not store.is_locked():
        problem = problem or (
            "an installation was interrupted before its model was confirmed; the next transfer "
            "or start of this device takes it back, as does edge-run receive --recover"
        )
    activated_at = None
    if active is not None:
        changed = (store.directory / ACTIVE).lstat().st_mtime
        activated_at = datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
    previous = None
    for name in state.chain:
        if previous is None and (active is None or name != active.sha256) and store.intact(name):
            previous = store.release(name)
    return DeviceStatus(
        directory=str(store.directory),
        active=active,
        activated_at=activated_at,
        releases=store.names(),
        problem=problem,
        previous=previous,
        pending=state.pending,
        reverted=state.reverted,
        counter=state.counter,
        device_type=settings.device_type,
        interpreters=installed_interpreters(),
        signed_only=not settings.allow_unsigned,
        free_bytes=store.free_bytes(),
        shape=shape,
    )
